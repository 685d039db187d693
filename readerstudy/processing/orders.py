"""Work orders: what the recon worker is told, and never more."""

import secrets
from typing import Any
from uuid import UUID

from readerstudy.intake.models import RawFile
from readerstudy.processing.models import Job, VolumeFile
from readerstudy.studies.models import Arm

VERSION = 1


def output_of(job_id: UUID, attempt: int) -> str:
    """The folder of storage below which an attempt may write."""
    return f"work/{job_id}/{attempt}"


def acquisition_order(*, output: str, raw_file: RawFile, arms: list[Arm]) -> dict[str, Any]:
    """One raw file to complex volumes, with the noise reductions that the study's arms ask of its acquisition."""
    factors = {arm.noise_reduction for arm in arms if arm.acquisition_id == raw_file.acquisition_id}
    return {
        "version": VERSION,
        "raw": {"path": raw_file.path, "sha256": raw_file.sha256, "bytes": raw_file.bytes},
        "output": output,
        "noise_reduction": [float(factor) for factor in sorted(factors) if factor > 0],
    }


def finishing_order(
    *, output: str, arms: list[Arm], volumes: dict[UUID, VolumeFile]
) -> tuple[dict[str, Any], list[str]]:
    """Volumes of one subject and sequence to series; and the arm ids in the order of its series (kept, never sent).

    Parameters
    ----------
    arms
        All arms of the study. One of them is the reference.
    volumes
        From arm id to the volume it is made of.
    """
    arms = list(arms)
    secrets.SystemRandom().shuffle(arms)  # a place in the list tells no arm
    acquisitions = list(dict.fromkeys(arm.acquisition_id for arm in arms))
    order = {
        "version": VERSION,
        "output": output,
        "reference": next(index for index, arm in enumerate(arms) if arm.is_reference),
        "series": [
            {
                "acquisition": acquisitions.index(arm.acquisition_id),
                "volume": {
                    "path": volumes[arm.id].path,
                    "sha256": volumes[arm.id].sha256,
                    "bytes": volumes[arm.id].bytes,
                },
                "uid_key": secrets.token_hex(32),
            }
            for arm in arms
        ],
    }
    return order, [str(arm.id) for arm in arms]


def task_name(job: Job) -> str:
    """The recon worker's task for a job."""
    return f"recon_worker.{job.kind}"
