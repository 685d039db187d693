"""One raw file, several chains: what is ordered, which series is made of which, and arms that come later."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from readerstudy.audit.services import first_broken_link
from readerstudy.processing import contracts, orders, selectors, services
from readerstudy.processing.models import Job, Series, VolumeFile
from readerstudy.studies import amendments
from readerstudy.studies.chains import canonical_chain, paper_chain
from readerstudy.studies.models import Acquisition, Arm, Study
from tests.readerstudy.processing.small_study import (
    LIMIT,
    STARTED,
    SmallStudy,
    acquisition_done,
    finishing_done,
    messages,
    raw_file,
    small_study,
)

SENSE_2 = {"undersampling": 2}


@pytest.fixture
def small(db) -> SmallStudy:
    messages("recon")
    return small_study()


@pytest.fixture
def start(small, tmp_path) -> Callable[[Acquisition], Job]:
    def start_one(acquisition: Acquisition) -> Job:
        job = services.start_acquisition_job(raw_file_id=raw_file(small, tmp_path, acquisition).id)
        assert job is not None
        return job

    return start_one


def add(small: SmallStudy, name: str, chain: dict[str, Any] | None = None, factor: str = "0") -> Arm:
    return amendments.add_arm(
        study=small.study,
        arm={"name": name, "acquisition": "Fast", "chain": chain or {}, "noise_reduction": factor},
        actor=small.coordinator,
    )


def done(job: Job, **summary: Any) -> None:
    job.refresh_from_db()
    payload = acquisition_done(job, **summary) if job.kind == Job.Kind.ACQUISITION else finishing_done(job)
    assert services.record(job_id=job.id, attempt=job.attempt, event="done", payload=payload)
    job.refresh_from_db()


def finishing(small: SmallStudy) -> Job:
    return Job.objects.get(kind=Job.Kind.FINISHING, status=Job.Status.QUEUED, study=small.study)


def test_every_chain_is_ordered_once_with_its_noise_reductions(small, start):
    add(small, "SENSE 2 DL50", SENSE_2, "0.50")
    add(small, "SENSE 2 DL25", {**SENSE_2, "calibration_lines": 24}, "0.25")
    add(small, "DL75", factor="0.75")
    order = start(small.fast).work_order
    contracts.check_order("acquisition", order)
    assert order["chains"] == [
        {"chain": paper_chain(), "noise_reduction": [0, 0.75]},
        {"chain": canonical_chain(SENSE_2), "noise_reduction": [0.25, 0.5]},
    ]
    assert start(small.standard).work_order["chains"] == [{"chain": paper_chain(), "noise_reduction": [0]}]


def test_every_series_is_made_of_the_volume_of_its_arm(small, start):
    arms = [
        add(small, "SENSE 2", SENSE_2),
        add(small, "SENSE 2 DL50", SENSE_2, "0.50"),
        add(small, "DL75", factor="0.75"),
    ]
    for job in (start(small.standard), start(small.fast)):
        done(job)
    job = finishing(small)
    contracts.check_order("finishing", job.work_order)
    groups: dict[Any, set[int]] = {}
    for arm_id, series in zip(job.arms, job.work_order["series"], strict=True):
        arm, volume = Arm.objects.get(id=arm_id), VolumeFile.objects.get(path=series["volume"]["path"])
        assert volume.job.acquisition == arm.acquisition
        assert orders.pair_of_volume(volume) == orders.pair_of_arm(arm)
        groups.setdefault((arm.acquisition_id, str(arm.full_chain)), set()).add(series["acquisition"])
    assert sorted(map(sorted, groups.values())) == [[0], [1], [2]], "one number a pair of acquisition and chain"
    words = str(job.work_order)
    assert not any(str(arm.id) in words or arm.name in words for arm in arms)
    done(job)
    series = {each.arm.name: each for each in Series.objects.filter(is_current=True)}
    assert series["DL75"].noise_reduction_reached == pytest.approx(LIMIT)
    assert series["SENSE 2 DL50"].noise_reduction_reached == 0.5
    assert series["Fast"].noise_reduction_reached is None
    assert selectors.problems(small.study) == []


def test_the_page_says_chain_and_what_was_reached(small, start):
    add(small, "SENSE 2 DL75", SENSE_2, "0.75")
    for job in (start(small.standard), start(small.fast)):
        done(job)
    VolumeFile.objects.filter(noise_reduction__gt=0).update(remarks=["The network's limit is 68 % here."])
    done(finishing(small))
    [group] = selectors.page(small.study)["sequences"]
    shown = {series["arm"]: series for series in group["series"]}
    assert (
        shown["SENSE 2 DL75"]["made"] == "SENSE, every 2nd line, 24 calibration lines · noise: asked 75 %, reached 68 %"
    )
    assert shown["SENSE 2 DL75"]["is_clamped"] and not shown["Fast"]["is_clamped"]
    assert shown["SENSE 2 DL75"]["remarks"] == ["The network's limit is 68 % here."]
    assert shown["Fast"]["made"] == ""


class TestArmsThatComeLater:
    def made(self, small: SmallStudy, start: Callable[[Acquisition], Job]) -> tuple[Job, Job, Job]:
        standard, fast = start(small.standard), start(small.fast)
        done(standard), done(fast)
        last = finishing(small)
        done(last)
        return standard, fast, last

    def test_what_is_missing_is_made_and_nothing_else(self, small, start):
        standard, fast, last = self.made(small, start)
        add(small, "Fast SENSE 2", SENSE_2)
        assert services.follow_design(study=small.study) == 1
        for job in (standard, fast, last):
            job.refresh_from_db()
        assert (standard.status, standard.attempt) == (Job.Status.DONE, 1)
        assert (fast.status, fast.attempt) == (Job.Status.QUEUED, 2)
        assert last.status == Job.Status.CANCELLED
        assert not Series.objects.filter(is_current=True).exists()
        assert selectors.problems(small.study) != []
        done(fast)
        done(finishing(small))
        assert {each.arm.name for each in Series.objects.filter(is_current=True)} == {
            "Standard",
            "Fast",
            "Fast SENSE 2",
        }
        assert selectors.problems(small.study) == []
        assert services.follow_design(study=small.study) == 0
        assert first_broken_link(small.study.id) is None

    def test_nothing_is_reconstructed_again_for_what_is_there(self, small, start):
        arm = add(small, "Fast SENSE 2", SENSE_2)
        standard, fast, _ = self.made(small, start)
        Series.objects.filter(arm=arm).delete()
        amendments.remove_arm(arm=arm, actor=small.coordinator)
        assert services.follow_design(study=small.study) == 1
        for job in (standard, fast):
            job.refresh_from_db()
            assert (job.status, job.attempt) == (Job.Status.DONE, 1)
        done(finishing(small))
        assert {each.arm.name for each in Series.objects.filter(is_current=True)} == {"Standard", "Fast"}

    def test_an_arm_that_comes_while_its_file_is_reconstructed(self, small, start):
        standard, fast = start(small.standard), start(small.fast)
        done(standard)
        services.record(job_id=fast.id, attempt=1, event="started", payload=STARTED)
        add(small, "Fast DL50", factor="0.50")
        services.follow_design(study=small.study)
        done(fast)
        assert (fast.status, fast.attempt) == (Job.Status.QUEUED, 2), "what was not ordered is ordered now"
        done(fast)
        assert len(finishing(small).arms) == 3

    def test_an_arm_that_comes_while_the_series_are_finished(self, small, start):
        standard, fast = start(small.standard), start(small.fast)
        done(standard), done(fast)
        last = finishing(small)
        add(small, "Fast DL50", factor="0.50")
        done(last)  # the message of the change is lost or late
        fast.refresh_from_db()
        assert last.status == Job.Status.CANCELLED and fast.status == Job.Status.QUEUED
        assert not Series.objects.exists()

    def test_a_lost_message_is_taken_up(self, small, start):
        self.made(small, start)
        add(small, "Fast SENSE 2", SENSE_2)
        assert services.reconcile()["designs_not_followed"] == 1
        assert services.reconcile()["designs_not_followed"] == 0

    def test_nothing_follows_after_the_release(self, small, start):
        self.made(small, start)
        Arm.objects.create(study=small.study, name="Late", order=9, acquisition=small.fast)
        Study.objects.update(state=Study.State.READING, plan_hash="0" * 64)
        assert services.follow_design(study=small.study) == 0
        assert Series.objects.filter(is_current=True).count() == 2


class TestStoredMatrix:
    def test_it_is_ordered_for_all_arms_and_series_follow_its_change(self, small, start):
        sequence = small.sequences[0]
        amendments.change_stored_matrix(sequence=sequence, stored_matrix=[512, 512], actor=small.coordinator)
        for job in (start(small.standard), start(small.fast)):
            done(job)
        first = finishing(small)
        assert first.work_order["stored_matrix"] == [512, 512]
        done(first)
        assert services.follow_design(study=small.study) == 0
        amendments.change_stored_matrix(sequence=sequence, stored_matrix=None, actor=small.coordinator)
        assert services.follow_design(study=small.study) == 1
        second = finishing(small)
        assert second.work_order["stored_matrix"] is None
        assert second.inputs.count() == 2

    def test_a_larger_acquisition_is_refused_in_words_and_tried_again_when_it_fits(self, small, start):
        sequence = small.sequences[0]
        amendments.change_stored_matrix(sequence=sequence, stored_matrix=[256, 128], actor=small.coordinator)
        job = start(small.standard)
        done(job)
        assert (job.status, job.failure_responsibility) == (Job.Status.FAILED, "file")
        assert job.failure_message == "Matrix 256 × 192, but the study stores this sequence in 256 × 128."
        assert "Design page" in job.failure_action
        amendments.change_stored_matrix(sequence=sequence, stored_matrix=[256, 256], actor=small.coordinator)
        services.follow_design(study=small.study)
        job.refresh_from_db()
        assert (job.status, job.attempt) == (Job.Status.QUEUED, 2)


class TestVersionOne:
    """Work orders that lay in a queue when the application was brought up to date."""

    def acquisition_order(self, job: Job) -> dict[str, Any]:
        order = {name: value for name, value in job.work_order.items() if name != "chains"}
        return {**order, "version": 1, "noise_reduction": []}

    def test_what_an_older_worker_made_is_taken(self, small, start):
        for job in (start(small.standard), start(small.fast)):
            payload = acquisition_done(job)
            for volume in payload["volumes"]:
                del volume["chain"], volume["remarks"]
            job.work_order = self.acquisition_order(job)
            job.save()
            assert services.record(job_id=job.id, attempt=1, event="done", payload=payload)
            job.refresh_from_db()
            assert job.status == Job.Status.DONE
        assert finishing(small).work_order["version"] == 3

    def test_a_retry_is_ordered_in_the_new_words(self, small, start):
        for job in (start(small.standard), start(small.fast)):
            done(job)
        job = finishing(small)
        job.work_order = {**{k: v for k, v in job.work_order.items() if k != "stored_matrix"}, "version": 1}
        job.save()
        failure = {"responsibility": "ours", "message": "It broke.", "action": "Try again.", "detail": ""}
        services.record(job_id=job.id, attempt=1, event="failed", payload=failure)
        services.retry(job_id=job.id, actor=small.coordinator)
        job.refresh_from_db()
        contracts.check_order("finishing", job.work_order)
        assert job.work_order["stored_matrix"] is None and job.attempt == 2


def test_a_second_attempt_leaves_no_volume_of_the_first(small, start):
    start(small.standard)
    fast = start(small.fast)
    done(fast)
    add(small, "Fast DL50", factor="0.50")
    services.follow_design(study=small.study)
    done(fast)
    assert {volume.path.split("/")[2] for volume in VolumeFile.objects.filter(job=fast)} == {"2"}
    assert sorted(VolumeFile.objects.filter(job=fast).values_list("noise_reduction", flat=True)) == [
        Decimal("0.00"), Decimal("0.50"),
    ]  # fmt: skip
