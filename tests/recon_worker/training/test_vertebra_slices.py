"""Vertebrae with arches, one slice: where no body can be derived, nothing is said of it."""

from __future__ import annotations

import numpy as np

from recon_worker.training.spine_images import real_slices


def test_a_vertebra_without_a_derived_body_counts_neither_way(tmp_path):
    mask = np.zeros((200, 120), dtype=np.uint8)
    mask[20:50, 30:65] = 2
    # Transverse process and lamina alone: nothing 16 mm thick, which a body is.
    mask[70:82, 30:80] = 1
    mask[120:150, 30:65] = 3
    folder = tmp_path / "spine" / "spider_vertebra_slices"
    folder.mkdir(parents=True)
    image = np.random.default_rng(2).integers(40, 200, mask.shape).astype(np.uint8)
    np.savez(folder / "300_t1_s1.npz", image=image, mask=mask, spacing_mm=np.array([1.0, 1.0]), contrast="t1")
    (one,) = list(real_slices(tmp_path, lambda stage, fraction: None))
    assert one.bodies[35, 45] and one.bodies[135, 45] and not one.bodies[70:82].any()
    assert not one.body_weight[68:84, 30:80].any()
    assert one.body_weight[35, 45] and one.body_weight[60, 45] and one.body_weight[76, 20]
