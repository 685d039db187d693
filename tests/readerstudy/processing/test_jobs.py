"""Jobs: what is ordered, what is recorded, and that it is recorded once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from readerstudy.audit.models import Event
from readerstudy.audit.services import first_broken_link
from readerstudy.faults import Refusal
from readerstudy.intake.models import RawFile
from readerstudy.processing import contracts, orders, selectors, services
from readerstudy.processing.models import Job, Series, VolumeFile
from readerstudy.studies.chains import paper_chain
from readerstudy.studies.models import Acquisition, Arm, Study
from tests.readerstudy.processing.small_study import (
    STARTED,
    SmallStudy,
    acquisition_done,
    finishing_done,
    messages,
    raw_file,
    small_study,
)


@pytest.fixture
def small(db) -> SmallStudy:
    messages("recon")
    return small_study()


@pytest.fixture
def start(small, tmp_path, django_capture_on_commit_callbacks) -> Callable[..., Job]:
    """A raw file comes in and its job is queued and sent."""

    def start_one(acquisition: Acquisition) -> Job:
        file = raw_file(small, tmp_path, acquisition)
        with django_capture_on_commit_callbacks(execute=True):
            job = services.start_acquisition_job(raw_file_id=file.id)
        assert job is not None
        return job

    return start_one


def tell(job: Job, event: str, payload: dict[str, Any], attempt: int | None = None) -> bool:
    recorded = services.record(job_id=job.id, attempt=attempt or job.attempt, event=event, payload=payload)
    job.refresh_from_db()
    return recorded


def finishing(small: SmallStudy) -> Job:
    return Job.objects.get(kind=Job.Kind.FINISHING, status=Job.Status.QUEUED, study=small.study)


def test_raw_file_becomes_a_work_order_on_the_recon_queue(start, small):
    job = start(small.standard)
    [message] = messages("recon")
    assert message["name"] == "recon_worker.acquisition"
    assert message["job"] == str(job.id)
    assert message["attempt"] == 1
    file = job.raw_file
    assert message["order"] == {
        "version": 2,
        "raw": {"path": file.path, "sha256": file.sha256, "bytes": file.bytes},
        "output": f"work/{job.id}/1",
        "chains": [{"chain": paper_chain(), "noise_reduction": [0.0]}],
    }


def test_starting_twice_makes_one_job(start, small, django_capture_on_commit_callbacks):
    job = start(small.standard)
    with django_capture_on_commit_callbacks(execute=True):
        assert services.start_acquisition_job(raw_file_id=job.raw_file_id) == job
    assert len(messages("recon")) == 1


def test_arms_with_noise_reduction_ask_for_it(start, small):
    for name, factor in (("DL50", "0.50"), ("DL25", "0.25")):
        Arm.objects.create(
            study=small.study, name=name, order=9, acquisition=small.fast, noise_reduction=Decimal(factor)
        )
    assert [each["noise_reduction"] for each in start(small.fast).work_order["chains"]] == [[0, 0.25, 0.5]]
    assert [each["noise_reduction"] for each in start(small.standard).work_order["chains"]] == [[0]]


def test_progress_is_shown_and_beats_the_heart(start, small):
    job = start(small.standard)
    assert tell(job, "started", STARTED)
    assert tell(job, "progress", {"stage": "coil maps", "fraction": 0.4})
    assert (job.status, job.stage, job.fraction) == (Job.Status.RUNNING, "coil maps", 0.4)
    assert job.heartbeat_at is not None
    assert job.started_at is not None


def test_finishing_starts_when_all_acquisitions_are_done(start, small):
    standard, fast = start(small.standard), start(small.fast)
    tell(standard, "done", acquisition_done(standard))
    assert not Job.objects.filter(kind=Job.Kind.FINISHING).exists()
    tell(fast, "done", acquisition_done(fast))
    job = finishing(small)
    order = job.work_order
    contracts.check_order("finishing", order)
    assert set(job.inputs.all()) == {standard, fast}
    arms = [Arm.objects.get(id=each) for each in job.arms]
    assert {arm.name for arm in arms} == {"Standard", "Fast"}
    assert arms[order["reference"]].name == "Standard"
    for arm, series in zip(arms, order["series"], strict=True):
        volume = VolumeFile.objects.get(job__acquisition=arm.acquisition)
        assert series["volume"]["path"] == volume.path
    assert len({series["uid_key"] for series in order["series"]}) == 2
    assert "Standard" not in str(order)
    assert str(arms[0].id) not in str(order)


def test_order_of_series_tells_no_arm(start, small):
    for job in (start(small.standard), start(small.fast)):
        tell(job, "done", acquisition_done(job))
    arms = list(small.study.arms.select_related("acquisition"))
    volumes = {arm.id: VolumeFile.objects.get(job__acquisition=arm.acquisition) for arm in arms}
    drawn = [orders.finishing_order(output="work/x/1", arms=arms, volumes=volumes) for _ in range(60)]
    assert {order["reference"] for order, _ in drawn} == {0, 1}, "one in 2^59 of being unlucky"
    for order, ids in drawn:
        assert Arm.objects.get(id=ids[order["reference"]]).is_reference
        assert [series["acquisition"] for series in order["series"]] == [0, 1]


@pytest.mark.parametrize("backwards", [False, True])
def test_raw_data_becomes_series_of_the_right_arms(start, small, backwards):
    for job in (start(small.standard), start(small.fast)):
        tell(job, "done", acquisition_done(job))
    job = finishing(small)
    job.arms = sorted(job.arms, reverse=backwards)
    job.save(update_fields=["arms"])
    assert tell(job, "done", finishing_done(job))
    series = Series.objects.filter(is_current=True)
    assert {each.arm.name for each in series} == {"Standard", "Fast"}
    for each in series:
        index = job.arms.index(str(each.arm_id))
        assert each.path == f"work/{job.id}/1/series/{index}"
    assert selectors.problems(small.study) == []
    lineage = selectors.lineage(series[0])
    assert {each["acquisition"] for each in lineage["acquisitions"]} == {"Standard", "Fast"}
    assert {each["raw_file"]["sha256"] for each in lineage["acquisitions"]} == set(
        RawFile.objects.values_list("sha256", flat=True)
    )
    assert first_broken_link(small.study.id) is None


class TestRecordedOnce:
    def test_stale_attempt_is_ignored(self, start, small):
        job = start(small.standard)
        Job.objects.filter(id=job.id).update(attempt=2)
        assert not tell(job, "started", STARTED, attempt=1)
        assert not tell(job, "done", acquisition_done(job), attempt=1)
        assert job.status == Job.Status.QUEUED
        assert not VolumeFile.objects.exists()

    def test_nothing_after_a_final_state(self, start, small):
        job = start(small.standard)
        done = acquisition_done(job)
        assert tell(job, "done", done)
        for event, payload in (
            ("done", done),
            ("progress", {"stage": "late", "fraction": 0.1}),
            ("started", STARTED),
            ("failed", {"responsibility": "ours", "message": "Late.", "action": "None.", "detail": ""}),
        ):
            assert not tell(job, event, payload)
        assert (job.status, job.fraction) == (Job.Status.DONE, 1.0)
        assert VolumeFile.objects.count() == 1
        assert Event.objects.filter(action="processing.job_done").count() == 1

    def test_unknown_job_is_ignored(self, db):
        from uuid import uuid4

        assert not services.record(job_id=uuid4(), attempt=1, event="started", payload=STARTED)

    def test_event_against_the_contract_fails_the_job_as_ours(self, start, small):
        job = start(small.standard)
        assert tell(job, "done", {"volumes": []})
        assert (job.status, job.failure_responsibility) == (Job.Status.FAILED, "ours")
        assert job.failure_detail

    @pytest.mark.parametrize("path", ["raw/somewhere-else", "work/other/1/reconstructed.npz"])
    def test_result_outside_its_own_folder_is_not_taken(self, start, small, path):
        job = start(small.standard)
        done = acquisition_done(job)
        done["volumes"][0]["path"] = path
        tell(job, "done", done)
        assert job.status == Job.Status.FAILED
        assert not VolumeFile.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_done_from_four_workers_at_once(self, tmp_path):
        messages("recon")
        small = small_study()
        jobs = []
        for acquisition in (small.standard, small.fast):
            file = raw_file(small, tmp_path, acquisition)
            jobs.append(services.start_acquisition_job(raw_file_id=file.id))
        told = [(job, acquisition_done(job)) for job in jobs] * 2

        def record(job_and_payload: tuple[Job, dict[str, Any]]) -> bool:
            job, payload = job_and_payload
            try:
                return services.record(job_id=job.id, attempt=1, event="done", payload=payload)
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            recorded = list(pool.map(record, told))
        assert sum(recorded) == 2
        assert VolumeFile.objects.count() == 2
        assert Job.objects.filter(kind=Job.Kind.FINISHING).count() == 1
        assert first_broken_link(small.study.id) is None
        messages("recon"), messages("light")


class TestFailure:
    def test_mismatch_fails_the_later_one_in_words(self, start, small):
        standard, fast = start(small.standard), start(small.fast)
        tell(standard, "done", acquisition_done(standard))
        tell(fast, "done", acquisition_done(fast, image_matrix=[256, 160]))
        assert standard.status == Job.Status.DONE
        assert (fast.status, fast.failure_responsibility) == (Job.Status.FAILED, "file")
        assert fast.failure_message == "Matrix 256 × 160, but Standard has 256 × 192."
        assert fast.failure_action == "Choose another file here, or for Standard."
        assert not Job.objects.filter(kind=Job.Kind.FINISHING).exists()

    def test_replacing_the_other_file_gives_the_unfitting_one_another_chance(self, start, small):
        standard, fast = start(small.standard), start(small.fast)
        tell(standard, "done", acquisition_done(standard, n_slices=11))
        tell(fast, "done", acquisition_done(fast))
        assert fast.failure_message == "12 slices, but Standard has 11."
        newer = start(small.standard)
        fast.refresh_from_db()
        assert (fast.status, fast.attempt, fast.failure_message) == (Job.Status.QUEUED, 2, "")
        tell(newer, "done", acquisition_done(newer))
        tell(fast, "done", acquisition_done(fast))
        assert finishing(small)

    def test_failed_file_says_what_the_worker_said(self, start, small):
        job = start(small.standard)
        said = {"responsibility": "file", "message": "No image.", "action": "Choose another file.", "detail": ""}
        tell(job, "failed", said)
        row = selectors.page(small.study)["acquisitions"][0]
        assert (row["kind"], row["stage"], row["action"]) == ("bad", "No image.", "Choose another file.")
        assert row["can_retry"]

    def test_detail_is_never_shown(self, start, small):
        job = start(small.standard)
        secret = "Traceback: /somewhere/secret.py"
        tell(
            job, "failed", {"responsibility": "ours", "message": "It broke.", "action": "Try again.", "detail": secret}
        )
        assert "secret" not in str(selectors.page(small.study))

    def test_retry_is_a_new_attempt(self, start, small, django_capture_on_commit_callbacks):
        job = start(small.standard)
        tell(job, "failed", {"responsibility": "ours", "message": "It broke.", "action": "Try again.", "detail": ""})
        messages("recon")
        with django_capture_on_commit_callbacks(execute=True):
            services.retry(job_id=job.id, actor=small.coordinator)
        job.refresh_from_db()
        assert (job.status, job.attempt, job.failure_message) == (Job.Status.QUEUED, 2, "")
        [message] = messages("recon")
        assert (message["attempt"], message["order"]["output"]) == (2, f"work/{job.id}/2")
        with pytest.raises(Refusal, match="has not failed"):
            services.retry(job_id=job.id, actor=small.coordinator)

    def test_retry_of_finishing_keeps_its_secret_keys(self, start, small):
        for job in (start(small.standard), start(small.fast)):
            tell(job, "done", acquisition_done(job))
        job = finishing(small)
        before = job.work_order["series"]
        tell(job, "failed", {"responsibility": "ours", "message": "It broke.", "action": "Try again.", "detail": ""})
        services.retry(job_id=job.id, actor=small.coordinator)
        job.refresh_from_db()
        assert job.work_order["series"] == before
        assert job.work_order["output"] == f"work/{job.id}/2"

    def test_no_reference_arm_is_said(self, start, small):
        Arm.objects.update(is_reference=False)
        for job in (start(small.standard), start(small.fast)):
            tell(job, "done", acquisition_done(job))
        job = Job.objects.get(kind=Job.Kind.FINISHING)
        assert (job.status, job.failure_message) == (Job.Status.FAILED, "No arm of the study is the reference.")
        Arm.objects.filter(name="Standard").update(is_reference=True)
        services.retry(job_id=job.id, actor=small.coordinator)
        assert finishing(small)


class TestCancelAndReplace:
    def test_cancelled_job_ignores_its_worker(self, start, small):
        job = start(small.standard)
        tell(job, "started", STARTED)
        services.cancel(job_id=job.id, actor=small.coordinator)
        assert not tell(job, "done", acquisition_done(job))
        assert job.status == Job.Status.CANCELLED
        services.retry(job_id=job.id, actor=small.coordinator)
        job.refresh_from_db()
        assert (job.status, job.attempt) == (Job.Status.QUEUED, 2)

    def test_done_job_cannot_be_cancelled(self, start, small):
        job = start(small.standard)
        tell(job, "done", acquisition_done(job))
        with pytest.raises(Refusal, match="already ended"):
            services.cancel(job_id=job.id, actor=small.coordinator)

    def test_replaced_file_takes_its_series_with_it(self, start, small):
        for job in (start(small.standard), start(small.fast)):
            tell(job, "done", acquisition_done(job))
        first = finishing(small)
        tell(first, "done", finishing_done(first))
        newer = start(small.fast)
        first.refresh_from_db()
        assert first.status == Job.Status.CANCELLED
        assert not Series.objects.filter(is_current=True).exists()
        assert selectors.problems(small.study) == ["S01 · SAG T1: its series are not finished."]
        tell(newer, "done", acquisition_done(newer))
        second = finishing(small)
        tell(second, "done", finishing_done(second))
        assert Series.objects.filter(is_current=True, job=second).count() == 2
        assert selectors.problems(small.study) == []

    def test_job_of_a_replaced_file_cannot_be_tried_again(self, start, small):
        older = start(small.standard)
        start(small.standard)
        older.refresh_from_db()
        assert older.status == Job.Status.CANCELLED
        with pytest.raises(Refusal, match="took the place"):
            services.retry(job_id=older.id, actor=small.coordinator)


def test_nothing_starts_after_the_release(small, tmp_path: Path):
    file = raw_file(small, tmp_path, small.standard)
    Study.objects.update(state=Study.State.READING, plan_hash="0" * 64)
    assert services.start_acquisition_job(raw_file_id=file.id) is None
