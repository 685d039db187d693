"""The Measurements page in Chromium: a value opens where it can be read and used, and a refusal is seen."""

from contextlib import contextmanager

import pytest
from django.conf import settings
from django.urls import reverse

from tests.application import front_end_is_built
from tests.browser.chromium import Watched, until
from tests.readerstudy.processing.measured_rows import corrections, counted, measured_rows, structure

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not front_end_is_built(), reason="The front end is not built (make frontend)."),
]

HIDDEN = """() => [...document.querySelectorAll('.about:popover-open button')].filter(one => {
  const box = one.getBoundingClientRect();
  return document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2) !== one;
}).map(one => one.textContent)"""
TOO_WIDE = "() => document.documentElement.scrollWidth > innerWidth"
OPEN = "() => document.querySelectorAll('.about:popover-open').length"


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


@pytest.mark.parametrize("width", [1440, 1024, 700])
def test_a_count_that_is_one_off_is_put_right_with_one_form(browser, live_server, client, width):
    graded = measured_rows()
    with opened(browser, live_server, client, graded, width) as watched:
        page = watched.page
        card = page.locator(".measured").first
        card.get_by_text("Is the count of levels one off?").click()
        card.locator(".shift select[name=direction]").select_option("up")
        card.locator(".shift select[name=arm]").select_option(label="Fast alone")
        card.locator(".shift input[name=reason]").fill("the last rib is one lower")
        assert not page.evaluate(TOO_WIDE)
        card.get_by_role("button", name="Shift", exact=True).click()
        until(lambda: page.locator(".notice.success").count() == 1, says="A shift")
        assert "All levels of Fast are one up now." in page.locator(".notice").inner_text()
        assert page.locator(".notice").evaluate("one => one.getBoundingClientRect().top") >= 0
        assert counted(graded) == {level: level + 6.0 for level in range(1, 6)}
        assert counted(graded, arm="Standard") == {level: level + 5.0 for level in range(1, 7)}
        assert [event.action for event in corrections(graded)] == ["processing.levels_shifted"]


@pytest.mark.parametrize("width", [1440, 700])
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
