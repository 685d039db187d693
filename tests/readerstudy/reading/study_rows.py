"""A small study made of rows and authored files, as processing leaves it: the arms differ in pixels alone."""

import io
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.processing.models import Job, Series
from readerstudy.reading import services as reading
from readerstudy.reading.models import Presentation
from readerstudy.studies.models import Acquisition, Arm, Criterion, Membership, Sequence, Study, Subject
from recon_worker.data import Volume
from recon_worker.dicom.authoring import author_series

PASSWORD = "correct horse battery"
SEQUENCES = ("SAG T2 FS", "SAG T1", "AX T2")
MATRICES = {"SAG T2 FS": (3, 12, 10), "SAG T1": (3, 12, 10), "AX T2": (4, 8, 8)}
ARMS = (("Standard", "Standard", 0), ("Fast", "Fast", 0), ("Fast DL50", "Fast", 0.5), ("Fast DL75", "Fast", 0.75))
CRITERIA = (("Apparent SNR", 1, 5), ("Overall Image Quality", 1, 5), ("Presence of Artifacts", 0, 1))


@dataclass
class Rows:
    """The study and its people."""

    study: Study
    coordinator: User
    investigator: User
    readers: list[User]
    series: list[Series] = field(default_factory=list)

    @property
    def criteria(self) -> list[Criterion]:
        return list(self.study.criteria.order_by("order"))

    def presentations(self, reader: User) -> list[Presentation]:
        return list(Presentation.objects.filter(study=self.study, reader=reader).order_by("position"))


def person(name: str, **more: Any) -> User:
    return User.objects.create_user(username=f"{name}-{uuid.uuid4().hex[:8]}", password=PASSWORD, **more)


def make_study(
    *,
    subjects: int = 2,
    sequences: int = 2,
    arms: int = 2,
    readers: int = 2,
    name: str = "Lumbar spine",
    rules: dict[str, Any] | None = None,
    series: bool = True,
) -> Rows:
    """A study in preparation with everything that a release asks for."""
    study = Study.objects.create(
        name=name, state="preparing", plan={"reference_arm": "Standard"}, reader_rules=rules or {}
    )
    rows = Rows(
        study=study,
        coordinator=person("coordinator"),
        investigator=person("investigator"),
        readers=[person(f"reader{number}") for number in range(readers)],
    )
    people = [(rows.coordinator, "coordinator"), (rows.investigator, "principal-investigator")]
    for user, role in people + [(reader, "reader") for reader in rows.readers]:
        Membership.objects.create(study=study, user=user, role=role)
    for order, (criterion, minimum, maximum) in enumerate(CRITERIA):
        Criterion.objects.create(
            study=study,
            name=criterion,
            order=order,
            scale_minimum=minimum,
            scale_maximum=maximum,
            margin="0.2" if maximum == 1 else "-0.5",
            better="lower" if maximum == 1 else "higher",
            anchors={str(value): f"anchor {value}" for value in range(minimum, maximum + 1)},
        )
    for order, sequence in enumerate(SEQUENCES[:sequences]):
        Sequence.objects.create(study=study, name=sequence, order=order)
    acquisitions = {
        acquisition: Acquisition.objects.create(study=study, name=acquisition, order=order)
        for order, acquisition in enumerate(("Standard", "Fast"))
    }
    for order, (arm, acquisition, reduction) in enumerate(ARMS[:arms]):
        Arm.objects.create(
            study=study,
            name=arm,
            order=order,
            acquisition=acquisitions[acquisition],
            noise_reduction=reduction,
            is_reference=order == 0,
        )
    for number in range(subjects):
        Subject.objects.create(study=study, code=f"PAT{number + 1:02d}")
    if series:
        for subject in study.subjects.all():
            for sequence in study.sequences.all():
                rows.series += finished_series(study, subject, sequence)
    return rows


def finished_series(study: Study, subject: Subject, sequence: Sequence) -> list[Series]:
    """A finishing job's series, one an arm, authored by the recon worker and stored as it stores them."""
    job = Job.objects.create(
        study=study, kind="finishing", subject=subject, sequence=sequence, status="done", queued_at=timezone.now()
    )
    made = []
    for index, arm in enumerate(study.arms.order_by("order")):
        seed = abs(hash((str(subject.pk), sequence.name, arm.name))) % 2**32
        pixels = np.random.default_rng(seed).integers(0, 4096, size=MATRICES[sequence.name], dtype=np.uint16)
        made.append(store_series(job, arm, pixels, f"work/{job.pk}/1/series/{index}"))
    return made


def store_series(job: Job, arm: Arm, pixels: np.ndarray, path: str) -> Series:
    """Author `[slice, row, column]` pixels (sagittal, head up, anterior left) and store the folder."""
    affine = np.array([[-4.0, 0, 0, 8], [0, 0, 0.7, -40], [0, -0.7, 0, 60], [0, 0, 0, 1]])
    folder = Path(tempfile.mkdtemp(dir=settings.STATE))
    try:
        authored = author_series(Volume(pixels, affine, 4.0), uid_key=uuid.uuid4().bytes * 2, out=folder)
        for file in authored.files:
            storage.put(str(folder / file.path), f"{path}/{file.path}")
    finally:
        shutil.rmtree(folder)
    return Series.objects.create(
        job=job,
        study=job.study,
        subject=job.subject,
        sequence=job.sequence,
        arm=arm,
        path=path,
        rows=authored.rows,
        columns=authored.columns,
        slices=authored.slices,
        spacing_mm=list(authored.spacing_mm),
        window=list(authored.window),
        edges=dict(zip(("left", "right", "top", "bottom"), "APHF", strict=True)),
        files=[{"path": f"{path}/{f.path}", "sha256": f.sha256, "bytes": f.bytes} for f in authored.files],
        preview=f"{path}/{authored.preview}",
    )


def overwrite(path: str, content: bytes) -> None:
    """Put other bytes where a stored file lies."""
    with tempfile.NamedTemporaryFile(dir=settings.STATE) as file:
        file.write(io.BytesIO(content).getvalue())
        file.flush()
        storage.put(file.name, path)


def grade_all(presentation: Presentation, criteria: list[Criterion], value: int = 1) -> None:
    """Grade every criterion of the current series with one value that fits all scales."""
    for criterion in criteria:
        reading.add_grade(presentation=presentation, id=uuid.uuid4(), criterion=criterion.pk, value=value)


def read_everything(rows: Rows) -> None:
    """Every reader grades and signs off every series, in order."""
    for reader in rows.readers:
        for presentation in rows.presentations(reader):
            grade_all(presentation, rows.criteria)
            reading.sign_off(presentation=presentation)
