"""Grades are added, never overwritten; sent twice they count once; three states stay distinct."""

import threading
import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from readerstudy.audit.models import Event
from readerstudy.audit.services import first_broken_link
from readerstudy.blinding.services import release
from readerstudy.faults import Refusal
from readerstudy.reading import selectors, services
from readerstudy.reading.models import Comment, Grade
from tests.readerstudy.reading.study_rows import grade_all, make_study, read_everything


def first_of(rows, reader=0):
    return rows.presentations(rows.readers[reader])[0]


def give(presentation, criterion, **content):
    content = {"id": uuid.uuid4(), "criterion": criterion.pk, "value": None, **content}
    return services.add_grade(presentation=presentation, **content)


def test_a_correction_is_a_newer_row(rows):
    presentation, criterion = first_of(rows), rows.criteria[0]
    first, _ = give(presentation, criterion, value=3)
    second, _ = give(presentation, criterion, value=4)
    assert [first.number, second.number] == [1, 2]
    assert list(Grade.objects.order_by("number").values_list("value", flat=True)) == [3, 4]
    shown = selectors.reader_presentation(presentation)["grades"]
    assert shown == {str(criterion.pk): {"value": 4, "cannot_grade": ""}}


def test_the_database_refuses_to_change_a_grade(rows):
    grade, _ = give(first_of(rows), rows.criteria[0], value=3)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Grade.objects.filter(pk=grade.pk).update(value=5)
    with pytest.raises(DatabaseError, match="never removed"), transaction.atomic():
        Grade.objects.filter(pk=grade.pk).delete()
    grade.refresh_from_db()
    assert grade.value == 3


def test_the_database_refuses_to_change_a_remark(rows):
    remark = services.add_comment(presentation=first_of(rows), text="motion in slice 4")
    for change in (lambda row: row.update(text="fine"), lambda row: row.delete()):
        with pytest.raises(DatabaseError, match="never changed or removed"), transaction.atomic():
            change(Comment.objects.filter(pk=remark.pk))
    assert Comment.objects.get().text == "motion in slice 4"


def test_the_same_id_adds_once(rows):
    presentation, criterion, id = first_of(rows), rows.criteria[0], uuid.uuid4()
    assert give(presentation, criterion, id=id, value=3)[1] is True
    assert give(presentation, criterion, id=id, value=3)[1] is False
    assert Grade.objects.count() == 1


@pytest.mark.parametrize("change", ["value", "criterion", "reader"])
def test_the_same_id_with_another_content_is_refused(rows, change):
    id = uuid.uuid4()
    give(first_of(rows), rows.criteria[0], id=id, value=3)
    presentation = first_of(rows, 1 if change == "reader" else 0)
    criterion = rows.criteria[1 if change == "criterion" else 0]
    with pytest.raises(Refusal, match="sent before with another content"):
        give(presentation, criterion, id=id, value=4 if change == "value" else 3)
    assert Grade.objects.count() == 1


def test_not_graded_zero_and_cannot_be_graded_are_three_things(rows):
    presentation, (first, second, artifacts) = first_of(rows), rows.criteria
    give(presentation, artifacts, value=0)
    give(presentation, first, cannot_grade="image-quality")
    grades = selectors.reader_presentation(presentation)["grades"]
    assert grades[str(artifacts.pk)] == {"value": 0, "cannot_grade": ""}
    assert grades[str(first.pk)] == {"value": None, "cannot_grade": "image-quality"}
    assert str(second.pk) not in grades
    with pytest.raises(Refusal, match=f"Not graded yet: {second.name}"):
        services.sign_off(presentation=presentation)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"value": 0}, "graded from 1 to 5"),
        ({"value": 6}, "graded from 1 to 5"),
        ({"value": 3, "cannot_grade": "technical"}, "Give one of the two"),
        ({}, "Give one of the two"),
        ({"cannot_grade": "tired"}, "not known"),
    ],
)
def test_an_answer_that_is_none_is_refused(rows, content, says):
    with pytest.raises(Refusal, match=says):
        give(first_of(rows), rows.criteria[0], **content)
    assert not Grade.objects.exists()


def test_a_criterion_of_another_study_is_refused(rows):
    other = make_study(series=False)
    with pytest.raises(Refusal, match="not one of this study"):
        give(first_of(rows), other.criteria[0], value=3)


def test_series_are_graded_in_their_order(rows):
    one, two, three, four = rows.presentations(rows.readers[0])[:4]
    with pytest.raises(Refusal, match="in their order"):
        give(two, rows.criteria[0], value=3)
    with pytest.raises(Refusal, match="in their order"):
        services.sign_off(presentation=two)
    grade_all(one, rows.criteria)
    assert services.sign_off(presentation=one) == two.token
    assert services.sign_off(presentation=one) == two.token, "signing off twice changes nothing"
    grade_all(two, rows.criteria)
    assert services.sign_off(presentation=two) == three.token
    with pytest.raises(Refusal, match="in their order"):
        give(four, rows.criteria[0], value=3)


def test_sign_off_enters_the_digest_into_the_trail(rows):
    presentation = first_of(rows)
    grade_all(presentation, rows.criteria)
    services.sign_off(presentation=presentation)
    event = Event.objects.get(study=rows.study.pk, action="reading.signed_off")
    assert event.actor == rows.readers[0]
    assert event.details["grades_sha256"] == services.presentation_sha256(presentation)
    assert event.details["presentation"] == presentation.token
    assert first_broken_link(rows.study.pk) is None


def test_after_sign_off_a_correction_needs_a_reason_and_is_in_the_trail(rows):
    presentation, criterion = first_of(rows), rows.criteria[0]
    grade_all(presentation, rows.criteria)
    services.sign_off(presentation=presentation)
    for nothing in ("  ", "\u200b", "\x00"):
        with pytest.raises(Refusal, match="short reason"):
            give(presentation, criterion, value=4, reason=nothing)
    corrected, _ = give(presentation, criterion, value=4, reason="slip of\x00 the finger\n")
    assert corrected.reason == "slip of the finger"
    event = Event.objects.get(study=rows.study.pk, action="reading.grade_corrected")
    assert event.details["reason"] == "slip of the finger"
    assert event.details["grades_sha256"] == services.presentation_sha256(presentation)


def test_without_going_back_a_signed_off_series_is_closed(db):
    rows = make_study(rules={"allow_back": False})
    release(study=rows.study, actor=rows.coordinator)
    presentation = first_of(rows)
    grade_all(presentation, rows.criteria)
    services.sign_off(presentation=presentation)
    with pytest.raises(Refusal, match="not opened again"):
        give(presentation, rows.criteria[0], value=4, reason="slip")


def test_comments_are_added_and_the_newest_counts(rows):
    presentation = first_of(rows)
    for text in ("motion?", "motion?", "motion in\x00 slice 2", "\u200b"):
        services.add_comment(presentation=presentation, text=text)
    assert list(presentation.comments.values_list("text", flat=True)) == ["motion?", "motion in slice 2", ""]
    assert selectors.reader_presentation(presentation)["comment"] == ""
    with pytest.raises(Refusal, match="2000"):
        services.add_comment(presentation=presentation, text="x" * 2001)


def test_nothing_is_graded_before_the_release_or_after_the_lock(rows):
    presentation = first_of(rows)
    read_everything(rows)
    services.lock(study=rows.study, actor=rows.investigator)
    with pytest.raises(Refusal, match="not open for reading"):
        give(presentation, rows.criteria[0], value=3, reason="late")
    with pytest.raises(Refusal, match="not open for reading"):
        services.add_comment(presentation=presentation, text="late")
    with pytest.raises(Refusal, match="not open for reading"):
        services.start_session(study=rows.study, reader=rows.readers[0], display={})


@pytest.mark.django_db(transaction=True)
def test_parallel_sends_of_one_grade_add_it_once_and_numbers_have_no_gaps():
    rows = make_study(subjects=1, sequences=1, readers=1)
    release(study=rows.study, actor=rows.coordinator)
    presentation, criterion = first_of(rows), rows.criteria[0]
    ids = [uuid.UUID(int=number + 1) for number in range(4)]
    faults: list[BaseException] = []

    def send() -> None:
        try:
            for id in ids:
                give(presentation, criterion, id=id, value=3)
        except BaseException as error:
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert sorted(Grade.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
    assert set(Grade.objects.values_list("id", flat=True)) == set(ids)
