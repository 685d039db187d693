"""What readers see and say. No row here holds or points to anything that differs by arm.

A series is known by a random token alone; which series and arm it is, is `blinding`'s. The geometry kept here is equal
for all arms of a subject and sequence (checked at release).
"""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from readerstudy.studies.models import Criterion, Sequence, Study


class ReadableSeries(models.Model):
    """A series as readers know it. Its frames lie in storage under `reading/<token>/`."""

    token = models.CharField(primary_key=True, max_length=43, help_text="256 random bits, base64url.")
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="readable_series")
    sequence = models.ForeignKey(Sequence, on_delete=models.PROTECT, related_name="+")
    rows = models.PositiveIntegerField()
    columns = models.PositiveIntegerField()
    slices = models.PositiveIntegerField()
    spacing_mm = models.JSONField(help_text="[slice, row, column]")
    window = models.JSONField(help_text="[centre, width]")
    edges = models.JSONField(help_text="left, right, top, bottom: one letter each")


class OrderPlan(models.Model):
    """The order of all readers, fixed before the first read: enough to make it again and to check it."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="order_plan")
    algorithm = models.CharField(max_length=20)
    version = models.PositiveSmallIntegerField()
    seed = models.CharField(max_length=64)
    permutations = models.JSONField(help_text="{reader id: [{sequence: name, series: [series token, ...]}, ...]}")
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)


class Presentation(models.Model):
    """One series shown to one reader at one position of the reader's list."""

    token = models.CharField(primary_key=True, max_length=43, help_text="256 random bits, base64url.")
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="presentations")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="presentations")
    series = models.ForeignKey(ReadableSeries, on_delete=models.PROTECT, related_name="presentations")
    position = models.PositiveIntegerField(help_text="1, 2, 3 ... over the reader's whole list.")
    is_repeat = models.BooleanField(default=False, help_text="Hidden repeat; never enters the primary tables.")
    first_opened_at = models.DateTimeField(null=True)
    signed_off_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["reader", "position"]
        constraints = [
            models.UniqueConstraint(fields=["study", "reader", "position"], name="reading_presentation_one_position"),
            models.UniqueConstraint(
                fields=["study", "reader", "series"],
                condition=Q(is_repeat=False),
                name="reading_presentation_once_unless_repeat",
            ),
        ]


class Grade(models.Model):
    """An answer to one criterion of one presentation. Added, never overwritten: the newest row counts.

    Not graded yet = no row; a grade = `value`; "cannot be graded" = no value and a cause.
    """

    class Cause(models.TextChoices):
        IMAGE_QUALITY = "image-quality", "because of image quality"
        TECHNICAL = "technical", "for a technical reason"

    id = models.UUIDField(
        primary_key=True, default=uuid.uuid4, help_text="Made by the browser: sending twice adds once."
    )
    presentation = models.ForeignKey(Presentation, on_delete=models.PROTECT, related_name="grades")
    criterion = models.ForeignKey(Criterion, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField(help_text="1, 2, 3 ... for this presentation and criterion; the last counts.")
    value = models.SmallIntegerField(null=True)
    cannot_grade = models.CharField(max_length=16, choices=Cause, blank=True)
    reason = models.TextField(blank=True, help_text="Why it was corrected (needed after sign-off), or a remark.")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["presentation", "criterion", "number"], name="reading_grade_one_number"),
            models.CheckConstraint(
                condition=(Q(value__isnull=False) & Q(cannot_grade="")) | (Q(value__isnull=True) & ~Q(cannot_grade="")),
                name="reading_grade_value_or_cause",
            ),
        ]


class Comment(models.Model):
    """A reader's free remark on a presentation. Added, never overwritten."""

    presentation = models.ForeignKey(Presentation, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField(max_length=2000)
    at = models.DateTimeField(auto_now_add=True)


class Session(models.Model):
    """One opening of the reading page: what the pictures were shown on."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="reading_sessions")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(auto_now_add=True)
    display = models.JSONField(help_text="rendering mode, WebGL renderer, device pixel ratio, viewport, browser")
