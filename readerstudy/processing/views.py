"""The coordinator's Processing page and what it fetches."""

import hashlib
import json
from collections.abc import Callable
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.processing import policies, selectors, services, wording

PRIVATE = "private, no-store"


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


@login_required
@require_GET
def page(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Acquisitions, their files and stages; finished series."""
    study, membership = policies.coordinated(_user(request), study_id)
    content = selectors.page(study)
    context = {"study": study, "membership": membership, "tab": "processing", "page": content}
    return render(request, "processing/page.html", context)


@require_GET
def status(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """The page's content as JSON; 304 while nothing changed."""
    if not request.user.is_authenticated:
        return JsonResponse({"message": "You are logged out.", "action": "Log in again."}, status=401)
    study, _ = policies.coordinated(_user(request), study_id)
    body = json.dumps(selectors.page(study)).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(body, content_type="application/json")
    response["ETag"] = tag
    response["Cache-Control"] = "private, no-cache"
    return response


@login_required
@require_POST
def retry(request: HttpRequest, study_id: UUID, job_id: UUID) -> HttpResponse:
    """Try a failed step again."""
    job = policies.steerable_job(_user(request), study_id, job_id)
    return _act(request, study_id, lambda: services.retry(job_id=job.id, actor=_user(request)))


@login_required
@require_POST
def cancel(request: HttpRequest, study_id: UUID, job_id: UUID) -> HttpResponse:
    """Stop a step that waits or runs."""
    job = policies.steerable_job(_user(request), study_id, job_id)
    return _act(request, study_id, lambda: services.cancel(job_id=job.id, actor=_user(request)))


@login_required
@require_POST
def remove_file(request: HttpRequest, study_id: UUID, raw_file_id: UUID) -> HttpResponse:
    """Take a file out of its place, with what was made of it."""
    raw_file = policies.removable_file(_user(request), study_id, raw_file_id)
    return _act(request, study_id, lambda: services.remove_file(raw_file_id=raw_file.id, actor=_user(request)))


@login_required
@require_GET
def preview(request: HttpRequest, study_id: UUID, series_id: UUID) -> HttpResponse:
    """A series' middle slice as PNG."""
    series = policies.series_of(_user(request), study_id, series_id)
    try:
        picture = selectors.preview(series)
    except FileNotFoundError as error:
        raise Http404 from error
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": "private, no-store"})


@login_required
@require_GET
def lineage(request: HttpRequest, study_id: UUID, series_id: UUID) -> HttpResponse:
    """Where a series came from; as JSON with `?format=json`."""
    series = policies.series_of(_user(request), study_id, series_id)
    study, membership = policies.coordinated(_user(request), study_id)
    content = selectors.lineage(series)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if request.GET.get("format") == "json":
        response = HttpResponse(text, content_type="application/json")
        response["Cache-Control"] = PRIVATE
        return response
    context = {
        "study": study,
        "membership": membership,
        "tab": "processing",
        "series": series,
        "lineage": content,
        "made": wording.made(series),
        "text": text,
    }
    return render(request, "processing/lineage.html", context)


def _act(request: HttpRequest, study_id: UUID, act: Callable[[], object]) -> HttpResponse:
    """One act: JSON for the page's script, otherwise back to the page."""
    wants_json = "application/json" in request.headers.get("Accept", "")
    try:
        act()
    except Refusal as refusal:
        if wants_json:
            return JsonResponse({"message": refusal.what, "action": refusal.action}, status=409)
        messages.error(request, str(refusal))
    return HttpResponse(status=204) if wants_json else redirect("processing:page", study_id=study_id)
