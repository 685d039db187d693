"""The chain of an arm as study data: what is possible, that equal chains are equal, and what is said of it."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from readerstudy.audit.models import Event
from readerstudy.faults import Refusal
from readerstudy.processing.contracts import FOLDER
from readerstudy.studies import amendments
from readerstudy.studies.chains import canonical_chain, chain_from_form, chain_in_words, paper_chain
from readerstudy.studies.definition import definition_from_mapping
from readerstudy.studies.models import Arm
from recon_worker.data import ChainChoice, InputFault, chain_choice
from tests.readerstudy.builders import BuiltStudy, logged_in, make_study, to_state
from tests.readerstudy.studies.test_definition import content  # noqa: F401

SCHEMA = json.loads((FOLDER / "chain-choice.schema.json").read_text())
ODD = st.sampled_from([None, True, False, 0, 1, 2, 3, 4, 8, 9, 12, 24, 64, 65, 128, 1.0, 1.5, 10, 11.0, -1, "SENSE",
                       "GRAPPA", "L1-wavelet", "ESPIRiT", "POCS", "mild", "none", "regular", "variable density",
                       float("nan"), "2", [], {}])  # fmt: skip
CONTENT = st.dictionaries(st.sampled_from([*SCHEMA["properties"], "colour"]), ODD, max_size=3)


def test_the_default_is_the_paper_s_chain_on_both_sides():
    assert paper_chain() == canonical_chain({}) == ChainChoice().as_json()


@settings(max_examples=400, deadline=None)
@given(CONTENT)
def test_both_sides_allow_the_same(chosen):
    try:
        here = canonical_chain(chosen)
    except Refusal as refusal:
        assert str(refusal).count(". ") <= 1 and refusal.what.endswith(".")
        with pytest.raises(InputFault):
            chain_choice(chosen)
    else:
        assert chain_choice(chosen).as_json() == here
        Draft202012Validator(SCHEMA).validate(here)


@given(CONTENT)
def test_writing_a_chain_out_changes_nothing(chosen):
    try:
        here = canonical_chain(chosen)
    except Refusal:
        return
    assert canonical_chain(here) == here
    assert canonical_chain(json.loads(json.dumps(here))) == here


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({}, ""),
        ({"undersampling": 2}, "SENSE, every 2nd line, 24 calibration lines"),
        (
            {"undersampling": 3, "parallel_imaging": "L1-wavelet", "pattern": "variable density",
             "wavelet_strength": 1.5},
            "L1-wavelet, one of 3 lines at random, 24 calibration lines, threshold 1.5 of the noise",
        ),
        ({"coil_maps": "ESPIRiT", "virtual_coils": 8}, "ESPIRiT coil maps, compressed to 8 coils"),
        ({"partial_fourier": "homodyne", "echo_phase_correction": True},
         "echo phase correction, partial Fourier by homodyne"),
        ({"apodization": "mild", "parallel_imaging": "GRAPPA"}, "GRAPPA where lines are missing, mild apodization"),
    ],
)  # fmt: skip
def test_a_chain_in_words(chosen, words):
    assert chain_in_words(canonical_chain(chosen)) == words


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"chain": {"undersampling": 9}}, "“undersampling” of the chain of the arm Fast is “9”. Write a whole number"),
        ({"chain": {"undersample": 2}}, "The chain of the arm Fast has the unknown entry “undersample”"),
        ({"chain": {"apodization": "mild"}, "noise_reduction": "0.25"}, "Fast has apodization and noise reduction"),
        ({"chain": {"pattern": "variable density", "parallel_imaging": "GRAPPA"}}, "fills in regular gaps only"),
        ({"chain": {"undersampling": 2, "echo_phase_correction": True}}, "echo phase correction needs all lines"),
        ({"chain": "SENSE"}, "The chain of the arm Fast is not a list of named entries"),
        ({"noise_reduction": "0.255"}, "at most two decimals"),
    ],
)
def test_a_preset_s_chain_is_refused_in_words(content, entries, words):  # noqa: F811
    content["arms"][1].update(entries)
    with pytest.raises(Refusal) as refusal:
        definition_from_mapping(content)
    assert words in str(refusal.value)


@pytest.mark.parametrize("matrix", [[512], [8, 512], [512, 4096], "512", [512.0, 512]])
def test_a_stored_matrix_that_cannot_be_is_refused(content, matrix):  # noqa: F811
    content["stored_matrix"] = {"AX T2": matrix}
    with pytest.raises(Refusal, match="The stored matrix of AX T2"):
        definition_from_mapping(content)
    content["stored_matrix"] = {"AX T2": [512, 384]}
    assert definition_from_mapping(content).stored_matrices == {"AX T2": [512, 384]}


@pytest.fixture
def built(db) -> BuiltStudy:
    return make_study()


def sense_2(**entries) -> dict[str, object]:
    return {"name": "Fast SENSE 2", "acquisition": "Fast", "chain": {"undersampling": 2}, **entries}


def test_an_arm_is_added_with_its_whole_chain(built):
    arm = amendments.add_arm(study=built.study, arm=sense_2(), actor=built.coordinator)
    assert arm.chain == {**paper_chain(), "undersampling": 2}
    assert Event.objects.filter(study=built.study.pk).last().details["chain"]["undersampling"] == 2
    with pytest.raises(Refusal, match="has an arm Fast SENSE 2 already"):
        amendments.add_arm(study=built.study, arm=sense_2(), actor=built.coordinator)
    again = sense_2(name="The same", chain={"undersampling": 2, "calibration_lines": 24})
    with pytest.raises(Refusal, match="Fast SENSE 2 is the same already"):
        amendments.add_arm(study=built.study, arm=again, actor=built.coordinator)
    amendments.add_arm(study=built.study, arm={**again, "noise_reduction": "0.50"}, actor=built.coordinator)


def test_an_arm_is_taken_out_again_but_not_the_reference(built):
    arm = amendments.add_arm(study=built.study, arm=sense_2(), actor=built.coordinator)
    amendments.remove_arm(arm=arm, actor=built.coordinator)
    assert not built.study.arms.filter(name="Fast SENSE 2").exists()
    with pytest.raises(Refusal, match="Standard is the reference"):
        amendments.remove_arm(arm=built.study.arms.get(name="Standard"), actor=built.coordinator)


def test_arms_are_fixed_after_the_release_and_belong_to_the_coordinator(built):
    for actor in (built.principal_investigator, built.readers[0]):
        with pytest.raises(Refusal):
            amendments.add_arm(study=built.study, arm=sense_2(), actor=actor)
    to_state(built, "reading")
    with pytest.raises(Refusal):
        amendments.add_arm(study=built.study, arm=sense_2(), actor=built.coordinator)
    sequence = built.study.sequences.first()
    with pytest.raises(Refusal):
        amendments.change_stored_matrix(sequence=sequence, stored_matrix=[512, 512], actor=built.coordinator)
    assert logged_in(built.coordinator).get(f"/studies/{built.study.pk}/arms").status_code == 404


def test_the_page_adds_removes_and_says_what_is_wrong(built):
    client, address = logged_in(built.coordinator), f"/studies/{built.study.pk}/arms"
    entered = {"part": "add", "name": "Fast GRAPPA 3 DL50", "acquisition": "Fast", "noise_reduction": "50 %",
               "chain-undersampling": "3", "chain-parallel_imaging": "GRAPPA", "chain-virtual_coils": ""}  # fmt: skip
    assert client.post(address, entered).status_code == 302
    arm = Arm.objects.get(study=built.study, name="Fast GRAPPA 3 DL50")
    assert arm.noise_reduction == Decimal("0.50")
    assert arm.chain_words == "GRAPPA, every 3rd line, 24 calibration lines"
    page = client.get(f"/studies/{built.study.pk}/").content.decode()
    assert "GRAPPA, every 3rd line, 24 calibration lines" in page and "50 %" in page
    refused = client.post(address, {**entered, "name": "Another", "chain-undersampling": "half"})
    assert refused.status_code == 409
    assert "is “half”. Write a whole number from 1 to 8." in refused.content.decode()
    assert 'value="Another"' in refused.content.decode()
    assert client.post(address, {"part": "remove", "arm": str(arm.pk)}).status_code == 302
    assert not Arm.objects.filter(pk=arm.pk).exists()
    assert client.post(address, {"part": "remove", "arm": "nonsense"}).status_code == 404
    assert client.post(address, {"part": "shuffle"}).status_code == 404


def test_the_page_changes_the_stored_matrix(built):
    client, address = logged_in(built.coordinator), f"/studies/{built.study.pk}/arms"
    sequence = built.study.sequences.first()
    entered = {"part": "matrix", "sequence": str(sequence.pk), "columns": "512", "rows": "384"}
    assert client.post(address, entered).status_code == 302
    sequence.refresh_from_db()
    assert sequence.stored_matrix == [512, 384]
    assert "stored in 512 × 384" in client.get(f"/studies/{built.study.pk}/").content.decode()
    assert client.post(address, {**entered, "rows": ""}).status_code == 409
    assert client.post(address, {**entered, "columns": "", "rows": ""}).status_code == 302
    sequence.refresh_from_db()
    assert sequence.stored_matrix is None


def test_a_form_that_nobody_touched_is_the_paper_s_chain():
    switched_off = {"echo_phase_correction", "virtual_coils"}
    form = {f"chain-{name}": str(value) for name, value in paper_chain().items() if name not in switched_off}
    assert canonical_chain(chain_from_form(form)) == canonical_chain(chain_from_form({})) == paper_chain()
