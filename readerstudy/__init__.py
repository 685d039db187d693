"""The web side: people, studies, reads, results."""

from readerstudy.celery import app as celery_app

__all__ = ["celery_app"]
