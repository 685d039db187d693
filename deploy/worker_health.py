"""`python -m deploy.worker_health light|recon`: exit 0 when this container's worker process is alive.

A solo-pool worker does not answer while it reconstructs, so the recon worker is asked for its process and its broker,
not for a reply.
"""

import os
import sys
from pathlib import Path

import redis


def worker_runs() -> bool:
    """Whether a Celery worker is among this container's processes."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"worker" in words and any(word.endswith(b"celery") for word in words):
            return True
    return False


def broker_answers() -> bool:
    """Whether the queue answers."""
    return bool(redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5).ping())


if __name__ == "__main__":
    sys.exit(0 if worker_runs() and broker_answers() else 1)
