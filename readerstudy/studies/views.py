"""Pages of a study: my studies, design, settings, people. They parse, call one service or selector, and answer."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from readerstudy.accounts.requests import PersonRequest
from readerstudy.faults import Refusal
from readerstudy.studies import amendments, policies, presets, selectors, services
from readerstudy.studies.codes import codes_from_text
from readerstudy.studies.models import Membership, Study
from readerstudy.studies.policies import STAFF_ROLES, study_for

COORDINATOR = Membership.Role.COORDINATOR
show_and_take = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@login_required
def index(request: PersonRequest) -> HttpResponse:
    """My studies: each with my role, its state and what to do next."""
    context = {"studies": selectors.my_studies(request.user), "may_create": policies.may_create_studies(request.user)}
    return render(request, "studies/index.html", context)


@show_and_take
@login_required
def new(request: PersonRequest) -> HttpResponse:
    """Create a study from a preset; only for people who may."""
    if not policies.may_create_studies(request.user):
        raise Http404
    refusal = None
    if request.method == "POST":
        name, preset = request.POST.get("name", ""), request.POST.get("preset", "")
        try:
            study = services.create_study_from_preset(name=name, preset=preset, actor=request.user)
        except Refusal as error:
            refusal = error
        else:
            messages.success(request, "The study is created. Add its subjects next.")
            return redirect("studies:design", study_id=study.pk)
    context = {"presets": [presets.preset(name) for name in presets.preset_names()], "refusal": refusal}
    return render(request, "studies/new.html", context, status=200 if refusal is None else 409)


def _design(
    request: PersonRequest, study: Study, membership: Membership, refusal: Refusal | None = None
) -> HttpResponse:
    context = {
        "study": study,
        "membership": membership,
        "tab": "design",
        "may_edit": membership.role == COORDINATOR and policies.is_editable(study),
        "refusal": refusal,
        "entered": request.POST,
        **selectors.design(study),
    }
    return render(request, "studies/design.html", context, status=200 if refusal is None else 409)


@require_safe
@login_required
def design(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """What the study is: arms, sequences, subjects, criteria, protocols, plan."""
    return _design(request, *study_for(request.user, study_id, *STAFF_ROLES))


def _on_design(request: PersonRequest, study_id: UUID, act: Callable[[Study], str]) -> HttpResponse:
    """Let the coordinator do one thing on the Design page; what is refused is said there."""
    study, membership = study_for(request.user, study_id, COORDINATOR)
    try:
        done = act(study)
    except Refusal as refusal:
        return _design(request, study, membership, refusal)
    messages.success(request, done)
    return redirect("studies:design", study_id=study.pk)


@require_POST
@login_required
def add_subjects(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Add subjects by their codes."""

    def act(study: Study) -> str:
        codes = codes_from_text(request.POST.get("codes", ""))
        chosen = request.POST.get("protocol", "")
        protocol = next((one for one in study.protocols.all() if str(one.pk) == chosen), None)
        added = services.add_subjects(study=study, codes=codes, protocol=protocol, actor=request.user)
        return f"{len(added)} subjects are added." if len(added) != 1 else f"{added[0].code} is added."

    return _on_design(request, study_id, act)


@require_POST
@login_required
def remove_subject(request: PersonRequest, study_id: UUID, subject_id: UUID) -> HttpResponse:
    """Take out a subject of which nothing came in yet."""

    def act(study: Study) -> str:
        subject = get_object_or_404(study.subjects, pk=subject_id)
        services.remove_subject(subject=subject, actor=request.user)
        return f"{subject.code} is removed."

    return _on_design(request, study_id, act)


@require_POST
@login_required
def begin_preparing(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Draft to preparing."""

    def act(study: Study) -> str:
        services.begin_preparing(study=study, actor=request.user)
        return "The study is being prepared: raw files can come in now."

    return _on_design(request, study_id, act)


def _editable(request: PersonRequest, study_id: UUID) -> tuple[Study, Membership]:
    study, membership = study_for(request.user, study_id, COORDINATOR)
    if not policies.is_editable(study):
        raise Http404
    return study, membership


@show_and_take
@login_required
def criteria(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Margins and written anchors, until the release."""
    study, membership = _editable(request, study_id)
    rows = selectors.criteria_to_edit(study, request.POST)
    refusal = None
    if request.method == "POST":
        try:
            amendments.change_criteria(
                study=study,
                margins={row["name"]: row["margin"] for row in rows},
                anchors={row["name"]: {a["value"]: a["text"] for a in row["anchors"]} for row in rows},
                actor=request.user,
            )
        except Refusal as error:
            refusal = error
        else:
            messages.success(request, "The criteria are saved.")
            return redirect("studies:design", study_id=study.pk)
    context = {"study": study, "membership": membership, "tab": "design", "rows": rows, "refusal": refusal}
    return render(request, "studies/criteria.html", context, status=200 if refusal is None else 409)


def _rename(request: PersonRequest, study: Study) -> None:
    amendments.rename_study(study=study, name=request.POST.get("name", ""), actor=request.user)


def _plan(request: PersonRequest, study: Study) -> None:
    changes = {key: request.POST[key] for key in amendments.PLAN_SETTINGS if key in request.POST}
    amendments.change_plan(study=study, changes=changes, actor=request.user)


def _rules(request: PersonRequest, study: Study) -> None:
    distance = request.POST.get("minimum_distance", "").strip()
    if distance and not distance.isdecimal():
        raise Refusal("The distance is not a whole number.", "Write for example 6, or leave it empty.")
    rules: dict[str, Any] = {
        "order": request.POST.get("order", ""),
        "allow_back": request.POST.get("allow_back") == "yes",
        "minimum_distance": int(distance) if distance else None,
    }
    amendments.change_reader_rules(study=study, rules=rules, actor=request.user)


SETTINGS = {"name": _rename, "plan": _plan, "rules": _rules}


@show_and_take
@login_required
def settings(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Name, analysis plan and reader rules, until the release."""
    study, membership = _editable(request, study_id)
    refusal = None
    part = request.POST.get("part", "")
    if request.method == "POST":
        if part not in SETTINGS:
            raise Http404
        try:
            SETTINGS[part](request, study)
        except Refusal as error:
            refusal = error
        else:
            messages.success(request, "Saved.")
            return redirect("studies:settings", study_id=study.pk)
    context = {
        "study": study,
        "membership": membership,
        "tab": "design",
        "refusal": refusal,
        "part": part,
        "form": selectors.settings_to_edit(study, part, request.POST),
    }
    return render(request, "studies/settings.html", context, status=200 if refusal is None else 409)


def _people(request: PersonRequest, study: Study, membership: Membership, **more: Any) -> HttpResponse:
    context = {
        "study": study,
        "membership": membership,
        "tab": "people",
        "people": selectors.people(study),
        "missing": selectors.missing_people(study),
        "roles": selectors.roles_to_give(study),
        "is_coordinator": membership.role == COORDINATOR,
        "may_remove": membership.role == COORDINATOR and policies.is_editable(study),
        "entered": request.POST,
        **more,
    }
    return render(request, "studies/people.html", context, status=409 if more.get("refusal") else 200)


@require_safe
@login_required
def people(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Who is in the study, and in which role."""
    return _people(request, *study_for(request.user, study_id, *STAFF_ROLES))


@require_POST
@login_required
def add_person(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Give somebody who has a login a role."""
    study, membership = study_for(request.user, study_id, COORDINATOR)
    role, username = request.POST.get("role", ""), request.POST.get("username", "")
    try:
        added = services.add_member_by_username(study=study, username=username, role=role, actor=request.user)
    except Refusal as refusal:
        return _people(request, study, membership, refusal=refusal, part="add")
    messages.success(request, f"{added.user} is {added.get_role_display()} now.")
    return redirect("studies:people", study_id=study.pk)


@never_cache
@require_POST
@login_required
def create_login(request: PersonRequest, study_id: UUID) -> HttpResponse:
    """Make a login for a new person. The answer shows the one-time password once; it cannot be fetched again."""
    study, membership = study_for(request.user, study_id, COORDINATOR)
    try:
        added, password = services.create_login(
            study=study,
            username=request.POST.get("username", ""),
            display_name=request.POST.get("display_name", ""),
            role=request.POST.get("role", ""),
            actor=request.user,
        )
    except Refusal as refusal:
        return _people(request, study, membership, refusal=refusal, part="create")
    return _people(request, study, membership, created=added, password=password, entered={})


@require_POST
@login_required
def remove_person(request: PersonRequest, study_id: UUID, membership_id: int) -> HttpResponse:
    """Take a person out of a study that is not released yet."""
    study, membership = study_for(request.user, study_id, COORDINATOR)
    theirs = get_object_or_404(study.memberships.select_related("user"), pk=membership_id)
    try:
        services.remove_member(membership=theirs, actor=request.user)
    except Refusal as refusal:
        return _people(request, study, membership, refusal=refusal, part="people")
    messages.success(request, f"{theirs.user} is no longer in the study.")
    if theirs.user_id == request.user.pk:
        return redirect("studies:index")
    return redirect("studies:people", study_id=study.pk)
