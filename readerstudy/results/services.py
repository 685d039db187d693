"""The only writer of results."""

import hashlib

from django.db import transaction

from readerstudy.accounts.models import User
from readerstudy.audit.services import record
from readerstudy.faults import Refusal
from readerstudy.results import selectors
from readerstudy.results.models import Result
from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.tables import measurements_csv, scores_csv
from readerstudy.studies.models import Study
from readerstudy.studies.services import compared


@transaction.atomic
def compute_results(*, study: Study, actor: User | None = None) -> Result:
    """Compute and store the tables under the frozen plan; the same plan, grades and measurements are computed once.

    Raises Refusal before unblinding and where the grades do not fit the plan.
    """
    Study.objects.select_for_update().get(pk=study.pk)  # two first looks at once: one computes, the other finds it
    plan = selectors.analysis_plan(study)
    scores = selectors.study_scores(study, plan)
    scores_sha256 = hashlib.sha256(scores_csv(scores.table).encode()).hexdigest()
    measured = selectors.measurements(study)
    measurements_sha256 = hashlib.sha256(measurements_csv(measured).encode()).hexdigest() if measured else ""
    hashes = {
        "plan_sha256": study.plan_hash, "scores_sha256": scores_sha256, "measurements_sha256": measurements_sha256,
    }  # fmt: skip
    existing = Result.objects.filter(study=study, **hashes).first()
    if existing is not None:
        return existing
    try:
        content = {
            **analyse(scores.table, plan),
            **selectors.measurement_tables(measured, plan),
            "table6b": selectors.structure_fates(study),
            "table6c": selectors.without_exclusions(study, measured, plan),
            "measured_by": selectors.measured_by(study),
        }
    except AnalysisFault as fault:
        raise Refusal(fault.what, fault.action) from fault
    content = {
        "study": study.name,
        "simulated_grades": study.has_simulated_grades,
        **hashes,
        **content,
        "arms": compared(study)["arms"],
        "noise_reduction": selectors.noise_reductions(study),
    }
    result = Result.objects.create(
        study=study,
        **hashes,
        content=content,
        boxes=selectors.box_rows(scores.table, plan),
        completeness=scores.completeness,
        computed_by=actor,
    )
    details = {**hashes, "counts": content["counts"]}
    record(study=study.pk, actor=actor, action="results.computed", details=details)
    return result
