"""One browser, two tabs or two people: nothing that a reader said is lost, misplaced or shown wrong."""

from typing import Any

from django.test import Client
from playwright.sync_api import Route

from readerstudy.accounts.models import User
from readerstudy.reading import services
from readerstudy.studies.models import Membership
from tests.browser.chromium import until
from tests.browser.reading_study import ReadingStudy, make_reading_study
from tests.browser.test_reading_page import Open, ReaderPage, open_page, reading  # noqa: F401  (fixtures)


def log_in(page: ReaderPage, user: User) -> None:
    """As if `user` had logged in in another tab; the page takes notice when it is looked at again."""
    client = Client()
    client.force_login(user)
    origin = page.page.url.split("/studies")[0]
    cookie: Any = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": origin}
    page.page.context.add_cookies([cookie])  # takes the place of the one before


def look_again(page: ReaderPage) -> None:
    page.page.evaluate("() => { dispatchEvent(new Event('focus')); }")


def test_grades_wait_while_somebody_else_is_logged_in(reading: ReadingStudy, open_page: Open):  # noqa: F811
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.saved()
    other = User.objects.create_user(username="another-reader", password="correct horse battery")
    Membership.objects.create(study=reading.study, user=other, role=Membership.Role.READER)
    log_in(page, other)
    page.press("4", "3")
    until(lambda: "log in again" in page.text(".save"), says="asks for the login")
    until(lambda: "somebody else" in page.text(".notice"), says="tells why")
    look_again(page)
    until(lambda: len(page.requests_to("/grades")) >= 2, says="tried again")
    assert reading.grades() == []
    assert page.page.locator(".value.given").all_inner_texts() == ["4", "3"]
    log_in(page, reading.reader)
    look_again(page)
    page.saved()
    assert reading.grades() == [("Apparent SNR", 4, ""), ("Anatomical Structures", 3, "")]
    page.errors[:] = [error for error in page.errors if "404" not in error and "403" not in error]


def test_a_series_signed_off_in_another_tab_is_shown_so(reading: ReadingStudy, open_page: Open):  # noqa: F811
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.press("4", "4", "4", "4", "0")
    page.saved()
    services.sign_off(presentation=reading.presentations[0])  # the other tab
    page.press("a", "2")
    until(lambda: "Series 1 was not saved: This series is signed off." in page.text(".notice"), says="a sentence")
    page.wait_for_series(reading.tokens()[0])
    assert page.page.locator(".panel").get_attribute("data-signed-off") == "1"
    assert "Signed off" in page.text(".sign")
    page.press("a", "2")
    page.page.keyboard.type("looked again")
    page.press("Enter")
    page.saved()
    row = reading.presentations[0].grades.get(number=2)
    assert (row.criterion.name, row.value, row.reason) == ("Apparent SNR", 2, "looked again")
    page.press("Enter")
    page.wait_for_series(reading.tokens()[1])
    page.errors[:] = [error for error in page.errors if "409" not in error]


def test_a_reader_ahead_of_what_the_server_knows_goes_on_by_itself(reading: ReadingStudy, open_page: Open):  # noqa: F811
    """Images still come but nothing said arrives: after three sign-offs the server gives no more, then all goes on."""
    reading_page = open_page(reading)
    page = reading_page.page
    reading_page.wait_for_series(reading.tokens()[0])
    reading_page.saved()
    page.route(
        "**/presentations/*/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    page.route("**/presentations/" + reading.tokens()[3], lambda route: route.fulfill(
        status=409, json={"message": "This series comes later.", "action": ""}
    ))  # fmt: skip
    for token in reading.tokens()[:3]:
        reading_page.wait_for_series(token)
        reading_page.press("3", "3", "3", "3", "1", "Enter")
    until(lambda: "Trying again" in page.locator(".cover").inner_text(), says="waits")
    page.unroute_all()
    reading_page.wait_for_series(reading.tokens()[3])
    reading_page.saved()
    assert [len(reading.grades(index)) for index in range(4)] == [5, 5, 5, 0]
    reading_page.errors[:] = []


def test_a_reader_faster_than_the_saving_waits_and_meets_no_error(open_page: Open):  # noqa: F811
    """Four sign-offs are on their way: the server would refuse the fifth series, so the page does not ask for it."""
    study = make_reading_study(series=5, rows=64, columns=64, slices=3)
    reading_page = open_page(study)
    page = reading_page.page
    reading_page.wait_for_series(study.tokens()[0])
    reading_page.saved()
    held: list[Route] = []
    holding = True

    def pass_on(route: Route) -> None:
        if holding and route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.route("**/presentations/*/*", pass_on)
    for token in study.tokens()[:4]:
        reading_page.wait_for_series(token)
        reading_page.press("3", "3", "3", "3", "1", "Enter")
    until(lambda: page.locator(".cover").inner_text().startswith("Saving."), says="waits for the saving")
    assert not reading_page.requests_to(study.tokens()[4])
    holding = False
    for route in held:
        route.continue_()
    reading_page.wait_for_series(study.tokens()[4])
    reading_page.saved()
    assert [len(study.grades(index)) for index in range(5)] == [5, 5, 5, 5, 0]
    assert not reading_page.errors


def test_a_way_out(reading: ReadingStudy, open_page: Open):  # noqa: F811
    page = open_page(reading)
    page.wait_for_series(reading.tokens()[0])
    page.press("4")
    page.saved()
    page.page.get_by_role("link", name="Stop").click()
    until(lambda: page.page.url.endswith("/start"), says="the start page")
    assert "4 of 4 series left" in page.text("main")
