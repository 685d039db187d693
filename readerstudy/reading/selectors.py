"""Reads, shaped for who asks: the reader gets an allow-list, staff get counts, grades come out after the lock."""

import statistics
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Q

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.reading.keys import KEYS
from readerstudy.reading.models import Comment, Grade, Presentation, ReadableSeries
from readerstudy.reading.policies import may_go_back
from readerstudy.studies.models import Criterion, Membership, Study

LONGEST_ON_ONE_SERIES_SECONDS = 1800
"""Longer is a break and does not enter the pace."""


def frames_path(token: str) -> str:
    """Where the frames of a readable series lie in storage."""
    return f"reading/{token}/frames.u16"


def frame_bytes(series: ReadableSeries, number: int) -> bytes:
    """Frame `number` (from 0): rows x columns little-endian 16-bit pixels. Raises Refusal if storage lacks it."""
    length = series.rows * series.columns * 2
    try:
        content = storage.read_range(frames_path(series.token), number * length, length)
    except OSError:
        content = b""
    if len(content) != length:
        raise Refusal("The images cannot be loaded at the moment.", "Try again; if it stays so, tell the coordinator.")
    return content


def criteria_of(study: Study) -> list[dict[str, Any]]:
    """Criteria with their scale and written anchors, as readers see them."""
    return [
        {
            "id": str(criterion.pk),
            "name": criterion.name,
            "minimum": criterion.scale_minimum,
            "maximum": criterion.scale_maximum,
            "anchors": criterion.anchors,
        }
        for criterion in Criterion.objects.filter(study=study).order_by("order")
    ]


def seconds_per_series(presentations: list[Presentation]) -> int | None:
    """Median time from opening to sign-off of one reader's series; breaks left out; None before the first."""
    signed = sorted((one for one in presentations if one.signed_off_at), key=lambda one: str(one.signed_off_at))
    times: list[float] = []
    previous: datetime | None = None
    for one in signed:
        start = max(filter(None, (one.first_opened_at, previous)), default=None)
        if start is not None and one.signed_off_at is not None:
            times.append((one.signed_off_at - start).total_seconds())
        previous = one.signed_off_at
    counted = [seconds for seconds in times if 0 < seconds <= LONGEST_ON_ONE_SERIES_SECONDS]
    return max(1, round(statistics.median(counted))) if counted else None


def reader_study(study: Study, reader: User) -> dict[str, Any]:
    """What the reading page knows of the study, and the reader's own list. Nothing else may be added here."""
    presentations = list(
        Presentation.objects.filter(study=study, reader=reader).select_related("series__sequence").order_by("position")
    )
    sequences: dict[str, dict[str, Any]] = {}
    for one in presentations:
        name = one.series.sequence.name
        row = sequences.setdefault(name, {"name": name, "length": 0, "signed_off": 0})
        row["length"] += 1
        row["signed_off"] += one.signed_off_at is not None
    return {
        "study": study.name,
        "criteria": criteria_of(study),
        "keys": KEYS,
        "rules": {"allow_back": may_go_back(study)},
        "length": len(presentations),
        "sequences": list(sequences.values()),
        "presentations": [
            {
                "token": one.token,
                "position": one.position,
                "sequence": one.series.sequence.name,
                "signed_off": one.signed_off_at is not None,
            }
            for one in presentations
        ],
        "seconds_per_series": seconds_per_series(presentations),
    }


def reader_presentation(presentation: Presentation) -> dict[str, Any]:
    """What the reading page knows of one presentation. Nothing else may be added here."""
    series = presentation.series
    grades: dict[str, dict[str, Any]] = {}
    for grade in Grade.objects.filter(presentation=presentation).order_by("number"):
        grades[str(grade.criterion_id)] = {"value": grade.value, "cannot_grade": grade.cannot_grade}
    comment = Comment.objects.filter(presentation=presentation).order_by("-pk").first()
    return {
        "token": presentation.token,
        "rows": series.rows,
        "columns": series.columns,
        "slices": series.slices,
        "spacing_mm": series.spacing_mm[1:],
        "window": series.window,
        "edges": series.edges,
        "sequence": series.sequence.name,
        "position": presentation.position,
        "length": Presentation.objects.filter(study=presentation.study_id, reader=presentation.reader_id).count(),
        "grades": grades,
        "comment": comment.text if comment else "",
        "signed_off": presentation.signed_off_at is not None,
    }


@dataclass(frozen=True)
class SequenceProgress:
    """One reader's list of one sequence."""

    name: str
    length: int
    signed_off: int

    @property
    def left(self) -> int:
        """Series not signed off."""
        return self.length - self.signed_off


@dataclass(frozen=True)
class ReaderProgress:
    """How far one reader is. Counts and pace, never a grade."""

    reader: User
    sequences: list[SequenceProgress] = field(default_factory=list)
    last_signed_off_at: datetime | None = None
    seconds_per_series: int | None = None

    @property
    def length(self) -> int:
        """Series in the reader's whole list."""
        return sum(sequence.length for sequence in self.sequences)

    @property
    def signed_off(self) -> int:
        """Series signed off."""
        return sum(sequence.signed_off for sequence in self.sequences)

    @property
    def left(self) -> int:
        """Series not signed off."""
        return self.length - self.signed_off

    @property
    def percent(self) -> int:
        """Share signed off, rounded down: 100 only when all are."""
        return 100 * self.signed_off // self.length if self.length else 0

    @property
    def minutes_left(self) -> int | None:
        """From the reader's own pace, rounded up; None before the first sign-off."""
        return None if self.seconds_per_series is None else -(-self.left * self.seconds_per_series // 60)


def progress(study: Study) -> list[ReaderProgress]:
    """How far each reader is, by sequence: for the coordinator and the principal investigator."""
    result = []
    members = Membership.objects.filter(study=study, role=Membership.Role.READER).select_related("user")
    for membership in members.order_by("user__username"):
        own = Presentation.objects.filter(study=study, reader=membership.user)
        counts = (
            own.values("series__sequence__name")
            .annotate(length=Count("pk"), done=Count("pk", filter=Q(signed_off_at__isnull=False)))
            .order_by("series__sequence__order")
        )
        result.append(
            ReaderProgress(
                reader=membership.user,
                sequences=[
                    SequenceProgress(name=row["series__sequence__name"], length=row["length"], signed_off=row["done"])
                    for row in counts
                ],
                last_signed_off_at=own.aggregate(last=Max("signed_off_at"))["last"],
                seconds_per_series=seconds_per_series(list(own)),
            )
        )
    return result


@dataclass(frozen=True)
class CurrentGrade:
    """The newest answer to one criterion of one presentation, corrections applied."""

    reader: int
    presentation: str
    series: str
    sequence: str
    position: int
    is_repeat: bool
    signed_off: bool
    criterion: UUID
    criterion_name: str
    value: int | None
    cannot_grade: str


def current_grades(study: Study) -> list[CurrentGrade]:
    """The newest answers of all readers. Raises Refusal until the study is locked: before, nobody sees a grade."""
    if study.state not in (Study.State.LOCKED, Study.State.UNBLINDED):
        raise Refusal("The grades are closed until the study is locked.", "Lock the study first.")
    newest: dict[tuple[str, UUID], Grade] = {}
    rows = Grade.objects.filter(presentation__study=study).select_related("presentation__series__sequence", "criterion")
    for grade in rows.order_by("presentation__reader_id", "presentation__position", "criterion__order", "number"):
        newest[grade.presentation_id, grade.criterion_id] = grade
    return [
        CurrentGrade(
            reader=grade.presentation.reader_id,
            presentation=grade.presentation_id,
            series=grade.presentation.series_id,
            sequence=grade.presentation.series.sequence.name,
            position=grade.presentation.position,
            is_repeat=grade.presentation.is_repeat,
            signed_off=grade.presentation.signed_off_at is not None,
            criterion=grade.criterion_id,
            criterion_name=grade.criterion.name,
            value=grade.value,
            cannot_grade=grade.cannot_grade,
        )
        for grade in newest.values()
    ]
