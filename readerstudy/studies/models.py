"""What a study is. Everything here is data that a coordinator sets before the first read, and frozen at release."""

import uuid
from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from readerstudy.studies.chains import canonical_chain, chain_in_words

DECIMAL_TEXT = RegexValidator(r"^-?\d+(\.\d+)?$", "Write a decimal number such as -0.5.")


class Study(models.Model):
    """A blinded reader study and where it is in its life."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        PREPARING = "preparing", "preparing"
        READING = "reading", "reading"
        LOCKED = "locked", "locked"
        UNBLINDED = "unblinded", "unblinded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    preset = models.CharField(max_length=60, blank=True, help_text="Name of the preset it was made from.")
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    has_simulated_grades = models.BooleanField(
        default=False, help_text="Grades come from simulated readers; every page and download says so."
    )
    plan = models.JSONField(help_text="The analysis plan (PLAN.json of docs/statistics.md).")
    plan_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the plan, set when it is frozen.")
    reader_rules = models.JSONField(
        default=dict, help_text="order algorithm ('simple' or 'blocked'), allow_back, minimum_distance, seed."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["draft", "preparing", "reading", "locked", "unblinded"]),
                name="studies_study_known_state",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "preparing"]) | ~Q(plan_hash=""), name="studies_study_plan_frozen"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's one role in a study."""

    class Role(models.TextChoices):
        COORDINATOR = "coordinator", "coordinator"
        READER = "reader", "reader"
        PRINCIPAL_INVESTIGATOR = "principal-investigator", "principal investigator"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=24, choices=Role)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "user"], name="studies_membership_one_role"),
            models.CheckConstraint(
                condition=Q(role__in=["coordinator", "reader", "principal-investigator"]),
                name="studies_membership_known_role",
            ),
        ]


class Named(models.Model):
    """What has a name and a place in the order of a study."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    order = models.PositiveSmallIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class Sequence(Named):
    """A pulse sequence that is read ("SAG T1"). Its name is shown to readers."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="sequences")
    stored_matrix = models.JSONField(
        null=True,
        help_text="[columns, rows] to which the slices of every arm are zero filled; null: the acquired matrix.",
    )
    is_measured = models.BooleanField(
        default=False, help_text="Discs and vertebral bodies of its series are segmented and measured."
    )

    class Meta:
        ordering = ["order"]
        constraints = [models.UniqueConstraint(fields=["study", "name"], name="studies_sequence_unique_name")]


class Acquisition(Named):
    """A way of scanning ("Standard", "Fast"). A subject has one raw file for each sequence and acquisition."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="acquisitions")

    class Meta:
        ordering = ["order"]
        constraints = [models.UniqueConstraint(fields=["study", "name"], name="studies_acquisition_unique_name")]


class Arm(Named):
    """What is compared ("Fast DL50"): an acquisition and what is done to it. Never shown to readers."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="arms")
    acquisition = models.ForeignKey(Acquisition, on_delete=models.PROTECT, related_name="arms")
    noise_reduction = models.DecimalField(max_digits=4, decimal_places=2, default=0)
    chain = models.JSONField(
        default=dict,
        blank=True,
        help_text="Choice of reconstruction chain (docs/contracts/chain-choice.schema.json); empty: the paper's.",
    )
    is_reference = models.BooleanField(default=False)
    colour = models.CharField(max_length=7, default="#3a4556", help_text="Carried by the arm through all figures.")

    class Meta:
        ordering = ["order"]
        constraints = [
            models.UniqueConstraint(fields=["study", "name"], name="studies_arm_unique_name"),
            models.UniqueConstraint(fields=["study"], condition=Q(is_reference=True), name="studies_arm_one_reference"),
            models.CheckConstraint(
                condition=Q(noise_reduction__gte=0) & Q(noise_reduction__lte=1), name="studies_arm_noise_reduction"
            ),
        ]

    @property
    def full_chain(self) -> dict[str, Any]:
        """Its chain with every choice written out: equal for arms of the same chain."""
        return canonical_chain(self.chain)

    @property
    def noise_percent(self) -> str:
        """Its noise reduction as readers of the design know it: "25 %"."""
        return f"{100 * self.noise_reduction:.0f} %"

    @property
    def chain_words(self) -> str:
        """What its chain does otherwise than the paper's; empty for the paper's."""
        return chain_in_words(self.full_chain)


class Criterion(Named):
    """What a reader grades, on an integer scale with written anchors."""

    class Better(models.TextChoices):
        HIGHER = "higher", "higher"
        LOWER = "lower", "lower"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="criteria")
    scale_minimum = models.SmallIntegerField(default=1)
    scale_maximum = models.SmallIntegerField(default=5)
    better = models.CharField(max_length=6, choices=Better, default=Better.HIGHER)
    margin = models.CharField(
        max_length=12, validators=[DECIMAL_TEXT], help_text="Noninferiority margin as a decimal text: -0.5, 0.2."
    )
    anchors = models.JSONField(default=dict, help_text='Written anchors: {"1": "Terrible", ...}.')

    class Meta:
        ordering = ["order"]
        constraints = [
            models.UniqueConstraint(fields=["study", "name"], name="studies_criterion_unique_name"),
            models.CheckConstraint(
                condition=Q(scale_maximum__gt=F("scale_minimum")), name="studies_criterion_scale_ascends"
            ),
        ]

    @property
    def is_binary(self) -> bool:
        """Whether it is graded 0 or 1."""
        return (self.scale_minimum, self.scale_maximum) == (0, 1)


class Protocol(Named):
    """A scanning protocol ("MSK", "neuroradiology"): for each sequence what is expected (Table 1 of the paper)."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="protocols")

    class Meta:
        ordering = ["order"]
        constraints = [models.UniqueConstraint(fields=["study", "name"], name="studies_protocol_unique_name")]


class ProtocolLine(models.Model):
    """What a protocol expects of one sequence in one acquisition."""

    protocol = models.ForeignKey(Protocol, on_delete=models.CASCADE, related_name="lines")
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="+")
    acquisition = models.ForeignKey(Acquisition, on_delete=models.CASCADE, related_name="+")
    nex = models.DecimalField(max_digits=4, decimal_places=2, help_text="Number of excitations; 0.5 = partial Fourier.")
    scan_time_seconds = models.PositiveIntegerField()
    parameters = models.JSONField(default=dict, help_text="te_ms, tr_ms, fov_mm, matrix, echo_train_length ...")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["protocol", "sequence", "acquisition"], name="studies_protocolline_unique")
        ]


class Subject(models.Model):
    """A patient or volunteer under a study code ("S07"). No name, date or hospital number is ever stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="subjects")
    code = models.CharField(
        max_length=20, validators=[RegexValidator(r"^[A-Za-z0-9-]{1,20}$", "Use letters, digits and hyphens only.")]
    )
    protocol = models.ForeignKey(Protocol, null=True, on_delete=models.PROTECT, related_name="subjects")

    class Meta:
        ordering = ["code"]
        constraints = [models.UniqueConstraint(fields=["study", "code"], name="studies_subject_unique_code")]

    def __str__(self) -> str:
        return self.code
