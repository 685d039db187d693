"""A study whose grades are those of a given score table, up to any state of its life."""

import secrets
import uuid
from dataclasses import dataclass

from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.blinding.models import Seal, Unblinding
from readerstudy.processing.models import Job, Series
from readerstudy.reading.models import Grade, Presentation, ReadableSeries
from readerstudy.statistics.plan import PAPER_CRITERIA, mapping_sha256
from readerstudy.statistics.scores import ScoreTable
from readerstudy.studies.models import Acquisition, Arm, Criterion, Membership, Sequence, Study, Subject

PASSWORD = "correct horse battery"
COLOURS = ("#3b4754", "#9a6b2f", "#7fa7c9", "#3f7fb5", "#1d4f80")


@dataclass
class GradedStudy:
    """The study, its people and its score table's source."""

    study: Study
    investigator: User
    coordinator: User
    reader: User

    def grade(self, *, patient: str, arm: str, sequence: str, reader: str, category: str) -> Grade:
        """The grade that a row of the score table became."""
        seal = Seal.objects.get(
            series__subject__code=patient, series__arm__name=arm, series__sequence__name=sequence, study=self.study
        )
        return Grade.objects.get(
            presentation__series=seal.readable, presentation__reader__username=reader, criterion__name=category
        )


def graded_study(scores: ScoreTable, *, state: str = "unblinded", simulated: bool = False) -> GradedStudy:
    """Make it of rows; every series signed off by every reader. A score of None leaves the criterion ungraded."""
    plan = {
        "reference_arm": "Standard", "alpha": "0.05", "family": "sequence-category", "missing": "matched",
        "cannot_grade_image_quality": "worst",
        "criteria": {
            name: {"scale": list(criterion.scale), "better": criterion.better, "margin": criterion.margin}
            for name, criterion in PAPER_CRITERIA.items()
        },
    }  # fmt: skip
    study = Study.objects.create(
        name="Fast lumbar spine MRI", plan=plan, plan_hash=mapping_sha256(plan), state=state,
        has_simulated_grades=simulated,
    )  # fmt: skip
    people = {
        name: User.objects.create_user(username=name, password=PASSWORD)
        for name in ("investigator", "coordinator", *scores.readers)
    }
    for name, user in people.items():
        role = {"investigator": "principal-investigator", "coordinator": "coordinator"}.get(name, "reader")
        Membership.objects.create(study=study, user=user, role=role)
    criteria = {
        name: Criterion.objects.create(
            study=study, name=name, order=order, margin=plan["criteria"][name]["margin"],
            better=plan["criteria"][name]["better"], scale_minimum=plan["criteria"][name]["scale"][0],
            scale_maximum=plan["criteria"][name]["scale"][1],
        )
        for order, name in enumerate(PAPER_CRITERIA)
    }  # fmt: skip
    fast = Acquisition.objects.create(study=study, name="Fast", order=0)
    arms = {
        name: Arm.objects.create(
            study=study, name=name, order=order, acquisition=fast, is_reference=name == "Standard",
            colour=COLOURS[order],
        )
        for order, name in enumerate(scores.arms)
    }  # fmt: skip
    sequences = {
        name: Sequence.objects.create(study=study, name=name, order=order)
        for order, name in enumerate(scores.sequences)
    }
    subjects = {code: Subject.objects.create(study=study, code=code) for code in scores.patients}
    geometry = {
        "rows": 2, "columns": 2, "slices": 1, "spacing_mm": [4, 1, 1], "window": [1750, 3500],
        "edges": {"left": "A", "right": "P", "top": "H", "bottom": "F"},
    }  # fmt: skip
    presentations: dict[tuple[str, str, str, str], Presentation] = {}
    positions = dict.fromkeys(scores.readers, 0)
    for sequence_name, sequence in sequences.items():
        for code, subject in subjects.items():
            job = Job.objects.create(
                study=study, kind="finishing", subject=subject, sequence=sequence, status="done",
                queued_at=timezone.now(),
            )  # fmt: skip
            for arm_name, arm in arms.items():
                series = Series.objects.create(
                    job=job, study=study, subject=subject, sequence=sequence, arm=arm, path="nowhere", **geometry
                )
                readable = ReadableSeries.objects.create(
                    token=secrets.token_urlsafe(32), study=study, sequence=sequence, **geometry
                )
                Seal.objects.create(readable=readable, series=series, study=study)
                for reader in scores.readers:
                    positions[reader] += 1
                    presentations[sequence_name, arm_name, code, reader] = Presentation(
                        token=secrets.token_urlsafe(32), study=study, reader=people[reader], series=readable,
                        position=positions[reader], signed_off_at=timezone.now(),
                    )  # fmt: skip
    Presentation.objects.bulk_create(presentations.values())
    Grade.objects.bulk_create(
        Grade(
            id=uuid.uuid4(), number=1, value=rating.score, criterion=criteria[rating.category],
            presentation=presentations[rating.sequence, rating.arm, rating.patient, rating.reader],
        )
        for rating in scores.ratings
        if rating.score is not None
    )  # fmt: skip
    if state == "unblinded":
        Unblinding.objects.create(study=study, by=people["investigator"], reason="all read", grades_sha256="0" * 64)
    return GradedStudy(study, people["investigator"], people["coordinator"], people[scores.readers[0]])
