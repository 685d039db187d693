"""The coordinator's Measurements page: overlays of all arms, values, corrections."""

import re
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.processing import measurements, policies, services
from readerstudy.studies.models import Membership

PRIVATE = "private, no-store"
LEVEL = re.compile("[1-9]")
DIRECTIONS = {"up": -1, "down": 1}


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


@login_required
@require_GET
def page(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Every measured subject: contact sheets of the arms side by side, values, what needs a look."""
    study, membership = policies.measured_study(_user(request), study_id)
    is_coordinator = membership.role == Membership.Role.COORDINATOR
    context = {
        "study": study,
        "membership": membership,
        "tab": "measurements",
        "page": measurements.page(study, shown=request.GET.get("shown", "")),
        "is_coordinator": is_coordinator,
        "may_correct": is_coordinator and policies.may_correct_measurements(study),
    }
    response = render(request, "processing/measurements.html", context)
    response["Cache-Control"] = PRIVATE
    return response


@login_required
@require_GET
def overlay(request: HttpRequest, study_id: UUID, series_id: UUID) -> HttpResponse:
    """The contact sheet of a measured series as PNG."""
    path = policies.overlay_of(_user(request), study_id, series_id)
    try:
        with storage.open_file(path) as file:
            picture = file.read()
    except FileNotFoundError as error:
        raise Http404 from error
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": PRIVATE})


@login_required
@require_GET
def dicom_object(request: HttpRequest, study_id: UUID, series_id: UUID, name: str) -> HttpResponseBase:
    """SEG or SR of a measured series, to be kept as a file."""
    series, path = policies.measurement_object_of(_user(request), study_id, series_id, name)
    try:
        file = storage.open_file(path)
    except FileNotFoundError as error:
        raise Http404 from error
    parts = (series.subject.code, series.sequence.name, series.arm.name)
    file_name = "-".join([*filter(None, map(slugify, parts)), name])
    answer = FileResponse(file, as_attachment=True, filename=file_name, content_type="application/dicom")
    answer["Cache-Control"] = PRIVATE
    return answer


@login_required
@require_POST
def correct(request: HttpRequest, study_id: UUID, structure_id: int) -> HttpResponse:
    """Correct a level, exclude a structure, or include it again."""
    structure = policies.structure_of(_user(request), study_id, structure_id)
    act, actor = request.POST.get("act", ""), _user(request)
    try:
        if act == "level":
            level = request.POST.get("level", "")
            services.correct_level(
                structure_id=structure.pk,
                level=int(level) if LEVEL.fullmatch(level) else 0,
                reason=request.POST.get("reason", ""),
                actor=actor,
            )
        elif act == "exclude":
            services.exclude_structure(structure_id=structure.pk, reason=request.POST.get("reason", ""), actor=actor)
        elif act == "include":
            services.include_structure(structure_id=structure.pk, actor=actor)
        else:
            raise Http404
    except Refusal as refusal:
        messages.error(request, str(refusal))
    series = structure.measured.series
    return _back(study_id, measurements.anchor(series.subject, series.sequence))


@login_required
@require_POST
def shift(request: HttpRequest, study_id: UUID, subject_id: UUID, sequence_id: UUID) -> HttpResponse:
    """Shift all levels of a subject and sequence by one, in one arm or all."""
    subject, sequence = policies.subject_and_sequence_of(_user(request), study_id, subject_id, sequence_id)
    try:
        arm = request.POST.get("arm", "")
        done = services.shift_levels(
            subject_id=subject.pk,
            sequence_id=sequence.pk,
            arm_id=UUID(arm) if arm else None,
            by=DIRECTIONS.get(request.POST.get("direction", ""), 0),
            reason=request.POST.get("reason", ""),
            seen=request.POST.get("seen", ""),
            actor=_user(request),
        )
        messages.success(request, f"{subject.code}: {done.sentence}")
    except ValueError as error:  # no form of ours names such an arm
        raise Http404 from error
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return _back(study_id, measurements.anchor(subject, sequence))


@login_required
@require_POST
def count(request: HttpRequest, study_id: UUID, subject_id: UUID, sequence_id: UUID) -> HttpResponse:
    """Confirm the count of levels of a subject and sequence in all arms, or take that back."""
    subject, sequence = policies.subject_and_sequence_of(_user(request), study_id, subject_id, sequence_id)
    act, of = request.POST.get("act", ""), {"subject_id": subject.pk, "sequence_id": sequence.pk}
    if act not in ("confirm", "doubt"):
        raise Http404
    try:
        if act == "confirm":
            reason, seen = request.POST.get("reason", ""), request.POST.get("seen", "")
            services.confirm_count(**of, reason=reason, seen=seen, actor=_user(request))
        else:
            services.doubt_count(**of, actor=_user(request))
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return _back(study_id, measurements.anchor(subject, sequence))


def _back(study_id: UUID, place: str) -> HttpResponse:
    """To where one was on the page."""
    return redirect(reverse("processing:measurements", kwargs={"study_id": study_id}) + f"?shown={place}#{place}")
