"""Measurements in the database, as a finishing job would have stored them."""

from collections.abc import Iterable
from dataclasses import replace

from django.test import Client
from django.urls import reverse

from readerstudy.processing.levels import QUANTITIES, quantities
from readerstudy.processing.models import MeasuredSeries, Series, Structure
from readerstudy.statistics.measurements import Measurement
from readerstudy.studies.models import Study
from tests.readerstudy.results.graded_study import GradedStudy

KINDS = {quantity: kind for kind in QUANTITIES for quantity in quantities(kind)}


def measure(study: Study, rows: Iterable[Measurement], sequence: str) -> None:
    """Store `rows` as structures of the current series of `sequence`."""
    study.sequences.filter(name=sequence).update(is_measured=True)
    series = {
        (one.arm.name, one.subject.code): one
        for one in Series.objects.filter(study=study, sequence__name=sequence).select_related("arm", "subject")
    }
    measured: dict[tuple[str, str], MeasuredSeries] = {}
    structures: dict[tuple[object, ...], Structure] = {}
    for row in rows:
        key = row.arm, row.patient
        if key not in measured:
            measured[key] = MeasuredSeries.objects.create(series=series[key])
        kind, level = KINDS[row.quantity], int(row.level)
        held = structures.setdefault(
            (*key, kind, level),
            Structure(measured=measured[key], kind=kind, level=level, state="measured", centroid_mm=[0, 0, 0]),
        )
        held.measures[row.quantity] = row.value
    Structure.objects.bulk_create(structures.values())


def with_more_of_discs(rows: Iterable[Measurement]) -> list[Measurement]:
    """`rows`, and of each disc height a mean height and an area as a worker measures them on the same slice."""
    return [
        more
        for row in rows
        for more in (
            row,
            *(
                replace(row, quantity=quantity, value=value)
                for quantity, value in (("disc_mean_height_mm", 0.8 * row.value), ("disc_area_mm2", 30 * row.value))
                if row.quantity == "disc_height_mm"
            ),
        )
    ]


def page_of(graded: GradedStudy, client: Client, **query: str) -> str:
    """The results page as the principal investigator gets it."""
    client.force_login(graded.investigator)
    answer = client.get(reverse("results:results", args=[graded.study.pk]), query)
    assert answer.status_code == 200
    return answer.content.decode()


def structure(graded: GradedStudy, arm: str, level: int, *, kind: str = "disc", patient: str = "P02") -> Structure:
    """The structure as it is stored now."""
    return Structure.objects.get(
        measured__series__arm__name=arm, measured__series__subject__code=patient, kind=kind, level=level,
        measured__series__study=graded.study,
    )  # fmt: skip
