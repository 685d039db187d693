"""Sealing the key and handing the study to its readers; opening the key after the lock."""

import secrets
from collections.abc import Callable
from dataclasses import asdict

from celery import current_app
from django.db import transaction
from django.utils import timezone

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.audit.models import Event
from readerstudy.audit.services import record
from readerstudy.blinding import checks, leak_audit
from readerstudy.blinding.models import Release, ReleasePreparation, Seal, Unblinding
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.processing.models import Series
from readerstudy.reading.models import ReadableSeries
from readerstudy.reading.policies import require_principal_investigator
from readerstudy.reading.selectors import frames_path
from readerstudy.reading.services import create_order_plan, new_token, study_grades_sha256
from readerstudy.statistics.plan import mapping_sha256
from readerstudy.studies.models import Membership, Study
from readerstudy.studies.services import freeze_plan, set_state


def release_problems(study: Study) -> list[str]:
    """Everything that stands against a release, in sentences; empty when nothing does. Reads every file."""
    return [problem for check in checks.run(study) for problem in check.problems]


def _require_coordinator(actor: User, study: Study) -> None:
    coordinates = Membership.objects.filter(
        study=study, user=actor, role=Membership.Role.COORDINATOR, user__is_active=True
    )
    if not coordinates.exists():
        raise Refusal("Only the coordinator may release the study.", "Ask the coordinator.")


def _require_preparing(study: Study) -> None:
    if study.state != Study.State.PREPARING:
        raise Refusal(f"The study is {study.state}.", "Only a study in preparation can be released.")


@transaction.atomic
def start_release(*, study: Study, actor: User) -> ReleasePreparation:
    """Begin the release; the light worker checks every file, copies the frames and seals the key (`blinding.release`).

    Refuses at once what the database can tell. A release that was refused or interrupted is begun again with the same
    tokens.
    """
    now = Study.objects.select_for_update().get(pk=study.pk)
    _require_coordinator(actor, now)
    _require_preparing(now)
    problems = [problem for check in checks.run(now, thorough=False) for problem in check.problems]
    if problems:
        raise Refusal(problems[0], "Complete the study first." if len(problems) == 1 else f"({len(problems)} problems)")
    preparation, _ = ReleasePreparation.objects.update_or_create(
        study=now, defaults={"by": actor, "done": 0, "total": len(checks.current_series(now)), "problems": []}
    )
    study_id, actor_id = str(now.pk), actor.pk
    transaction.on_commit(
        lambda: current_app.signature("blinding.release", kwargs={"study": study_id, "actor": actor_id}).delay()
    )
    return preparation


def release(*, study: Study, actor: User) -> Release:
    """Check everything, copy the frames under random tokens, seal the key, make the orders, open the study to readers.

    Nothing is half released: the frames lie under tokens that no row knows until one transaction makes all rows. It may
    be stopped at any time and run again. Raises Refusal with what stands against it.
    """
    _require_coordinator(actor, study)
    _require_preparing(study)
    results = checks.run(study)
    problems = [problem for check in results for problem in check.problems]
    series = checks.current_series(study)
    preparation, _ = ReleasePreparation.objects.get_or_create(study=study, defaults={"by": actor})
    if problems:
        ReleasePreparation.objects.filter(pk=preparation.pk).update(problems=problems)
        raise Refusal(problems[0], f"{len(problems)} problems stand against the release." if problems[1:] else "")
    tokens = {str(one.pk): preparation.tokens.get(str(one.pk)) or new_token() for one in series}
    preparation.tokens, preparation.total, preparation.problems = tokens, len(series), []
    preparation.save()

    def copied(done: int) -> None:
        ReleasePreparation.objects.filter(pk=preparation.pk).update(done=done, moved_at=timezone.now())

    _copy_frames(series, tokens, copied)
    return _seal(study, actor, series, tokens, results)


def _copy_frames(series: list[Series], tokens: dict[str, str], copied: Callable[[int], object]) -> None:
    """Copy each series' frames to its token's folder; what an earlier attempt copied whole is kept."""
    for done, one in enumerate(series, start=1):
        source = checks.reader_files(one)["frames.u16"]
        target = frames_path(tokens[str(one.pk)])
        if not _is_copied(target, source["sha256"]):
            storage.copy(source["path"], target)
            if not _is_copied(target, source["sha256"]):
                raise Refusal("The frames could not be copied whole.", "See the storage's free space; release again.")
        copied(done)


def _is_copied(path: str, sha256: str) -> bool:
    try:
        return checks.stored_sha256(path) == sha256
    except OSError:
        return False


@transaction.atomic
def _seal(
    study: Study, actor: User, series: list[Series], tokens: dict[str, str], results: list[checks.Check]
) -> Release:
    now = Study.objects.select_for_update().get(pk=study.pk)
    _require_preparing(now)
    if [one.pk for one in checks.current_series(now)] != [one.pk for one in series]:
        raise Refusal("A series was made again while the release was under way.", "Release again.")
    shuffled = list(series)
    secrets.SystemRandom().shuffle(shuffled)  # not even the order of the rows tells anything
    ReadableSeries.objects.bulk_create(
        ReadableSeries(
            token=tokens[str(one.pk)],
            study=now,
            sequence_id=one.sequence_id,
            rows=one.rows,
            columns=one.columns,
            slices=one.slices,
            spacing_mm=one.spacing_mm,
            window=one.window,
            edges=one.edges,
        )
        for one in shuffled
    )
    secrets.SystemRandom().shuffle(shuffled)
    Seal.objects.bulk_create(Seal(readable_id=tokens[str(one.pk)], series=one, study=now) for one in shuffled)
    groups = {tokens[str(one.pk)]: (str(one.subject_id), str(one.arm_id)) for one in series}
    plan = create_order_plan(study=now, actor=actor, groups=groups)
    freeze_plan(study=now, plan_hash=mapping_sha256(now.plan), actor=actor)
    audit = leak_audit.audit(now, frames=False)
    if audit.problems:
        raise Refusal(f"The leak audit found: {audit.problems[0]}", "The study is not released. Tell the developers.")
    written = [check.as_json() for check in results]
    written.append({"name": "leak-audit", "passed": True, "problems": [], "sentence": audit.sentence})
    made = Release.objects.create(study=now, by=actor, checks=written)
    details = {
        "series": len(series),
        "plan_sha256": now.plan_hash,
        "order_plan_sha256": plan.sha256,
        "checks": [check["name"] for check in written],
    }
    record(study=now.pk, actor=actor, action="blinding.released", details=details)
    set_state(study=now, state=Study.State.READING, actor=actor, details={"plan_sha256": now.plan_hash})
    ReleasePreparation.objects.filter(study=now).delete()
    study.refresh_from_db()
    return made


@transaction.atomic
def unblind(*, study: Study, actor: User, reason: str) -> Unblinding:
    """Open the key, once, after the lock, over exactly the grades of now (their digest is kept).

    Only the principal investigator, with a reason, and only while the grades are those of the lock.
    """
    now = Study.objects.select_for_update().get(pk=study.pk)
    require_principal_investigator(actor, now, "unblind the study")
    if now.state != Study.State.LOCKED:
        raise Refusal(f"The study is {now.state}.", "Lock it first; only a locked study can be unblinded.")
    reason = kept_text(reason)
    if not reason:
        raise Refusal("No reason is given.", "Write why the key is opened now.")
    digest = study_grades_sha256(now)
    locked = Event.objects.filter(study=now.pk, action="reading.locked").order_by("-index").first()
    if locked is None or locked.details.get("grades_sha256") != digest:
        raise Refusal("The grades are not those of the lock.", "Do not unblind; look for who changed the database.")
    made = Unblinding.objects.create(study=now, by=actor, reason=reason, grades_sha256=digest)
    details = {"reason": made.reason, "grades_sha256": made.grades_sha256}
    record(study=now.pk, actor=actor, action="blinding.unblinded", details=details)
    set_state(study=now, state=Study.State.UNBLINDED, actor=actor, details={"grades_sha256": made.grades_sha256})
    study.refresh_from_db()
    return made


@transaction.atomic
def record_leak_audit(*, study: Study, actor: User | None, audit: leak_audit.LeakAudit) -> None:
    """Enter the outcome of a leak audit into the trail."""
    record(study=study.pk, actor=actor, action="blinding.leak_audited", details=asdict(audit))
