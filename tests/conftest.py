"""Shared by all tests: the audit trail refuses to be emptied, so emptying a test database steps around its triggers."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def test_databases_can_be_emptied() -> Iterator[None]:
    """Transactional and live-server tests flush the database; the trail's triggers are put back right after."""
    from django.db import connections
    from django.test import TransactionTestCase

    from readerstudy.audit import triggers

    flush = TransactionTestCase._fixture_teardown

    def flush_around_triggers(self: TransactionTestCase) -> Any:
        connection = connections["default"]
        triggers.remove(connection)
        try:
            return flush(self)
        finally:
            triggers.install(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", flush_around_triggers)
        yield
