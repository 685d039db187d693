"""A password that somebody else has seen opens one page only: the one where its owner chooses a new one."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse


def own_password_first(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Send a person with a one-time password to the password page, whatever was asked for."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not getattr(request.user, "must_change_password", False):
            return get_response(request)
        if request.path in (reverse("accounts:password"), reverse("accounts:logout"), "/health"):
            return get_response(request)
        if request.path.startswith("/api/"):
            answer = {"message": "A one-time password is in use.", "action": "Choose your own password first."}
            return JsonResponse(answer, status=403)
        return redirect("accounts:password")

    return middleware
