"""Long checks on the application as it runs in use; `make acceptance` runs them and prints what they measured."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.raw_files import RawPair, simulate_pair
from tests.application import front_end_is_built

FIGURES = pytest.StashKey[list[str]]()

Note = Callable[[str], None]
"""Keeps a measured figure for the end of the run: reported, never asserted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    not_built = pytest.mark.skipif(not front_end_is_built(), reason="the front end is not built (make frontend)")
    for item in items:
        if "/acceptance/" in str(item.path):
            item.add_marker(pytest.mark.acceptance)
            item.add_marker(not_built)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    return request.config.stash[FIGURES].append


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawPair]:
    """The two acquisitions of a small subject's sequence."""
    folder: Path = tmp_path_factory.mktemp("raw")
    yield simulate_pair(folder, size="small")
