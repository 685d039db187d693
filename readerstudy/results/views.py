"""Pages and downloads for coordinator and principal investigator; nothing before the study is unblinded."""

from typing import cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.text import slugify
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.results import downloads, pages, selectors, services, words
from readerstudy.results.measurement_pages import FATES, measured_by, measurement_page, table6_lines, table6b_parts
from readerstudy.statistics.measurement_agreement import FEWEST_PATIENTS
from readerstudy.studies.models import Study
from readerstudy.studies.policies import STAFF_ROLES, study_for

never_kept = cache_control(private=True, no_store=True)


@require_safe
@never_kept
@login_required
def results(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Figures and tables of one sequence. They are computed at the first look, then read."""
    study, membership = study_for(request.user, study_id, *STAFF_ROLES)
    context = {"study": study, "membership": membership, "tab": "results"}
    if study.state != Study.State.UNBLINDED:
        return render(request, "results/closed.html", context)
    try:
        result = services.compute_results(study=study, actor=cast(User, request.user))
    except Refusal as refusal:
        return render(request, "results/closed.html", {**context, "refusal": refusal}, status=409)
    sequences = pages.sequence_names(result.content)
    sequence = request.GET.get("sequence", sequences[0])
    if sequence not in sequences:
        raise Http404
    study_arms = list(study.arms.order_by("order"))
    arms, colours = [arm.name for arm in study_arms], {arm.name: arm.colour for arm in study_arms}
    page = pages.sequence_page(result.content, result.boxes, sequence=sequence, arms=arms, colours=colours)
    parts = measurement_page(result.content, selectors.measurements(study), arms=arms, colours=colours)
    of_paper, beyond = ([part for part in parts if part["in_paper"] is held] for held in (True, False))
    return render(
        request,
        "results/results.html",
        {
            **context,
            "result": result,
            "sequences": sequences,
            "sequence": sequence,
            "page": page,
            "readers": words.people(result.completeness["readers"]),
            "completeness": words.completeness(
                result.completeness, result.content["plan"]["cannot_grade_image_quality"]
            ),
            "noise_reductions": words.noise_reductions(
                [row for row in selectors.noise_reductions(study) if row["sequence"] == sequence]
            ),
            "measurements": parts,
            "table6": [
                {"identifier": name, "parts": held, "lines": table6_lines(held, arms=arms, colours=colours)}
                for name, held in (("table6", of_paper), ("table6-beyond", beyond))
                if held
            ],
            "nothing_left_out": [part for part in of_paper if part["nothing_left_out"]],
            "beyond": bool(beyond),
            "fewest_patients": FEWEST_PATIENTS,
            "measured_by": measured_by(result.content),
            "table6b": table6b_parts(result.content, colours=colours),
            "fates": FATES.values(),
            "measurements_reason": result.content.get("measurements_reason"),
            "file_stem": _file_stem(study),
            "figure_label": "Simulated grades. " if study.has_simulated_grades else "",
            "chains": [arm for arm in study_arms if arm.chain_words],
            "downloads": downloads.names(result.content),
        },
    )


@require_safe
@never_kept
@login_required
def download(request: HttpRequest, study_id: UUID, name: str) -> HttpResponse:
    """One file of the results, labelled where the grades are simulated."""
    study, _ = study_for(request.user, study_id, *STAFF_ROLES)
    if name not in downloads.NAMES or study.state != Study.State.UNBLINDED:
        raise Http404
    try:
        text = downloads.download_text(study=study, actor=cast(User, request.user), name=name)
    except Refusal as refusal:
        return HttpResponse(str(refusal), status=409, content_type="text/plain; charset=utf-8")
    kind = "application/json" if name.endswith(".json") else "text/csv; charset=utf-8"
    file_name = f"{_file_stem(study)}-{name}"
    return HttpResponse(text, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{file_name}"'})


def _file_stem(study: Study) -> str:
    """How names of the study's files begin; they say so where the grades are simulated."""
    title = slugify(study.name) or "study"
    is_said = not study.has_simulated_grades or "simulated-grades" in title
    return title if is_said else f"{title}-simulated-grades"
