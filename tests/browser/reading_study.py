"""A study that one reader reads in the browser, made of rows and of frames whose pixel values are known by formula."""

import uuid
from dataclasses import dataclass

import numpy as np
from django.utils import timezone

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.reading.models import Grade, Presentation, ReadableSeries
from readerstudy.reading.selectors import frames_path
from readerstudy.reading.services import new_token
from readerstudy.studies.models import Criterion, Membership, Sequence, Study

WINDOW = (1750, 3500)
ANCHORS: dict[str, tuple[int, int, dict[str, str]]] = {
    "Apparent SNR": (
        1,
        5,
        {
            "1": "Too noisy, image uninterpretable",
            "2": "Noise moderately affects interpretation",
            "3": "Noise mildly limits interpretation",
            "4": "No adverse effects on interpretation",
            "5": "Optimal SNR",
        },
    ),
    "Anatomical Structures": (
        1,
        5,
        {
            "1": "Not visible",
            "2": "Barely visible",
            "3": "Adequately visible",
            "4": "Good visibility",
            "5": "Excellent visibility",
        },
    ),
    "Diagnostic Confidence": (
        1,
        5,
        {
            "1": "No diagnostic value",
            "2": "Very limited diagnostic value",
            "3": "Acceptable for most diagnosis",
            "4": "Good for majority of diagnosis",
            "5": "Optimal",
        },
    ),
    "Overall Image Quality": (1, 5, {"1": "Terrible", "2": "Poor", "3": "Average", "4": "Good", "5": "Excellent"}),
    "Presence of Artifacts": (0, 1, {"0": "No", "1": "Yes"}),
}


def known_frames(number: int, *, rows: int, columns: int, slices: int) -> np.ndarray:
    """Frames [slice, row, column], uint16: an ellipse like a body, and a flat patch of `patch_value` in its middle."""
    row, column = np.mgrid[0:rows, 0:columns]
    y, x = (row - rows / 2) / (rows / 2), (column - columns / 2) / (columns / 2)
    frames = np.zeros((slices, rows, columns), np.uint16)
    noise = np.random.default_rng(number).normal(0, 1, (rows, columns))
    body = (x / 0.86) ** 2 + (y / 0.97) ** 2 < 1
    bone = body & (np.abs(x - 0.1 * np.sin(2 * y)) < 0.2) & (np.abs(np.sin(11 * y)) > 0.45)
    height, width = rows // 10, columns // 10
    for index in range(slices):
        tissue = 900 + 250 * np.sin(9 * y + index / 3) * np.cos(4 * x) + 60 * noise
        frame = np.where(bone, 2300 + 80 * noise, np.where(body, tissue, 40 + 15 * noise))
        frame[rows // 2 - height : rows // 2 + height, columns // 2 - width : columns // 2 + width] = patch_value(
            number, index
        )
        frames[index] = np.clip(np.rint(frame), 0, 4095)
    return frames


def patch_value(number: int, slice_index: int) -> int:
    """Stored value of the patch in the middle of slice `slice_index` (from 0) of series `number`."""
    return 500 + 170 * slice_index + 60 * number


def grey(value: float, window: tuple[float, float] = WINDOW) -> float:
    """Grey level 0-255 of a stored value: DICOM PS3.3 C.11.2.1.2.1, linear."""
    centre, width = window
    return float(np.clip(((value - (centre - 0.5)) / (width - 1) + 0.5) * 255, 0, 255))


@dataclass
class ReadingStudy:
    """The study, its reader, and the reader's presentations in order; series `n` shows `known_frames(n)`."""

    study: Study
    reader: User
    presentations: list[Presentation]

    def tokens(self) -> list[str]:
        return [presentation.token for presentation in self.presentations]

    def grades(self, index: int = 0) -> list[tuple[str, int | None, str]]:
        """Name, value and cause of every grade row of one presentation, in the order they were stored."""
        rows = Grade.objects.filter(presentation=self.presentations[index]).select_related("criterion")
        ordered = sorted(rows, key=lambda row: (row.at, row.criterion.order, row.number))
        return [(row.criterion.name, row.value, row.cannot_grade) for row in ordered]


def make_reading_study(
    *,
    series: int = 4,
    rows: int = 160,
    columns: int = 120,
    slices: int = 9,
    spacing: tuple[float, float] = (0.9, 0.9),
    allow_back: bool = True,
) -> ReadingStudy:
    """A released study with one reader. `spacing` is between rows and between columns, in mm."""
    study = Study.objects.create(
        name="Lumbar spine",
        state=Study.State.READING,
        plan={"reference_arm": "Standard"},
        plan_hash="0" * 64,
        reader_rules={"allow_back": allow_back},
    )
    reader = User.objects.create_user(username=f"reader-{uuid.uuid4().hex[:8]}", password="correct horse battery")
    Membership.objects.create(study=study, user=reader, role=Membership.Role.READER)
    for order, (name, (minimum, maximum, anchors)) in enumerate(ANCHORS.items()):
        Criterion.objects.create(
            study=study,
            name=name,
            order=order,
            scale_minimum=minimum,
            scale_maximum=maximum,
            margin="-0.5",
            anchors=anchors,
        )
    names = ["SAG T2 FS", "SAG T1"]
    sequences = [Sequence.objects.create(study=study, name=name, order=order) for order, name in enumerate(names)]
    presentations = []
    for number in range(series):
        token = new_token()
        frames = known_frames(number, rows=rows, columns=columns, slices=slices)
        system, root = storage.file_system()
        system.makedirs(f"{root}/{frames_path(token).rsplit('/', 1)[0]}", exist_ok=True)
        with system.open(f"{root}/{frames_path(token)}", "wb") as file:
            file.write(frames.astype("<u2").tobytes())
        readable = ReadableSeries.objects.create(
            token=token,
            study=study,
            sequence=sequences[number * len(sequences) // series],
            rows=rows,
            columns=columns,
            slices=slices,
            spacing_mm=[4.0, *spacing],
            window=list(WINDOW),
            edges={"left": "A", "right": "P", "top": "H", "bottom": "F"},
        )
        presentations.append(
            Presentation.objects.create(
                token=new_token(), study=study, reader=reader, series=readable, position=number + 1
            )
        )
    return ReadingStudy(study=study, reader=reader, presentations=presentations)


def sign_off_all(reading: ReadingStudy, but_last: int = 0) -> None:
    """Mark presentations as signed off without grades, to start a test near the end of a list."""
    upto = len(reading.presentations) - but_last
    for presentation in reading.presentations[:upto]:
        Presentation.objects.filter(pk=presentation.pk).update(signed_off_at=timezone.now())
