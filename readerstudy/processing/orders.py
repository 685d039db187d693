"""Work orders: what the recon worker is told, and never more."""

import json
import secrets
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

from readerstudy.intake.models import RawFile
from readerstudy.processing.models import Job, VolumeFile
from readerstudy.studies.chains import canonical_chain, difference_from_paper
from readerstudy.studies.models import Arm

ACQUISITION_VERSION, FINISHING_VERSION = 2, 3

Pair = tuple[str, Decimal]
"""A chain, written so that equal chains are equal, and a noise reduction: what of an acquisition makes a series."""


def output_of(job_id: UUID, attempt: int) -> str:
    """The folder of storage below which an attempt may write."""
    return f"work/{job_id}/{attempt}"


def pair_of_arm(arm: Arm) -> Pair:
    """What an arm needs of its acquisition."""
    return _pair(arm.full_chain, arm.noise_reduction)


def pair_of_volume(volume: VolumeFile) -> Pair:
    """What a stored volume is."""
    return _pair(canonical_chain(volume.chain), volume.noise_reduction)


def _pair(chain: dict[str, Any], noise_reduction: Decimal) -> Pair:
    return json.dumps(chain, sort_keys=True), Decimal(noise_reduction).quantize(Decimal("0.01"))


def acquisition_order(*, output: str, raw_file: RawFile, arms: list[Arm]) -> dict[str, Any]:
    """One raw file to complex volumes: every chain that the study's arms ask of its acquisition, once, with all the
    noise reductions that they ask of it. The paper's chain comes first."""
    wanted: dict[str, set[Decimal]] = {}
    for chain, noise_reduction in pairs_of_acquisition(arms, raw_file.acquisition_id):
        wanted.setdefault(chain, set()).add(noise_reduction)
    chains = [(json.loads(chain), sorted(factors)) for chain, factors in sorted(wanted.items())]
    chains.sort(key=lambda entry: bool(difference_from_paper(entry[0])))
    return {
        "version": ACQUISITION_VERSION,
        "raw": {"path": raw_file.path, "sha256": raw_file.sha256, "bytes": raw_file.bytes},
        "output": output,
        # A file of an acquisition that no arm names yet is reconstructed too: it is checked, and may be named later.
        "chains": [
            {"chain": chain, "noise_reduction": [float(factor) for factor in factors]}
            for chain, factors in chains or [(canonical_chain({}), [Decimal(0)])]
        ],
    }


def pairs_of_acquisition(arms: Iterable[Arm], acquisition_id: UUID | None) -> set[Pair]:
    """Everything that the arms need of one acquisition."""
    return {pair_of_arm(arm) for arm in arms if arm.acquisition_id == acquisition_id}


def finishing_order(
    *,
    output: str,
    arms: list[Arm],
    volumes: dict[UUID, VolumeFile],
    stored_matrix: list[int] | None = None,
    measure: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Volumes of one subject and sequence to series; and the arm ids in the order of its series (kept, never sent).

    Parameters
    ----------
    arms
        All arms of the study. One of them is the reference.
    volumes
        From arm id to the volume it is made of.
    stored_matrix
        Of the sequence.
    measure
        Whether discs and bodies of its series are measured.
    """
    arms = list(arms)
    secrets.SystemRandom().shuffle(arms)  # a place in the list tells no arm
    pairs = list(dict.fromkeys((volumes[arm.id].job_id, volumes[arm.id].chain_index) for arm in arms))
    order = {
        "version": FINISHING_VERSION,
        "output": output,
        "reference": next(index for index, arm in enumerate(arms) if arm.is_reference),
        "stored_matrix": stored_matrix,
        "measure": measure,
        "series": [
            {
                "acquisition": pairs.index((volumes[arm.id].job_id, volumes[arm.id].chain_index)),
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
