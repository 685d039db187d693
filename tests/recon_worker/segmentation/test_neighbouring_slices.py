"""A network sees the slices before and behind: the right ones, whatever the slices' distance and order."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recon_worker.data import Volume
from recon_worker.segmentation.network import Architecture, VNet, widened
from recon_worker.segmentation.probabilities import probabilities
from recon_worker.segmentation.weights import Weights


class Shows(torch.nn.Module):
    """Answers with one of the planes that it is given."""

    def __init__(self, plane: int) -> None:
        super().__init__()
        self.architecture = SimpleNamespace(multiple=16, planes=3)
        self.plane = plane
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return planes[:, self.plane : self.plane + 1]


def series(distance_mm: float, slices: int = 9) -> Volume:
    """Sagittal noise, slices from the right."""
    affine = np.eye(4)
    affine[:3, :3] = [[distance_mm, 0, 0], [0, 0, 1], [0, -1, 0]]
    array = np.random.default_rng(3).random((slices, 64, 48)).astype(np.float32)
    return Volume(array, affine, distance_mm)


def shown(volume: Volume, plane: int) -> np.ndarray:
    return probabilities(volume, Weights(Shows(plane), 0.5, "", {}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("distance_mm", "step"), [(4.0, 1), (5.5, 1), (2.0, 2), (0.9, 4)])
def test_neighbours_are_about_4_mm_away(distance_mm, step):
    volume = series(distance_mm)
    own, before, behind = (shown(volume, plane) for plane in (1, 0, 2))
    np.testing.assert_array_equal(before[step:], own[:-step])
    np.testing.assert_array_equal(behind[:-step], own[step:])
    # Where there is none, the slice itself is shown.
    np.testing.assert_array_equal(before[:step], own[:step])
    np.testing.assert_array_equal(behind[-step:], own[-step:])
    assert np.ptp(own) > 0.1


def test_slices_that_lie_far_apart_are_seen_alone():
    volume = series(6.5)
    own, before, behind = (shown(volume, plane) for plane in (1, 0, 2))
    np.testing.assert_array_equal(before, own)
    np.testing.assert_array_equal(behind, own)


@pytest.mark.parametrize("planes", [1, 3])
def test_the_order_of_the_slices_changes_nothing(planes):
    torch.manual_seed(0)
    network = VNet(Architecture(4, (1, 1, 1), planes)).eval()
    ready = Weights(network, 0.5, "", {})
    volume = series(4.0, slices=6)
    turned = probabilities(volume.flipped(0), ready)[::-1]
    np.testing.assert_allclose(turned, probabilities(volume, ready), atol=1e-6)


def test_a_widened_network_answers_as_before():
    torch.manual_seed(1)
    narrow = VNet(Architecture(4, (1, 1, 1))).eval()
    wide = widened(narrow, 3).eval()
    planes = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(wide(planes), narrow(planes[:, 1:2]), rtol=1e-5, atol=1e-5)
    assert widened(wide, 3) is wide
    # And learns from what it sees beside the slice.
    wide(planes).sum().backward()
    kernel = wide.encoder[0].convolutions[0].weight.grad
    assert kernel is not None and kernel[:, [0, 2]].abs().min() > 0
