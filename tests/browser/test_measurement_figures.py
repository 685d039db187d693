"""The measurements of the results page in Chromium: figures drawn and saved, nothing too wide, no text over another."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.conf import settings
from django.urls import reverse

from readerstudy.processing.models import Structure
from tests.application import front_end_is_built
from tests.browser.chromium import Watched, until
from tests.readerstudy.results.graded_study import graded_study
from tests.readerstudy.results.measured_study import measure, structure, with_more_of_discs
from tests.readerstudy.statistics.measurement_tables import random_measurements
from tests.readerstudy.statistics.score_tables import random_scores

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not front_end_is_built(), reason="The front end is not built (make frontend)."),
]

OVERLAPS = """() => [...document.querySelectorAll('.measured .figure')].flatMap(figure => {
  const texts = [...figure.querySelectorAll('svg text')].filter(one => one.textContent.trim());
  const boxes = texts.map(one => [one.textContent, one.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], at) => boxes.slice(at + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1
  ).map(([other]) => `${figure.id}: ${name} / ${other}`));
})"""
TOO_WIDE = """() => [...document.querySelectorAll(
  '.measured, .measured .scroll, #table6, #table6-beyond, #table6c, #table6b .scroll')].filter(
  one => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth).map(one => one.id)"""


TEXTS = "group => [...group.querySelectorAll('svg text')].map(one => one.textContent)"
SVG = "{http://www.w3.org/2000/svg}"


def saved_as_shown(page, group):
    """One file with every panel of the group, its texts and marks, none over another, under its title."""
    with page.expect_download() as download:
        group.locator("xpath=following-sibling::button[1]").click()
    assert download.value.suggested_filename == f"{group.get_attribute('data-file')}.svg"
    whole = ElementTree.parse(download.value.path()).getroot()
    title, *texts = ("".join(one.itertext()) for one in whole.iter(f"{SVG}text"))
    assert title == group.get_attribute("data-title")
    legend = group.locator("xpath=..").locator(".legend span").all_inner_texts()
    assert texts == [*group.evaluate(TEXTS), *legend]
    names = [one.get("id") for one in whole.iter() if one.get("id")]
    assert len(names) == len(set(names)), "what one panel is clipped by is its own"
    sides = ("x", "y", "width", "height")
    panels = [{side: float(one.get(side)) for side in sides} for one in whole.findall(f"{SVG}svg")]
    assert len(whole.findall(f"{SVG}rect")) == 1 + group.locator("xpath=..").locator(".legend i").count()
    assert max(float(one.get("x") or 0) for one in whole.findall(f"{SVG}text")) < float(whole.get("width")) - 30
    assert len(panels) == group.locator(".figure").count() > 0
    assert len(list(whole.iter(f"{SVG}path"))) == group.locator("svg path").count() > 0
    for one, other in pairwise(panels):
        assert other["x"] >= one["x"] + one["width"] or other["y"] >= one["y"] + one["height"]
    assert max(one["x"] + one["width"] for one in panels) <= float(whole.get("width"))
    assert max(one["y"] + one["height"] for one in panels) <= float(whole.get("height"))


@pytest.mark.parametrize("width", [1440, 1024])
def test_the_figures_are_drawn_and_nothing_overlaps(browser, live_server, client, width):
    graded = graded_study(random_scores(31, patients=12, sequences=("SAG T1",)))
    measure(graded.study, with_more_of_discs(random_measurements(3)), "SAG T1")
    reason = "A herniation that the outline follows into the canal, seen in this arm alone."
    Structure.objects.filter(pk=structure(graded, "Fast", 4).pk).update(excluded_reason=reason)
    client.force_login(graded.investigator)
    context = browser.new_context(viewport={"width": width, "height": 900})
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    try:
        watched = Watched(context)
        watched.page.goto(live_server.url + reverse("results:results", args=[graded.study.pk]))
        count = "() => document.querySelectorAll('.measured .figure[data-drawn] svg').length"
        until(lambda: watched.page.evaluate(count) == 2 * 2 * 4, says="Sixteen figures")
        assert watched.page.evaluate(OVERLAPS) == []
        assert watched.page.evaluate(TOO_WIDE) == []
        for group in watched.page.locator(".figures").all():
            saved_as_shown(watched.page, group)
        for table in ("#table6", "#table6-beyond", "#table6c", "#table6b"):
            assert watched.page.locator(table).count() == 1
        assert watched.errors == []
    finally:
        context.close()
