"""The reading page in headless Chromium, against the real application under its real content security policy."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser

from readerstudy.settings.state import BASE_DIR
from tests.browser.chromium import SECONDS_TO_READY, Watched, until
from tests.browser.reading_study import WINDOW, ReadingStudy, grey, make_reading_study, patch_value

SCREENSHOTS = BASE_DIR / "test-output" / "screenshots"
SMALL, LARGE = (1366, 768), (1920, 1080)


class ReaderPage(Watched):
    """The reading page as a reader uses it; what it shows is read from the viewer's data attributes."""

    def shows(self, name: str) -> str | None:
        return self.page.evaluate("name => document.getElementById('viewer')?.dataset[name] ?? null", name)

    def wait_for(self, name: str, value: str, seconds: float = 10.0) -> None:
        until(lambda: self.shows(name) == value, seconds=seconds, says=f"data-{name} = {value}; it is {self.shows(name)}")

    def wait_for_series(self, token: str) -> None:
        self.wait_for("token", token, SECONDS_TO_READY)
        self.wait_for("ready", "true", SECONDS_TO_READY)
        until(lambda: len(set((self.shows("loaded") or "0/1").split("/"))) == 1, says="all slices loaded")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def saved(self) -> None:
        until(lambda: self.page.locator(".save").get_attribute("data-save") == "saved", says="saved")

    def middle(self) -> tuple[float, float]:
        box = self.page.locator("#viewer").bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def middle_grey(self) -> list[int]:
        """Red, green, blue in the middle of the drawn canvas."""
        return self.page.evaluate(
            """() => {
                const canvas = document.querySelector('#viewer canvas');
                const copy = document.createElement('canvas');
                copy.width = canvas.width; copy.height = canvas.height;
                const context = copy.getContext('2d');
                context.drawImage(canvas, 0, 0);
                return [...context.getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data].slice(0, 3);
            }"""
        )

    def drag(self, right: int, down: int, button: Any = "left") -> None:
        x, y = self.middle()
        self.page.mouse.move(x, y)
        self.page.mouse.down(button=button)
        self.page.mouse.move(x + right, y + down, steps=8)
        self.page.mouse.up(button=button)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def picture(self, name: str) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path


Open = Callable[..., ReaderPage]


@pytest.fixture
def open_page(live_server, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the reading page as the study's reader; at the end no page may have shown an error."""
    contexts, pages = [], []

    def open_it(reading: ReadingStudy, *, size: tuple[int, int] = SMALL, webgl: bool = False) -> ReaderPage:
        browser: Browser = request.getfixturevalue("webgl_browser" if webgl else "browser")
        client = Client()
        client.force_login(reading.reader)
        context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        context.add_cookies(
            [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
        )
        opened = ReaderPage(context)
        contexts.append(context)
        pages.append(opened)
        opened.page.goto(f"{live_server.url}/studies/{reading.study.pk}/read")
        return opened

    yield open_it
    for context in contexts:
        context.close()
    assert [error for page in pages for error in page.errors] == []


@pytest.fixture
def reading(transactional_db) -> ReadingStudy:
    return make_reading_study()


def test_first_look(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.picture("reading-1366x768")
    assert page.shows("slice") == "5"
    assert page.shows("window") == f"{WINDOW[0]} {WINDOW[1]}"
    value = page.middle_grey()
    print(value, grey(patch_value(0, 4)))
