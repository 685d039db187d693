"""Pages: the reader's start and reading page, the staff's progress page, the lock."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_safe

from readerstudy.faults import Refusal
from readerstudy.reading import policies, selectors, services
from readerstudy.reading.authentication import person
from readerstudy.reading.keys import KEYS, NAMES
from readerstudy.studies.models import Membership, Study
from readerstudy.studies.policies import study_for

STAFF = (Membership.Role.COORDINATOR, Membership.Role.PRINCIPAL_INVESTIGATOR)
SHOWN_KEYS = [
    {"keys": ["0 – 9"] if name == "grade" else [NAMES.get(one, one) for one in key["keys"]], "does": key["does"]}
    for name, key in KEYS.items()
]
never_kept = cache_control(private=True, no_store=True)


@require_safe
@never_kept
@login_required
def start(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """The reader's start page: what is left, how long it takes, the anchors, the keys, Continue."""
    study = policies.reader_study_for(person(request), study_id)
    content = selectors.reader_study(study, person(request))
    left = sum(not one["signed_off"] for one in content["presentations"])
    for sequence in content["sequences"]:
        sequence["left"] = sequence["length"] - sequence["signed_off"]
    pace = content["seconds_per_series"]
    return render(
        request,
        "reading/start.html",
        {
            "study": study,
            "content": content,
            "left": left,
            "done": content["length"] - left,
            "minutes": None if pace is None else -(-left * pace // 60),
            "open": study.state == Study.State.READING,
            "keys": SHOWN_KEYS,
        },
    )


@require_safe
@never_kept
@login_required
@ensure_csrf_cookie
def read(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """The reading page; it gets everything from the API and never reloads between series."""
    study = policies.reader_study_for(person(request), study_id)
    if study.state != Study.State.READING:
        return redirect("reading:start", study_id=study.pk)
    return render(request, "reading/read.html", {"study": study})


@require_safe
@login_required
def readers(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """How far each reader is; for the principal investigator the way to lock and unblind."""
    study, membership = study_for(request.user, study_id, *STAFF)
    rows = selectors.progress(study)
    return render(
        request,
        "reading/readers.html",
        {
            "study": study,
            "membership": membership,
            "tab": "readers",
            "rows": rows,
            "left": sum(row.left for row in rows),
            "is_principal_investigator": membership.role == Membership.Role.PRINCIPAL_INVESTIGATOR,
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def lock(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """What locking means, and the act itself."""
    study, membership = study_for(request.user, study_id, Membership.Role.PRINCIPAL_INVESTIGATOR)
    refusal = None
    if request.method == "POST":
        try:
            services.lock(study=study, actor=person(request), reason=request.POST.get("reason", ""))
        except Refusal as error:
            refusal = error
        else:
            messages.success(request, "The study is locked. No grade can be changed any more.")
            return redirect("reading:readers", study_id=study.pk)
    rows = selectors.progress(study)
    return render(
        request,
        "reading/lock.html",
        {
            "study": study,
            "membership": membership,
            "tab": "readers",
            "left": sum(row.left for row in rows),
            "unfinished": [row for row in rows if row.left],
            "refusal": refusal,
        },
        status=200 if refusal is None else 409,
    )
