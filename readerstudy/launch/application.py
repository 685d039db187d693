"""Which processes the application is made of on the embedded default, and how each one says that it is ready."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError

from readerstudy.faults import Refusal
from readerstudy.launch import broker, checks, leftovers
from readerstudy.launch.supervisor import Service, Supervisor
from readerstudy.settings.state import BASE_DIR, broker_socket

DEFAULT_PORT = 8000


def address(host: str, port: int) -> str:
    """Where a browser finds the application."""
    return f"http://{'localhost' if host in ('127.0.0.1', '::1') else host}:{port}/"


def services(*, host: str, port: int) -> list[Service]:
    """The broker (unless REDIS_URL names a real one), both workers and the web server, in the order of starting."""
    state = Path(settings.STATE)
    logs = state / "logs"
    environment = {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "readerstudy.settings.development"),
        "READERSTUDY_STATE": str(state),
        "REDIS_URL": settings.REDIS_URL,
        "STORAGE_URL": settings.STORAGE_URL,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BASE_DIR), os.environ.get("PYTHONPATH", "")])),
    }
    socket = broker_socket(state)
    embedded_broker = f"redis+socket://{socket}" == settings.REDIS_URL
    celery = [sys.executable, "-m", "celery"]
    web_answers = f"http://{f'[{host}]' if ':' in host else host}:{port}/health"
    result = []
    if embedded_broker:
        result.append(
            Service(
                name="queue (Valkey)",
                command=broker.server_command(socket, state / "valkey"),
                log=logs / "valkey.log",
                ready=lambda written: broker.answers(socket),
                before_start=lambda: broker.remove_stale_socket(socket),
            )
        )
    result += [
        Service(
            name="light worker (records)",
            command=[
                *celery,
                "-A",
                "readerstudy",
                "worker",
                "-Q",
                "light",
                "-n",
                "light@%h",
                "--pool",
                "threads",
                "--concurrency",
                "2",
                "--beat",
                "--schedule",
                str(state / "run" / "beat"),
                "--loglevel",
                "INFO",
                "--without-gossip",
                "--without-mingle",
            ],
            log=logs / "light-worker.log",
            ready=lambda written: " ready." in written,
            environment=environment,
        ),
        Service(
            # One process, no fork: torch in a forked child hangs.
            name="recon worker",
            command=[
                *celery,
                "-A",
                "recon_worker.tasks",
                "worker",
                "-Q",
                "recon",
                "-n",
                "recon@%h",
                "--pool",
                "solo",
                "--loglevel",
                "INFO",
                "--without-gossip",
                "--without-mingle",
            ],
            log=logs / "recon-worker.log",
            ready=lambda written: " ready." in written,
            environment=environment,
        ),
        Service(
            name="web server",
            command=[
                sys.executable,
                "-m",
                "gunicorn",
                "readerstudy.wsgi:application",
                "--bind",
                f"{host}:{port}",
                "--worker-class",
                "gthread",
                "--workers",
                "2",
                "--threads",
                "6",
                "--timeout",
                "120",
                "--graceful-timeout",
                "5",
                "--no-control-socket",
                "--worker-tmp-dir",
                str(state / "run"),
            ],
            log=logs / "web.log",
            ready=lambda written: _web_answers(web_answers),
            environment=environment,
        ),
    ]
    return result


def _web_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def run(*, host: str, port: int, say: Callable[[str], None], when_ready: Callable[[Supervisor], None]) -> None:
    """Check, migrate, start, call `when_ready`, watch until Ctrl-C, stop.

    Raises
    ------
    Refusal
        Port in use, disk nearly full, front end not built, a server that does not answer, a process that does not
        stay up.
    """
    state = Path(settings.STATE)
    checks.front_end_is_built(Path(settings.FRONTEND_BUILD))
    checks.disk_has_room(state)
    lock = checks.only_one(state)
    try:
        record = state / "run" / "processes.json"
        leftovers.end(record, say)
        checks.port_is_free(host, port)
        checks.queue_server_answers(settings.REDIS_URL)
        checks.storage_answers()
        say("preparing the database")
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except OperationalError as error:
            words = str(error).strip().splitlines()[0]
            raise Refusal(f"The database cannot be used: {words}.", "Start it, or correct DATABASE_URL.") from error
        supervisor = Supervisor(services(host=host, port=port), say, record)
        supervisor.take_signals()
        try:
            supervisor.start()
            if not supervisor.stopping:
                when_ready(supervisor)
            supervisor.watch()
        finally:
            say("stopping")
            supervisor.stop()
            say("stopped; the next start finds everything as it is now")
    finally:
        lock.close()
