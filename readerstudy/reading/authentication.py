"""Who is asking the reader's API."""

from typing import Any

from django.http import Http404, HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from readerstudy.accounts.models import User


class ReaderAuthentication(SessionAuthentication):
    """Session login; a lost session answers 401 everywhere, so that the page asks for the login and keeps its work."""

    def authenticate_header(self, request: Request) -> str:
        """Makes an unauthenticated answer 401."""
        return "Session"


class ReaderAuthenticationSchema(OpenApiAuthenticationExtension):
    """How the API's description names it."""

    target_class = ReaderAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A cookie."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def person(request: HttpRequest | Request) -> User:
    """Who asks. Raises Http404 where nobody is logged in (the doors before this one have asked for the login)."""
    if not isinstance(request.user, User):
        raise Http404
    return request.user
