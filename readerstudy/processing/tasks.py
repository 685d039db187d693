"""Light tasks of processing: thin doors to the services."""

from typing import Any
from uuid import UUID

from celery import shared_task
from django.db import OperationalError

from readerstudy.processing import services
from readerstudy.studies.models import Study

AGAIN = {"autoretry_for": (OperationalError,), "retry_backoff": True, "max_retries": 6}
"""A database that is busy, restarts, or broke a tie between two transactions."""


@shared_task(name="processing.start", **AGAIN)
def start(*, raw_file: str) -> None:
    """A raw file has come in."""
    services.start_acquisition_job(raw_file_id=UUID(raw_file))


@shared_task(name="processing.follow_design", **AGAIN)
def follow_design(*, study: str) -> None:
    """Arms or a stored matrix changed."""
    services.follow_design(study=Study.objects.get(pk=UUID(study)))


@shared_task(name="processing.record", **AGAIN)
def record(*, job: str, attempt: int, event: str, payload: dict[str, Any]) -> None:
    """A recon worker says something about a job."""
    services.record(job_id=UUID(job), attempt=attempt, event=event, payload=payload)


@shared_task(name="processing.reconcile")
def reconcile() -> None:
    """Every few seconds: take up what fell down."""
    services.reconcile()
