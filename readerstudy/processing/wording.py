"""States and times in the words of the Processing page."""

from datetime import datetime

from readerstudy.processing.models import Job

SHORTEST_FRACTION = 0.03
"""Before this much is done a remaining time would be a guess."""


def duration(seconds: float) -> str:
    """41 becomes "41 s", 200 "3 min 20 s", 4000 "1 h 7 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min" if rest // 60 else f"{hours} h"


def about_left(seconds: float) -> str:
    """A remaining time, rounded as an estimate deserves: "about 20 s left", "about 35 min left"."""
    if seconds < 55:
        return f"about {max(5, round(seconds / 5) * 5)} s left"
    if seconds < 55 * 60:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {max(1, round(seconds / 3600))} h left"


def seconds_left(job: Job, now: datetime) -> float | None:
    """What a running job still needs at its pace so far; None while that cannot be said."""
    if job.started_at is None or job.fraction < SHORTEST_FRACTION:
        return None
    return (now - job.started_at).total_seconds() * (1 - job.fraction) / job.fraction


def seconds_taken(job: Job) -> float | None:
    """How long a done job ran."""
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def number(value: object) -> str:
    """A decimal without idle zeros: 2.00 becomes "2"."""
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
