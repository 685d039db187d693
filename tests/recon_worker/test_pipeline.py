"""The two jobs: what they give, that it is the same every time, and that nothing is left of one that failed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from recon_worker import contracts, pipeline
from recon_worker.data import InputFault, ReconstructionFault, Volume, chain_choice
from recon_worker.denoising import weights
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.pipeline import run_acquisition_job, run_finishing_job
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.grid import common_grid
from recon_worker.reconstruction.intensity import acquisition_gain, intensity_map, stored_scale
from recon_worker.reconstruction.interpolation import apodize
from recon_worker.store import StorageFault, Store
from recon_worker.stored_volume import load_volume, save_volume
from tests.recon_worker.object_storage import object_storage
from tests.recon_worker.orders import acquisition_order, files_below, finishing_order, storage
from tests.recon_worker.support import Protocol, simulate, write_scan

JOB = "11111111-2222-3333-4444-555555555555"


class Listener:
    """Progress as it was reported."""

    def __init__(self) -> None:
        self.said: list[tuple[str, float]] = []

    def __call__(self, stage: str, fraction: float) -> None:
        self.said.append((stage, fraction))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline") / "storage"


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return storage(folder)


@pytest.fixture(scope="module")
def acquired(store: Store) -> dict[str, dict[str, Any]]:
    """Payloads of the two acquisition jobs."""
    return {
        name: run_acquisition_job(acquisition_order(store, f"raw/{name}"), store=store, report=lambda *_: None)
        for name in ("standard", "fast")
    }


@pytest.fixture(scope="module")
def finished(store: Store, acquired: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Order and payload of a finishing job of four series; the reference is the last one."""
    standard, fast = acquired["standard"]["volumes"][0], acquired["fast"]["volumes"][0]
    order = finishing_order([fast, fast, standard, standard], acquisitions=[1, 1, 0, 0], reference=3)
    contracts.check("finishing-work-order", order)
    return order, run_finishing_job(order, store=store, report=lambda *_: None)


def event(payload: dict[str, Any]) -> dict[str, Any]:
    return {"job": JOB, "attempt": 1, "event": "done", "payload": json.loads(json.dumps(payload))}


def test_an_acquisition_job_stores_the_reconstruction(store, acquired, folder):
    for name, payload in acquired.items():
        contracts.check("event", event(payload))
        stored = load_volume(folder / payload["volumes"][0]["path"])
        expected = reconstruct(open_kspace(folder / "raw" / name)).volume
        np.testing.assert_array_equal(stored.volume.array, expected.array)
        np.testing.assert_array_equal(stored.volume.affine, expected.affine)
        assert expected.noise_std is not None and stored.volume.noise_std is not None
        np.testing.assert_array_equal(stored.volume.noise_std, expected.noise_std)
        assert stored.volume.slice_thickness_mm == expected.slice_thickness_mm
        assert stored.noise_reduction == 0


def test_the_summary_says_what_was_acquired(acquired):
    standard, fast = acquired["standard"]["summary"], acquired["fast"]["summary"]
    for name in ("echo_time_ms", "repetition_time_ms"):
        assert standard[name] == fast[name] > 0
    assert standard["image_matrix"] == [48, 40] and standard["n_slices"] == 3 and standard["n_coils"] == 4
    assert (standard["n_averages"], fast["n_averages"]) == (2, 1)
    assert (standard["partial_fourier"], fast["partial_fourier"]) == (False, True)
    assert (standard["lines_acquired"], fast["lines_acquired"]) == (40, 24)
    assert standard["slice_spacing_mm"] == 4.4


def test_an_undersampled_acquisition_is_done_with_a_remark(store, folder):
    scan = simulate(Protocol(rows=48, n_coils=8), noise_level=0.005)
    lines = np.zeros(48, dtype=bool)
    lines[::2] = lines[14:35] = True
    acquired = scan.acquired & lines
    data = scan.data * acquired[None, :, None, :, None]
    write_scan(folder / "raw" / "undersampled", replace(scan, acquired=acquired, data=data))
    payload = run_acquisition_job(acquisition_order(store, "raw/undersampled"), store=store, report=lambda *_: None)
    contracts.check("event", event(payload))
    assert payload["summary"]["partial_fourier"] is False
    assert payload["summary"]["remarks"][-1].startswith("Undersampled: 14 of 48 lines were filled in")
    steps = payload["lineage"]["parameters"]["chains"][0]["reconstruction"]["steps"]
    assert next(step for step in steps if step["step"] == "unfolding")["reduction_factor"] == pytest.approx(48 / 34)


def test_lineage_names_inputs_steps_code_and_outputs_and_no_secret(store, acquired, finished):
    payload = acquired["fast"]
    lineage = payload["lineage"]
    assert lineage["inputs"] == [
        {"path": "raw/fast", "sha256": store.sha256("raw/fast"), "bytes": store.size("raw/fast")}
    ]
    assert {step["step"] for step in lineage["parameters"]["chains"][0]["reconstruction"]["steps"]} >= {
        "noise whitening",
        "averaging",
    }
    assert re.fullmatch("[0-9a-f]{64}", lineage["code"]["source_sha256"])
    assert set(lineage["libraries"]) >= {"python", "numpy", "torch", "pydicom"}
    assert lineage["outputs"][0]["sha256"] == store.sha256(payload["volumes"][0]["path"])
    order, done = finished
    assert len(done["lineage"]["inputs"]) == 2
    text = json.dumps(done)
    assert not any(series["uid_key"] in text for series in order["series"])


def test_progress_goes_forward_in_words(store):
    said = Listener()
    run_acquisition_job(acquisition_order(store, "raw/fast"), store=store, report=said)
    fractions = [fraction for _, fraction in said.said]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    stages = list(dict.fromkeys(stage for stage, _ in said.said))
    assert stages[0] == "checking" and stages[1] == "reading" and stages[-1] == "storing"


def test_the_same_order_gives_the_same_bytes(store, acquired, finished, folder):
    again = run_acquisition_job(acquisition_order(store, "raw/fast"), store=store, report=lambda *_: None)
    assert again["volumes"][0]["sha256"] == acquired["fast"]["volumes"][0]["sha256"]
    order, done = finished
    elsewhere = {**order, "output": "work/again/1"}
    repeated = run_finishing_job(elsewhere, store=store, report=lambda *_: None)
    assert [[file["sha256"] for file in series["files"]] for series in repeated["series"]] == [
        [file["sha256"] for file in series["files"]] for series in done["series"]
    ]


def test_a_finishing_job_gives_every_series_one_look(finished, folder):
    order, done = finished
    contracts.check("event", event(done))
    assert [series["index"] for series in done["series"]] == [0, 1, 2, 3]
    for series in done["series"]:
        assert series["path"] == f"{order['output']}/series/{series['index']}"
        assert files_below(folder / series["path"]) == {
            Path(file["path"]).relative_to(series["path"]).as_posix() for file in series["files"]
        }
        assert (folder / series["preview"]).is_file()
        frames = folder / series["path"] / "frames.u16"
        assert frames.stat().st_size == series["slices"] * series["rows"] * series["columns"] * 2
    alike = [
        {name: value for name, value in series.items() if name not in ("index", "path", "files", "preview")}
        for series in done["series"]
    ]
    assert all(one == alike[0] for one in alike)
    assert len({(folder / series["path"] / "series.json").read_bytes() for series in done["series"]}) == 1


def test_headers_of_all_arms_are_equal_to_the_byte_except_uids(finished, folder):
    _, done = finished
    uid = re.compile(rb"2\.25\.[0-9]{39}")
    for number in (1, 2, 3):
        headers = set()
        for series in done["series"]:
            content = (folder / series["path"] / "dicom" / f"{number:04d}.dcm").read_bytes()
            headers.add(uid.sub(b"?", content[: content.index(b"\xe0\x7f\x10\x00OW") + 12]))
        assert len(headers) == 1


def test_pixels_are_the_magnitude_on_one_scale(acquired, finished, folder):
    """Against the steps done by hand: one gain, one map, one scale, rounded once."""
    _, done = finished
    standard, fast = (
        load_volume(folder / acquired[name]["volumes"][0]["path"]).volume for name in ("standard", "fast")
    )
    reference, other = common_grid([standard, fast])
    field = intensity_map(reference).astype(np.float64)
    scale = stored_scale(np.abs(reference.array) * field)
    gain = acquisition_gain(reference, other)
    for index, (volume, factor) in enumerate([(other, gain), (other, gain), (reference, 1.0), (reference, 1.0)]):
        exact = np.abs(volume.array.astype(np.complex128)) * field * factor * scale
        shown = to_reading_orientation(Volume(exact, reference.affine, 4.0)).array
        series = done["series"][index]
        frames = np.fromfile(folder / series["path"] / "frames.u16", dtype="<u2").reshape(shown.shape)
        np.testing.assert_allclose(frames, np.minimum(shown, 4095), atol=0.51)
        first = pydicom.dcmread(folder / series["path"] / "dicom/0001.dcm")
        np.testing.assert_array_equal(first.pixel_array, frames[0])
    assert done["lineage"]["parameters"]["gains"] == {"0": 1.0, "1": pytest.approx(gain)}
    # In the unit of its own noise the fast acquisition is 0.4 times as bright.
    assert gain == pytest.approx(2.5, rel=0.05)
    bright = np.fromfile(folder / done["series"][2]["path"] / "frames.u16", dtype="<u2").astype(float)
    dim = np.fromfile(folder / done["series"][0]["path"] / "frames.u16", dtype="<u2").astype(float)
    tissue = bright > 1000
    assert np.median(dim[tissue] / bright[tissue]) == pytest.approx(1, abs=0.03)


def test_the_gain_does_not_depend_on_the_order_of_the_list(store, acquired, folder, tmp_path):
    """Series of one acquisition share the gain of the one with the least noise reduction."""
    fast = acquired["fast"]["volumes"][0]
    stored = load_volume(folder / fast["path"])
    smoothed = Volume(stored.volume.array * np.float32(1.1), stored.volume.affine, 4.0, stored.volume.noise_std)
    save_volume(tmp_path / "denoised.npz", smoothed, noise_reduction=0.5)
    put, _ = store.put(tmp_path / "denoised.npz", "work/denoised/1/denoised-50.npz")
    standard = acquired["standard"]["volumes"][0]
    gains = []
    for volumes in ([put.as_json(), fast, standard], [fast, put.as_json(), standard]):
        order = finishing_order(volumes, acquisitions=[1, 1, 0], reference=2)
        done = run_finishing_job(order, store=store, report=lambda *_: None)
        gains.append(done["lineage"]["parameters"]["gains"])
    assert gains[0] == gains[1]


def test_a_file_that_is_not_raw_data_is_the_files_fault_and_leaves_nothing(store, folder):
    before = files_below(folder)
    (folder / "raw/text").write_text("This is a shopping list.\n" * 50)
    with pytest.raises(InputFault):
        run_acquisition_job(acquisition_order(store, "raw/text"), store=store, report=lambda *_: None)
    (folder / "raw/text").unlink()
    assert files_below(folder) == before


def test_a_file_that_is_not_the_recorded_one_is_refused(store):
    order = acquisition_order(store, "raw/fast")
    for change in ({"sha256": "0" * 64}, {"bytes": 17}):
        with pytest.raises(StorageFault, match="is not the one that was recorded"):
            run_acquisition_job({**order, "raw": {**order["raw"], **change}}, store=store, report=lambda *_: None)


def test_noise_reduction_without_its_network_is_refused_before_the_file_is_read(store, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "load_weights", partial(weights.load_weights, tmp_path))
    order = acquisition_order(store, "raw/fast", noise_reduction=[0.25])
    contracts.check("acquisition-work-order", order)
    said = Listener()
    with pytest.raises(ReconstructionFault, match="Install the application again"):
        run_acquisition_job(order, store=store, report=said)
    assert said.said == []


def test_acquisitions_that_do_not_fit_together_are_refused(store, acquired, folder):
    write_scan(folder / "raw/other", simulate(Protocol(n_slices=3, columns=40), noise_level=0.02))
    before = files_below(folder)
    other = run_acquisition_job(acquisition_order(store, "raw/other"), store=store, report=lambda *_: None)
    order = finishing_order([acquired["standard"]["volumes"][0], other["volumes"][0]], acquisitions=[0, 1])
    with pytest.raises(InputFault, match="matrix differs"):
        run_finishing_job(order, store=store, report=lambda *_: None)
    assert files_below(folder) == before | {other["volumes"][0]["path"]}


def test_a_job_that_fails_midway_removes_what_it_wrote_and_not_what_another_run_wrote(
    store, finished, folder, monkeypatch
):
    order, _ = finished
    before = files_below(folder)
    written = 0
    put = Store.put

    def failing(self: Store, local: Path, path: str) -> Any:
        nonlocal written
        written += 1
        if written > 9:
            raise StorageFault("The disk is full.", "Free some space, then start again.")
        return put(self, local, path)

    monkeypatch.setattr(Store, "put", failing)
    with pytest.raises(StorageFault):
        run_finishing_job({**order, "output": "work/midway/1"}, store=store, report=lambda *_: None)
    assert files_below(folder) == before
    assert not (folder / "work/midway").exists()
    written = 0
    with pytest.raises(StorageFault):
        run_finishing_job(order, store=store, report=lambda *_: None)
    assert files_below(folder) == before


def test_a_damaged_volume_is_our_fault(store, acquired, folder):
    content = (folder / acquired["fast"]["volumes"][0]["path"]).read_bytes()
    damaged = folder / "work/damaged.npz"
    damaged.write_bytes(content[: len(content) // 2])
    volume = {"path": "work/damaged.npz", "sha256": store.sha256("work/damaged.npz"), "bytes": damaged.stat().st_size}
    with pytest.raises(ReconstructionFault, match="cannot be read"):
        run_finishing_job(finishing_order([volume], acquisitions=[0]), store=store, report=lambda *_: None)
    damaged.unlink()


def test_a_reference_outside_the_list_is_refused(store, acquired):
    order = finishing_order([acquired["fast"]["volumes"][0]], acquisitions=[0], reference=1)
    with pytest.raises(ReconstructionFault):
        run_finishing_job(order, store=store, report=lambda *_: None)


def test_the_version_is_that_of_the_project():
    import tomllib

    from recon_worker.lineage import VERSION

    project = tomllib.loads((Path(pipeline.__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION


@pytest.mark.acceptance
def test_both_jobs_on_s3_give_the_same_bytes(store, acquired, finished, folder, tmp_path):
    order, done = finished
    with object_storage() as url:
        remote = Store(url)
        for name in ("standard", "fast"):
            (tmp_path / name).write_bytes((folder / "raw" / name).read_bytes())
            remote.put(tmp_path / name, f"raw/{name}")
            payload = acquired[name]
            again = run_acquisition_job(
                {
                    "version": 2,
                    "raw": payload["lineage"]["inputs"][0],
                    "output": payload["volumes"][0]["path"].removesuffix("/0/reconstructed.npz"),
                    "chains": [{"chain": {}, "noise_reduction": [0]}],
                },
                store=remote,
                report=lambda *_: None,
            )
            assert again["volumes"] == payload["volumes"]
        assert run_finishing_job(order, store=remote, report=lambda *_: None)["series"] == done["series"]
        assert remote.sha256(done["series"][0]["files"][0]["path"]) == done["series"][0]["files"][0]["sha256"]


SENSE_2 = {"undersampling": 2, "calibration_lines": 13}


@pytest.fixture(scope="module")
def coiled(store: Store, folder: Path) -> str:
    """Path of a raw file with coils enough to unfold."""
    write_scan(folder / "raw/coiled", simulate(Protocol(rows=48, n_coils=8, n_slices=2), noise_level=0.01))
    return "raw/coiled"


@pytest.fixture(scope="module")
def of_chains(store: Store, coiled: str) -> tuple[dict[str, Any], dict[str, Any], Listener]:
    """Order, payload and progress of one file with three chains."""
    said = Listener()
    order = acquisition_order(store, coiled, chains=[{}, SENSE_2, {"apodization": "mild"}])
    contracts.check("acquisition-work-order", order)
    return order, run_acquisition_job(order, store=store, report=said), said


def test_one_file_gives_a_volume_for_every_chain(store, folder, of_chains):
    order, payload, said = of_chains
    contracts.check("event", event(payload))
    assert [(one["chain"], one["name"]) for one in payload["volumes"]] == [
        (0, "reconstructed"), (1, "reconstructed"), (2, "reconstructed"),
    ]  # fmt: skip
    assert [one["path"] for one in payload["volumes"]] == [
        f"{order['output']}/{index}/reconstructed.npz" for index in range(3)
    ]
    for entry, chosen in zip(payload["volumes"][:2], order["chains"], strict=False):
        expected = reconstruct(open_kspace(folder / "raw/coiled"), choice=chain_choice(chosen["chain"])).volume
        np.testing.assert_array_equal(load_volume(folder / entry["path"]).volume.array, expected.array)
    plain, filtered = (load_volume(folder / payload["volumes"][index]["path"]).volume for index in (0, 2))
    np.testing.assert_array_equal(filtered.array, apodize(plain, "mild").array)
    steps = payload["lineage"]["parameters"]["chains"]
    last = [each["reconstruction"]["steps"][-1] for each in steps]
    assert [each["step"] for each in last] == [*2 * ["phase oversampling removal"], "apodization"]
    assert last[2]["noise_factor"] == pytest.approx(float((filtered.noise_std / plain.noise_std).mean()), rel=1e-5)
    assert [each["chain"] for each in steps] == [chain_choice(one["chain"]).as_json() for one in order["chains"]]
    assert [len(payload["lineage"][name]) for name in ("inputs", "outputs")] == [1, 3]
    fractions = [fraction for _, fraction in said.said]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert "chain 2 of 3: reconstructing slices" in dict(said.said)
    assert all(len(stage) <= 60 for stage, _ in said.said)


def test_what_holds_for_one_chain_alone_is_said_of_its_volume(of_chains):
    _, payload, _ = of_chains
    plain, undersampled, _ = payload["volumes"]
    assert plain["remarks"] == []
    assert any("ndersampl" in remark for remark in undersampled["remarks"])
    assert not any("ndersampl" in remark for remark in payload["summary"]["remarks"])


def test_series_of_several_chains_differ_in_pixels_alone(store, folder, of_chains):
    _, payload, _ = of_chains
    order = finishing_order(payload["volumes"], acquisitions=[0, 1, 2], stored_matrix=[64, 96])
    done = run_finishing_job(order, store=store, report=lambda *_: None)
    contracts.check("event", event(done))
    first, *others = done["series"]
    assert sorted((first["rows"], first["columns"])) == [64, 96]
    frames = [(folder / one["path"] / "frames.u16").read_bytes() for one in done["series"]]
    assert len(set(frames)) == 3 and len({len(one) for one in frames}) == 1
    for other in others:
        for name in ("rows", "columns", "slices", "spacing_mm", "window", "edges"):
            assert other[name] == first[name]
        assert [file["bytes"] for file in other["files"] if "preview" not in file["path"]] == [
            file["bytes"] for file in first["files"] if "preview" not in file["path"]
        ]
    assert done["lineage"]["parameters"]["gains"]["0"] == 1.0
    assert done["lineage"]["parameters"]["stored_matrix"] == [64, 96]


def test_zero_filling_shows_the_same_picture_in_finer_pixels(store, folder, acquired):
    """Twice the matrix: every second pixel is the one that was there, under the same field and scale."""
    volume = acquired["standard"]["volumes"][0]
    plain, fine = (
        run_finishing_job(
            finishing_order([volume], acquisitions=[0], stored_matrix=matrix), store=store, report=lambda *_: None
        )["series"][0]
        for matrix in (None, [96, 80])
    )
    assert (fine["rows"], fine["columns"]) == (2 * plain["rows"], 2 * plain["columns"])
    np.testing.assert_allclose(np.array(plain["spacing_mm"]) / fine["spacing_mm"], (1, 2, 2))
    coarse, finer = (
        np.fromfile(folder / one["path"] / "frames.u16", "<u2").reshape(one["slices"], one["rows"], one["columns"])
        for one in (plain, fine)
    )
    # The brightest pixel may lie between the old ones: brightness is compared by the dot product of the pictures.
    plain_pixels, offsets = coarse / coarse.max(), []
    for i in (0, 1):
        for j in (0, 1):
            pixels = finer[:, i::2, j::2].astype(float)
            gain = (plain_pixels * pixels).sum() / (pixels**2).sum()
            offsets.append(np.abs(gain * pixels - plain_pixels).max())
    assert min(offsets) < 0.01 < sorted(offsets)[1]


def test_a_stored_matrix_below_the_acquired_one_is_refused_and_leaves_nothing(store, folder, acquired):
    before = files_below(folder)
    order = finishing_order([acquired["standard"]["volumes"][0]], acquisitions=[0], stored_matrix=[32, 64])
    with pytest.raises(InputFault, match="stored matrix of 32 x 64 is smaller than the acquired one of 48 x 40"):
        run_finishing_job(order, store=store, report=lambda *_: None)
    assert files_below(folder) == before


@pytest.mark.parametrize(
    ("chains", "factors", "words"),
    [
        ([{"apodization": "mild"}], [0.5], "trained on unfiltered images"),
        ([{}, {"undersampling": 1}], [], "same chain is asked for twice"),
        ([{"pattern": "variable density", "parallel_imaging": "GRAPPA"}], [], "regular gaps only"),
    ],
)
def test_chains_that_cannot_be_are_refused_before_the_file_is_read(store, chains, factors, words):
    said = Listener()
    order = acquisition_order(store, "raw/fast", chains=chains, noise_reduction=factors)
    contracts.check("acquisition-work-order", order)
    with pytest.raises(InputFault, match=words):
        run_acquisition_job(order, store=store, report=said)
    assert said.said == []


def test_a_chain_that_fails_leaves_nothing_of_those_before_it(store, folder):
    """Four coils cannot unfold eight lines; the paper's chain before it was stored already."""
    before = files_below(folder)
    order = acquisition_order(store, "raw/standard", chains=[{}, {"undersampling": 8, "calibration_lines": 13}])
    with pytest.raises(InputFault):
        run_acquisition_job(order, store=store, report=lambda *_: None)
    assert files_below(folder) == before


def test_an_order_of_version_one_asks_for_the_paper_s_chain(store, acquired):
    order = acquisition_order(store, "raw/fast")
    older = {name: value for name, value in order.items() if name != "chains"} | {"version": 1, "noise_reduction": []}
    assert contracts.current("acquisition", older) == order
    assert contracts.current("acquisition", {**older, "noise_reduction": [0.25]})["chains"] == [
        {"chain": {}, "noise_reduction": [0, 0.25]}
    ]
    finishing = finishing_order(acquired["fast"]["volumes"], acquisitions=[0])
    second = {name: value for name, value in finishing.items() if name != "measure"} | {"version": 2}
    contracts.check("finishing-work-order", second)
    older = {name: value for name, value in second.items() if name != "stored_matrix"} | {"version": 1}
    for broken in (older, {**second, "version": 3}, {**second, "measure": True}):
        with pytest.raises(contracts.ContractBroken):
            contracts.check("finishing-work-order", broken)
    assert contracts.current("finishing", older) == contracts.current("finishing", second) == finishing
    assert contracts.current("finishing", finishing) is finishing


def test_denoised_versions_of_two_chains(store, folder, coiled):
    order = acquisition_order(store, coiled, chains=[{}, SENSE_2], noise_reduction=[0.25, 0.75])
    order["chains"][1]["noise_reduction"] = [0.5]
    said = Listener()
    payload = run_acquisition_job(order, store=store, report=said)
    contracts.check("event", event(payload))
    made = {(one["chain"], one["name"]): one for one in payload["volumes"]}
    assert set(made) == {(0, "reconstructed"), (0, "denoised-25"), (0, "denoised-75"), (1, "denoised-50")}
    assert "noise_reduction_reached" not in made[0, "reconstructed"]
    for (_, name), one in made.items():
        stored = load_volume(folder / one["path"])
        assert stored.noise_reduction == one["noise_reduction"]
        if name != "reconstructed":
            assert 0 < one["noise_reduction_reached"] <= one["noise_reduction"] + 1e-6
    plain, denoised = (load_volume(folder / made[0, name]["path"]).volume for name in ("reconstructed", "denoised-75"))
    assert not np.array_equal(plain.array, denoised.array) and denoised.noise_std is not None
    assert np.linalg.norm(denoised.array - plain.array) < 0.3 * np.linalg.norm(plain.array)
    for entry in payload["lineage"]["parameters"]["chains"]:
        assert entry["denoising"]["weights_sha256"] == weights.load_weights().sha256
    fractions = [fraction for _, fraction in said.said]
    assert fractions == sorted(fractions)
    volumes = [made[0, name] for name in ("denoised-75", "reconstructed", "denoised-25")]
    done = run_finishing_job(
        finishing_order(volumes, acquisitions=[0, 0, 0], reference=1), store=store, report=lambda *_: None
    )
    assert done["lineage"]["parameters"]["gains"] == {"0": 1.0}
    assert len({(folder / one["path"] / "frames.u16").read_bytes() for one in done["series"]}) == 3
