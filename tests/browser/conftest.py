"""Browsers, one for all tests of a session and rendering mode."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.chromium import launch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def playwright_driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright_driver: Playwright) -> Iterator[Browser]:
    """Without WebGL."""
    started = launch(playwright_driver)
    yield started
    started.close()


@pytest.fixture(scope="session")
def webgl_browser(playwright_driver: Playwright) -> Iterator[Browser]:
    """With WebGL by software."""
    started = launch(playwright_driver, webgl=True)
    yield started
    started.close()
