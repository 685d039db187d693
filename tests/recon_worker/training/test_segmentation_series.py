"""The evaluation counts what it says: right and wrong names, bodies at the outer slices, discs in pieces."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.training.segmentation_real import Case
from recon_worker.training.segmentation_series import drawn_discs, measured_series
from tests.recon_worker.segmentation.spines import FIELD_MM, SIZE, SPACING_MM, labelled_spine

WEIGHTS = {name: SimpleNamespace(threshold=0.5) for name in ("discs", "bodies")}


def seen(labels: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter((labels > 0).astype(np.float32), [0, 0.6, 0.6])


def case(bodies=None, discs=None, *, slices=slice(None), source="VB1", truth=None) -> Case:
    """A drawn spine as a held-out case; what the networks see may differ from what is labelled."""
    spine = labelled_spine(1)
    pixel = FIELD_MM / SIZE
    bodies = spine.bodies if bodies is None else bodies
    discs = spine.discs if discs is None else discs
    labels = {"bodies": spine.bodies if truth is None else truth, "discs": spine.discs}
    return Case(
        "drawn", "drawn", source, "T1", (SPACING_MM, pixel, pixel),
        spine.volume.array[slices],
        {"bodies": seen(bodies)[slices], "discs": seen(discs)[slices]},
        {kind: one[slices].astype(np.uint8) for kind, one in labels.items()},
        {kind: np.ones(one[slices].shape, dtype=np.uint8) for kind, one in labels.items()},
    )  # fmt: skip


def test_names_are_held_against_the_labels():
    (row,) = measured_series([case()], WEIGHTS)
    assert (row["found"], row["named_right"], row["count_unsure"]) == (7, 7, False)
    (row,) = measured_series([case(source="IVD")], WEIGHTS)
    assert (row["kind"], row["found"], row["named_right"]) == ("discs", 6, 6)
    # Labels that begin one level higher than the source says: every name is wrong.
    bodies = labelled_spine(1).bodies
    (row,) = measured_series([case(truth=np.where(bodies == 7, 0, bodies))], WEIGHTS)
    assert row["named_right"] == 0 and row["found"] == 6


@pytest.mark.parametrize(("first", "state"), [(2, "flagged"), (3, "cut")])
def test_bodies_at_the_outer_slices_are_counted(first, state):
    (row,) = measured_series([case(slices=slice(first, None))], WEIGHTS)
    assert row["at_the_side"][state] > 0 and row["at_the_side"]["measured"] == 0
    (whole,) = measured_series([case()], WEIGHTS)
    assert sum(whole["at_the_side"].values()) == 0


def test_a_series_without_a_spine_is_told():
    nothing = np.zeros_like(labelled_spine(1).bodies)
    (row,) = measured_series([case(bodies=nothing)], WEIGHTS)
    assert "No lumbar spine" in row["fault"]


def test_discs_in_pieces_missed_and_merged_are_counted():
    spine = labelled_spine(1)
    (row,) = drawn_discs([case()], WEIGHTS)
    assert (row["discs"], row["not_found"], row["in_pieces"], row["with_another"]) == (6, 0, 0, 0)
    discs = np.where(spine.discs == 3, 0, spine.discs)
    columns = np.flatnonzero((spine.discs == 4).any(axis=(0, 1)))
    middle = int(columns.mean())
    discs[:, :, middle - 3 : middle + 4][spine.discs[:, :, middle - 3 : middle + 4] == 4] = 0
    rows = np.flatnonzero(np.isin(spine.discs, (1, 2)).any(axis=(0, 2)))
    bridge = np.zeros_like(discs)
    # As if the body between were disc, in all slices: nothing is left to part them by.
    bridge[3:11, rows[0] : rows[-1], columns[0] - 5 : columns[-1] + 5] = 1
    (row,) = drawn_discs([case(discs=np.maximum(discs, bridge))], WEIGHTS)
    assert (row["discs"], row["not_found"], row["in_pieces"]) == (6, 1, 1)
    assert row["with_another"] == 1
