"""From the release to the tables through the real services: what readers said is what the tables say."""

import uuid

import pytest

from readerstudy.audit.services import first_broken_link
from readerstudy.blinding.selectors import key_of_study
from readerstudy.blinding.services import release, unblind
from readerstudy.reading import services as reading
from readerstudy.results.services import compute_results
from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.plan import plan_from_mapping
from readerstudy.statistics.scores import Rating, ScoreTable
from tests.readerstudy.reading.study_rows import make_study

pytestmark = pytest.mark.django_db


def test_the_tables_are_those_of_what_the_readers_said():
    rows = make_study(subjects=3, sequences=2, arms=3, readers=3)
    release(study=rows.study, actor=rows.coordinator)
    said = []
    for number, reader in enumerate(rows.readers):
        for presentation in rows.presentations(reader):
            for criterion in rows.criteria:
                span = criterion.scale_maximum - criterion.scale_minimum + 1
                value = criterion.scale_minimum + (len(said) * 7 + number) % span
                reading.add_grade(presentation=presentation, id=uuid.uuid4(), criterion=criterion.pk, value=value)
                said.append((presentation.series_id, reader.username, criterion.name, value))
            reading.sign_off(presentation=presentation)
    reading.lock(study=rows.study, actor=rows.investigator)
    unblind(study=rows.study, actor=rows.investigator, reason="All series are graded.")
    result = compute_results(study=rows.study, actor=rows.investigator)

    key = {line.token: line for line in key_of_study(rows.study)}
    place = [line.token for line in key_of_study(rows.study)]
    scores = ScoreTable(
        Rating(key[token].sequence.name, key[token].arm.name, key[token].subject.code, reader, criterion, value)
        for token, reader, criterion, value in sorted(said, key=lambda one: place.index(one[0]))
    )
    expected = analyse(scores, plan_from_mapping(result.content["plan"]))
    for table in ("table3", "table4", "table5"):
        assert result.content[table] == expected[table]
    assert result.completeness["graded"] == len(said) == 3 * 2 * 3 * 3 * 3
    assert first_broken_link(rows.study.pk) is None
