"""The door for the web side: two Celery tasks that run a job in a child process and tell what becomes of it.

    celery -A recon_worker.tasks worker -Q recon --pool solo

Environment: `REDIS_URL` (broker), `STORAGE_URL`, `READERSTUDY_TASK_TIME_LIMIT` (seconds, the same for every process of
the application), `READERSTUDY_JOB_MEMORY_BYTES`. Contracts: docs/contracts/. Nothing here imports torch or numpy.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any, Literal

from celery import Celery
from celery.exceptions import Reject
from celery.signals import worker_init, worker_ready, worker_shutdown
from celery.worker import state as worker_state
from kombu import Queue

from recon_worker import contracts
from recon_worker.job_process import OUR_ACTION, JobProcess, JobStopped, Kind, failure
from recon_worker.lineage import code_version, library_versions

TIME_LIMIT_SECONDS = float(os.environ.get("READERSTUDY_TASK_TIME_LIMIT", "7200"))
HEARTBEAT_SECONDS = 5.0
SHORTEST_INTERVAL_SECONDS = 0.5
FINAL_EVENT_RETRY = {"max_retries": 60, "interval_start": 0.5, "interval_step": 0.5, "interval_max": 5}

log = logging.getLogger("recon_worker")

app = Celery("recon_worker")
app.conf.update(
    broker_url=os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_default_queue="recon",
    task_queues=[Queue("recon", routing_key="recon")],
    # A message leaves the queue when its task has ended; a worker that dies leaves it to be delivered again. The
    # visibility timeout must exceed the longest task, or a long task would run twice: both follow from one number.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_concurrency=1,
    broker_transport_options={
        "visibility_timeout": max(1, int(1.1 * TIME_LIMIT_SECONDS)),
        # Without these two the sweep for abandoned messages comes about every 100 seconds.
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
    },
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=False,
)

_process: JobProcess | None = None


def job_process() -> JobProcess:
    """The one child process of this worker."""
    global _process
    if _process is None:
        _process = JobProcess(os.environ["STORAGE_URL"])
    return _process


@worker_init.connect
def _check_environment(**_: Any) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not os.environ.get("STORAGE_URL"):
        raise SystemExit("STORAGE_URL is not set: name the storage as file:///folder or s3://bucket/prefix.")


@worker_ready.connect
def _warm_up(**_: Any) -> None:
    job_process().start()


@worker_shutdown.connect
def _end(**_: Any) -> None:
    if _process is not None:
        _process.close()


@app.task(name="recon_worker.acquisition")
def acquisition(*, job: str, attempt: int, order: dict[str, Any]) -> None:
    """Raw file to complex volumes (docs/contracts/acquisition-work-order.schema.json)."""
    _run("acquisition", job, attempt, order)


@app.task(name="recon_worker.finishing")
def finishing(*, job: str, attempt: int, order: dict[str, Any]) -> None:
    """Volumes to authored series (docs/contracts/finishing-work-order.schema.json)."""
    _run("finishing", job, attempt, order)


def _run(kind: Kind, job: str, attempt: int, order: dict[str, Any]) -> None:
    reporter = Reporter(job, attempt)
    reporter.send(
        "started",
        {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "versions": {"recon_worker": code_version()["version"], **library_versions()},
        },
    )
    order = contracts.current(kind, order)
    try:
        contracts.check("acquisition-work-order" if kind == "acquisition" else "finishing-work-order", order)
    except contracts.ContractBroken as error:
        reporter.send("failed", failure("ours", "The work order does not follow its contract.", OUR_ACTION, str(error)))
        return
    try:
        event, payload = job_process().run(
            kind,
            order,
            seconds=TIME_LIMIT_SECONDS,
            on_progress=reporter.progress,
            on_tick=reporter.tick,
            should_stop=_told_to_stop,
        )
    except JobStopped:
        log.info("job %s put back into the queue: this worker stops", job)
        raise Reject("the worker stops", requeue=True) from None
    log.info("job %s attempt %s %s", job, attempt, event)
    reporter.send(event, payload)


def _told_to_stop() -> bool:
    return worker_state.should_stop is not None or worker_state.should_terminate is not None


class Reporter:
    """Sends the events of one attempt: progress at most twice a second, a heartbeat at least every ten seconds."""

    def __init__(self, job: str, attempt: int) -> None:
        self._job = job
        self._attempt = attempt
        self._latest = ("starting", 0.0)
        self._sent = self._latest
        self._sent_at = time.monotonic()

    def progress(self, stage: str, fraction: float) -> None:
        """Note where the job is; sent when it is time."""
        self._latest = (stage, min(max(float(fraction), 0.0), 1.0))
        self.tick()

    def tick(self) -> None:
        """Send what is due."""
        waited = time.monotonic() - self._sent_at
        due = waited >= (SHORTEST_INTERVAL_SECONDS if self._latest != self._sent else HEARTBEAT_SECONDS)
        if due:
            self._sent, self._sent_at = self._latest, time.monotonic()
            self.send("progress", {"stage": self._latest[0], "fraction": round(self._latest[1], 4)})

    def send(self, event: Literal["started", "progress", "done", "failed"], payload: dict[str, Any]) -> None:
        """Send one event. A final one is tried for minutes while the broker is away; a lost heartbeat is no harm."""
        message = {"job": self._job, "attempt": self._attempt, "event": event, "payload": payload}
        try:
            contracts.check("event", message)
        except contracts.ContractBroken as error:
            if event != "done":
                raise
            log.error("%s", error)
            event = "failed"
            broken = failure("ours", "The job's result does not follow its contract.", OUR_ACTION, str(error))
            message = {**message, "event": event, "payload": broken}
        is_final = event in ("done", "failed")
        try:
            app.send_task(
                "processing.record",
                kwargs=message,
                queue="light",
                ignore_result=True,
                retry=True,
                retry_policy=FINAL_EVENT_RETRY if is_final else {"max_retries": 0},
            )
        except Exception:
            if is_final:
                raise
            log.warning("job %s: an event could not be sent; the broker is away", self._job)
