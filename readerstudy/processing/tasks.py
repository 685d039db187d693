"""Light tasks of processing: thin doors to the services."""

from typing import Any
from uuid import UUID

from celery import shared_task

from readerstudy.processing import services


@shared_task(name="processing.start")
def start(*, raw_file: str) -> None:
    """A raw file has come in."""
    services.start_acquisition_job(raw_file_id=UUID(raw_file))


@shared_task(name="processing.record")
def record(*, job: str, attempt: int, event: str, payload: dict[str, Any]) -> None:
    """A recon worker says something about a job."""
    services.record(job_id=UUID(job), attempt=attempt, event=event, payload=payload)


@shared_task(name="processing.reconcile")
def reconcile() -> None:
    """Every few seconds: take up what fell down."""
    services.reconcile()
