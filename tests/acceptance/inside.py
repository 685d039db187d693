"""What a test prepares or looks up inside a running application, in a process with the application's environment.

python -m tests.acceptance.inside NAME JSON      prints JSON; the functions below are the names
"""

import json
import secrets
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

import yaml  # noqa: E402

from readerstudy import storage  # noqa: E402
from readerstudy.accounts.services import create_user  # noqa: E402
from readerstudy.audit.models import Event  # noqa: E402
from readerstudy.audit.services import first_broken_link  # noqa: E402
from readerstudy.blinding.models import Seal  # noqa: E402
from readerstudy.intake.models import RawFile  # noqa: E402
from readerstudy.processing import queue  # noqa: E402
from readerstudy.processing.models import Job, Series  # noqa: E402
from readerstudy.processing.services.adoption import adopt_series  # noqa: E402
from readerstudy.reading.models import Presentation  # noqa: E402
from readerstudy.studies import services as studies  # noqa: E402
from readerstudy.studies.definition import definition_from_mapping  # noqa: E402
from readerstudy.studies.models import Membership, Study  # noqa: E402
from readerstudy.studies.presets import preset_folder  # noqa: E402

PASSWORD = "a calm sentence of four words"


def make_study(*, name: str, sequences: list[str], subjects: int, readers: int) -> dict[str, Any]:
    """The preset's study with some of its sequences, its people and subjects, preparing."""
    content = yaml.safe_load((preset_folder() / "lumbar-spine-fast.yaml").read_text(encoding="utf-8"))
    content["sequences"] = sequences
    measured = [name for name in content.pop("measured", []) if name in sequences]
    if measured:
        content["measured"] = measured
    content["arms"] = content["arms"][:2]  # Standard and Fast: what is tried here needs no denoiser
    for protocol in content["protocols"]:
        protocol["sequences"] = {key: protocol["sequences"][key] for key in sequences}
    mark = secrets.token_hex(4)
    coordinator = create_user(username=f"coordinator-{mark}", password=PASSWORD, may_create_studies=True)
    study = studies.create_study(name=name, definition=definition_from_mapping(content), actor=coordinator)
    investigator = create_user(username=f"investigator-{mark}", password=PASSWORD)
    studies.add_member(study=study, user=investigator, role=Membership.Role.PRINCIPAL_INVESTIGATOR, actor=coordinator)
    reading = []
    for number in range(1, readers + 1):
        reader = create_user(username=f"reader{number}-{mark}", password=PASSWORD)
        studies.add_member(study=study, user=reader, role=Membership.Role.READER, actor=coordinator)
        reading.append(reader.username)
    codes = [f"S{number:02d}" for number in range(1, subjects + 1)]
    studies.add_subjects(study=study, codes=codes, protocol=study.protocols.first(), actor=coordinator)
    studies.begin_preparing(study=study, actor=coordinator)
    return {
        "id": str(study.pk),
        "coordinator": coordinator.username,
        "investigator": investigator.username,
        "readers": reading,
        "password": PASSWORD,
        "subjects": {one.code: str(one.pk) for one in study.subjects.all()},
        "sequences": {one.name: str(one.pk) for one in study.sequences.all()},
        "acquisitions": {one.name: str(one.pk) for one in study.acquisitions.all()},
    }


def adopt(*, study: str, source: str) -> None:
    """Every subject of `study` gets copies of the series of the first subject of `source`."""
    target, coordinator = Study.objects.get(pk=study), Membership.objects.get(study=study, role="coordinator").user
    for subject in target.subjects.all():
        for sequence in target.sequences.all():
            found = Series.objects.filter(study=source, sequence__name=sequence.name, is_current=True)
            adopt_series(
                subject=subject, sequence=sequence, sources=list(found.order_by("arm__order")), actor=coordinator
            )


def jobs(*, study: str) -> list[dict[str, Any]]:
    """The jobs of a study in the order of queueing."""
    return [
        {
            "id": str(job.pk),
            "kind": job.kind,
            "acquisition": job.acquisition.name if job.acquisition else None,
            "status": job.status,
            "attempt": job.attempt,
            "lost_attempts": job.lost_attempts,
            "message": job.failure_message,
            "seconds": job.lineage.get("seconds"),
            "volumes": job.volumes.count(),
            "series": job.series.count(),
            "done_events": Event.objects.filter(
                study=study, action="processing.job_done", details__job=str(job.pk)
            ).count(),
        }
        for job in Job.objects.filter(study=study).order_by("queued_at")
    ]


def frames(*, study: str) -> dict[str, str]:
    """From the token of a presentation to the SHA-256 of the frames that the worker stored for its series."""
    stored = {
        seal.readable_id: next(file["sha256"] for file in seal.series.files if file["path"].endswith("frames.u16"))
        for seal in Seal.objects.filter(study=study).select_related("series")
    }
    return {one.token: stored[one.series_id] for one in Presentation.objects.filter(study=study)}


def state(*, study: str) -> dict[str, Any]:
    """The study's state, whether its chain holds, and what still waits in the queue."""
    found = Study.objects.get(pk=study)
    return {
        "state": found.state,
        "broken_link": first_broken_link(found.pk),
        "waiting": queue.waiting(),
        "raw_files": RawFile.objects.filter(study=study, is_current=True).count(),
    }


def received(*, study: str) -> dict[str, str]:
    """SHA-256 of the current raw files by the name of their acquisition."""
    return {
        file.acquisition.name: file.sha256
        for file in RawFile.objects.filter(study=study, is_current=True).select_related("acquisition")
    }


def stored(*, below: str) -> list[str]:
    """Paths of all stored files below a folder of the storage."""
    system, root = storage.file_system()
    system.invalidate_cache()
    return sorted(str(path).removeprefix(f"{root}/") for path in system.find(f"{root}/{below}"))


ACTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (make_study, adopt, jobs, frames, state, received, stored)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(ACTIONS[sys.argv[1]](**json.loads(sys.argv[2]))))
