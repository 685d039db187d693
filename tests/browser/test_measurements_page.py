"""The Measurements page in Chromium: a value opens where it can be read and used, and a refusal is seen."""

import io
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.urls import reverse
from PIL import Image
from playwright.sync_api import Locator

from readerstudy.processing.models import MeasuredSeries
from recon_worker.data import Volume
from recon_worker.morphometry.structures import Structure
from recon_worker.overlay import write_contact_sheet
from tests.application import front_end_is_built
from tests.browser.chromium import Watched, until
from tests.readerstudy.processing.measured_rows import corrections, counted, doubted, measured_rows, structure
from tests.readerstudy.processing.small_study import stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not front_end_is_built(), reason="The front end is not built (make frontend)."),
]

HIDDEN = """() => [...document.querySelectorAll('.about:popover-open button')].filter(one => {
  const box = one.getBoundingClientRect();
  return document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2) !== one;
}).map(one => one.textContent)"""
TOO_WIDE = "() => document.documentElement.scrollWidth > innerWidth"
NAVIGATION = 544
"""Pixels: on narrower windows the navigation of all pages reaches over the edge."""
OVER_THE_EDGE = """() => [...document.querySelectorAll('.shift[open] :is(select, input, button)')].filter(
  one => one.getBoundingClientRect().right > innerWidth).length"""
OPEN = "() => document.querySelectorAll('.about:popover-open').length"


AFFINE = np.array([[4.4, 0, 0, 0], [0, 0, 1.5, 0], [0, -1.5, 0, 0], [0, 0, 0, 1.0]])
"""Sagittal, from right to left, head up."""


def with_sheets(graded, held):
    """Contact sheets as the worker writes them: of ten slices those that `held` names by arm. Slice n is of one grey,
    20 n, so that a look at a pixel tells which is shown."""
    volume = Volume(np.repeat(20.0 * np.arange(1, 11), 90 * 60).reshape(10, 90, 60).astype(np.float32), AFFINE, 4.0)
    for measured in MeasuredSeries.objects.filter(series__study=graded.study):
        first, last = held[measured.series.arm.name]
        bodies = np.zeros(volume.array.shape, np.uint8)
        bodies[first - 1 : last, 30:50, 20:40] = 4
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "overlay.png"
            found = [Structure("body", 4, "L3", "measured", {}, (0.0, 0.0, 0.0))]
            sheet = write_contact_sheet(picture, volume, np.zeros_like(bodies), bodies, found, window=(127.5, 255))
            path = f"work/{measured.series_id}/1/measurements/0/overlay.png"
            stored(path, picture.read_bytes())
        MeasuredSeries.objects.filter(pk=measured.pk).update(overlay=path, sheet=sheet.as_json())


def slices_shown(page):
    """The slice that each arm of the first card shows, by its grey; None: it says that there is none."""
    shown = []
    for picture in page.locator(".measured").first.locator(".slice").all():
        if picture.locator(".tile").is_hidden():
            assert picture.inner_text() == "nothing found on this slice"
            shown.append(None)
            continue
        with Image.open(io.BytesIO(picture.locator(".tile").screenshot())) as one:
            shown.append(round(one.convert("L").getpixel((one.width // 2, one.height - 8)) / 20))
    return shown


HELD = {"Standard": (3, 8), "Fast": (4, 6), "Fast DL50": (2, 9)}


@pytest.mark.parametrize("width", [1440, 1024, 700])
def test_one_slider_moves_through_the_slices_of_all_arms(browser, live_server, client, width):
    graded = measured_rows()
    with_sheets(graded, HELD)
    with opened(browser, live_server, client, graded, width) as watched:
        page = watched.page
        card = page.locator(".measured").first
        until(lambda: all_loaded(page), says="All pictures of the card")
        assert slices_shown(page) == [5, 5, 5]
        assert all(box["width"] >= 240 for box in map(Locator.bounding_box, card.locator(".slice").all()))
        slider = card.get_by_label("Slice", exact=True)
        slider.focus()
        assert [slider.get_attribute(name) for name in ("min", "max")] == ["2", "9"]
        for key, expected in (
            ("ArrowRight", [6, 6, 6]),
            ("ArrowRight", [7, None, 7]),
            ("End", [None, None, 9]),
            ("Home", [None, None, 2]),
            ("ArrowRight", [3, None, 3]),
            ("ArrowRight", [4, 4, 4]),
        ):
            page.keyboard.press(key)
            assert slices_shown(page) == expected, key
        assert slider.get_attribute("aria-valuetext") == "slice 4, 2 to 9"
        assert not page.evaluate(TOO_WIDE)
        with page.context.expect_page() as beside:
            card.get_by_role("link", name="All slices of Fast, on a new page").click()
        assert beside.value.url.endswith("/overlay.png")


def test_without_javascript_the_middle_slice_and_the_sheets_are_there(browser, live_server, client):
    graded = measured_rows()
    with_sheets(graded, HELD)
    with opened(browser, live_server, client, graded, java_script_enabled=False) as watched:
        card = watched.page.locator(".measured").first
        until(lambda: slices_shown(watched.page) == [5, 5, 5], says="The middle slice")
        assert card.get_by_label("Slice", exact=True).is_hidden()
        assert card.get_by_text("all slices").count() == 3


def all_loaded(page):
    return page.locator(".measured").first.evaluate(
        "card => [...card.querySelectorAll('img')].every(one => one.complete && one.naturalWidth)"
    )


@contextmanager
def opened(browser, live_server, client, graded, width=1440, **how):
    """The coordinator's page, watched."""
    client.force_login(graded.coordinator)
    context = browser.new_context(viewport={"width": width, "height": 900}, **how)
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    try:
        watched = Watched(context)
        watched.page.goto(live_server.url + reverse("processing:measurements", args=[graded.study.pk]))
        yield watched
        assert watched.errors == []
    finally:
        context.close()


@pytest.mark.parametrize("width", [1440, 1024, 700, 390])
def test_a_count_that_is_one_off_is_put_right_with_one_form(browser, live_server, client, width):
    graded = measured_rows()
    with opened(browser, live_server, client, graded, width) as watched:
        page = watched.page
        card = page.locator(".measured").first
        card.get_by_text("Is the count of levels one off?").click()
        card.locator(".shift select[name=direction]").select_option("up")
        card.locator(".shift select[name=arm]").select_option(label="Fast alone")
        card.locator(".shift input[name=reason]").fill("the last rib is one lower")
        assert page.evaluate(OVER_THE_EDGE) == 0
        if width >= NAVIGATION:
            assert not page.evaluate(TOO_WIDE)
        card.get_by_role("button", name="Shift", exact=True).click()
        until(lambda: page.locator(".notice.success").count() == 1, says="A shift")
        assert "All levels of Fast are one up now." in page.locator(".notice").inner_text()
        assert page.locator(".notice").evaluate("one => one.getBoundingClientRect().top") >= 0
        assert counted(graded) == {level: level + 6.0 for level in range(1, 6)}
        assert counted(graded, arm="Standard") == {level: level + 5.0 for level in range(1, 7)}
        assert [event.action for event in corrections(graded)] == ["processing.levels_shifted"]


@pytest.mark.parametrize("width", [1440, 1024, 700])
def test_a_doubted_count_is_confirmed_by_keyboard(browser, live_server, client, width):
    graded = measured_rows()
    doubted(graded)
    with opened(browser, live_server, client, graded, width) as watched:
        page = watched.page
        card = page.locator(".measured").first
        assert card.get_by_text("3 to look at").count() == 1
        field = card.get_by_label("The count is right, as I know from")
        field.focus()
        page.keyboard.type("the last rib on the localizer")
        assert not page.evaluate(TOO_WIDE)
        page.keyboard.press("Enter")
        until(lambda: card.get_by_text("nothing stands out").count() == 1, says="A confirmed count")
        assert "Count confirmed by coordinator on" in card.locator(".count").inner_text()
        assert not page.evaluate(TOO_WIDE)
        card.get_by_role("button", name="Take back").click()
        until(lambda: card.get_by_text("3 to look at").count() == 1, says="A doubt again")
        assert [event.action for event in corrections(graded)] == [
            "processing.count_confirmed",
            "processing.count_doubted",
        ]


@pytest.mark.parametrize("width", [1440, 700, 560, 480, 390])
def test_every_corner_of_a_table_opens_whole_and_a_refusal_is_seen(browser, live_server, client, width):
    graded = measured_rows()
    with opened(browser, live_server, client, graded, width) as watched:
        page = watched.page
        tables = page.locator("table.values")
        for place in range(tables.count()):
            rows = tables.nth(place).locator("tbody tr")
            for row in (0, rows.count() - 1):
                for column in (0, 2):
                    rows.nth(row).locator("button.entry").nth(column).click()
                    assert page.evaluate(OPEN) == 1
                    assert page.evaluate(HIDDEN) == []
                    page.keyboard.press("Escape")
        if width >= NAVIGATION:
            assert not page.evaluate(TOO_WIDE)
        last = structure(graded, 6, patient="P02")
        page.locator(f"[popovertarget=structure-{last.pk}]").click()
        page.locator(".about:popover-open select").select_option("5")
        page.locator(".about:popover-open input[name=reason]").first.fill("counted again")
        page.locator(".about:popover-open").get_by_role("button", name="Correct").click()
        until(lambda: page.locator(".notice").count() == 1, says="A refusal")
        box = page.locator(".notice").bounding_box()
        assert box is not None and 0 <= box["y"] < 900 and page.evaluate("() => scrollY") > 0
        page.locator(f"[popovertarget=structure-{last.pk}]").click()
        page.locator(".about:popover-open input[name=reason]").last.fill("a fold over the disc")
        page.locator(".about:popover-open").get_by_role("button", name="Leave out").click()
        until(lambda: page.locator(".entry.excluded").count() == 1, says="A disc left out")
        assert [event.details["reason"] for event in corrections(graded)] == ["a fold over the disc"]
