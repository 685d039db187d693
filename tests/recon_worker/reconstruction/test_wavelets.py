"""Wavelets: orthonormal, inverted by their transpose, vanishing moments as the filters promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_worker.reconstruction.wavelets import FILTERS, Pyramid, compose, decompose, octaves, padded, shrink


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(3))


def _coefficients(pyramid: Pyramid) -> torch.Tensor:
    parts = [pyramid.approximation, *pyramid.details]
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("wavelet", FILTERS)
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (96, 64), (80, 48)])
def test_perfect_reconstruction(wavelet: str, rows: int, columns: int):
    image = _random(2, rows, columns)
    found = decompose(image, wavelet, octaves(rows, columns))
    assert torch.allclose(compose(found, wavelet), image, atol=1e-12)
    single = image.to(torch.complex64)
    assert torch.allclose(compose(decompose(single, wavelet, 1), wavelet), single, atol=1e-5)


@pytest.mark.parametrize("wavelet", FILTERS)
def test_the_transform_is_orthonormal(wavelet: str):
    """All columns of the matrix of the transform, by transforming every unit image."""
    rows, columns, levels = 16, 24, 1
    units = torch.eye(rows * columns, dtype=torch.float64).reshape(-1, rows, columns)
    found = decompose(units, wavelet, levels)
    matrix = torch.cat([part.reshape(rows * columns, -1) for part in (found.approximation, *found.details)], dim=1)
    assert matrix.shape == (rows * columns, rows * columns)
    assert torch.allclose(matrix @ matrix.T, torch.eye(rows * columns, dtype=torch.float64), atol=1e-12)
    deep = decompose(_random(64, 96), wavelet, 2)
    assert float(_coefficients(deep).norm()) == pytest.approx(float(_random(64, 96).norm()), rel=1e-12)


@pytest.mark.parametrize(("wavelet", "degree"), [("Haar", 0), ("Daubechies 4", 1)])
def test_details_of_polynomials_vanish(wavelet: str, degree: int):
    """Away from the border, where the periodic continuation jumps."""
    along = torch.arange(32, dtype=torch.float64)
    for power in range(degree + 1):
        detail = decompose((along**power)[:, None] * (along**power)[None], wavelet, 1).details[0]
        assert float(detail[:, :-2, :-2].abs().max()) < 1e-9
    rising = decompose((along ** (degree + 1))[:, None].expand(32, 32), wavelet, 1).details[0]
    assert float(rising[:, :-2, :-2].abs().max()) > 0.1


def test_shrinking_keeps_the_phase_and_leaves_the_approximation():
    found = decompose(_random(32, 32), "Daubechies 4", 2)
    shorter = shrink(found, 0.7)
    assert torch.equal(shorter.approximation, found.approximation)
    for before, after in zip(found.details, shorter.details, strict=True):
        assert torch.allclose(after.abs(), (before.abs() - 0.7).clamp(min=0), atol=1e-12)
        kept = after.abs() > 0
        assert torch.allclose(torch.angle(after[kept]), torch.angle(before[kept]), atol=1e-9)
    zero = shrink(Pyramid(torch.zeros(2, 2), (torch.zeros(3, 2, 2),)), 0.5)
    assert not torch.isnan(zero.details[0]).any()


def test_shrinking_is_the_proximal_map():
    """No neighbour has a lower  |x - v|^2 / 2 + t |details of x|."""
    image, threshold = _random(16, 16), 0.8

    def cost(candidate: torch.Tensor) -> float:
        sparse = sum(float(part.abs().sum()) for part in decompose(candidate, "Daubechies 4", 1).details)
        return float((candidate - image).abs().square().sum()) / 2 + threshold * sparse

    best = compose(shrink(decompose(image, "Daubechies 4", 1), threshold), "Daubechies 4")
    generator = torch.Generator().manual_seed(5)
    for size in (1e-3, 1e-1, 1.0):
        for _ in range(5):
            other = best + size * torch.randn(16, 16, dtype=torch.complex128, generator=generator)
            assert cost(best) < cost(other)


@pytest.mark.parametrize(("length", "expected"), [(224, 224), (225, 240), (352, 352), (81, 88), (7, 7), (15, 15)])
def test_lengths_are_padded_to_whole_octaves(length: int, expected: int):
    assert padded(length) == expected
    assert octaves(padded(length), 512) == int(np.log2(padded(length) & -padded(length)).clip(0, 4)) or length < 16


def test_octaves_end_where_a_length_is_odd_or_short():
    assert octaves(224, 352) == 4
    assert octaves(80, 64) == 3
    assert octaves(75, 64) == 0
