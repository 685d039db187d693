"""Coil maps, of the calibration block and by ESPIRiT: against the simulator's true ones and BART's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from recon_worker.data import ChainChoice
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.scanner import FineGrid, set_up
from recon_worker.phantom.simulate import write_sequence
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction import coils
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.coil_compression import centre_of_readout
from recon_worker.reconstruction.coils import calibration_maps, coil_maps, combine, combine_columns, mix_channels
from recon_worker.reconstruction.espirit import espirit_maps
from recon_worker.reconstruction.fourier import crop_centre, to_image, to_kspace
from recon_worker.reconstruction.noise import noise_from_scan, whitening_matrix
from tests.recon_worker.reconstruction.bart import bart, needs_bart, read_cfl, write_cfl
from tests.recon_worker.support import Coils, Ellipse, Protocol, in_memory, pixel_positions, simulate


@dataclass(frozen=True)
class Spine:
    """One slice: the file, whitened channels with true maps, and the true image under the coils' shading."""

    raw: Path
    hybrid: torch.Tensor
    true_maps: torch.Tensor
    truth: np.ndarray
    body: np.ndarray

    def error(self, image: np.ndarray) -> float:
        shown, true = np.abs(image)[self.body], self.truth[self.body]
        shown = shown * (shown * true).sum() / (shown**2).sum()
        return float(np.linalg.norm(shown - true) / np.linalg.norm(true))


@pytest.fixture(scope="module", params=["SAG T2 FS", "SAG T1", "AX T2"])
def spine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Spine:
    folder = tmp_path_factory.mktemp("maps")
    scan = replace(scan_of(request.param, protocol="MSK", size="small"), n_slices=1, coils=(4, 4))
    scanner = set_up(draw_subject(5, 1), scan, seed=5, number=1, motion=0.0)
    write_sequence(folder, scanner, 5, 1, lambda fraction: None)
    kspace = open_kspace(folder / "standard.h5")
    model = noise_from_scan(kspace.header)
    assert model is not None
    whitening = whitening_matrix(model.covariance)
    piece = next(kspace.slices())
    columns, rows = scan.matrix
    hybrid = crop_centre(to_image(torch.from_numpy(piece.data.mean(axis=0)), 2), 2, columns)
    assert hybrid.shape[1] == rows
    length = scan.field_of_view_mm
    pixels = FineGrid((columns, rows), (length, length), 1, (-columns // 2, columns // 2), (-rows // 2, rows // 2))
    there = scanner.coils.sensitivities(pixels.plane(scanner.planes[0]))
    maps = np.einsum("dc,cyx->dyx", whitening, there)
    truth = np.load(folder / "truth.npz")
    return Spine(
        folder / "standard.h5",
        torch.tensordot(torch.from_numpy(whitening), hybrid, dims=1),
        torch.from_numpy((maps / np.linalg.norm(maps, axis=0)).astype(np.complex64)),
        np.abs(truth["image"][0]) * truth["sensitivity"][0],
        # Around the column: at the rim of an axial field of view the truth folds the belly onto the back.
        ndimage.binary_dilation((truth["bodies"][0] > 0) | (truth["discs"][0] > 0), np.ones((9, 9), bool)),
    )


@pytest.mark.parametrize("choice", [ChainChoice(), ChainChoice(coil_maps="ESPIRiT")], ids=["block", "ESPIRiT"])
def test_the_error_is_within_five_percent_of_that_with_the_true_maps(spine: Spine, choice: ChainChoice):
    images = to_image(spine.hybrid, 1)
    bound = spine.error(combine(images, spine.true_maps).numpy())
    assert bound < 0.1
    no_maps = torch.full_like(spine.true_maps, len(images) ** -0.5)
    assert spine.error(combine(images, no_maps).numpy()) > 1.5 * bound
    found = reconstruct(open_kspace(spine.raw), choice=choice)
    assert spine.error(found.volume.array[0]) < 1.05 * bound


PROTOCOL = Protocol(columns=96, rows=80, n_coils=8, read_mm=96.0, phase_mm=100.0)


def _white() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Whitened `[channel, ky, column]`, true maps, and pixels well inside the body."""
    coils = replace(Coils.make(8), period_mm=150.0)
    scan = simulate(PROTOCOL, noise_level=0.03, coils=coils)
    whitening = whitening_matrix(scan.covariance)
    hybrid = crop_centre(to_image(torch.from_numpy(scan.data[0, 0]), 2), 2, PROTOCOL.columns)
    position = pixel_positions(PROTOCOL)
    maps = np.einsum("dc,cyx->dyx", whitening, coils.sensitivity(*position))
    return (
        torch.tensordot(torch.from_numpy(whitening), hybrid, dims=1),
        torch.from_numpy((maps / np.linalg.norm(maps, axis=0)).astype(np.complex64)),
        Ellipse(0, 0, 36, 38).inside(*position),
    )


def _ours(hybrid: torch.Tensor, reach: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps of the block, by ESPIRiT, and ESPIRiT's support."""
    maps = coil_maps(hybrid, ky_centre=40, half_width_steps=16, half_width_samples=16 * 0.96)
    block = centre_of_readout(to_kspace(hybrid[:, 40 - reach : 40 + reach + 1], 2), reach)
    found = espirit_maps(block, maps)
    return maps, found.maps, found.support


@needs_bart
def test_espirit_maps_are_barts_but_for_a_phase(tmp_path: Path):
    hybrid, true_maps, body = _white()
    _, ours, _ = _ours(hybrid)
    write_cfl(tmp_path / "kspace", to_kspace(hybrid, 2).numpy().transpose(2, 1, 0)[:, :, None, :])
    bart("ecalib", "-m", 1, "-r", 25, tmp_path / "kspace", tmp_path / "maps")
    theirs = read_cfl(tmp_path / "maps").transpose(2, 1, 0)
    alike = np.abs((ours.numpy().conj() * theirs).sum(axis=0))[body]
    assert np.quantile(alike, 0.01) > 0.995
    assert np.median(alike) > 0.999
    # Distance to the true maps, and error of the combined image.
    distance = [1 - np.abs((maps.conj() * true_maps.numpy()).sum(0))[body].mean() for maps in (ours.numpy(), theirs)]
    assert distance[0] <= 1.05 * distance[1]
    images = to_image(hybrid, 1)
    ideal = np.abs(combine(images, true_maps).numpy())[body]
    errors = [
        np.linalg.norm(np.abs(combine(images, maps).numpy())[body] - ideal) / np.linalg.norm(ideal)
        for maps in (ours, torch.from_numpy(theirs.copy()))
    ]
    assert errors[0] <= 1.05 * errors[1]


def test_espirit_has_the_phase_of_the_block_and_falls_back_on_it_in_air():
    hybrid, _, body = _white()
    block, ours, support = _ours(hybrid)
    overlap = (ours.conj() * block).sum(dim=0).numpy()
    assert np.abs(np.angle(overlap[body])).max() < 0.01
    assert np.allclose(np.linalg.norm(ours.numpy(), axis=0), 1, atol=1e-4)
    assert support.numpy()[body].mean() > 0.98
    corner = support[:4, :4]
    assert torch.allclose(ours[:, :4, :4][:, corner == 0], block[:, :4, :4][:, corner == 0], atol=1e-4)
    assert float(corner.mean()) < 0.5


def test_a_body_cut_off_by_the_images_ends_does_not_spoil_the_maps_there():
    """Low-passed without the readout's oversampling, the two ends of the image would be mixed."""
    protocol = replace(PROTOCOL, read_mm=60.0, columns=60)
    coils = replace(Coils.make(8), period_mm=150.0)
    scan = simulate(protocol, noise_level=0.01, coils=coils)
    whitening = whitening_matrix(scan.covariance)
    position = pixel_positions(protocol)
    maps = np.einsum("dc,cyx->dyx", whitening, coils.sensitivity(*position))
    maps = torch.from_numpy((maps / np.linalg.norm(maps, axis=0)).astype(np.complex64))
    wide = to_image(torch.from_numpy(scan.data[0, 0]), 2)
    ends = Ellipse(0, 0, 36, 38).inside(*position) & (np.abs(position[0]) > 22)
    images = to_image(torch.tensordot(torch.from_numpy(whitening), crop_centre(wide, 2, 60), 1), 1)
    ideal = np.abs(combine(images, maps).numpy())
    found = np.abs(reconstruct(in_memory(scan)).volume.array[0])
    assert np.linalg.norm(found[ends] - ideal[ends]) / np.linalg.norm(ideal[ends]) < 0.01


@pytest.mark.parametrize("rows", [40, 42, 41])
def test_combining_a_few_columns_at_a_time_changes_nothing(rows: int, monkeypatch: pytest.MonkeyPatch):
    draw = torch.Generator().manual_seed(3)
    measured = torch.randn((6, rows, 50), dtype=torch.complex64, generator=draw)
    whitening = torch.randn((5, 6), dtype=torch.complex64, generator=draw)
    steps, first = 8, rows // 2 - 8
    maps = calibration_maps(
        to_kspace(mix_channels(whitening, measured)[:, first : first + 17].contiguous(), 2),
        ky_centre=rows // 2,
        half_width_steps=steps,
        half_width_samples=9.0,
        first_line=first,
        rows=rows,
        columns=50,
    )
    at_once = combine(to_image(mix_channels(whitening, measured), 1), maps.whole())
    monkeypatch.setattr(coils, "BLOCK_BYTES", 7 * 6 * rows * 8)
    assert torch.allclose(combine_columns(measured, whitening, maps), at_once, atol=2e-6 * float(at_once.abs().max()))
