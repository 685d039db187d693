"""A small study and what a recon worker would say, for the tests of intake and processing."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.celery import app
from readerstudy.intake import services as intake
from readerstudy.intake.models import RawFile, Upload
from readerstudy.processing.models import Job
from readerstudy.studies.models import (
    Acquisition,
    Arm,
    Criterion,
    Membership,
    Protocol,
    ProtocolLine,
    Sequence,
    Study,
    Subject,
)


@dataclass
class SmallStudy:
    study: Study
    coordinator: User
    subjects: list[Subject]
    sequences: list[Sequence]
    standard: Acquisition
    fast: Acquisition


def small_study(*, subjects: int = 1, sequences: int = 1, name: str = "Small") -> SmallStudy:
    """Arms Standard and Fast, one coordinator."""
    study = Study.objects.create(name=name, plan={}, state=Study.State.PREPARING)
    coordinator = User.objects.create_user(username=f"coordinator-{uuid4().hex[:8]}", password="four words in a row")
    Membership.objects.create(study=study, user=coordinator, role="coordinator")
    acquisitions = [
        Acquisition.objects.create(study=study, name=each, order=order)
        for order, each in enumerate(["Standard", "Fast"])
    ]
    for each in acquisitions:
        Arm.objects.create(
            study=study, name=each.name, order=each.order, acquisition=each, is_reference=each.name == "Standard"
        )
    Criterion.objects.create(study=study, name="Overall image quality", order=0, margin="-0.5")
    protocol = Protocol.objects.create(study=study, name="MSK", order=0)
    names = ["SAG T1", "SAG T2 FS", "AX T2"][:sequences]
    made = [Sequence.objects.create(study=study, name=each, order=n) for n, each in enumerate(names)]
    for sequence in made:
        for acquisition, nex in zip(acquisitions, ("2", "0.5"), strict=True):
            ProtocolLine.objects.create(
                protocol=protocol, sequence=sequence, acquisition=acquisition, nex=nex, scan_time_seconds=100
            )
    codes = [f"S{n + 1:02d}" for n in range(subjects)]
    return SmallStudy(
        study=study,
        coordinator=coordinator,
        subjects=[Subject.objects.create(study=study, code=code, protocol=protocol) for code in codes],
        sequences=made,
        standard=acquisitions[0],
        fast=acquisitions[1],
    )


def take_in(small: SmallStudy, path: Path, acquisition: Acquisition, *, subject: int = 0, sequence: int = 0) -> Upload:
    """Send a local file through the services of an upload, up to the check."""
    return intake.take_in(
        study=small.study,
        subject=small.subjects[subject],
        sequence=small.sequences[sequence],
        acquisition=acquisition,
        uploader=small.coordinator,
        path=path,
    )


def raw_file(small: SmallStudy, folder: Path, acquisition: Acquisition, content: bytes | None = None) -> RawFile:
    """A raw file that has been accepted."""
    path = folder / f"{acquisition.name.lower()}-{uuid4().hex[:6]}.h5"
    path.write_bytes(uuid4().bytes * 64 if content is None else content)
    accepted = intake.accept(upload_id=take_in(small, path, acquisition).id)
    assert accepted is not None
    return accepted


def messages(queue: str) -> list[dict[str, Any]]:
    """Take all messages out of a queue: name and keyword arguments of each."""
    taken = []
    with app.connection_for_read() as connection:
        simple = connection.SimpleQueue(queue)
        while simple.qsize():
            message = simple.get(block=False)
            message.ack()
            body = message.payload if not isinstance(message.payload, bytes) else json.loads(message.payload)
            taken.append({"name": message.headers["task"], "id": message.headers["id"], **body[1]})
        simple.close()
    return taken


def stored(path: str, content: bytes) -> dict[str, Any]:
    """Put bytes into storage as the worker would; their path, hash and size."""
    with tempfile.NamedTemporaryFile() as local:
        local.write(content)
        local.flush()
        storage.put(local.name, path)
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def is_stored(path: str) -> bool:
    system, root = storage.file_system()
    return bool(system.exists(f"{root}/{path}"))


STARTED = {"host": "recon-1", "process": 12, "versions": {"recon_worker": "0.1.0"}}
LIMIT = 0.68
"""The most that the network of these tests takes."""
LINEAGE: dict[str, Any] = {
    "inputs": [],
    "parameters": {"partial_fourier": "POCS"},
    "code": {"name": "recon_worker", "version": "0.1.0", "source_sha256": "0" * 64},
    "libraries": {"numpy": "2"},
    "outputs": [],
}


def acquisition_done(job: Job, **summary: Any) -> dict[str, Any]:
    """What the worker sends when an acquisition job is done; its volumes lie in storage."""
    volumes = []
    for index, chain in enumerate(job.work_order["chains"]):
        for factor in chain["noise_reduction"]:
            name = f"denoised-{100 * factor:g}" if factor else "reconstructed"
            path = f"{job.work_order['output']}/{index}/{name}.npz"
            volume = {"chain": index, "name": name, "noise_reduction": factor, "remarks": []}
            if factor:
                volume["noise_reduction_reached"] = min(factor, LIMIT)
            volumes.append({**volume, **stored(path, path.encode())})
    return {
        "volumes": volumes,
        "summary": {
            "format": "ISMRMRD",
            "image_matrix": [256, 192],
            "n_slices": 12,
            "n_coils": 8,
            "n_averages": 1,
            "field_of_view_mm": [280.0, 280.0],
            "slice_spacing_mm": 4.4,
            "partial_fourier": False,
            "lines_acquired": 192,
            "remarks": [],
            **summary,
        },
        "lineage": LINEAGE,
        "seconds": 3.0,
    }


def finishing_done(job: Job) -> dict[str, Any]:
    """What the worker sends when a finishing job is done; previews and frames lie in storage."""
    series = []
    for index in range(len(job.work_order["series"])):
        path = f"{job.work_order['output']}/series/{index}"
        files = [stored(f"{path}/frames.u16", bytes(8)), stored(f"{path}/preview.png", b"\x89PNG of " + job.id.bytes)]
        series.append(
            {
                "index": index,
                "path": path,
                "rows": 2,
                "columns": 2,
                "slices": 1,
                "spacing_mm": [4.4, 1.0, 1.0],
                "window": [1750, 3500],
                "edges": {"left": "A", "right": "P", "top": "H", "bottom": "F"},
                "files": files,
                "preview": f"{path}/preview.png",
            }
        )
    return {"series": series, "lineage": LINEAGE, "seconds": 2.0}


def uuid_of(location: str) -> UUID:
    return UUID(location.rsplit("/", 1)[1])
