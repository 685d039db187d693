"""The only writer of the trail, and its check."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.audit.models import Event

NO_PREVIOUS_HASH = "0" * 64


def link_hash(event: Event) -> str:
    """SHA-256 (hex) over the canonical JSON of an event's fields and its predecessor's hash."""
    content = {
        "study": str(event.study),
        "index": event.index,
        "at": event.at.isoformat(),
        "actor": event.actor_id,
        "action": event.action,
        "details": event.details,
        "previous_hash": event.previous_hash,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Plain JSON that every database gives back as it was: PostgreSQL keeps 1e20 and -0.0 as other numbers."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _wait_for_turn(study: UUID) -> None:
    """Put the writers of one chain in order until this transaction ends.

    A row lock on the last link is not enough on PostgreSQL: whoever waited for it finds the same row again, not the
    link that came after. SQLite needs nothing: its transactions begin IMMEDIATE, so there is one writer at a time.
    """
    if connection.vendor == "postgresql":
        key = int.from_bytes(hashlib.sha256(b"audit" + study.bytes).digest()[:8], signed=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


@transaction.atomic
def record(*, study: UUID, actor: User | None, action: str, details: dict[str, Any] | None = None) -> Event:
    """Append one link to the chain of `study`, in the transaction of what it tells of. Writers wait for each other.

    `details` holds plain JSON; never a patient's data, and before unblinding never what tells an arm of a
    presentation. Grades enter by their digest at sign-off. Raises ValueError for numbers that JSON does not have.
    """
    _wait_for_turn(study)
    last = Event.objects.filter(study=study).order_by("-index").first()
    event = Event(
        study=study,
        index=0 if last is None else last.index + 1,
        at=timezone.now(),
        actor=actor,
        action=action,
        details=_plain(json.loads(json.dumps(details or {}, allow_nan=False))),
        previous_hash=NO_PREVIOUS_HASH if last is None else last.hash,
    )
    event.hash = link_hash(event)
    event.save(force_insert=True)
    return event


def first_broken_link(study: UUID) -> int | None:
    """Index of the first link of the study's chain that does not hold, or None when the chain is whole."""
    previous = NO_PREVIOUS_HASH
    for expected, event in enumerate(Event.objects.filter(study=study).order_by("index").iterator()):
        if event.index != expected or event.previous_hash != previous or event.hash != link_hash(event):
            return expected
        previous = event.hash
    return None


@dataclass(frozen=True)
class Chain:
    """What the check of one study's chain found.

    Attributes
    ----------
    links
        How many links there are.
    head
        Hash of the last link. Noted elsewhere, it also proves later that no link was cut off the end.
    first_broken
        Index of the first link that does not hold, or None.
    """

    study: UUID
    links: int
    head: str
    first_broken: int | None


def chains() -> Iterator[Chain]:
    """Check every chain of the trail."""
    for study in Event.objects.order_by("study").values_list("study", flat=True).distinct():
        events = Event.objects.filter(study=study).order_by("index")
        last = events.last()
        yield Chain(
            study=study,
            links=events.count(),
            head=last.hash if last else NO_PREVIOUS_HASH,
            first_broken=first_broken_link(study),
        )


def contains(study: UUID, head: str) -> bool:
    """Whether a hash that was noted earlier is still a link of the study's chain."""
    return Event.objects.filter(study=study, hash=head).exists()
