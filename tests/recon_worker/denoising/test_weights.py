"""The weights' file: what is installed is what its card names, and anything else is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from recon_worker.data import ReconstructionFault
from recon_worker.denoising.network import NoiseNetwork, parameters
from recon_worker.denoising.weights import FOLDER, load_network, load_weights, read_card, write_weights


def test_the_installed_weights_are_those_of_the_card_and_small():
    ready = load_weights()
    assert ready.sha256 == read_card()["sha256"]
    assert 4.0e6 < parameters(ready.network) < 4.8e6
    assert (FOLDER / "denoiser.npz").stat().st_size < 20e6
    assert not [name for name, _ in ready.network.named_parameters() if "bias" in name]


def test_the_card_says_what_it_must():
    card = read_card()
    for entry in ("data", "split", "training", "calibration", "sha256", "parameters", "metrics"):
        assert card[entry], entry
    assert all(source["terms"] for source in card["data"])


def test_other_numbers_are_refused(tmp_path):
    for name in ("denoiser.npz", "denoiser.json"):
        shutil.copy(FOLDER / name, tmp_path / name)
    content = bytearray((tmp_path / "denoiser.npz").read_bytes())
    content[5000] ^= 1
    (tmp_path / "denoiser.npz").write_bytes(bytes(content))
    with pytest.raises(ReconstructionFault, match="SHA-256"):
        load_weights(tmp_path)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(ReconstructionFault, match="card"):
        load_weights(tmp_path)
    shutil.copy(FOLDER / "denoiser.json", tmp_path / "denoiser.json")
    with pytest.raises(ReconstructionFault, match="missing"):
        load_weights(tmp_path)
    (tmp_path / "denoiser.json").write_text("no card")
    with pytest.raises(ReconstructionFault, match="unreadable"):
        load_weights(tmp_path)


def test_a_calibration_of_another_version_is_refused_in_words_and_can_be_made_anew(tmp_path):
    card = read_card()
    calibration = {name: value for name, value in card["calibration"].items() if name != "surroundings"}
    for held in ({**card, "calibration": calibration}, {**card, "calibration": None}):
        shutil.copy(FOLDER / "denoiser.npz", tmp_path / "denoiser.npz")
        (tmp_path / "denoiser.json").write_text(json.dumps(held))
        with pytest.raises(ReconstructionFault, match="calibration of this version"):
            load_weights(tmp_path)
        network, digest, _ = load_network(tmp_path)
        assert digest == card["sha256"] and parameters(network) == card["parameters"]


def test_writing_the_same_network_twice_gives_the_same_hash(tmp_path):
    torch.manual_seed(1)
    network = NoiseNetwork()
    calibration = read_card()["calibration"]
    digests = [write_weights(tmp_path / name, network, {"calibration": calibration}) for name in ("a", "b")]
    assert digests[0] == digests[1]
    assert json.loads((tmp_path / "a" / "denoiser.json").read_text())["sha256"] == digests[0]
    again = load_weights(tmp_path / "b")
    for (name, value), other in zip(network.named_parameters(), again.network.parameters(), strict=True):
        np.testing.assert_allclose(value.detach().numpy(), other.numpy(), atol=2e-3, err_msg=name)
