"""Pages: my studies."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from readerstudy.studies import policies, selectors


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """My studies: each with my role, its state and what to do next."""
    context = {"studies": selectors.my_studies(request.user), "may_create": policies.may_create_studies(request.user)}
    return render(request, "studies/index.html", context)
