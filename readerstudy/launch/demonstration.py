"""The two demonstration studies.

The first is taken in through the same door as a user's files: simulated raw k-space, uploaded over HTTP with a login,
reconstructed, finished, released. The second has more subjects and grades from simulated readers, so that the results
have something to show; it is marked as simulated wherever it appears.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from readerstudy.accounts.models import User
from readerstudy.blinding import services as blinding
from readerstudy.blinding.models import Seal
from readerstudy.faults import Refusal
from readerstudy.intake.models import RawFile, Upload
from readerstudy.launch.simulated_readers import SimulatedReaders
from readerstudy.launch.upload_client import UploadClient
from readerstudy.processing.models import Job, Series
from readerstudy.processing.services.adoption import adopt_series
from readerstudy.reading import services as reading
from readerstudy.reading.models import Grade, Presentation
from readerstudy.settings.state import BASE_DIR
from readerstudy.studies import services as studies
from readerstudy.studies.models import Membership, Study

PRESET = "lumbar-spine-fast"
STUDY = "Lumbar spine MRI"
SIMULATED_STUDY = "Lumbar spine MRI (simulated grades)"
SUBJECTS = 3
SIMULATED_SUBJECTS = 18
SEED = 20230418
LONGEST_PROCESSING_SECONDS = 900

PEOPLE = {
    "coordinator": ("Charlie Coordinator", Membership.Role.COORDINATOR),
    "investigator": ("Ines Investigator", Membership.Role.PRINCIPAL_INVESTIGATOR),
    "reader1": ("Reader One", Membership.Role.READER),
    "reader2": ("Reader Two", Membership.Role.READER),
    "reader3": ("Reader Three", Membership.Role.READER),
}

Say = Callable[[str], None]
KeepGoing = Callable[[], bool]


def password_of(username: str) -> str:
    """The demonstration's passwords are no secrets: they are printed at every start, on this machine alone."""
    return f"{username}-demo"


@transaction.atomic
def make_people() -> dict[str, User]:
    """The logins of the demonstration, made where they are missing; existing ones keep their passwords."""
    people = {}
    for username, (display_name, role) in PEOPLE.items():
        user, made = User.objects.get_or_create(username=username, defaults={"display_name": display_name})
        if made:
            user.set_password(password_of(username))
            user.may_create_studies = role == Membership.Role.COORDINATOR
            user.save()
        people[username] = user
    return people


@transaction.atomic
def make_study(people: dict[str, User], *, name: str, subjects: int, simulated_grades: bool = False) -> Study:
    """A study from the preset with its people and subjects, preparing; the one of that name if it is there."""
    existing = Study.objects.filter(name=name, preset=PRESET).first()
    if existing is not None:
        return existing
    coordinator = people["coordinator"]
    study = studies.create_study_from_preset(name=name, preset=PRESET, actor=coordinator)
    for username, (_, role) in PEOPLE.items():
        if role != Membership.Role.COORDINATOR:
            studies.add_member(study=study, user=people[username], role=role, actor=coordinator)
    if simulated_grades:
        studies.mark_grades_simulated(study=study, actor=coordinator)
    protocols = list(study.protocols.all())
    for number in range(1, subjects + 1):
        # As in the paper, the second protocol is the rarer one.
        protocol = protocols[1] if number % 4 == 3 and len(protocols) > 1 else protocols[0]
        studies.add_subjects(study=study, codes=[f"S{number:02d}"], protocol=protocol, actor=coordinator)
    studies.begin_preparing(study=study, actor=coordinator)
    study.refresh_from_db()
    return study


def simulate_raw_files(say: Say, keep_going: KeepGoing) -> list[dict[str, Any]]:
    """Raw files of the demonstration's subjects, made once; the manifest's files with absolute paths."""
    folder = Path(settings.STATE) / "demo" / "raw"
    manifest = folder / "manifest.json"
    if not manifest.exists():
        say(f"simulating raw k-space of {SUBJECTS} subjects")
        command = [
            sys.executable,
            "-m",
            "recon_worker",
            "simulate",
            str(folder),
            "--subjects",
            str(SUBJECTS),
            "--seed",
            str(SEED),
            "--size",
            "small",
        ]
        process = subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and keep_going():
            time.sleep(0.2)
        if process.poll() is None:
            process.terminate()
        _, words = process.communicate()
        if process.returncode and keep_going():
            raise Refusal(f"The simulation of raw files failed: {words.strip()[-300:]}")
    if not manifest.exists():
        return []
    content = json.loads(manifest.read_text())
    files = content["files"] if isinstance(content, dict) else content
    return [{**file, "path": folder / file["path"]} for file in files]


def upload_missing(study: Study, files: list[dict[str, Any]], address: str, say: Say, keep_going: KeepGoing) -> None:
    """Upload what the study does not have yet, as the coordinator would."""
    subjects = dict(zip(sorted({file["subject"] for file in files}), study.subjects.order_by("code"), strict=False))
    sequences = {sequence.name: sequence for sequence in study.sequences.all()}
    acquisitions = {acquisition.name: acquisition for acquisition in study.acquisitions.all()}
    client: UploadClient | None = None
    for number, file in enumerate(files, start=1):
        place = {
            "subject": subjects[file["subject"]],
            "sequence": sequences[file["sequence"]],
            "acquisition": acquisitions[file["acquisition"]],
        }
        under_way = Upload.objects.filter(**place, state=Upload.State.CHECKING)
        if not keep_going() or RawFile.objects.filter(**place, is_current=True).exists() or under_way.exists():
            continue
        if client is None:
            client = UploadClient(address)
            client.log_in("coordinator", password_of("coordinator"))
        say(f"uploading {number} of {len(files)}: {place['subject'].code} {file['sequence']} {file['acquisition']}")
        metadata = {
            "study": str(study.pk),
            "filename": Path(file["path"]).name,
            **{key: str(value.pk) for key, value in place.items()},
        }
        client.upload(Path(file["path"]), metadata)


def wait_for_series(study: Study, say: Say, keep_going: KeepGoing) -> bool:
    """Wait until every subject and sequence has its series; false where interrupted. Raises Refusal on failure."""
    expected = study.subjects.count() * study.sequences.count() * study.arms.count()
    until = time.monotonic() + LONGEST_PROCESSING_SECONDS
    last = -1
    while keep_going():
        failed = Job.objects.filter(study=study, status=Job.Status.FAILED).first()
        if failed is not None:
            raise Refusal(f"A job failed: {failed.failure_message} {failed.failure_action}")
        refused = Upload.objects.filter(study=study, state=Upload.State.REFUSED).first()
        if refused is not None and not RawFile.objects.filter(study=study).exists():
            raise Refusal(f"An upload was refused: {refused.refusal}", refused.refusal_action)
        done = Series.objects.filter(study=study, is_current=True).count()
        if done != last:
            say(f"reconstructed {done} of {expected} series")
            last = done
        if done == expected:
            return True
        if time.monotonic() > until:
            raise Refusal(f"Only {done} of {expected} series were reconstructed in time.", "See the workers' logs.")
        time.sleep(0.5)
    return False


def fill_first_study(people: dict[str, User], address: str, say: Say, keep_going: KeepGoing) -> Study | None:
    """The first study up to its release to the readers; None where it was interrupted (the next start goes on)."""
    study = make_study(people, name=STUDY, subjects=SUBJECTS)
    if study.state != Study.State.PREPARING:
        return study
    files = simulate_raw_files(say, keep_going)
    upload_missing(study, files, address, say, keep_going)
    if not wait_for_series(study, say, keep_going):
        return None
    say("checking the blinding and releasing to the readers")
    blinding.release(study=study, actor=people["coordinator"])
    return study


def fill_simulated_study(people: dict[str, User], pictures: Study, say: Say, keep_going: KeepGoing) -> None:
    """The second study up to its tables: series of the first one, grades from simulated readers, locked, unblinded."""
    study = make_study(people, name=SIMULATED_STUDY, subjects=SIMULATED_SUBJECTS, simulated_grades=True)
    if study.state == Study.State.PREPARING:
        _adopt_pictures(people, study, pictures, say, keep_going)
        if not keep_going():
            return
        blinding.release(study=study, actor=people["coordinator"])
    if study.state == Study.State.READING:
        _grade(people, study, say, keep_going)
        if not keep_going():
            return
        reading.lock(study=study, actor=people["investigator"])
        study.refresh_from_db()
    if study.state == Study.State.LOCKED:
        blinding.unblind(study=study, actor=people["investigator"], reason="Demonstration with simulated grades")


def _adopt_pictures(people: dict[str, User], study: Study, pictures: Study, say: Say, keep_going: KeepGoing) -> None:
    say(f"preparing the study with simulated grades ({SIMULATED_SUBJECTS} subjects)")
    sources = list(pictures.subjects.order_by("code"))
    for number, subject in enumerate(study.subjects.order_by("code")):
        for sequence in study.sequences.all():
            if not keep_going() or Series.objects.filter(subject=subject, sequence=sequence, is_current=True).exists():
                continue
            found = Series.objects.filter(
                subject=sources[number % len(sources)], sequence__name=sequence.name, is_current=True
            ).order_by("arm__order")
            adopt_series(subject=subject, sequence=sequence, sources=list(found), actor=people["coordinator"])


def _grade(people: dict[str, User], study: Study, say: Say, keep_going: KeepGoing) -> None:
    readers = SimulatedReaders(SEED)
    key = {
        seal.readable_id: seal.series
        for seal in Seal.objects.filter(study=study).select_related(
            "series__subject", "series__sequence", "series__arm"
        )
    }
    criteria = list(study.criteria.all())
    for username, (_, role) in PEOPLE.items():
        if role != Membership.Role.READER:
            continue
        say(f"grades of the simulated {PEOPLE[username][0]}")
        waiting = Presentation.objects.filter(study=study, reader=people[username], signed_off_at=None)
        for presentation in waiting.select_related("study").order_by("position"):
            if not keep_going():
                return
            series = key[presentation.series_id]
            with transaction.atomic():
                for criterion in criteria:
                    grade = readers.grade(
                        reader=username,
                        subject=series.subject.code,
                        sequence=series.sequence.name,
                        arm=series.arm.name,
                        criterion=criterion.name,
                        scale=(criterion.scale_minimum, criterion.scale_maximum),
                    )
                    reading.add_grade(
                        presentation=presentation,
                        id=uuid4(),
                        criterion=criterion.pk,
                        value=grade.value,
                        cannot_grade="" if grade.value is not None else Grade.Cause.IMAGE_QUALITY.value,
                    )
                reading.sign_off(presentation=presentation)
