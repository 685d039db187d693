"""A small client of the upload door: logs in as a person does and sends files by tus 1.0, as the browser does."""

from __future__ import annotations

import base64
import http.client
import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from readerstudy.faults import Refusal

CHUNK_BYTES = 8 * 1024**2
TUS_VERSION = "1.0.0"


class UploadClient:
    """A logged-in session.

    Parameters
    ----------
    address
        Root of the running application, ending in a slash.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def log_in(self, username: str, password: str) -> None:
        """Log in through the form of the login page. Raises Refusal if the login is not taken."""
        page = urllib.parse.urljoin(self.address, "login")
        self.opener.open(page).close()
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._cookie("csrftoken")}
        request = urllib.request.Request(page, urllib.parse.urlencode(form).encode(), {"Referer": page})
        self.opener.open(request).close()
        if not self._cookie("sessionid"):
            raise Refusal(f"The login of {username} was not taken.", "The password may have been changed.")

    def upload(self, path: Path, metadata: dict[str, str], progress: Callable[[int], None] = lambda sent: None) -> str:
        """Send one file and return the upload's address. `progress` gets the bytes sent so far.

        Raises
        ------
        Refusal
            With the server's own sentence, where it does not take the file.
        """
        encoded = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
        length = path.stat().st_size
        with self._send("POST", "api/uploads/", {"Upload-Length": str(length), "Upload-Metadata": encoded}) as answer:
            location = urllib.parse.urljoin(self.address, answer.headers["Location"])
        offset = 0
        with path.open("rb") as file:
            while block := file.read(CHUNK_BYTES):
                headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
                self._send("PATCH", location, headers, block).close()
                offset += len(block)
                progress(offset)
        return location

    def _cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")

    def _send(self, method: str, address: str, headers: dict[str, str], body: bytes = b"") -> http.client.HTTPResponse:
        url = urllib.parse.urljoin(self.address, address)
        headers = {
            **headers,
            "Tus-Resumable": TUS_VERSION,
            "X-CSRFToken": self._cookie("csrftoken"),
            "Referer": self.address,
        }
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            answer: http.client.HTTPResponse = self.opener.open(request)
        except urllib.error.HTTPError as error:
            sentence = error.read().decode(errors="replace")[:500]
            raise Refusal(f"The upload was refused ({error.code}): {sentence}") from error
        return answer
