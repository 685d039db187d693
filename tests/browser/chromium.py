"""Headless Chromium for the tests: arguments that work without a GPU, and a page that writes down what goes wrong.

Waiting is done by polling in Python: playwright's own waiting functions evaluate text in the page, which a strict
content security policy forbids and reports.
"""

import os
import shutil
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request

# The browser's driver runs an event loop in this thread; the tests still use the database in it.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

COMMON = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
]
WITHOUT_WEBGL = ["--disable-gpu", "--disable-software-rasterizer", "--disable-3d-apis"]
SOFTWARE_WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

SECONDS_TO_READY = 30.0
SECONDS_TO_REACT = 10.0


def executable() -> str:
    """Chromium of the system. Raises RuntimeError with what to install."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        raise RuntimeError("The browser tests need Chromium (packages.txt names it).")
    return found


def launch(playwright: Playwright, *, webgl: bool = False) -> Browser:
    """A browser without a GPU: by default without WebGL, which is the fastest; else WebGL by software."""
    return playwright.chromium.launch(
        executable_path=executable(), args=[*COMMON, *(SOFTWARE_WEBGL if webgl else WITHOUT_WEBGL)]
    )


def until(condition: Callable[[], Any], *, seconds: float = SECONDS_TO_REACT, says: str = "") -> Any:
    """Poll until `condition` gives something true, and return it. Raises AssertionError with the last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{says or 'this'} did not happen in {seconds:.0f} s; the last value was {value!r}")
        time.sleep(0.02)


class Watched:
    """A page and everything that must not happen on it unnoticed."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.url}")

    def requests_to(self, part: str) -> list[str]:
        """Requests so far whose address contains `part`."""
        self.page.evaluate("() => 0")  # lets the driver hand over what has happened
        return [request for request in self.requests if part in request]
