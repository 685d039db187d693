"""The form in which measurements are told: what is right is right on both sides, what is wrong is wrong on both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from readerstudy.processing import contracts as web
from recon_worker import contracts as worker

JOB = "11111111-2222-3333-4444-555555555555"
OUTPUT = f"work/{JOB}/1"
SHA256 = "0" * 64


def file(path: str) -> dict[str, Any]:
    return {"path": f"{OUTPUT}/{path}", "sha256": SHA256, "bytes": 1}


def done() -> dict[str, Any]:
    """A finishing job's event: the first series measured, the second not."""
    series = [
        {
            "index": index,
            "path": f"{OUTPUT}/series/{index}",
            "rows": 2,
            "columns": 2,
            "slices": 2,
            "spacing_mm": [4.4, 1.0, 1.0],
            "window": [1750, 3500],
            "edges": {"left": "A", "right": "P", "top": "H", "bottom": "F"},
            "files": [file(f"series/{index}/frames.u16")],
            "preview": f"{OUTPUT}/series/{index}/preview.png",
        }
        for index in range(2)
    ]
    structure = {
        "kind": "disc",
        "level": 5,
        "name": "L4-L5",
        "matched_level": None,
        "state": "measured",
        "measures": {"disc_height_mm": 9.5},
        "centroid_mm": [0.0, 12.0, -47.0],
        "flags": [],
    }
    names = ("labels.npz", "overlay.png", "segmentation.dcm", "report.dcm")
    return {
        "series": series,
        "measurements": [
            {
                "index": 0,
                "structures": [structure],
                "remarks": ["Not found: T12."],
                "files": [file(f"measurements/0/{name}") for name in names],
                "overlay": f"{OUTPUT}/measurements/0/overlay.png",
                "sheet": {
                    "first": 3,
                    "slices": 7,
                    "across": 4,
                    "tile": [200, 400],
                    "start": [10, 44],
                    "step": [210, 410],
                    "size": [850, 900],
                },
                "labels": f"{OUTPUT}/measurements/0/labels.npz",
                "fault": None,
            },
            {
                "index": 1,
                "structures": [],
                "remarks": [],
                "files": [],
                "overlay": None,
                "sheet": None,
                "labels": None,
                "fault": {"message": "No lumbar spine was found in the series.", "action": "Measure it by hand."},
            },
        ],
        "lineage": {
            "inputs": [],
            "parameters": {},
            "code": {"name": "recon_worker", "version": "1", "source_sha256": SHA256},
            "libraries": {},
            "outputs": [],
        },
        "seconds": 1.0,
    }


def accepted(payload: dict[str, Any]) -> tuple[bool, bool]:
    """By the worker, by the web."""
    verdicts = []
    for check, broken in (
        (lambda: worker.check("event", {"job": JOB, "attempt": 1, "event": "done", "payload": payload}),
         worker.ContractBroken),
        (lambda: web.check_payload("finishing", "done", payload), web.BrokenContract),
    ):  # fmt: skip
        try:
            check()
            verdicts.append(True)
        except broken:
            verdicts.append(False)
    return verdicts[0], verdicts[1]


def _change(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(payload: dict[str, Any]) -> None:
        target: Any = payload
        *way, last = [int(step) if step.isdigit() else step for step in place.split(".")]
        for step in way:
            target = target[step]
        target[last] = value

    return change


RIGHT = {
    "as it is": lambda payload: None,
    "not asked for": _change("measurements", None),
    "an older worker": lambda payload: payload.pop("measurements"),
    "a worker that tells no places of slices": lambda payload: payload["measurements"][0].pop("sheet"),
    "another level at its place": _change("measurements.0.structures.0.matched_level", 4),
    "cut": lambda payload: payload["measurements"][0]["structures"][0].update(state="cut", measures={}),
}
WRONG = {
    "no series": _change("measurements", []),
    "no level": _change("measurements.0.structures.0.level", 0),
    "no such level": _change("measurements.0.structures.0.level", 8),
    "no such level of a disc": _change("measurements.0.structures.0.level", 7),
    "matched to no level of a disc": _change("measurements.0.structures.0.matched_level", 7),
    "no such kind": _change("measurements.0.structures.0.kind", "sacrum"),
    "no such state": _change("measurements.0.structures.0.state", "guessed"),
    "a height of nothing": _change("measurements.0.structures.0.measures.disc_height_mm", 0),
    "an unknown measure": _change("measurements.0.structures.0.measures.disc_angle", 1.0),
    "a sheet without slices": _change("measurements.0.sheet.slices", 0),
    "a sheet with half a pixel": _change("measurements.0.sheet.step", [210.5, 410]),
    "a fault without words": _change("measurements.1.fault", {"message": "", "action": ""}),
    "a file among those of the series": _change("series.0.files.0.path", f"{OUTPUT}/measurements/0/overlay.png"),
    "a file in the series' folder": _change("measurements.0.files.1.path", f"{OUTPUT}/series/0/overlay.png"),
    "a way out of the folder": _change("measurements.0.files.1.path", f"{OUTPUT}/measurements/0/../../overlay.png"),
    "a word too many": _change("measurements.0.arm", "Fast DL75"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_on_both_sides(name):
    payload = copy.deepcopy(done())
    RIGHT[name](payload)
    assert accepted(payload) == (True, True)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_on_both_sides(name):
    payload = copy.deepcopy(done())
    WRONG[name](payload)
    assert accepted(payload) == (False, False)


@pytest.mark.parametrize("measure", [True, False])
def test_both_sides_know_version_three(measure):
    order = {
        "version": 3,
        "output": OUTPUT,
        "reference": 0,
        "stored_matrix": None,
        "measure": measure,
        "series": [{"acquisition": 0, "volume": file("0/reconstructed.npz"), "uid_key": "a" * 64}],
    }
    worker.check("finishing-work-order", order)
    web.check_order("finishing", order)
    for broken in ({**order, "measure": "yes"}, {name: order[name] for name in order if name != "measure"}):
        with pytest.raises(worker.ContractBroken):
            worker.check("finishing-work-order", broken)
        with pytest.raises(web.BrokenContract):
            web.check_order("finishing", broken)
