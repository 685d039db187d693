"""The trail: what happened, who did it, when, chained by hashes. Triggers refuse update and delete (migration 0002)."""

from django.conf import settings
from django.db import models


class Event(models.Model):
    """One link of a study's chain.

    `hash` is SHA-256 over the canonical JSON of all other fields and `previous_hash`, so a changed, removed or
    inserted link breaks every later one. `study` is an identifier, not a foreign key: the trail outlives its study.
    """

    study = models.UUIDField()
    index = models.PositiveIntegerField(help_text="0, 1, 2 ... within the study, without gaps.")
    at = models.DateTimeField(help_text="Server time.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty where the system itself acted.",
    )
    action = models.CharField(max_length=80, help_text='Verb in the form "studies.member_added".')
    details = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["study", "index"]
        constraints = [models.UniqueConstraint(fields=["study", "index"], name="audit_event_unique_index")]
