"""Addresses. Each app has its own list; the names of the apps never appear in what a reader sees."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def health(request: HttpRequest) -> HttpResponse:
    """Answers when the web process lives; for health checks."""
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [
    path("health", health),
    path("", include("readerstudy.accounts.urls")),
    path("", include("readerstudy.studies.urls")),
    path("", include("readerstudy.intake.urls")),
    path("", include("readerstudy.processing.urls")),
    path("", include("readerstudy.blinding.urls")),
    path("", include("readerstudy.reading.urls")),
    path("", include("readerstudy.results.urls")),
]
