"""Changes of a study's design before its release; the analysis plan follows the criteria. The only writers of these."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from readerstudy.accounts.models import User
from readerstudy.audit.services import record
from readerstudy.faults import Refusal
from readerstudy.studies.definition import CriterionDefinition, check_criterion, check_plan, check_reader_rules
from readerstudy.studies.models import Criterion, Study
from readerstudy.studies.policies import require_coordinator, require_editable
from readerstudy.studies.services import checked_name, held_study

PLAN_SETTINGS = ("alpha", "family", "missing", "cannot_grade_image_quality")
"""What may be changed in the plan itself; its reference arm and criteria come from the design."""


def _open(study: Study, actor: User) -> Study:
    require_coordinator(actor, study)
    held = held_study(study)
    require_editable(held)
    return held


def as_definition(criterion: Criterion) -> CriterionDefinition:
    """A stored criterion as its definition."""
    return CriterionDefinition(
        name=criterion.name,
        scale=(criterion.scale_minimum, criterion.scale_maximum),
        better=criterion.better,
        margin=criterion.margin,
        anchors=dict(criterion.anchors),
    )


@transaction.atomic
def rename_study(*, study: Study, name: str, actor: User) -> Study:
    """Give the study another name. Readers see it too; it must not tell what is compared in which series."""
    held = _open(study, actor)
    earlier, held.name = held.name, checked_name(name)
    if held.name != earlier:
        held.save(update_fields=["name"])
        record(study=held.pk, actor=actor, action="studies.renamed", details={"from": earlier, "to": held.name})
    study.refresh_from_db()
    return study


@transaction.atomic
def change_criteria(
    *, study: Study, margins: Mapping[str, str], anchors: Mapping[str, Mapping[str, str]], actor: User
) -> Study:
    """Change margins and written anchors, both by criterion name; what is not named stays.

    The criteria of the analysis plan follow. Refuses a margin on the wrong side of zero and an empty anchor.
    """
    held = _open(study, actor)
    changes: dict[str, Any] = {}
    criteria = list(held.criteria.select_for_update())
    for criterion in criteria:
        earlier = as_definition(criterion)
        wanted = CriterionDefinition(
            name=earlier.name,
            scale=earlier.scale,
            better=earlier.better,
            margin=margins.get(criterion.name, earlier.margin).strip().replace("−", "-").replace(",", "."),
            anchors={
                **earlier.anchors,
                **{value: " ".join(text.split()) for value, text in anchors.get(criterion.name, {}).items()},
            },
        )
        check_criterion(wanted)
        if wanted != earlier:
            criterion.margin, criterion.anchors = wanted.margin, wanted.anchors
            criterion.save(update_fields=["margin", "anchors"])
            changes[criterion.name] = {
                "from": {"margin": earlier.margin, "anchors": earlier.anchors},
                "to": {"margin": wanted.margin, "anchors": wanted.anchors},
            }
    if unknown := {*margins, *anchors} - {criterion.name for criterion in criteria}:
        raise Refusal(f"The study has no criterion “{sorted(unknown)[0]}”.", "Reload the page.")
    if changes:
        plan = {criterion.name: as_definition(criterion).as_plan() for criterion in criteria}
        held.plan = check_plan({**held.plan, "criteria": plan})
        held.save(update_fields=["plan"])
        record(study=held.pk, actor=actor, action="studies.criteria_changed", details=changes)
    study.refresh_from_db()
    return study


@transaction.atomic
def change_plan(*, study: Study, changes: Mapping[str, str], actor: User) -> Study:
    """Change alpha, correction family, missing-data policy or what "because of image quality" counts as."""
    held = _open(study, actor)
    if unknown := [key for key in changes if key not in PLAN_SETTINGS]:
        raise Refusal(f"“{unknown[0]}” is not changed in the plan itself.", "Change the design.")
    tidy = {key: value.strip().replace(",", ".") for key, value in changes.items()}
    earlier, wanted = held.plan, check_plan({**held.plan, **tidy})
    if wanted != earlier:
        held.plan = wanted
        held.save(update_fields=["plan"])
        details = {
            key: {"from": earlier.get(key), "to": value} for key, value in tidy.items() if earlier.get(key) != value
        }
        record(study=held.pk, actor=actor, action="studies.plan_changed", details=details)
    study.refresh_from_db()
    return study


@transaction.atomic
def change_reader_rules(*, study: Study, rules: Mapping[str, Any], actor: User) -> Study:
    """Change how series are ordered and whether readers may go back; an entry that is None is taken out."""
    held = _open(study, actor)
    wanted = check_reader_rules({k: v for k, v in {**held.reader_rules, **rules}.items() if v is not None})
    if wanted != held.reader_rules:
        details = {"from": held.reader_rules, "to": wanted}
        held.reader_rules = wanted
        held.save(update_fields=["reader_rules"])
        record(study=held.pk, actor=actor, action="studies.reader_rules_changed", details=details)
    study.refresh_from_db()
    return study
