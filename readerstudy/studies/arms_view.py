"""The page of what is compared: arms with their chains, and stored matrices. Until the release."""

import re
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from readerstudy.accounts.requests import PersonRequest
from readerstudy.faults import Refusal
from readerstudy.studies import amendments, chains, policies
from readerstudy.studies.models import Membership, Study
from readerstudy.studies.policies import study_for

COLOURS = ("#7fa7c9", "#4f81b0", "#1d4f80", "#7a9a3f", "#4d7d6b", "#a2536b", "#7b5ea7", "#b07a2a")
"""Of arms that are added: the first that no arm has."""


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def arms(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Add an arm, take one out of which nothing was made, choose the stored matrix of a sequence."""
    study, membership = study_for(request.user, study_id, Membership.Role.COORDINATOR)
    if not policies.is_editable(study):
        raise Http404
    refusal = None
    part = request.POST.get("part", "")
    if request.method == "POST":
        if part not in PARTS:
            raise Http404
        try:
            done = PARTS[part](request, study)
        except Refusal as error:
            refusal = error
        else:
            messages.success(request, done)
            return redirect("studies:arms", study_id=study.pk)
    entered = request.POST if part == "add" and refusal else {}
    context = {
        "study": study,
        "membership": membership,
        "tab": "design",
        "arms": study.arms.select_related("acquisition"),
        "acquisitions": study.acquisitions.all(),
        "sequences": study.sequences.all(),
        "fields": chains.chain_fields(entered),
        "entered": entered,
        "refusal": refusal,
        "part": part,
    }
    return render(request, "studies/arms.html", context, status=200 if refusal is None else 409)


def _add(request: PersonRequest, study: Study) -> str:
    taken = set(study.arms.values_list("colour", flat=True))
    added = amendments.add_arm(
        study=study,
        arm={
            "name": request.POST.get("name", ""),
            "acquisition": request.POST.get("acquisition", ""),
            "noise_reduction": _fraction(request.POST.get("noise_reduction", "")),
            "chain": chains.chain_from_form(request.POST),
            "colour": next((colour for colour in COLOURS if colour not in taken), COLOURS[0]),
        },
        actor=request.user,
    )
    return f"{added.name} is added. What it needs of files that are there is reconstructed now."


def _fraction(text: str) -> str:
    """ "25" or "25 %" as "0.25"."""
    percent = re.fullmatch(r"(\d{1,2})\s*%?", text.strip())
    if not percent:
        raise Refusal("The noise reduction is not a whole number of percent.", "Write 0 for none, or for example 50.")
    return f"0.{int(percent[1]):02d}"


def _remove(request: PersonRequest, study: Study) -> str:
    arm = get_object_or_404(study.arms, pk=_uuid(request.POST.get("arm", "")))
    amendments.remove_arm(arm=arm, actor=request.user)
    return f"{arm.name} is removed."


def _matrix(request: PersonRequest, study: Study) -> str:
    sequence = get_object_or_404(study.sequences, pk=_uuid(request.POST.get("sequence", "")))
    columns, rows = (request.POST.get(name, "").strip() for name in ("columns", "rows"))
    matrix: list[Any] | None = [int(one) if one.isdecimal() else one for one in (columns, rows)]
    if not columns and not rows:
        matrix = None
    amendments.change_stored_matrix(sequence=sequence, stored_matrix=matrix, actor=request.user)
    return "The stored matrix is saved. Finished series are made anew where it changed."


def _measured(request: PersonRequest, study: Study) -> str:
    sequence = get_object_or_404(study.sequences, pk=_uuid(request.POST.get("sequence", "")))
    amendments.change_measured(
        sequence=sequence, is_measured=request.POST.get("measured") == "yes", actor=request.user
    )
    return "What is measured is saved. Finished series are made anew where it changed."


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404 from error


PARTS = {"add": _add, "remove": _remove, "matrix": _matrix, "measured": _measured}
