"""The sealed key and the acts that make and open it."""

from django.conf import settings
from django.db import models

from readerstudy.processing.models import Series
from readerstudy.reading.models import ReadableSeries
from readerstudy.studies.models import Study


class Seal(models.Model):
    """The link from a random token to a series, and so to its arm. This table is the key."""

    readable = models.OneToOneField(ReadableSeries, on_delete=models.PROTECT, related_name="+")
    series = models.OneToOneField(Series, on_delete=models.PROTECT, related_name="+")
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="+")


class Release(models.Model):
    """The study was handed to its readers; what was checked before."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    checks = models.JSONField(help_text="name, what was compared, result of every check")


class Unblinding(models.Model):
    """The key was opened, by whom, and over which grades (their digest)."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    reason = models.TextField()
    grades_sha256 = models.CharField(max_length=64)


class ReleasePreparation(models.Model):
    """A release on its way: which token each series will have, how far the copying is, why it was refused.

    Kept so that an interrupted release is taken up again with the same tokens; removed once the study is released.
    """

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(auto_now_add=True)
    moved_at = models.DateTimeField(auto_now=True)
    tokens = models.JSONField(default=dict, help_text="{series id: token}")
    done = models.PositiveIntegerField(default=0, help_text="Series whose frames are copied and checked.")
    total = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list, help_text="Why the last attempt was refused; empty while it works.")
