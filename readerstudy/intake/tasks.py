"""Light tasks of intake: thin doors to the services."""

from uuid import UUID

from celery import shared_task
from django.db import OperationalError

from readerstudy.intake import services


@shared_task(name="intake.accept", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=6)
def accept(*, upload: str) -> None:
    """Check a whole upload and store it, or refuse it in words."""
    services.accept(upload_id=UUID(upload))


@shared_task(name="intake.expire_uploads")
def expire_uploads() -> None:
    """Remove what nobody went on with; send again what was lost."""
    services.expire_uploads()
    services.resend_unchecked()
