"""What comes in: resumable uploads (tus 1.0) and the raw files they become."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from readerstudy.studies.models import Acquisition, Sequence, Study, Subject


class Upload(models.Model):
    """A file on its way in. Its bytes lie in the upload folder under its id until they are whole."""

    class State(models.TextChoices):
        RECEIVING = "receiving", "receiving"
        CHECKING = "checking", "checking"  # whole; checksum being made
        ACCEPTED = "accepted", "accepted"
        REFUSED = "refused", "refused"
        EXPIRED = "expired", "expired"
        CANCELLED = "cancelled", "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="uploads")
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="+")
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="+")
    acquisition = models.ForeignKey(Acquisition, on_delete=models.CASCADE, related_name="+")
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    file_name = models.CharField(max_length=255, help_text="As the browser said it. Shown, never trusted.")
    fingerprint = models.CharField(
        max_length=200, blank=True, help_text="What the browser knows the file by, to go on with the same one."
    )
    length = models.PositiveBigIntegerField()
    offset = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.RECEIVING)
    refusal = models.TextField(blank=True, help_text="What is wrong, where it was refused.")
    refusal_action = models.TextField(blank=True, help_text="What to do about it.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accept_sent_at = models.DateTimeField(null=True, help_text="When the task that checks it was last sent.")

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(offset__lte=F("length")), name="intake_upload_offset_within_length")
        ]


class RawFile(models.Model):
    """A whole raw file in storage. The current one of a subject, sequence and acquisition is processed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.OneToOneField(Upload, null=True, on_delete=models.SET_NULL, related_name="raw_file")
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="raw_files")
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="raw_files")
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="+")
    acquisition = models.ForeignKey(Acquisition, on_delete=models.CASCADE, related_name="+")
    path = models.CharField(max_length=300, help_text="Relative to the storage URL.")
    file_name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    is_current = models.BooleanField(default=True, help_text="False once another file took its place.")
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["received_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "sequence", "acquisition"],
                condition=Q(is_current=True),
                name="intake_rawfile_one_current",
            ),
            models.UniqueConstraint(
                fields=["study", "sha256"], condition=Q(is_current=True), name="intake_rawfile_same_file_once"
            ),
        ]
