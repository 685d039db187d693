"""The reading page in headless Chromium, against the real application under its real content security policy."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser

from readerstudy.reading.keys import KEYS
from readerstudy.settings.state import BASE_DIR
from tests.browser.chromium import SECONDS_TO_READY, Watched, until
from tests.browser.reading_study import WINDOW, ReadingStudy, grey, make_reading_study, patch_value, sign_off_all

SCREENSHOTS = BASE_DIR / "test-output" / "screenshots"
SMALL, LARGE = (1366, 768), (1920, 1080)


class ReaderPage(Watched):
    """The reading page as a reader uses it; what it shows is read from the viewer's data attributes."""

    def shows(self, name: str) -> str | None:
        return self.page.evaluate("name => document.getElementById('viewer')?.dataset[name] ?? null", name)

    def wait_for(self, name: str, value: str, seconds: float = 10.0) -> None:
        until(lambda: self.shows(name) == value, seconds=seconds, says=f"data-{name} = {value}")

    def wait_for_series(self, token: str) -> None:
        self.wait_for("token", token, SECONDS_TO_READY)
        self.wait_for("ready", "true", SECONDS_TO_READY)
        until(lambda: len(set((self.shows("loaded") or "0/1").split("/"))) == 1, says="all slices loaded")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def saved(self) -> None:
        """Nothing is asked any more and the server has everything."""
        until(lambda: self.page.locator("dialog").count() == 0, says="the dialog is left")
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

    def canvas_size(self) -> list[int]:
        return self.page.evaluate(
            "() => { const { width, height } = document.querySelector('#viewer canvas'); return [width, height]; }"
        )

    def scrolling(self) -> list[str]:
        """Boxes that would need a scroll bar."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('html, body, #reading, .panel, .criteria')]
                .filter((box) => box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1)
                .map((box) => box.className || box.tagName)"""
        )

    def patch_box(self, value: int, moved: tuple[int, int] = (0, 0)) -> list[int]:
        """Left, top, right, bottom of the patch with this stored value in canvas pixels, from the middle outwards.

        `moved` says how far (CSS pixels to the right and down) the image's middle is from the view's.
        """
        return self.page.evaluate(
            """([level, moved]) => {
                const canvas = document.querySelector('#viewer canvas');
                const copy = document.createElement('canvas');
                copy.width = canvas.width; copy.height = canvas.height;
                const context = copy.getContext('2d');
                context.drawImage(canvas, 0, 0);
                const { data } = context.getImageData(0, 0, copy.width, copy.height);
                const is = (x, y) => Math.abs(data[4 * (y * copy.width + x)] - level) <= 1;
                const scale = canvas.width / canvas.clientWidth;
                const x = Math.round(copy.width / 2 + moved[0] * scale);
                const y = Math.round(copy.height / 2 + moved[1] * scale);
                let [left, top, right, bottom] = [x, y, x, y];
                while (is(left - 1, y)) left--;
                while (is(right + 1, y)) right++;
                while (is(x, top - 1)) top--;
                while (is(x, bottom + 1)) bottom++;
                return [left, top, right, bottom];
            }""",
            [round(grey(value)), moved],
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

    def open_it(
        reading: ReadingStudy, *, size: tuple[int, int] = SMALL, webgl: bool = False, pixel_ratio: float = 1
    ) -> ReaderPage:
        browser: Browser = request.getfixturevalue("webgl_browser" if webgl else "browser")
        client = Client()
        client.force_login(reading.reader)
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, device_scale_factor=pixel_ratio)
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


def test_opens_under_the_real_policy_and_shows_the_known_pixels(reading, open_page: Open):
    page = open_page(reading)
    answer = page.page.request.get(page.page.url)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe-eval" not in answer.headers["content-security-policy"]
    page.wait_for_series(reading.tokens()[0])
    assert page.shows("mode") == "cpu"
    assert page.shows("slice") == "5", "the middle slice comes first"
    assert page.shows("window") == f"{WINDOW[0]} {WINDOW[1]}"
    assert page.text(".position") == "1 / 4"
    assert page.text(".sequence") == "SAG T2 FS"
    assert [page.text(f".edge.{side}") for side in ("left", "right", "top", "bottom")] == ["A", "P", "H", "F"]
    for key, slice_index in (("ArrowDown", 5), ("Home", 0), ("End", 8)):
        page.press(key)
        page.wait_for("slice", str(slice_index + 1))
        until(
            lambda slice_index=slice_index: page.middle_grey() == [round(grey(patch_value(0, slice_index)))] * 3,
            says=f"grey {grey(patch_value(0, slice_index))} in slice {slice_index}; it is {page.middle_grey()}",
        )


def test_mouse_and_keys_change_what_is_shown(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.page.mouse.move(*page.middle())
    page.page.mouse.wheel(0, 100)
    page.wait_for("slice", "6")
    page.page.mouse.wheel(0, -100)
    page.wait_for("slice", "5")
    for key, slice_ in (("ArrowUp", "4"), ("PageDown", "9"), ("ArrowDown", "9"), ("PageUp", "4"), ("Home", "1")):
        page.press(key)
        page.wait_for("slice", slice_)
    page.drag(80, -40)
    centre, width = 1750 - 40 * 3500 / 400, 3500 + 80 * 3500 / 400
    window = f"{centre:.0f} {width:.0f}"
    page.wait_for("window", window)
    page.press("ArrowDown")
    page.wait_for("slice", "2")
    assert page.shows("window") == window, "the window survives the next slice"
    expected = round(grey(patch_value(0, 1), (centre, width)))
    until(lambda: abs(page.middle_grey()[0] - expected) <= 1, says=f"grey {expected}; it is {page.middle_grey()}")
    page.drag(0, -60, "right")
    until(lambda: float(page.shows("zoom") or 1) > 1.2, says="larger")
    page.drag(50, 30, "middle")
    page.wait_for("pan", "50 30")
    page.press("i")
    page.wait_for("inverted", "true")
    page.press("ArrowDown")
    page.wait_for("slice", "3")
    assert page.shows("pan") == "50 30"
    assert page.shows("inverted") == "true"
    page.press("r")
    page.wait_for("zoom", "1.000")
    assert page.shows("window") == f"{WINDOW[0]} {WINDOW[1]}"
    assert page.shows("pan") == "0 0"
    assert page.shows("inverted") == "false"
    assert page.shows("slice") == "3"
    page.page.keyboard.down("Control")
    page.page.mouse.wheel(0, -100)
    page.page.keyboard.up("Control")
    until(lambda: float(page.shows("zoom") or 1) > 1.1, says="larger by Ctrl and wheel")
    page.press("+")
    until(lambda: float(page.shows("zoom") or 1) > 1.3, says="larger by key")
    page.page.mouse.dblclick(*page.middle())
    page.wait_for("zoom", "1.000")


@pytest.mark.parametrize(("pixel_ratio", "webgl"), [(1, False), (2, False), (2, True)])
def test_dragging_the_image_moves_it_by_as_many_pixels(reading, open_page: Open, pixel_ratio: float, webgl: bool):
    page = open_page(reading, pixel_ratio=pixel_ratio, webgl=webgl)
    page.wait_for_series(reading.tokens()[0])
    scale = page.canvas_size()[1] / SMALL[1]
    patch = page.patch_box(patch_value(0, 4))
    page.drag(60, 40, "middle")
    page.wait_for("pan", "60 40")
    expected = [before + by * scale for before, by in zip(patch, [60, 40, 60, 40], strict=True)]
    until(
        lambda: page.patch_box(patch_value(0, 4), (60, 40)) == pytest.approx(expected, abs=scale),
        says=f"the patch at {expected}",
    )


@pytest.mark.parametrize("webgl", [False, True])
def test_pixels_that_are_not_square_keep_the_proportions(transactional_db, open_page: Open, webgl: bool):
    """The patch has 2 (rows / 10) x 2 (columns / 10) pixels: 32 x 0.6 mm high, 24 x 1.2 mm wide."""
    reading = make_reading_study(series=1, spacing=(0.6, 1.2))
    page = open_page(reading, webgl=webgl)
    page.wait_for_series(reading.tokens()[0])
    left, top, right, bottom = page.patch_box(patch_value(0, 4))
    assert (right - left) / (bottom - top) == pytest.approx(24 * 1.2 / (32 * 0.6), rel=0.03)


def test_six_keys_grade_a_series_and_the_next_is_there_without_a_request(reading, open_page: Open):
    page = open_page(reading)
    tokens = reading.tokens()
    page.wait_for_series(tokens[0])
    until(lambda: len(page.requests_to(f"{tokens[2]}/frames/")) == 9, says="two series loaded ahead")
    assert not page.requests_to(tokens[3])
    page.drag(40, 0)
    page.press("r", "ArrowDown", "4", "3", "5", "4")
    assert page.text(".sign").startswith("Sign off · 1 grade missing")
    page.press("0")
    assert page.text(".sign").startswith("Sign off")
    frames = len(page.requests_to(f"{tokens[1]}/frames/"))
    page.press("Enter")
    page.wait_for_series(tokens[1])
    assert len(page.requests_to(f"{tokens[1]}/frames/")) == frames == 9
    assert page.shows("slice") == "5", "each series starts from its middle"
    assert page.shows("window") == f"{WINDOW[0]} {WINDOW[1]}"
    page.saved()
    names = [criterion.name for criterion in reading.study.criteria.order_by("order")]
    assert reading.grades(0) == list(zip(names, [4, 3, 5, 4, 0], [""] * 5, strict=True))
    assert page.text(".position") == "2 / 4"
    until(lambda: len(page.requests_to(f"{tokens[3]}/frames/")) == 9, says="the next series is loaded ahead")


def test_corrections_by_keys_and_mouse_are_newer_rows(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.press("2", "Backspace", "3", "d", "5", "Shift+Tab")
    page.page.locator(".criterion").nth(3).locator("[data-value='1']").click()
    page.press("Enter")
    page.saved()
    assert [(name, value) for name, value, _ in reading.grades()] == [
        ("Apparent SNR", 2),
        ("Apparent SNR", 3),
        ("Diagnostic Confidence", 5),
        ("Overall Image Quality", 1),
    ]
    chosen = page.page.locator(".criterion.chosen h2")
    assert chosen.inner_text().startswith("Anatomical Structures"), "Enter goes to the first gap"


def test_cannot_be_graded_and_comment(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.press("4", "x")
    page.picture("reading-cannot-be-graded")
    page.press("2", "Tab", "Tab")
    page.page.keyboard.type("cut off 12345 r")
    page.press("Enter")
    page.press("c")
    page.page.keyboard.type("motion, 3 of 9 slices")
    page.press("Enter")
    page.saved()
    assert reading.grades() == [("Apparent SNR", 4, ""), ("Anatomical Structures", None, "technical")]
    assert reading.presentations[0].grades.get(value=None).reason == "cut off 12345 r"
    assert reading.presentations[0].comments.get().text == "motion, 3 of 9 slices"
    page.press("x", "1")
    page.page.get_by_role("checkbox").check()
    page.press("Enter")
    page.saved()
    assert [cause for _, _, cause in reading.grades()][2:] == ["image-quality"] * 3
    assert page.page.locator(".panel").get_attribute("data-missing") == "0"


def test_grades_survive_a_reload(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.press("4", "3")
    page.saved()
    page.page.reload()
    page.wait_for_series(reading.tokens()[0])
    given = [page.page.locator(".criterion").nth(index).get_attribute("data-value") for index in range(5)]
    assert given == ["4", "3", "", "", ""]


def test_offline_grades_wait_and_are_sent_once(reading, open_page: Open):
    page = open_page(reading)
    tokens = reading.tokens()
    page.wait_for_series(tokens[0])
    until(lambda: len(page.requests_to(f"{tokens[1]}/frames/")) == 9, says="the next series is here")
    page.saved()
    page.page.context.set_offline(True)
    page.press("4", "3", "5", "4", "1", "Enter")
    page.wait_for_series(tokens[1])
    page.press("2")
    until(lambda: page.page.locator(".save").get_attribute("data-save") == "offline", says="offline")
    page.picture("reading-offline")
    assert reading.grades() == []
    leaving: list[str] = []
    page.page.once("dialog", lambda dialog: (leaving.append(dialog.type), dialog.dismiss()))
    page.page.close(run_before_unload=True)
    until(lambda: (page.page.wait_for_timeout(50), leaving)[1], says="a warning before leaving")
    page.page.context.set_offline(False)
    page.page.evaluate("() => { dispatchEvent(new Event('online')); }")
    page.saved()
    assert [value for _, value, _ in reading.grades(0)] == [4, 3, 5, 4, 1]
    assert [value for _, value, _ in reading.grades(1)] == [2]
    page.errors[:] = [error for error in page.errors if "ERR_INTERNET_DISCONNECTED" not in error]


def test_a_lost_answer_adds_no_second_grade(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.saved()
    lost: list[str] = []

    def lose_first(route: Any) -> None:
        if not lost:
            lost.append(route.request.post_data)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.page.route("**/grades", lose_first)
    page.press("4")
    until(lambda: len(page.requests_to("/grades")) >= 2, says="sent again")
    page.saved()
    assert lost
    assert reading.grades() == [("Apparent SNR", 4, "")]
    page.errors[:] = [error for error in page.errors if "ERR_FAILED" not in error]


def test_an_ended_session_keeps_the_grades_until_the_next_login(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.saved()
    cookies = page.page.context.cookies()
    page.page.context.clear_cookies(name="sessionid")
    page.press("4")
    until(lambda: "log in again" in page.text(".save"), says="asks for the login")
    page.picture("reading-session-ended")
    assert page.page.locator(".save a").get_attribute("target") == "_blank"
    assert reading.grades() == []
    page.page.context.add_cookies([cookie for cookie in cookies if cookie["name"] == "sessionid"])
    page.page.evaluate("() => { dispatchEvent(new Event('focus')); }")
    page.saved()
    assert reading.grades() == [("Apparent SNR", 4, "")]
    page.errors[:] = [error for error in page.errors if "401" not in error]


def test_end_of_the_list_and_correction_with_a_reason(reading, open_page: Open):
    sign_off_all(reading, but_last=1)
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[-1])
    page.press("4", "4", "4", "4", "0", "Enter")
    until(lambda: page.page.locator(".done").count(), says="the end")
    until(lambda: page.text(".done-save") == "All grades are saved.", says="all saved")
    assert "All 4 series" in page.text(".done")
    page.picture("reading-done")
    page.page.get_by_role("button", name="Look at my series again").click()
    page.wait_for_series(reading.tokens()[-1])
    page.press("s", "2")
    page.page.keyboard.type("slip of the finger")
    page.press("Enter")
    page.saved()
    row = reading.presentations[-1].grades.get(number=2)
    assert (row.criterion.name, row.value, row.reason) == ("Anatomical Structures", 2, "slip of the finger")
    page.press("ArrowLeft")
    page.wait_for_series(reading.tokens()[-2])


def test_what_the_server_refuses_is_said_and_taken_back(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.saved()
    # The next two series are loaded ahead: nothing may be on its way when the study is locked.
    until(lambda: len(page.requests_to(f"{reading.tokens()[2]}/frames/")) == 9, says="two series loaded ahead")
    page.page.wait_for_load_state("networkidle")
    reading.study.state = "locked"
    reading.study.save()
    page.press("4")
    says = until(lambda: page.page.locator(".notice:visible").all_inner_texts(), says="a sentence")
    assert "Series 1 was not saved: This study is not open for reading." in says[0]
    assert reading.grades() == []
    assert page.page.locator(".value:disabled").count() == 22, "nothing more can be graded"
    page.errors[:] = [error for error in page.errors if "409" not in error]


def test_no_way_back_where_the_study_forbids_it_and_no_skipping(transactional_db, open_page: Open):
    reading = make_reading_study(series=2, allow_back=False)
    sign_off_all(reading, but_last=1)
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[1])
    page.press("ArrowLeft")
    assert "not opened again" in page.text(".notice")
    page.press("ArrowRight")
    assert "last series" in page.text(".notice")
    assert page.shows("token") == reading.tokens()[1]


def test_help_lists_every_key_and_the_page_knows_every_action(reading, open_page: Open):
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.press("?")
    page.picture("reading-keys")
    listed = page.page.locator("dialog.help dd").all_inner_texts()
    assert [key["does"] for key in KEYS.values() if key["does"] not in listed] == []
    page.press("4", "Escape")
    assert reading.grades() == []
    source = (BASE_DIR / "frontend" / "src" / "reading" / "keys.ts").read_text()
    assert [action for action in KEYS if f"'{action}'" not in source] == []


def test_nothing_scrolls_on_small_and_large_screens(transactional_db, open_page: Open):
    reading = make_reading_study(series=18, rows=320, columns=272, slices=5)
    sign_off_all(reading, but_last=12)
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[6])
    assert page.text(".position") == "7 / 18"
    page.press("3", "4")
    page.saved()
    for width, height in (SMALL, LARGE):
        page.page.set_viewport_size({"width": width, "height": height})
        until(lambda height=height: page.canvas_size()[1] == height, says="drawn at the new size")
        page.press("d")
        page.picture(f"reading-{width}x{height}")
        for chosen in ("a", "s", "d", "f", "g"):
            page.press(chosen)
            assert page.scrolling() == []
        panel = page.page.locator(".panel").bounding_box()
        assert panel and 340 <= panel["width"] <= 370


def test_with_webgl_the_same_pixels_and_the_window_survives(reading, open_page: Open):
    page = open_page(reading, webgl=True)
    page.wait_for_series(reading.tokens()[0])
    assert page.shows("mode") == "webgl"
    assert page.middle_grey()[0] == pytest.approx(grey(patch_value(0, 4)), abs=2)
    page.drag(80, -40)
    page.wait_for("window", "1400 4200")
    page.press("ArrowDown")
    page.wait_for("slice", "6")
    assert page.shows("window") == "1400 4200"
    until(
        lambda: abs(page.middle_grey()[0] - grey(patch_value(0, 5), (1400, 4200))) <= 2,
        says=f"the dragged window in the next slice; it is {page.middle_grey()}",
    )
    page.drag(40, 30, "middle")
    page.wait_for("pan", "40 30")
    page.press("r")
    page.wait_for("window", f"{WINDOW[0]} {WINDOW[1]}")
    session = reading.study.reading_sessions.get()
    assert session.display["mode"] == "webgl"
    assert "SwiftShader" in session.display["renderer"]
