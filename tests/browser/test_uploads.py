"""Uploads in the browser: a broken connection and a reload cost nothing that had arrived."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Locator, Page, Route

from readerstudy.intake import folder
from readerstudy.intake.models import Upload
from tests.browser.chromium import SECONDS_TO_READY, until
from tests.readerstudy.processing.small_study import SmallStudy, small_study

PART = 16 * 1024**2
LENGTH = 2 * PART + 4321


class Line:
    """The connection of a page's uploads: written down, and cut at will."""

    def __init__(self, page: Page) -> None:
        self.offsets: list[int] = []
        self.checksums: set[bool] = set()
        self.cut_from: int | None = None
        page.route("**/api/uploads/*", self._pass)

    def _pass(self, route: Route) -> None:
        headers = route.request.headers
        if route.request.method == "PATCH":
            offset = int(headers["upload-offset"])
            if self.cut_from is not None and offset >= self.cut_from:
                route.abort("connectionreset")
                return
            self.offsets.append(offset)
            self.checksums.add(headers.get("upload-checksum", "").startswith("sha256 "))
        route.continue_()


@pytest.fixture
def small(transactional_db) -> SmallStudy:
    return small_study()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "S01_t1_standard.h5"
    path.write_bytes(os.urandom(LENGTH))
    return path


@pytest.fixture
def page(browser: Browser, live_server, client: Client, small: SmallStudy) -> Iterator[Page]:
    client.force_login(small.coordinator)
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    opened = context.new_page()
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.goto(f"{live_server.url}/studies/{small.study.id}/processing")
    yield opened
    context.close()


def first_row(page: Page) -> Locator:
    return page.locator("#acquisitions tbody tr").first


def choose(page: Page, path: Path) -> None:
    first_row(page).locator("input[type=file]").set_input_files(path)


def arrived() -> int:
    upload = Upload.objects.first()
    return 0 if upload is None else folder.size(upload.id)


def wait_for(page: Page, text: str) -> None:
    def is_there() -> bool:
        page.wait_for_timeout(50)  # lets the driver answer the page's requests meanwhile
        return text in first_row(page).inner_text()

    until(is_there, seconds=SECONDS_TO_READY, says=f"the row says {text!r}")


def sent_whole(raw: Path) -> bool:
    upload = Upload.objects.get()
    content = folder.path_of(upload.id).read_bytes()
    return hashlib.sha256(content).digest() == hashlib.sha256(raw.read_bytes()).digest()


def test_broken_connection(page: Page, raw: Path):
    line = Line(page)
    line.cut_from = PART
    choose(page, raw)
    wait_for(page, "16.8 of 33.6 MB")
    page.wait_for_timeout(500)
    assert arrived() == PART
    line.cut_from = None
    wait_for(page, "checking the file")
    assert line.offsets == [0, PART, 2 * PART], "no part was sent twice"
    assert line.checksums == {True}
    assert sent_whole(raw)


def test_reload(page: Page, raw: Path):
    line = Line(page)
    line.cut_from = PART
    choose(page, raw)
    wait_for(page, "16.8 of 33.6 MB")
    page.reload()
    wait_for(page, f"Choose {raw.name} again: it goes on from here.")
    line.cut_from = None
    choose(page, raw)
    wait_for(page, "checking the file")
    assert line.offsets == [0, PART, 2 * PART]
    assert sent_whole(raw)


def test_another_file_of_the_same_name_begins_anew(page: Page, raw: Path):
    line = Line(page)
    line.cut_from = PART
    choose(page, raw)
    wait_for(page, "16.8 of 33.6 MB")
    page.reload()
    wait_for(page, "upload stopped")
    raw.write_bytes(os.urandom(LENGTH))
    os.utime(raw, (1, 1))
    line.cut_from = None
    choose(page, raw)
    wait_for(page, "checking the file")
    assert line.offsets == [0, 0, PART, 2 * PART]
    [upload] = Upload.objects.filter(state=Upload.State.CHECKING)
    assert folder.path_of(upload.id).read_bytes() == raw.read_bytes()


def test_many_files_wait_for_a_person_to_confirm(page: Page, small: SmallStudy, tmp_path: Path):
    files = [tmp_path / name for name in ("S01_SAG-T1_standard.h5", "s01 sag t1 FAST.dat", "notes.txt", "unknown.h5")]
    for each in files:
        each.write_bytes(os.urandom(5000))
    page.locator("#many-files").set_input_files(files)
    dialog = page.locator("dialog")
    until(lambda: dialog.count() == 1)
    chosen = [option.evaluate("s => s.selectedOptions[0].text") for option in dialog.locator("select").all()]
    assert sorted(chosen) == ["S01 · SAG T1 · Fast", "S01 · SAG T1 · Standard", "leave out"]
    assert not Upload.objects.exists(), "nothing is sent before the person says so"
    dialog.get_by_role("button", name="Upload 2 files").click()
    until(lambda: Upload.objects.filter(state=Upload.State.CHECKING).count() == 2)
    names = {each.acquisition.name: each.file_name for each in Upload.objects.select_related("acquisition")}
    assert names == {"Standard": "S01_SAG-T1_standard.h5", "Fast": "s01 sag t1 FAST.dat"}


def test_empty_file_is_refused_in_its_row(page: Page, tmp_path: Path):
    empty = tmp_path / "empty.h5"
    empty.write_bytes(b"")
    choose(page, empty)
    wait_for(page, "empty.h5 is empty (0 bytes).")
    first_row(page).get_by_role("button", name="Dismiss").click()
    wait_for(page, "no file yet")
