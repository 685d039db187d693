"""The measurements of the results page in Chromium: figures drawn, nothing too wide, no text over another."""

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
        for table in ("#table6", "#table6-beyond", "#table6c", "#table6b"):
            assert watched.page.locator(table).count() == 1
        assert watched.errors == []
    finally:
        context.close()
