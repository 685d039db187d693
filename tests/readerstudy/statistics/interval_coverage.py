"""How often intervals hold the truth, on simulated differences of which a patient's levels have a part in common."""

import numpy as np

from readerstudy.statistics.measurement_agreement import NORMAL, agreement

ENDS = {
    "bias": ("bias_low", "bias_high"),
    "loa_low": ("loa_low_from", "loa_low_to"),
    "loa_high": ("loa_high_from", "loa_high_to"),
    **{f"cluster_{name}": (f"cluster_{name}_low", f"cluster_{name}_high") for name in ("bias", "loa_low", "loa_high")},
}  # fmt: skip


def differing(
    rng: np.random.Generator, patients: int, levels: int, *, of_patient: float = 1.0, of_level: float = 1.0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two methods `[pair]` without bias, and the patient of each pair.

    `of_patient` and `of_level` are the standard deviations of the difference's part that all levels of a patient share
    and of the part of each level alone.
    """
    names = [str(number) for number in range(patients) for _ in range(levels)]
    x = np.repeat(rng.normal(10, 2, patients), levels) + rng.normal(0, 1, patients * levels)
    shared = np.repeat(rng.normal(0, of_patient, patients), levels)
    return x, x + shared + rng.normal(0, of_level, patients * levels), names


def coverage(patients: int, levels: int, *, runs: int, seed: int) -> dict[str, float]:
    """Part of `runs` in which each 95 % interval of ENDS holds the true bias 0 or the true limit of agreement."""
    rng = np.random.default_rng(seed)
    truth = {"bias": 0.0, "loa_low": -NORMAL * 2**0.5, "loa_high": NORMAL * 2**0.5}
    held = dict.fromkeys(ENDS, 0)
    for _ in range(runs):
        found = agreement(*differing(rng, patients, levels)).as_mapping()
        for name, (low, high) in ENDS.items():
            held[name] += found[low] <= truth[name.removeprefix("cluster_")] <= found[high]
    return {name: count / runs for name, count in held.items()}
