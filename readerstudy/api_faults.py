"""One form for every error of the API: {"message": what is wrong, "action": what to do}."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from readerstudy.faults import Refusal


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Refusals become 409, malformed requests 400 without echoing what was sent, the rest as DRF has it."""
    if isinstance(error, Refusal):
        return Response({"message": error.what, "action": error.action}, status=409)
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError):
        response.data = {
            "message": "The request was not understood.",
            "action": "Reload the page.",
            "fields": sorted(error.detail) if isinstance(error.detail, dict) else [],
        }
    else:
        response.data = {"message": str(getattr(error, "detail", "Not possible.")), "action": ""}
    return response
