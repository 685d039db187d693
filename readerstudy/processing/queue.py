"""The queue of the recon worker: send, call back, and how much waits there."""

import logging

from django.db import transaction
from kombu.exceptions import ChannelError, KombuError
from redis.exceptions import RedisError

from readerstudy.celery import app as celery_app
from readerstudy.processing.models import Job
from readerstudy.processing.orders import task_name

logger = logging.getLogger(__name__)

QUEUE = "recon"


def send(job: Job) -> None:
    """Send a job's work order once the transaction is committed; the reconciler sends again what is lost."""
    message = {"job": str(job.id), "attempt": job.attempt, "order": job.work_order}
    name, task_id = task_name(job), message_id(job)
    transaction.on_commit(
        lambda: celery_app.send_task(
            name, kwargs=message, queue=QUEUE, task_id=task_id, retry_policy={"max_retries": 1}
        ),
        robust=True,
    )


def call_back(job: Job) -> None:
    """Ask workers not to begin an attempt that is no longer wanted. Best effort: what it computes is not recorded."""
    task_id = message_id(job)
    transaction.on_commit(lambda: celery_app.control.revoke(task_id), robust=True)


def message_id(job: Job) -> str:
    """The id of the message of a job's current attempt."""
    return f"{job.id}-{job.attempt}"


def waiting() -> int | None:
    """How many messages wait for a recon worker; None if the queue cannot be reached."""
    try:
        with celery_app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)
    except ChannelError:
        return 0  # a queue that holds nothing does not exist
    except (KombuError, RedisError, OSError) as error:
        logger.warning("the queue cannot be reached: %s", error)
        return None
