"""Pages: the coordinator's release, the principal investigator's unblinding."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from readerstudy.blinding import checks, selectors, services
from readerstudy.faults import Refusal
from readerstudy.reading.authentication import person
from readerstudy.studies.models import Membership, Study
from readerstudy.studies.policies import study_for


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def release(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """The checks, each with its sentence; the button; how far a release is."""
    study, membership = study_for(request.user, study_id, Membership.Role.COORDINATOR)
    refusal = None
    if request.method == "POST":
        try:
            services.start_release(study=study, actor=person(request))
        except Refusal as error:
            refusal = error
        else:
            return redirect("blinding:release", study_id=study.pk)
    preparing = study.state in (Study.State.DRAFT, Study.State.PREPARING)
    results = checks.run(study, thorough=False) if preparing else []
    preparation = selectors.preparation_of(study)
    return render(
        request,
        "blinding/release.html",
        {
            "study": study,
            "membership": membership,
            "tab": "readers",
            "checks": results,
            "remarks": checks.remarks(study) if preparing else [],
            "thorough": [sentence for _, sentence, _ in checks.THOROUGH] if preparing else [],
            "ready": study.state == Study.State.PREPARING and all(check.passed for check in results),
            "preparation": preparation,
            "under_way": preparation is not None and selectors.is_under_way(preparation),
            "made": selectors.release_of(study),
            "refusal": refusal,
        },
        status=200 if refusal is None else 409,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def unblind(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """What unblinding means, and the act itself."""
    study, membership = study_for(request.user, study_id, Membership.Role.PRINCIPAL_INVESTIGATOR)
    refusal = None
    if request.method == "POST":
        try:
            services.unblind(study=study, actor=person(request), reason=request.POST.get("reason", ""))
        except Refusal as error:
            refusal = error
        else:
            messages.success(request, "The study is unblinded. The tables are on the Results page.")
            return redirect("reading:readers", study_id=study.pk)
    return render(
        request,
        "blinding/unblind.html",
        {
            "study": study,
            "membership": membership,
            "tab": "readers",
            "unblinding": selectors.unblinding_of(study),
            "refusal": refusal,
        },
        status=200 if refusal is None else 409,
    )
