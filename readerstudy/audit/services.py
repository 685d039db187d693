"""The only writer of the trail, and its check."""

import hashlib
import json
from typing import Any
from uuid import UUID

from django.db import transaction
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


@transaction.atomic
def record(*, study: UUID, actor: User | None, action: str, details: dict[str, Any] | None = None) -> Event:
    """Append one link to the chain of `study`. Two writers at once are put in order by the unique index.

    `details` holds plain JSON; never a patient's data, and before unblinding never what tells an arm of a
    presentation. Grades enter by their digest at sign-off.
    """
    last = Event.objects.select_for_update().filter(study=study).order_by("-index").first()
    event = Event(
        study=study,
        index=0 if last is None else last.index + 1,
        at=timezone.now(),
        actor=actor,
        action=action,
        details=json.loads(json.dumps(details or {})),
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
