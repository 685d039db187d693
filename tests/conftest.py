"""Shared by all tests: trail, grades and key refuse to be emptied, so emptying a test database steps round triggers."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def test_databases_can_be_emptied() -> Iterator[None]:
    """Transactional and live-server tests flush the database; its triggers are put back right after."""
    from django.db import connections
    from django.test import TransactionTestCase

    from readerstudy.audit import triggers

    flush = TransactionTestCase._fixture_teardown

    def flush_around_triggers(self: TransactionTestCase) -> Any:
        connection = connections["default"]
        triggers.remove(connection)
        others = []
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":  # PostgreSQL truncates, which the others do not stop
                cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
                others = cursor.fetchall()
            for name, _ in others:
                cursor.execute(f"DROP TRIGGER {name}")
        try:
            return flush(self)
        finally:
            triggers.install(connection)
            with connection.cursor() as cursor:
                for _, statement in others:
                    cursor.execute(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", flush_around_triggers)
        yield
