"""The door for files: tus 1.0.0 (core, creation, checksum, expiration, termination)."""

import errno
import logging
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.urls import reverse
from django.utils import timezone
from django.utils.http import http_date
from django.views import View

from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.intake import folder, selectors, services, tus
from readerstudy.intake.models import Upload
from readerstudy.intake.policies import receiving_study, upload_for

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 60
"""A connection that says nothing for so long is given up, so that its upload can be gone on with."""


class TusView(View):
    """What all requests have in common: login, version, and every fault in words."""

    http_method_names = ["get", "head", "options", "post", "patch", "delete"]

    def dispatch(self, request: HttpRequest, *arguments: Any, **keywords: Any) -> HttpResponse:
        """Answer one request; faults become a status, one sentence and what to do."""
        response = self._answer(request, *arguments, **keywords)
        response["Tus-Resumable"] = tus.VERSION
        response["Cache-Control"] = "no-store"
        return response

    def options(self, request: HttpRequest, *arguments: Any, **keywords: Any) -> HttpResponse:
        """What this server speaks."""
        response = HttpResponse(status=204)
        response["Tus-Version"] = tus.VERSION
        response["Tus-Extension"] = tus.EXTENSIONS
        response["Tus-Checksum-Algorithm"] = "sha256"
        response["Tus-Max-Size"] = str(settings.UPLOAD_LIMIT_BYTES)
        return response

    def _answer(self, request: HttpRequest, *arguments: Any, **keywords: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return fault(401, "You are logged out.", "Log in again; the upload goes on from where it is.")
        try:
            if request.method != "OPTIONS":
                tus.require_version(request)
            return cast(HttpResponse, super().dispatch(request, *arguments, **keywords))
        except tus.Malformed as error:
            return fault(error.status, error.what, error.action)
        except Http404:
            return fault(404, "There is no such upload or study.", "Reload the page.")
        except services.TooLarge as error:
            return fault(413, error.what, error.action)
        except services.NoRoom as error:
            return fault(507, error.what, error.action)
        except Refusal as error:
            return fault(422, error.what, error.action)
        except folder.Busy:
            return fault(423, "This upload is being written by another request.", "It goes on by itself.")
        except folder.Gone:
            return fault(410, "This upload ended: it expired, was cancelled or replaced.", "Choose the file again.")


class Uploads(TusView):
    """POST creates an upload."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create: Upload-Length, and Upload-Metadata with study, subject, sequence, acquisition and filename."""
        user = cast(User, request.user)
        length = tus.natural_number(request, "Upload-Length")
        said = tus.metadata(request)
        study = receiving_study(user, said.get("study", ""))
        place = selectors.place(
            study,
            subject=said.get("subject", ""),
            sequence=said.get("sequence", ""),
            acquisition=said.get("acquisition", ""),
        )
        upload = services.create_upload(
            study=study,
            subject=place.subject,
            sequence=place.sequence,
            acquisition=place.acquisition,
            uploader=user,
            file_name=said.get("filename", ""),
            fingerprint=said.get("fingerprint", ""),
            length=length,
        )
        response = HttpResponse(status=201)
        response["Location"] = reverse("intake:upload", args=[upload.id])
        response["Upload-Offset"] = "0"
        response["Upload-Expires"] = http_date(upload.expires_at.timestamp())
        return response


class OneUpload(TusView):
    """HEAD, PATCH and DELETE of one upload."""

    def head(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """How much has arrived."""
        upload = upload_for(cast(User, request.user), upload_id)
        response = HttpResponse(status=200)
        response["Upload-Offset"] = str(_offset(upload))
        response["Upload-Length"] = str(upload.length)
        response["Upload-Expires"] = http_date(upload.expires_at.timestamp())
        return response

    def patch(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Add bytes at Upload-Offset; the last one starts the check of the whole."""
        if request.content_type != tus.CHUNK_TYPE:
            raise tus.Malformed(f"Content-Type must be {tus.CHUNK_TYPE}.", 415)
        start, digest = tus.natural_number(request, "Upload-Offset"), tus.checksum(request)
        upload = upload_for(cast(User, request.user), upload_id)
        if upload.state != Upload.State.RECEIVING:
            _require_whole(upload)
            return _conflict(upload.length) if start != upload.length else _at(upload, upload.length)
        _require_time_left(upload)
        with folder.locked(upload.id) as arriving:
            if start != arriving.size:
                return _conflict(arriving.size)
            most = upload.length - start
            if int(request.META.get("CONTENT_LENGTH") or 0) > most:
                return fault(413, f"More bytes than the {upload.length} that were announced.", tus.Malformed.action)
            failure: HttpResponse | None = None
            try:
                arriving.append(_reader(request), most=most, sha256=digest)
            except folder.ChecksumDiffers:
                failure = fault(tus.CHECKSUM_MISMATCH, "A part arrived changed.", "It is sent again by itself.")
            except OSError as error:
                failure = _broken(error)
            offset = arriving.size
        noted = services.note_offset(upload_id=upload.id, offset=offset)
        if noted is None:
            raise folder.Gone
        return failure or _at(noted, offset)

    def delete(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """End the upload and remove its bytes."""
        user = cast(User, request.user)
        upload = upload_for(user, upload_id)
        if not services.cancel_upload(upload_id=upload.id, actor=user):
            raise folder.Gone
        return HttpResponse(status=204)


def fault(status: int, message: str, action: str) -> HttpResponse:
    """A refusal in the form of the whole API."""
    return JsonResponse({"message": message, "action": action}, status=status)


def _offset(upload: Upload) -> int:
    if upload.state == Upload.State.RECEIVING:
        _require_time_left(upload)
        return folder.size(upload.id)
    _require_whole(upload)
    return upload.length


def _require_time_left(upload: Upload) -> None:
    if upload.expires_at <= timezone.now():
        raise folder.Gone


def _require_whole(upload: Upload) -> None:
    if upload.state not in (Upload.State.CHECKING, Upload.State.ACCEPTED, Upload.State.REFUSED):
        raise folder.Gone


def _at(upload: Upload, offset: int) -> HttpResponse:
    response = HttpResponse(status=204)
    response["Upload-Offset"] = str(offset)
    response["Upload-Expires"] = http_date(upload.expires_at.timestamp())
    return response


def _conflict(offset: int) -> HttpResponse:
    response = fault(409, f"The upload stands at byte {offset}.", "It goes on from there by itself.")
    response["Upload-Offset"] = str(offset)
    return response


def _broken(error: OSError) -> HttpResponse:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return fault(507, "The server's disk is full.", "Ask the administrator for room; the upload then goes on.")
    if isinstance(error, UnreadablePostError | TimeoutError):
        return fault(408, "The connection broke.", "The upload goes on by itself.")
    raise error


def _reader(request: HttpRequest) -> Callable[[int], bytes]:
    """The request's body as a stream; a silent connection ends with an OSError and does not hold the upload."""
    connection = request.META.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(SILENCE_SECONDS)
    return cast(Callable[[int], bytes], request.read)
