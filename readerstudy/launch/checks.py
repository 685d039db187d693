"""What must hold before the application starts; each failure is one clear sentence."""

from __future__ import annotations

import fcntl
import shutil
import socket
from pathlib import Path
from typing import TextIO

import redis

from readerstudy import storage
from readerstudy.faults import Refusal

SMALLEST_FREE_BYTES = 500 * 1024**2
LARGEST_PORT = 65535
PATIENCE_SECONDS = 5


def port_is_free(host: str, port: int) -> None:
    """Refuse a port that another program listens on."""
    if not 0 < port <= LARGEST_PORT:
        raise Refusal(f"There is no port {port}.", f"Choose one from 1024 to {LARGEST_PORT} with --port.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise Refusal(
                f"Port {port} may only be used by the system's administrator.", "Choose another with --port."
            ) from error
        except OSError as error:
            raise Refusal(
                f"Port {port} on {host} is in use by another program.", f"Choose another, such as --port {port + 1}."
            ) from error


def disk_has_room(folder: Path, smallest: int = SMALLEST_FREE_BYTES) -> None:
    """Refuse to start on a disk that is nearly full: a database and a queue that cannot write lose work."""
    free = shutil.disk_usage(folder).free
    if free < smallest:
        raise Refusal(
            f"The disk of {folder} has {free // 1024**2} MB left, and at least {smallest // 1024**2} MB are needed.",
            "Free some space, or set READERSTUDY_STATE to a folder on another disk.",
        )


def front_end_is_built(build: Path) -> None:
    """Refuse to start without the built front end."""
    if not (build / "manifest.json").exists():
        raise Refusal("The front end is not built.", "Run `make frontend` first.")


def queue_server_answers(url: str) -> None:
    """Refuse an address of a Redis or Valkey server at which none answers; the workers would wait for it for long."""
    if not url.startswith(("redis://", "rediss://")):
        return
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=PATIENCE_SECONDS, socket_timeout=PATIENCE_SECONDS) as one:
            one.ping()
    except (redis.RedisError, ValueError) as error:
        raise Refusal(
            f"No queue server answers at REDIS_URL: {_first_line(error)}", "Start it, or correct the address."
        ) from error


def storage_answers() -> None:
    """Refuse a storage that cannot be reached, before the first upload finds out."""
    try:
        system, root = storage.file_system()
        if "file" in system.protocol:
            system.makedirs(root, exist_ok=True)
        there = system.exists(root.partition("/")[0] or root)
    except Exception as error:  # every kind of storage has its own
        raise Refusal(f"STORAGE_URL cannot be used: {_first_line(error)}", "Correct it.") from error
    if not there:
        raise Refusal("The bucket of STORAGE_URL is not there.", "Create it, or correct the address.")


def _first_line(error: Exception) -> str:
    return f"{(str(error).strip() or type(error).__name__).splitlines()[0].rstrip('.')}."


def only_one(state: Path) -> TextIO:
    """Take the state folder's lock for as long as the returned file is open; refuse where another holds it."""
    path = state / "run" / "up.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Refusal(
            f"The application already runs on the state folder {state}.",
            "Stop it first, or set READERSTUDY_STATE to another folder.",
        ) from error
    return lock
