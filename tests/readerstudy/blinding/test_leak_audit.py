"""The leak audit passes what is blinded, and fires on every planted difference."""

import json

import pytest
from django.core.management import CommandError, call_command

from readerstudy.audit.models import Event
from readerstudy.blinding import leak_audit
from readerstudy.blinding.models import Seal
from readerstudy.reading import selectors
from readerstudy.reading.models import Presentation, ReadableSeries


def test_a_released_study_passes_and_every_planted_difference_is_found(rows):
    result = leak_audit.audit(rows.study, every_frame=True)
    assert result.passed, result.problems
    assert (result.readers, result.presentations, result.groups) == (2, 16, 8)
    assert result.planted == result.found == 5 * 8
    assert not Presentation.objects.filter(first_opened_at__isnull=False).exists(), "the audit opens nothing"


def series_of_arm(rows, name: str) -> list[str]:
    return list(Seal.objects.filter(study=rows.study, series__arm__name=name).values_list("readable_id", flat=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": [1750, 3501]}, "Value of window differs"),
        ({"rows": 11}, "Value of rows differs"),
        ({"slices": 2}, "Value of slices differs"),
        ({"spacing_mm": [4.0, 0.7, 0.70001]}, "Value of spacing_mm differs"),
        ({"edges": {"right": "P", "left": "A", "top": "H", "bottom": "X"}}, "Value of edges differs"),
    ],
)
def test_it_fires_on_a_value_that_differs_in_one_arm(rows, change, says):
    ReadableSeries.objects.filter(pk__in=series_of_arm(rows, "Fast")).update(**change)
    result = leak_audit.audit(rows.study)
    assert any(says in problem for problem in result.problems)
    with pytest.raises(CommandError, match="differs"):
        call_command("leak_audit", str(rows.study.pk))


def test_it_fires_on_a_word_of_arms_and_a_new_field(rows, monkeypatch):
    original = selectors.reader_presentation
    fast = set(series_of_arm(rows, "Fast"))

    def telling(presentation):
        content = original(presentation)
        return {**content, "sequence": "Fast" if presentation.series_id in fast else content["sequence"]}

    monkeypatch.setattr(selectors, "reader_presentation", telling)
    assert "Value of sequence differs between arms." in leak_audit.audit(rows.study).problems
    monkeypatch.setattr(
        selectors, "reader_presentation", lambda one: {**original(one), "edges": {"left": "DL50", "right": "",
                                                                                  "top": "", "bottom": ""}}
    )  # fmt: skip
    assert "An answer holds the word “DL50”." in leak_audit.audit(rows.study).problems


def test_a_blind_rule_is_noticed_by_its_control(rows, monkeypatch):
    monkeypatch.setattr(leak_audit, "differences", lambda group: [])
    problems = leak_audit.audit(rows.study).problems
    assert any("control failed: 40 planted differences were not found" in problem for problem in problems)


def test_the_command_prints_a_certificate_and_enters_it_into_the_trail(rows, capsys):
    call_command("leak_audit", rows.study.name, "--json", "--every-frame")
    certificate = json.loads(capsys.readouterr().out)
    assert certificate["passed"] is True and len(certificate["sha256"]) == 64
    event = Event.objects.filter(study=rows.study.pk, action="blinding.leak_audited").get()
    assert event.details["sha256"] == certificate["sha256"]


def test_the_certificate_does_not_depend_on_tokens_or_grades(rows):
    first = leak_audit.audit(rows.study).sha256
    assert leak_audit.audit(rows.study).sha256 == first


def test_before_the_release_there_is_nothing_to_audit(prepared):
    with pytest.raises(CommandError, match="Nothing is released"):
        call_command("leak_audit", str(prepared.study.pk))
    with pytest.raises(CommandError, match="No study has this name"):
        call_command("leak_audit", "unknown")
