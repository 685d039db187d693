"""What must hold before the application starts; each failure is one clear sentence."""

from __future__ import annotations

import fcntl
import shutil
import socket
from pathlib import Path
from typing import TextIO

from readerstudy.faults import Refusal

SMALLEST_FREE_BYTES = 500 * 1024**2


def port_is_free(host: str, port: int) -> None:
    """Refuse a port that another program listens on."""
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
