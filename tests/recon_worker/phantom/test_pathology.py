"""Findings: how often, where, whether they look as they should, and whether the measured truth follows them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from recon_worker.phantom.anatomy import Subject, draw_subject, pathologies
from recon_worker.phantom.canal import draw_canal
from recon_worker.phantom.contrast import render
from recon_worker.phantom.pathology import (
    EXTRUSION_MM,
    FRACTURE_SHARE,
    HAEMANGIOMA_SHARE,
    HERNIATION_SHARE,
    KINDS,
    LISTHESIS_SHARE,
    SCHMORL_SHARE,
    STENOSIS_SHARE,
    TRANSITIONAL_SHARE,
    Findings,
    Fracture,
    Haemangioma,
    MarrowChanges,
    SchmorlNode,
    draw_findings,
)
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.shapes import PlaneGrid
from recon_worker.phantom.spine_draw import draw_spine
from recon_worker.phantom.truth import body_volume_cm3, disc_height_mm

SUBJECTS = 150


@pytest.fixture(scope="module")
def people() -> list[Subject]:
    return [draw_subject(5, number) for number in range(1, SUBJECTS + 1)]


def spine_with(findings=None, seed=2):
    return draw_spine(np.random.default_rng(seed), findings or Findings())


def subject_with(base: Subject, **changes) -> Subject:
    """`base` with other findings in the same spine draw."""
    findings = Findings(**changes)
    spine = spine_with(findings)
    acute = frozenset(name for name, one in findings.fractures.items() if one.acute)
    return replace(
        base,
        spine=spine,
        canal=draw_canal(np.random.default_rng(3), spine, findings.stenoses),
        changes=MarrowChanges({}, findings.haemangiomas, acute),
        findings=findings,
    )


def brightness(subject, position_mm, sequence, reach_mm=1.0, fat_left=0.06):
    """Mean signal of a small square around a point in the sagittal plane."""
    step = reach_mm / 2
    origin = np.asarray(position_mm) - np.array([0.0, 2 * step, -2 * step])
    plane = PlaneGrid(origin, np.array([0, 0, -step]), np.array([0, step, 0]), (5, 5))
    signals = render(subject.layers(plane), plane.shape, scan_of(sequence).weighting)
    left = fat_left if sequence == "SAG T2 FS" else 1.0
    return float((signals.water + left * signals.fat).mean())


def test_the_shares_of_subjects_are_those_that_are_meant():
    """Over 2000 draws, within four standard errors."""
    found = [draw_findings(np.random.default_rng([9, number, 7])) for number in range(2000)]
    shares = {
        "herniations": HERNIATION_SHARE,
        "stenoses": STENOSIS_SHARE,
        "haemangiomas": HAEMANGIOMA_SHARE,
        "nodes": SCHMORL_SHARE,
        "slips": LISTHESIS_SHARE,
        "fractures": FRACTURE_SHARE,
        "sacralised": TRANSITIONAL_SHARE,
    }
    for name, share in shares.items():
        seen = np.mean([bool(getattr(one, name)) for one in found])
        assert abs(seen - share) < 4 * np.sqrt(share * (1 - share) / 2000), name


def test_what_is_recorded_of_many_subjects_is_realistic(people):
    kinds = Counter(kind for subject in people for kind in {one.kind for one in pathologies(subject)})
    assert set(kinds) == set(KINDS)
    share = {kind: count / SUBJECTS for kind, count in kinds.items()}
    assert 0.75 < share["disc degeneration"] <= 1  # grade 3 or more somewhere
    assert 0.35 < share["protrusion"] < 0.8
    assert 0.25 < sum(share[kind] for kind in ("Modic I", "Modic II")) < 0.65
    for subject in people:
        for one in pathologies(subject):
            entry = one.as_json()
            assert json.loads(json.dumps(entry)) == entry
            solids = {"disc": subject.spine.measured_discs(), "body": subject.spine.measured_bodies()}[one.structure]
            solid = next(each for each in solids if each.name == one.name)
            assert solid.level == one.level > 0
            assert np.linalg.norm(np.array(one.position_mm) - solid.frame.centre_mm) < solid.reach_mm
            if one.kind == "extrusion":
                assert one.details["depth_mm"] >= EXTRUSION_MM
            if one.kind == "disc degeneration":
                assert 3 <= one.details["pfirrmann_grade"] == solid.grade


def test_the_manifest_and_the_truth_name_them(study, files):
    manifest = json.loads((study / "manifest.json").read_text())
    expected = [one.as_json() for one in pathologies(draw_subject(3, 1))]
    assert manifest["subjects"][0]["pathologies"] == expected
    with np.load(study / files["SAG T1", "Standard"]["truth"]) as truth:
        assert json.loads(str(truth["pathologies"])) == expected


def test_a_haemangioma_is_bright_and_oedema_dark_on_t1_and_bright_on_t2(people):
    """Against the marrow on the other side of the same body, in both sagittal sequences."""
    lesion = Haemangioma((6.0, -4.0, 0.0), 6.0)
    vascular = subject_with(people[0], haemangiomas={"L2": lesion})
    body = vascular.spine.body("L2")
    here, there = body.frame.position(6.0, -4.0, 0.0), body.frame.position(-8.0, -4.0, 0.0)
    for sequence in ("SAG T1", "SAG T2 FS"):
        assert brightness(vascular, here, sequence, 4.0) > 1.1 * brightness(vascular, there, sequence, 4.0)
    fresh = subject_with(people[0], fractures={"L1": Fracture(0.3, True)})
    old = subject_with(people[0], fractures={"L1": Fracture(0.3, False)})
    place = fresh.spine.body("L1").frame.position(4.0, 0.0, 0.5 * fresh.spine.body("L1").height - 9.0)
    assert brightness(fresh, place, "SAG T1", 4.0) < 0.9 * brightness(old, place, "SAG T1", 4.0)
    assert brightness(fresh, place, "SAG T2 FS", 4.0) > 1.15 * brightness(old, place, "SAG T2 FS", 4.0)


@pytest.mark.parametrize(("change", "t1", "t2_fs"), [(-0.3, -1, 1), (0.28, 1, -1)])
def test_modic_changes_have_the_signs_of_their_type(people, change, t1, t2_fs):
    """Type I is dark on T1 and bright on fat-suppressed T2, type II the reverse."""
    plain = subject_with(people[0])
    changed = replace(plain, changes=MarrowChanges({"L4-L5": change}, {}, frozenset()))
    body = plain.spine.body("L5")
    place = body.frame.position(0.0, 0.0, body.height / 2 - 4.0)
    for sequence, sign in (("SAG T1", t1), ("SAG T2 FS", t2_fs)):
        ratio = brightness(changed, place, sequence, 2.0) / brightness(plain, place, sequence, 2.0)
        assert sign * np.log(ratio) > np.log(1.08), sequence


def test_worn_discs_are_darker_and_lower(people):
    """Pfirrmann grade by grade: signal on T2 and true height fall."""
    by_grade: dict[int, list[tuple[float, float]]] = {grade: [] for grade in range(1, 6)}
    for subject in people[:60]:
        for disc in subject.spine.measured_discs()[3:]:
            if disc.name == "L5-S1" and subject.findings.sacralised:
                continue
            here = disc.frame.position(0.0, 0.0, 0.3 * disc.height)
            by_grade[disc.grade].append((brightness(subject, here, "SAG T2 FS", 1.0), disc.height))
    means = [np.mean(by_grade[grade], axis=0) for grade in (2, 3, 4, 5)]
    assert all(len(by_grade[grade]) >= 3 for grade in (2, 3, 4, 5))
    for better, worse in pairwise(means):
        assert worse[0] < 0.9 * better[0] and worse[1] < better[1]


def test_an_extrusion_takes_the_place_of_fluid(people):
    free, filled = subject_with(people[0]), subject_with(people[0], herniations={"L4-L5": 8.0})
    one = next(one for one in pathologies(filled) if one.kind == "extrusion")
    assert one.name == "L4-L5" and one.details["depth_mm"] == 8.0
    assert brightness(filled, one.position_mm, "SAG T2 FS") < 0.4 * brightness(free, one.position_mm, "SAG T2 FS")


def test_a_stenosis_narrows_the_sac_by_what_is_recorded(people):
    """The sac's depth as counted from fluid, cord and roots in the sagittal plane."""
    narrow, wide = subject_with(people[0], stenoses={"L3-L4": 0.5}), subject_with(people[0])
    one = next(one for one in pathologies(narrow) if one.kind == "stenosis")
    disc = next(d for d in narrow.spine.discs if d.name == "L3-L4")
    edge = disc.frame.position(0.0, disc.half_depth, 0.0)

    def depth(subject):
        plane = PlaneGrid(edge - np.array([0.0, 4.0, 0.0]), np.array([0, 0, -0.1]), np.array([0, 0.1, 0]), (2, 260))
        signals = render(subject.layers(plane), plane.shape, scan_of("SAG T2 FS").weighting)
        bright = np.flatnonzero(signals.water[0] > 0.14)
        return 0.1 * (bright[-1] - bright[0])

    assert depth(narrow) < 0.7 * depth(wide)
    assert one.details["depth_left"] == 0.5
    assert one.details["sac_depth_mm"] == pytest.approx(wide.canal.depth_at(float(edge[2])) / 2, rel=0.01)
    assert depth(narrow) < one.details["sac_depth_mm"] + 2


def test_a_slip_moves_the_posterior_wall_by_what_is_recorded():
    still, slid = spine_with(), spine_with(Findings(slips={"L4-L5": 6.0}))

    def step(spine):
        """Lower back edge of the upper body against the upper one of the lower body, along the disc's own axis."""
        disc = next(d for d in spine.discs if d.name == "L4-L5")
        corners = [
            disc.above.frame.position(0.0, disc.above.back_mm, -disc.above.height / 2),
            disc.below.frame.position(0.0, disc.below.back_mm, disc.below.height / 2),
        ]
        return float((corners[0] - corners[1]) @ disc.frame.axes[1])

    assert step(still) - step(slid) == pytest.approx(6.0, abs=0.4)
    other = next(d for d in slid.discs if d.name == "L3-L4")
    before = next(d for d in still.discs if d.name == "L3-L4")
    assert disc_height_mm(other) == pytest.approx(disc_height_mm(before), abs=0.15)


def test_a_fracture_lowers_the_front_and_the_volume():
    whole, broken = (spine_with(f).body("L1") for f in (None, Findings(fractures={"L1": Fracture(0.35, False)})))

    def height(body, v):
        upper, lower = body.plate_heights(*(np.full((1, 1), value, dtype=np.float32) for value in (0.0, v)))
        return float((upper + lower)[0, 0])

    front, back = -0.9 * whole.half_depth, 0.85 * whole.half_depth
    assert height(broken, front) / height(whole, front) == pytest.approx(1 - 0.35, abs=0.08)
    assert height(broken, back) / height(whole, back) > 0.93
    assert 0.7 < body_volume_cm3(broken) / body_volume_cm3(whole) < 0.9


def test_a_schmorl_node_takes_its_volume_from_the_body_and_is_dark_on_t1(people):
    node = SchmorlNode(upper=False, u_mm=0.0, v_mm=0.0, radius_mm=5.0, depth_mm=4.0)
    plain, dented = subject_with(people[0]), subject_with(people[0], nodes={"L2": (node,)})
    lost = body_volume_cm3(plain.spine.body("L2")) - body_volume_cm3(dented.spine.body("L2"))
    # A dent of depth d and radius r holds pi r^2 d sqrt(pi) / 2.
    assert 1000 * lost == pytest.approx(np.pi * 25 * 4 * np.sqrt(np.pi) / 2, rel=0.12)
    one = next(one for one in pathologies(dented) if one.kind == "Schmorl node")
    assert brightness(dented, one.position_mm, "SAG T1") < 0.8 * brightness(plain, one.position_mm, "SAG T1")


def test_a_transitional_level_has_a_rudimentary_disc():
    usual, joined = (
        next(d for d in spine_with(f).discs if d.name == "L5-S1") for f in (None, Findings(sacralised=True))
    )
    assert disc_height_mm(joined) < 0.75 * disc_height_mm(usual)
    assert joined.half_depth < usual.half_depth and joined.protrusion == 0


def test_nothing_else_of_a_subject_changes_with_a_finding():
    plain, other = spine_with(), spine_with(Findings(haemangiomas={"L2": Haemangioma((0, 0, 0), 5)}))
    assert [b.half_width for b in plain.bodies] == [b.half_width for b in other.bodies]
    assert [d.grade for d in plain.discs] == [d.grade for d in other.discs]
