"""A study that is being read, with measured discs and bodies of SAG T1 in three arms, as its coordinator meets it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Manager, Model

from readerstudy.accounts.models import User
from readerstudy.audit.models import Event
from readerstudy.processing.measurements import measurement_rows
from readerstudy.processing.models import MeasuredSeries, Structure
from readerstudy.statistics.measurements import Measurement
from readerstudy.studies.models import Membership, Study
from tests.readerstudy.processing.small_study import small_study, stored
from tests.readerstudy.results.graded_study import GradedStudy, graded_study
from tests.readerstudy.results.measured_study import measure
from tests.readerstudy.statistics.score_tables import random_scores

ARMS = ("Standard", "Fast", "Fast DL50")
SEQUENCES = ("SAG T1", "SAG T2 FS")
ACTIONS = (
    "processing.level_corrected",
    "processing.structure_excluded",
    "processing.structure_included",
    "processing.levels_shifted",
    "processing.count_confirmed",
    "processing.count_doubted",
)


def measured_rows(
    *, sequences: tuple[str, ...] = SEQUENCES[:1], overlays: bool = False, state: str = "reading"
) -> GradedStudy:
    """Subjects P01 and P02. The same values in all arms."""
    graded = graded_study(random_scores(5, patients=2, sequences=sequences, arms=ARMS), state=state)
    for sequence in sequences:
        measure(graded.study, of_levels(), sequence)
    for measured in MeasuredSeries.objects.all() if overlays else ():
        path = f"work/{measured.series_id}/1/measurements/0/overlay.png"
        stored(path, picture_of(measured))
        others = [
            stored(path.replace("overlay.png", name), content_of(measured, name))
            for name in ("segmentation.dcm", "report.dcm")
        ]
        MeasuredSeries.objects.filter(pk=measured.pk).update(overlay=path, files=others)
    return graded


def of_levels() -> list[Measurement]:
    """A disc of level n is n + 5 mm high, a body of level n has n + 20 cm³."""
    levels = [("disc_height_mm", n, n + 5.0) for n in range(1, 7)] + [
        ("body_volume_cm3", n, n + 20.0) for n in range(1, 8)
    ]
    return [
        Measurement(quantity, arm, patient, str(level), value)
        for arm in ARMS
        for patient in ("P01", "P02")
        for quantity, level, value in levels
    ]


def picture_of(measured: MeasuredSeries) -> bytes:
    """Bytes that stand for the contact sheet of this series and of no other."""
    return b"\x89PNG of " + str(measured.series_id).encode()


def content_of(measured: MeasuredSeries, name: str) -> bytes:
    """Bytes that stand for this series' SEG or SR."""
    return f"DICM {name} of {measured.series_id}".encode()


def measured_of(graded: GradedStudy, *, arm: str = "Fast", patient: str = "P01") -> MeasuredSeries:
    """The measured series of SAG T1."""
    return MeasuredSeries.objects.get(
        series__study=graded.study, series__arm__name=arm, series__subject__code=patient,
        series__sequence__name="SAG T1",
    )  # fmt: skip


def structure(
    graded: GradedStudy, level: int, *, kind: str = "disc", arm: str = "Fast", patient: str = "P01"
) -> Structure:
    """Of SAG T1."""
    return measured_of(graded, arm=arm, patient=patient).structures.get(kind=kind, level=level)


def counted(graded: GradedStudy, *, arm: str = "Fast", quantity: str = "disc_height_mm") -> dict[int, float]:
    """Level to value of what enters the results of P01, SAG T1."""
    return {
        row["level"]: row["value"]
        for row in measurement_rows(graded.study)
        if (row["arm"], row["patient"], row["quantity"], row["sequence"]) == (arm, "P01", quantity, "SAG T1")
    }


DOUBT = "the sacrum is not seen whole, and the levels are counted from it: check the level"


def doubted(graded: GradedStudy, *, arms: tuple[str, ...] = ARMS, patient: str = "P01") -> None:
    """The count of SAG T1 in these arms as the recon worker flags one that it is not sure of."""
    for arm in arms:
        measured = measured_of(graded, arm=arm, patient=patient)
        measured.structures.update(flags=[DOUBT])
        remarks = [f"The count of the levels needs a look: {DOUBT}."]
        MeasuredSeries.objects.filter(pk=measured.pk).update(remarks=remarks)


def corrections(graded: GradedStudy) -> list[Event]:
    """What the trail holds of corrections, in order."""
    return list(Event.objects.filter(study=graded.study.pk, action__in=ACTIONS).order_by("index"))


def while_it_waits(patch: pytest.MonkeyPatch, model: type[Model], happens: Callable[[], Any]) -> None:
    """Let something happen just before a row of `model` is locked, as what held the lock would have done it."""
    locked = Manager.select_for_update

    def wait(manager: Any, **more: Any) -> Any:
        if manager.model is model:
            happens()
        return locked(manager, **more)

    patch.setattr(Manager, "select_for_update", wait)


OTHERS = ("investigator", "reader", "coordinator of another study", "no coordinator any more")
"""Who is no coordinator of the study."""


def other_person(graded: GradedStudy, who: str) -> User:
    """One of `OTHERS`."""
    if who == "coordinator of another study":
        return small_study().coordinator
    if who == "no coordinator any more":
        Membership.objects.filter(user=graded.coordinator).delete()
        return graded.coordinator
    return getattr(graded, who)


def into(graded: GradedStudy, state: str) -> None:
    """The study in this state of its life."""
    Study.objects.filter(pk=graded.study.pk).update(state=state)
