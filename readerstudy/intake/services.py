"""The only writers of uploads and raw files."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.audit import services as audit
from readerstudy.celery import app as celery_app
from readerstudy.faults import Refusal
from readerstudy.intake import folder
from readerstudy.intake.models import RawFile, Upload
from readerstudy.intake.policies import RECEIVING_STATES
from readerstudy.intake.sizes import in_words
from readerstudy.studies.models import Acquisition, Sequence, Study, Subject
from readerstudy.studies.services import begin_preparing

logger = logging.getLogger(__name__)

DISK_RESERVE_BYTES = 256 * 1024**2
"""Never filled by uploads: the database and the queue live on the same disk."""

ACCEPT_RESENT_AFTER = timedelta(minutes=2)
ORPHAN_AFTER_SECONDS = 3600


class TooLarge(Refusal):
    """The file is larger than this installation takes."""


class NoRoom(Refusal):
    """The disk of this installation has no room for the file."""


def send_task(name: str, **kwargs: object) -> None:
    """Send a Celery task by name once the transaction is committed.

    A queue that cannot be reached is logged and forgiven: the reconciler sends again what the database says is open.
    """
    transaction.on_commit(
        lambda: celery_app.send_task(name, kwargs=kwargs, retry_policy={"max_retries": 1}), robust=True
    )


@transaction.atomic
def create_upload(
    *,
    study: Study,
    subject: Subject,
    sequence: Sequence,
    acquisition: Acquisition,
    uploader: User,
    file_name: str,
    length: int,
    fingerprint: str = "",
) -> Upload:
    """Make room for a file that is about to come. Another unfinished upload for the same place gives way.

    Raises
    ------
    Refusal
        The file is empty.
    TooLarge, NoRoom
        The installation cannot take a file of this length.
    """
    name = _plain_name(file_name)
    if length == 0:
        raise Refusal(f"{name} is empty (0 bytes).", "Choose the raw file again, or export it from the scanner anew.")
    if length > settings.UPLOAD_LIMIT_BYTES:
        raise TooLarge(
            f"{name} has {in_words(length)}; this installation takes files up to "
            f"{in_words(settings.UPLOAD_LIMIT_BYTES)}.",
            "Ask the administrator to raise the limit.",
        )
    in_the_way = Upload.objects.filter(
        subject=subject, sequence=sequence, acquisition=acquisition, state=Upload.State.RECEIVING
    )
    for older in in_the_way.select_for_update():
        _end(older, Upload.State.CANCELLED)
    _check_room(name, length)
    upload = Upload(
        study=study,
        subject=subject,
        sequence=sequence,
        acquisition=acquisition,
        uploader=uploader,
        file_name=name,
        fingerprint=fingerprint[:200],
        length=length,
        expires_at=_expiry(),
    )
    folder.create(upload.id)
    upload.save(force_insert=True)
    return upload


@transaction.atomic
def note_offset(*, upload_id: UUID, offset: int) -> Upload | None:
    """Let the row follow what lies on the disk; the last byte starts the check. None if the upload ended meanwhile."""
    upload = Upload.objects.select_for_update().filter(id=upload_id, state=Upload.State.RECEIVING).first()
    if upload is None:
        return None
    upload.offset = offset
    upload.expires_at = _expiry()
    if offset == upload.length:
        upload.state = Upload.State.CHECKING
        _send_accept(upload)
    upload.save()
    return upload


@transaction.atomic
def cancel_upload(*, upload_id: UUID, actor: User) -> bool:
    """End an upload that is not whole yet and remove its bytes. False if it was not open."""
    upload = Upload.objects.select_for_update().filter(id=upload_id, state=Upload.State.RECEIVING).first()
    if upload is None:
        return False
    _end(upload, Upload.State.CANCELLED)
    return True


def take_in(
    *, study: Study, subject: Subject, sequence: Sequence, acquisition: Acquisition, uploader: User, path: Path
) -> Upload:
    """Take in a file that already lies on this machine, by the same steps as an upload. Raises Refusal as they do."""
    upload = create_upload(
        study=study,
        subject=subject,
        sequence=sequence,
        acquisition=acquisition,
        uploader=uploader,
        file_name=path.name,
        length=path.stat().st_size,
    )
    with folder.locked(upload.id) as arriving, path.open("rb") as source:
        offset = arriving.append(source.read, most=upload.length)
    note_offset(upload_id=upload.id, offset=offset)
    upload.refresh_from_db()
    return upload


def accept(*, upload_id: UUID) -> RawFile | None:
    """Check a whole upload, store it, and hand it to processing; or refuse it in words and remove its bytes.

    Safe to call at any time and any number of times: it goes on from where a killed call stopped. None if there is
    nothing to do, somebody else is at it, or the upload was refused.
    """
    upload = Upload.objects.filter(id=upload_id, state=Upload.State.CHECKING).first()
    if upload is None:
        _remove_bytes_of_ended(upload_id)
        return None
    try:
        with folder.locked(upload_id) as arriving:
            size, sha256 = arriving.size, arriving.sha256()
            fault = _fault_of(upload, size, sha256)
            if fault is None:
                storage.put(str(arriving.path), _raw_path(upload_id))
            raw_file = _record_accepted(upload_id=upload_id, size=size, sha256=sha256, fault=fault)
    except folder.Busy:
        return None
    except folder.Gone:
        raw_file = _record_accepted(
            upload_id=upload_id,
            size=0,
            sha256="",
            fault=Refusal(f"The bytes of {upload.file_name} were lost on this server.", "Choose the file again."),
        )
    folder.remove(upload_id)
    if raw_file is None:
        storage.remove(_raw_path(upload_id))
    return raw_file


@transaction.atomic
def expire_uploads() -> int:
    """End uploads that nobody went on with and remove their bytes, and what crashes left. Returns how many ended."""
    late = Upload.objects.select_for_update().filter(state=Upload.State.RECEIVING, expires_at__lt=timezone.now())
    ended = 0
    for upload in late:
        if not folder.is_busy(upload.id):
            _end(upload, Upload.State.EXPIRED)
            ended += 1
    open_states = [Upload.State.RECEIVING, Upload.State.CHECKING]
    known = set(Upload.objects.filter(state__in=open_states).values_list("id", flat=True))
    for path in folder.orphans(known, older_than_seconds=ORPHAN_AFTER_SECONDS):
        path.unlink(missing_ok=True)
    return ended


@transaction.atomic
def resend_unchecked() -> int:
    """Send the check of whole uploads again whose task was lost on the way. Returns how many."""
    limit = timezone.now() - ACCEPT_RESENT_AFTER
    sent = 0
    for upload in Upload.objects.select_for_update().filter(state=Upload.State.CHECKING, accept_sent_at__lt=limit):
        if not folder.is_busy(upload.id):
            _send_accept(upload)
            upload.save(update_fields=["accept_sent_at"])
            sent += 1
    return sent


def _fault_of(upload: Upload, size: int, sha256: str) -> Refusal | None:
    if size != upload.length:
        return Refusal(
            f"{upload.file_name} arrived with {size} bytes instead of {upload.length}.", "Choose the file again."
        )
    there = (
        RawFile.objects.select_related("subject", "sequence", "acquisition")
        .filter(study=upload.study_id, sha256=sha256, is_current=True)
        .first()
    )
    if there is not None:
        same_place = (there.subject_id, there.sequence_id, there.acquisition_id) == (
            upload.subject_id,
            upload.sequence_id,
            upload.acquisition_id,
        )
        where = "here" if same_place else f"at {there.subject} · {there.sequence} · {there.acquisition}"
        return Refusal(
            f"{upload.file_name} is already {where} (as {there.file_name}).",
            "Choose another file."
            if same_place
            else "Choose the file that belongs here; if this one does, remove it there first.",
        )
    if upload.study.state not in RECEIVING_STATES:
        return Refusal("The study was released to its readers before this file was whole.", "Files are closed now.")
    return None


@transaction.atomic
def _record_accepted(*, upload_id: UUID, size: int, sha256: str, fault: Refusal | None) -> RawFile | None:
    upload = (
        Upload.objects.select_for_update(of=("self",))
        .select_related("study", "subject", "sequence", "acquisition", "uploader")
        .filter(id=upload_id, state=Upload.State.CHECKING)
        .first()
    )
    if upload is None:
        return RawFile.objects.filter(id=upload_id).first()
    if fault is None:
        try:
            with transaction.atomic():
                return _insert_raw_file(upload, size=size, sha256=sha256)
        except IntegrityError:
            # The same file came to another place of the study at the same moment and was first.
            fault = _fault_of(upload, size, sha256) or Refusal(
                f"{upload.file_name} is already in this study.", "Choose the file that belongs here."
            )
    upload.state = Upload.State.REFUSED
    upload.refusal, upload.refusal_action = fault.what, fault.action
    upload.save()
    audit.record(
        study=upload.study_id,
        actor=upload.uploader,
        action="intake.file_refused",
        details={**_place(upload), "sha256": sha256, "reason": fault.what},
    )
    return None


def _insert_raw_file(upload: Upload, *, size: int, sha256: str) -> RawFile:
    study = Study.objects.select_for_update(no_key=True).get(id=upload.study_id)
    if study.state not in RECEIVING_STATES:
        raise IntegrityError("the study is closed")
    replaced = RawFile.objects.filter(
        subject=upload.subject, sequence=upload.sequence, acquisition=upload.acquisition, is_current=True
    )
    replaced_sha256 = list(replaced.values_list("sha256", flat=True))
    replaced.update(is_current=False)
    raw_file = RawFile.objects.create(
        id=upload.id,  # so a second call after a crash finds the same row and the same stored file
        upload=upload,
        study=upload.study,
        subject=upload.subject,
        sequence=upload.sequence,
        acquisition=upload.acquisition,
        path=_raw_path(upload.id),
        file_name=upload.file_name,
        sha256=sha256,
        bytes=size,
    )
    upload.state = Upload.State.ACCEPTED
    upload.save()
    audit.record(
        study=upload.study_id,
        actor=upload.uploader,
        action="intake.file_received",
        details={**_place(upload), "sha256": sha256, "bytes": size, "replaces": replaced_sha256},
    )
    if study.state == Study.State.DRAFT:
        # The first file begins the preparing. A definition that is not complete yet stays a draft.
        with suppress(Refusal):
            begin_preparing(study=study, actor=upload.uploader)
    send_task("processing.start", raw_file=str(raw_file.id))
    return raw_file


def _check_room(name: str, length: int) -> None:
    still_to_come = sum(
        total - offset
        for total, offset in Upload.objects.filter(state=Upload.State.RECEIVING).values_list("length", "offset")
    )
    free = folder.free_bytes() - still_to_come - DISK_RESERVE_BYTES
    copies = 2 if settings.STORAGE_URL.startswith("file:") and _same_disk() else 1
    room = max(0, free // copies)
    if length > room:
        raise NoRoom(
            f"{name} has {in_words(length)}, but the server's disk has room for {in_words(room)} only.",
            "Ask the administrator for room, or remove unfinished uploads.",
        )


def _same_disk() -> bool:
    stored = Path(settings.STORAGE_URL.removeprefix("file://"))
    while not stored.exists():
        stored = stored.parent
    return stored.stat().st_dev == Path(settings.UPLOAD_FOLDER).stat().st_dev


def _send_accept(upload: Upload) -> None:
    upload.accept_sent_at = timezone.now()
    send_task("intake.accept", upload=str(upload.id))


def _end(upload: Upload, state: Upload.State) -> None:
    upload.state = state
    upload.save(update_fields=["state"])
    transaction.on_commit(lambda: folder.remove(upload.id))


def _remove_bytes_of_ended(upload_id: UUID) -> None:
    ended = [Upload.State.ACCEPTED, Upload.State.REFUSED]
    if Upload.objects.filter(id=upload_id, state__in=ended).exists():
        folder.remove(upload_id)


def _place(upload: Upload) -> dict[str, str]:
    """For the trail. Without the file's name: it may be a patient's."""
    return {
        "subject": upload.subject.code,
        "sequence": upload.sequence.name,
        "acquisition": upload.acquisition.name,
    }


def _plain_name(file_name: str) -> str:
    """The last part of a name, printable characters only: shown, never used as a path."""
    last = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable()).strip()[:255] or f"file-{uuid4().hex[:8]}"


def _raw_path(upload_id: UUID) -> str:
    return f"raw/{upload_id}"


def _expiry() -> datetime:
    return timezone.now() + timedelta(hours=settings.UPLOAD_EXPIRY_HOURS)
