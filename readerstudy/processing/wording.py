"""States and times in the words of the Processing page."""

from datetime import datetime

from readerstudy.processing.models import Job, Series

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


def percent(fraction: object) -> str:
    """0.25 as "25 %"."""
    return f"{100 * float(str(fraction)):.0f} %"


def is_clamped(series: Series) -> bool:
    """Whether the network took less noise than the series' arm asks for, as far as the page's percent shows it."""
    reached = series.noise_reduction_reached
    return reached is not None and percent(reached) != percent(series.arm.noise_reduction)


def made(series: Series) -> str:
    """How a series was made: its chain where it is not the paper's, and how much noise was taken; else empty."""
    parts = [series.arm.chain_words]
    if series.noise_reduction_reached is not None:
        asked, reached = percent(series.arm.noise_reduction), percent(series.noise_reduction_reached)
        parts.append(f"noise: asked {asked}, reached {reached}" if is_clamped(series) else f"noise −{asked}")
    return " · ".join(filter(None, parts))
