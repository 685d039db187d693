"""Jobs of the recon worker, what they made, and where it came from."""

import uuid
from typing import Any

from django.db import models
from django.db.models import Q

from readerstudy.accounts.models import User
from readerstudy.intake.models import RawFile
from readerstudy.studies.models import Acquisition, Arm, Sequence, Study, Subject


class Job(models.Model):
    """One acquisition job (raw file to complex volumes) or finishing job (volumes to blinded series)."""

    class Kind(models.TextChoices):
        ACQUISITION = "acquisition", "acquisition"
        FINISHING = "finishing", "finishing"

    class Status(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    class Responsibility(models.TextChoices):
        FILE = "file", "the file's"
        OURS = "ours", "ours"

    FINAL = (Status.DONE, Status.FAILED, Status.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=12, choices=Kind)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="jobs")
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="+")
    acquisition = models.ForeignKey(
        Acquisition, null=True, on_delete=models.CASCADE, related_name="+", help_text="Of an acquisition job."
    )
    raw_file = models.ForeignKey(
        RawFile, null=True, on_delete=models.CASCADE, related_name="jobs", help_text="Of an acquisition job."
    )
    inputs = models.ManyToManyField("self", symmetrical=False, related_name="finishing_jobs", blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=1)
    stage = models.CharField(max_length=60, blank=True)
    fraction = models.FloatField(default=0)
    work_order = models.JSONField(default=dict)
    arms = models.JSONField(
        default=list, help_text="Of a finishing job: arm ids in the order of the work order's series. Never sent."
    )
    lost_attempts = models.PositiveSmallIntegerField(default=0, help_text="Attempts whose worker fell silent.")
    failure_responsibility = models.CharField(max_length=6, choices=Responsibility, blank=True)
    failure_message = models.TextField(blank=True)
    failure_action = models.TextField(blank=True)
    failure_detail = models.TextField(blank=True, help_text="For us, never shown.")
    summary = models.JSONField(default=dict, help_text="What the acquisition holds (matrix, slices, coils, NEX).")
    lineage = models.JSONField(default=dict)
    is_swept = models.BooleanField(default=False, help_text="Files of attempts that came to nothing are removed.")
    queued_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, help_text="When its message was last sent.")
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["queued_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="finishing") | (Q(raw_file__isnull=False) & Q(acquisition__isnull=False)),
                name="processing_job_acquisition_has_file",
            ),
            models.UniqueConstraint(
                fields=["raw_file"],
                condition=Q(status__in=["queued", "running", "done"]),
                name="processing_job_one_live_for_file",
            ),
            models.UniqueConstraint(
                fields=["subject", "sequence"],
                condition=Q(kind="finishing", status__in=["queued", "running", "done"]),
                name="processing_job_one_live_finishing",
            ),
        ]


class VolumeFile(models.Model):
    """A complex volume that an acquisition job stored: of one chain, with one noise reduction."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="volumes")
    chain_index = models.PositiveSmallIntegerField(default=0, help_text="Place of the chain in the work order.")
    chain = models.JSONField(default=dict, help_text="The chain as it was ordered; empty: the paper's.")
    noise_reduction = models.DecimalField(max_digits=4, decimal_places=2, default=0)
    noise_reduction_reached = models.FloatField(
        null=True, help_text="What the network could take, at most what was ordered; null: nothing was denoised."
    )
    remarks = models.JSONField(default=list, help_text="What holds for this chain alone, for the coordinator.")
    path = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["job", "chain_index", "noise_reduction"], name="processing_volumefile_unique"
            )
        ]


class Series(models.Model):
    """A finished, authored series of one arm. Lives until a newer finishing job takes its place."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="series")
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="series")
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="series")
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="+")
    arm = models.ForeignKey(Arm, on_delete=models.PROTECT, related_name="series")
    path = models.CharField(max_length=300, help_text="Folder in storage: frames.u16, series.json, dicom/ ...")
    rows = models.PositiveIntegerField()
    columns = models.PositiveIntegerField()
    slices = models.PositiveIntegerField()
    spacing_mm = models.JSONField(help_text="[slice, row, column]")
    window = models.JSONField(help_text="[centre, width]")
    edges = models.JSONField(help_text="left, right, top, bottom: one letter each")
    files = models.JSONField(default=list, help_text="path, sha256 and bytes of every file")
    preview = models.CharField(max_length=300, blank=True)
    noise_reduction_reached = models.FloatField(null=True, help_text="Of its volume. Never served to a reader.")
    remarks = models.JSONField(default=list, help_text="Of its volume, for the coordinator.")
    is_current = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "sequence", "arm"],
                condition=Q(is_current=True),
                name="processing_series_one_current",
            )
        ]


LEVEL_UNSURE = "check the level"
"""Every flag of the recon worker that the count of the levels is unsure says so: the sacrum is not seen whole, the
anatomy may be transitional, or something like a disc shows below the lowest body."""


class MeasuredSeries(models.Model):
    """What was found when the discs and vertebral bodies of a series were measured, or why they could not be."""

    series = models.OneToOneField(Series, on_delete=models.CASCADE, related_name="measured")
    remarks = models.JSONField(default=list, help_text="For the coordinator.")
    files = models.JSONField(default=list, help_text="path, sha256 and bytes of labels, contact sheet, SEG and SR")
    overlay = models.CharField(max_length=300, blank=True, help_text="Contact sheet with contours, PNG.")
    sheet = models.JSONField(null=True, help_text="Where the slices lie on it (docs/contracts); null: not told.")
    fault_message = models.TextField(blank=True)
    fault_action = models.TextField(blank=True)
    count_confirmed_reason = models.TextField(
        blank=True, help_text="How the coordinator knows that the levels are counted right; empty: not confirmed."
    )
    count_confirmed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    count_confirmed_at = models.DateTimeField(null=True)

    @property
    def lineage(self) -> dict[str, Any] | None:
        """Weights, thresholds and method of this series, as the job told them; None where it did not."""
        told = self.series.job.lineage.get("parameters", {}).get("measurements") or []
        by_arm = dict(zip(self.series.job.arms, told, strict=False))
        return by_arm.get(str(self.series.arm_id))


class Structure(models.Model):
    """One disc or vertebral body of a measured series. What was found stays; a correction stands beside it."""

    class Kind(models.TextChoices):
        DISC = "disc", "disc"
        BODY = "body", "vertebral body"

    class State(models.TextChoices):
        MEASURED = "measured", "measured"
        CUT = "cut", "cut by the field of view"
        EXCLUDED = "excluded", "not measured"

    measured = models.ForeignKey(MeasuredSeries, on_delete=models.CASCADE, related_name="structures")
    kind = models.CharField(max_length=4, choices=Kind)
    level = models.PositiveSmallIntegerField(help_text="As named in its own series.")
    matched_level = models.PositiveSmallIntegerField(
        null=True, help_text="Of the reference arm's structure at its place, where that is named otherwise."
    )
    corrected_level = models.PositiveSmallIntegerField(null=True, help_text="By the coordinator.")
    corrected_reason = models.TextField(blank=True, help_text="Why, in the coordinator's words.")
    state = models.CharField(max_length=8, choices=State)
    measures = models.JSONField(default=dict)
    centroid_mm = models.JSONField(help_text="LPS, in the frame of the series")
    flags = models.JSONField(default=list, help_text="What to look at, in words.")
    excluded_reason = models.TextField(blank=True, help_text="By the coordinator; empty: it counts.")
    excluded_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    excluded_at = models.DateTimeField(null=True)
    beyond = models.SmallIntegerField(
        default=0, help_text="So many levels past the last that has a name; a shift of all levels carried it there."
    )
    left_out_by_shift = models.BooleanField(
        default=False, help_text="It is left out because it is beyond; the shift back includes it again."
    )

    class Meta:
        ordering = ["kind", "level"]
        constraints = [
            models.UniqueConstraint(fields=["measured", "kind", "level"], name="processing_structure_unique_level"),
            models.CheckConstraint(condition=Q(level__gte=1) & Q(level__lte=7), name="processing_structure_level"),
        ]

    @property
    def level_is_unsure(self) -> bool:
        """Whether the count of levels is in doubt, and no coordinator has confirmed it or given this one a level."""
        doubted = any(LEVEL_UNSURE in flag for flag in self.flags)
        return doubted and self.corrected_level is None and not self.measured.count_confirmed_reason

    @property
    def effective_level(self) -> int:
        """The coordinator's level, else that of its match, else its own."""
        return self.corrected_level or self.matched_level or self.level
