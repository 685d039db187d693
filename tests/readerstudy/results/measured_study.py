"""Measurements in the database, as a finishing job would have stored them."""

from collections.abc import Iterable

from readerstudy.processing.levels import QUANTITIES
from readerstudy.processing.models import MeasuredSeries, Series, Structure
from readerstudy.statistics.measurements import Measurement
from readerstudy.studies.models import Study

KINDS = {quantity: kind for kind, quantity in QUANTITIES.items()}


def measure(study: Study, rows: Iterable[Measurement], sequence: str) -> None:
    """Store `rows` as structures of the current series of `sequence`."""
    study.sequences.filter(name=sequence).update(is_measured=True)
    series = {
        (one.arm.name, one.subject.code): one
        for one in Series.objects.filter(study=study, sequence__name=sequence).select_related("arm", "subject")
    }
    measured: dict[tuple[str, str], MeasuredSeries] = {}
    structures = []
    for row in rows:
        key = row.arm, row.patient
        if key not in measured:
            measured[key] = MeasuredSeries.objects.create(series=series[key])
        structures.append(
            Structure(
                measured=measured[key], kind=KINDS[row.quantity], level=int(row.level), state="measured",
                measures={row.quantity: row.value}, centroid_mm=[0, 0, 0],
            )
        )  # fmt: skip
    Structure.objects.bulk_create(structures)
