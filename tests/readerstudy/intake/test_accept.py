"""A whole upload is stored once, or refused in words and nothing of it stays."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from readerstudy import storage
from readerstudy.audit.models import Event
from readerstudy.faults import Refusal
from readerstudy.intake import folder, services
from readerstudy.intake.models import RawFile, Upload
from readerstudy.studies.models import Study
from tests.readerstudy.processing.small_study import SmallStudy, is_stored, messages, raw_file, small_study, take_in


@pytest.fixture
def small(db) -> SmallStudy:
    return small_study(subjects=2)


def written(folder_: Path, name: str, content: bytes = b"raw data" * 99) -> Path:
    path = folder_ / name
    path.write_bytes(content)
    return path


def actions(small: SmallStudy) -> list[str]:
    return list(Event.objects.filter(study=small.study.id).values_list("action", flat=True))


def test_accepted_file_is_stored_recorded_and_handed_on(small, tmp_path, django_capture_on_commit_callbacks):
    messages("light")
    upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
    with django_capture_on_commit_callbacks(execute=True):
        accepted = services.accept(upload_id=upload.id)
    assert accepted is not None
    content = written(tmp_path, "a.h5").read_bytes()
    assert accepted.sha256 == hashlib.sha256(content).hexdigest()
    assert accepted.bytes == len(content)
    assert accepted.path.startswith("raw/")
    with storage.open_file(accepted.path) as file:
        assert file.read() == content
    assert not folder.path_of(upload.id).exists()
    assert [(m["name"], m["raw_file"]) for m in messages("light")] == [("processing.start", str(accepted.id))]
    assert "intake.file_received" in actions(small)
    assert "a.h5" not in str(list(Event.objects.values_list("details", flat=True))), "a file name may be a patient's"


def test_accepting_twice_changes_nothing(small, tmp_path, django_capture_on_commit_callbacks):
    messages("light")
    upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
    with django_capture_on_commit_callbacks(execute=True):
        first = services.accept(upload_id=upload.id)
        assert services.accept(upload_id=upload.id) is None
    assert RawFile.objects.get() == first
    assert len(messages("light")) == 1


def test_same_file_twice_is_refused_where_it_already_is(small, tmp_path):
    path = written(tmp_path, "a.h5")
    services.accept(upload_id=take_in(small, path, small.standard).id)
    path = path.rename(tmp_path / "renamed.h5")
    again = take_in(small, path, small.fast, subject=1)
    assert services.accept(upload_id=again.id) is None
    again.refresh_from_db()
    assert again.state == Upload.State.REFUSED
    assert again.refusal == "renamed.h5 is already at S01 · SAG T1 · Standard (as a.h5)."
    assert again.refusal_action == "Choose the file that belongs here; if this one does, remove it there first."
    assert RawFile.objects.count() == 1
    assert not folder.path_of(again.id).exists()
    assert not is_stored(f"raw/{again.id}")
    assert "intake.file_refused" in actions(small)


def test_same_file_in_another_study_is_its_own_matter(small, tmp_path):
    path = written(tmp_path, "a.h5")
    other = small_study(name="Other")
    assert services.accept(upload_id=take_in(small, path, small.standard).id) is not None
    assert services.accept(upload_id=take_in(other, path, other.standard).id) is not None


def test_another_file_takes_the_place_of_the_first(small, tmp_path):
    first = raw_file(small, tmp_path, small.standard)
    second = raw_file(small, tmp_path, small.standard)
    first.refresh_from_db()
    assert (first.is_current, second.is_current) == (False, True)
    # ... and then the first may come back
    with storage.open_file(first.path) as file:
        back = raw_file(small, tmp_path, small.standard, file.read())
    assert back.is_current


def test_first_file_begins_the_preparing(small, tmp_path):
    Study.objects.update(state=Study.State.DRAFT)
    raw_file(small, tmp_path, small.standard)
    small.study.refresh_from_db()
    assert small.study.state == Study.State.PREPARING


def test_file_that_comes_after_the_release_is_refused(small, tmp_path):
    upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
    Study.objects.update(state=Study.State.READING, plan_hash="0" * 64)
    assert services.accept(upload_id=upload.id) is None
    upload.refresh_from_db()
    assert "released" in upload.refusal
    assert not is_stored(f"raw/{upload.id}")


def test_empty_file_is_refused(small, tmp_path):
    with pytest.raises(Refusal, match=r"empty \(0 bytes\)"):
        take_in(small, written(tmp_path, "a.h5", b""), small.standard)


def test_lost_bytes_are_said(small, tmp_path):
    upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
    folder.remove(upload.id)
    services.accept(upload_id=upload.id)
    upload.refresh_from_db()
    assert (upload.state, upload.refusal.startswith("The bytes of a.h5 were lost")) == (Upload.State.REFUSED, True)


class TestCrash:
    """Killed between two steps: the next call goes on, and nothing is there twice or half."""

    def test_after_the_file_was_stored(self, small, tmp_path, monkeypatch):
        upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
        with monkeypatch.context() as patched:
            patched.setattr(services, "_record_accepted", killed)
            with pytest.raises(Killed):
                services.accept(upload_id=upload.id)
        assert not RawFile.objects.exists()
        assert services.accept(upload_id=upload.id) is not None
        assert is_stored(f"raw/{upload.id}")

    def test_after_the_row_was_written(self, small, tmp_path, monkeypatch):
        upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
        with monkeypatch.context() as patched:
            patched.setattr(folder, "remove", killed)
            with pytest.raises(Killed):
                services.accept(upload_id=upload.id)
        assert folder.path_of(upload.id).exists()
        services.accept(upload_id=upload.id)
        assert not folder.path_of(upload.id).exists()
        assert RawFile.objects.count() == 1

    def test_lost_message_is_sent_again_but_not_while_somebody_is_at_it(
        self, small, tmp_path, django_capture_on_commit_callbacks
    ):
        messages("light")
        upload = take_in(small, written(tmp_path, "a.h5"), small.standard)
        assert services.resend_unchecked() == 0, "it was sent this moment"
        Upload.objects.update(accept_sent_at=timezone.now() - timedelta(minutes=5))
        with folder.locked(upload.id):
            assert services.resend_unchecked() == 0
        with django_capture_on_commit_callbacks(execute=True):
            assert services.resend_unchecked() == 1
        assert [m["upload"] for m in messages("light")] == [str(upload.id)]


class Killed(BaseException):
    pass


def killed(*arguments: object, **keywords: object) -> None:
    raise Killed
