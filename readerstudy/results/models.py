"""Results as they were computed: added, never changed."""

from django.conf import settings
from django.db import models

from readerstudy.studies.models import Study


class Result(models.Model):
    """The tables of a study under its frozen plan, over one state of its grades and measurements."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="results")
    plan_sha256 = models.CharField(max_length=64, help_text="The frozen plan's (Study.plan_hash).")
    scores_sha256 = models.CharField(max_length=64, help_text="Of the score table as CSV.")
    measurements_sha256 = models.CharField(
        max_length=64, blank=True, default="", help_text="Of the measurements as CSV; empty without any."
    )
    content = models.JSONField(help_text="results.json of docs/statistics.md")
    boxes = models.JSONField(help_text="Box plots: sequence, arm, category, quartiles (Hazen), whiskers, outliers.")
    completeness = models.JSONField(help_text="Counts of what was read: see selectors.StudyScores.")
    computed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    computed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-computed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "plan_sha256", "scores_sha256", "measurements_sha256"], name="results_result_once"
            )
        ]
