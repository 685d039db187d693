"""Changes of a study's design before its release; the analysis plan follows the criteria. The only writers of these."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from readerstudy.accounts.models import User
from readerstudy.audit.services import record
from readerstudy.celery import app as celery_app
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.studies.definition import (
    CriterionDefinition,
    arm_definition,
    check_criterion,
    check_plan,
    check_reader_rules,
    check_stored_matrix,
)
from readerstudy.studies.models import Arm, Criterion, Sequence, Study
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
                **{value: " ".join(kept_text(text).split()) for value, text in anchors.get(criterion.name, {}).items()},
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


# What is compared


@transaction.atomic
def add_arm(*, study: Study, arm: Mapping[str, Any], actor: User) -> Arm:
    """Add an arm; what it needs is reconstructed from the files that are there.

    Parameters
    ----------
    arm
        As in a preset: name, acquisition, noise_reduction (decimal text), chain (what differs from the paper's),
        colour.

    Refuses a name that is taken, a second arm of the same acquisition, chain and noise reduction, and whatever a preset
    could not have.
    """
    held = _open(study, actor)
    acquisitions = {one.name: one for one in held.acquisitions.all()}
    wanted = arm_definition({**arm, "reference": False}, tuple(acquisitions))
    arms = list(held.arms.select_related("acquisition"))
    for there in arms:
        if there.name == wanted.name:
            raise Refusal(f"The study has an arm {there.name} already.", "Give this one another name.")
        if (there.acquisition.name, there.noise_reduction, there.full_chain) == (
            wanted.acquisition,
            wanted.noise_reduction,
            wanted.chain,
        ):
            raise Refusal(f"{there.name} is the same already.", "Choose another chain or noise reduction.")
    added = Arm.objects.create(
        study=held,
        name=wanted.name,
        order=max((one.order for one in arms), default=0) + 1,
        acquisition=acquisitions[wanted.acquisition],
        noise_reduction=wanted.noise_reduction,
        chain=wanted.chain,
        colour=wanted.colour,
    )
    details = {
        "name": added.name,
        "acquisition": wanted.acquisition,
        "noise_reduction": format(wanted.noise_reduction, "f"),
        "chain": wanted.chain,
    }
    record(study=held.pk, actor=actor, action="studies.arm_added", details=details)
    _announce(held)
    return added


@transaction.atomic
def remove_arm(*, arm: Arm, actor: User) -> None:
    """Take out an arm of which nothing was made yet. Refuses the reference, and an arm that has series."""
    held = _open(arm.study, actor)
    if arm.is_reference:
        raise Refusal(f"{arm.name} is the reference.", "The others are compared with it.")
    # Asked of the model, not of the apps above: whatever points to an arm keeps it.
    for relation in Arm._meta.related_objects:
        if relation.related_model._default_manager.filter(**{relation.field.name: arm}).exists():
            raise Refusal(
                f"{arm.name} has series already.",
                f"Remove the files of {arm.acquisition} on the Processing page first.",
            )
    name = arm.name
    arm.delete()
    record(study=held.pk, actor=actor, action="studies.arm_removed", details={"name": name})
    _announce(held)


@transaction.atomic
def change_stored_matrix(*, sequence: Sequence, stored_matrix: list[int] | None, actor: User) -> None:
    """Zero fill the slices of all arms of a sequence to [columns, rows], or not at all.

    Finished series are made anew.
    """
    held = _open(sequence.study, actor)
    wanted = None if stored_matrix is None else check_stored_matrix(stored_matrix, sequence.name)
    row = held.sequences.select_for_update().get(pk=sequence.pk)
    if row.stored_matrix != wanted:
        details = {"sequence": row.name, "from": row.stored_matrix, "to": wanted}
        row.stored_matrix = wanted
        row.save(update_fields=["stored_matrix"])
        record(study=held.pk, actor=actor, action="studies.stored_matrix_changed", details=details)
        _announce(held)


@transaction.atomic
def change_measured(*, sequence: Sequence, is_measured: bool, actor: User) -> None:
    """Segment and measure the series of a sequence, or no longer. Finished series are made anew."""
    held = _open(sequence.study, actor)
    row = held.sequences.select_for_update().get(pk=sequence.pk)
    if row.is_measured != is_measured:
        row.is_measured = is_measured
        row.save(update_fields=["is_measured"])
        details = {"sequence": row.name, "measured": is_measured}
        record(study=held.pk, actor=actor, action="studies.measured_changed", details=details)
        _announce(held)


def _announce(study: Study) -> None:
    """Processing, an app above, makes what is missing."""
    study_id = str(study.pk)
    transaction.on_commit(
        lambda: celery_app.send_task(
            "processing.follow_design", kwargs={"study": study_id}, retry_policy={"max_retries": 1}
        ),
        robust=True,
    )
