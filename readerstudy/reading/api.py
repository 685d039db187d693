"""The reader's API: parse, call one service or selector, answer.

Every answer carries the same headers, whatever series it is about: no store, no ETag, no Last-Modified, no compression.
"""

from typing import Any, NoReturn
from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from readerstudy.reading import policies, selectors, serializers, services
from readerstudy.reading.authentication import ReaderAuthentication, person
from readerstudy.reading.models import Presentation


class OneAnswerForm(BaseContentNegotiation):
    """The form of an answer does not depend on what the browser says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The first one: JSON."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first one: JSON."""
        return renderers[0], renderers[0].media_type


class ReaderView(APIView):
    """What all addresses of the reader's API share."""

    authentication_classes = [ReaderAuthentication]
    content_negotiation_class = OneAnswerForm
    metadata_class = None  # OPTIONS describes nothing

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        """Only people without a session come here; all else is 404 by the policies."""
        raise NotAuthenticated("Your session has ended. Log in again; your grades are kept.")

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Constant headers on every answer, errors included."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "private, no-store"
        return response

    def parsed(self, serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
        """The checked content of a request. Raises ValidationError, answered without an echo of what was sent."""
        incoming = serializer(data=request.data)
        incoming.is_valid(raise_exception=True)
        content: dict[str, Any] = incoming.validated_data
        return content


class PresentationsView(ReaderView):
    """What the addresses of one presentation share."""

    def presentation(self, request: Request, study_id: UUID, token: str) -> Presentation:
        """The reader's own presentation, if it may be loaded now. Raises Http404, Refusal."""
        presentation = policies.presentation_for(person(request), study_id, token)
        policies.require_may_load(presentation)
        return presentation

    def shown(self, presentation: Presentation) -> None:
        """Asking for the current series opens it; the ones after it are only loaded ahead."""
        if policies.is_current(presentation):
            services.open_presentation(presentation=presentation)


class StudyView(ReaderView):
    """The study and the reader's own list."""

    @extend_schema(operation_id="reading_study", responses=serializers.StudyAnswer)
    def get(self, request: Request, study_id: UUID) -> Response:
        """Criteria, keys, rules, list, pace."""
        study = policies.reader_study_for(person(request), study_id)
        return Response(serializers.StudyAnswer(selectors.reader_study(study, person(request))).data)


class PresentationView(PresentationsView):
    """One presentation."""

    @extend_schema(operation_id="reading_presentation", responses=serializers.PresentationAnswer)
    def get(self, request: Request, study_id: UUID, token: str) -> Response:
        """Geometry, window, edges, place in the list, own grades."""
        presentation = self.presentation(request, study_id, token)
        self.shown(presentation)
        return Response(serializers.PresentationAnswer(selectors.reader_presentation(presentation)).data)


class FrameView(PresentationsView):
    """One image: exactly rows x columns x 2 bytes, little endian."""

    @extend_schema(operation_id="reading_frame", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, study_id: UUID, token: str, number: int) -> HttpResponse:
        """Frame `number`, from 0."""
        presentation = self.presentation(request, study_id, token)
        if number >= presentation.series.slices:
            raise Http404
        content = selectors.frame_bytes(presentation.series, number)
        return HttpResponse(content, content_type="application/octet-stream")


class OpenView(ReaderView):
    """The series is on the screen now."""

    @extend_schema(operation_id="reading_open", request=None, responses=serializers.SavedAnswer)
    def post(self, request: Request, study_id: UUID, token: str) -> Response:
        """Notes the first time; again changes nothing."""
        presentation = policies.presentation_for(person(request), study_id, token)
        services.open_presentation(presentation=presentation)
        return Response({"saved": True})


class GradesView(ReaderView):
    """Answers to the criteria."""

    @extend_schema(
        operation_id="reading_grade",
        request=serializers.GradeRequest,
        responses={200: serializers.SavedAnswer, 201: serializers.SavedAnswer},
    )
    def post(self, request: Request, study_id: UUID, token: str) -> Response:
        """201 when added, 200 when this id is stored already."""
        presentation = policies.presentation_for(person(request), study_id, token)
        content = self.parsed(serializers.GradeRequest, request)
        _, new = services.add_grade(presentation=presentation, **content)
        return Response({"saved": True}, status=201 if new else 200)


class CommentView(ReaderView):
    """A free remark."""

    @extend_schema(
        operation_id="reading_comment",
        request=serializers.CommentRequest,
        responses={201: serializers.SavedAnswer},
    )
    def post(self, request: Request, study_id: UUID, token: str) -> Response:
        """Adds the remark; the newest counts."""
        presentation = policies.presentation_for(person(request), study_id, token)
        services.add_comment(presentation=presentation, **self.parsed(serializers.CommentRequest, request))
        return Response({"saved": True}, status=201)


class SignOffView(ReaderView):
    """The reader is done with a series."""

    @extend_schema(operation_id="reading_sign_off", request=None, responses=serializers.NextAnswer)
    def post(self, request: Request, study_id: UUID, token: str) -> Response:
        """The next series; signing off twice changes nothing."""
        presentation = policies.presentation_for(person(request), study_id, token)
        return Response({"next": services.sign_off(presentation=presentation)})


class SessionsView(ReaderView):
    """One opening of the reading page."""

    @extend_schema(
        operation_id="reading_session",
        request=serializers.SessionRequest,
        responses={201: serializers.SavedAnswer},
    )
    def post(self, request: Request, study_id: UUID) -> Response:
        """Notes what the images are shown on."""
        study = policies.reader_study_for(person(request), study_id)
        content = self.parsed(serializers.SessionRequest, request)
        services.start_session(study=study, reader=person(request), **content)
        return Response({"saved": True}, status=201)
