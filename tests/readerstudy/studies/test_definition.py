"""The preset is the paper's study, and a preset that is wrong says in words where."""

import copy
import csv
import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.faults import Refusal
from readerstudy.statistics.plan import AnalysisPlan, plan_from_mapping
from readerstudy.studies.chains import paper_chain
from readerstudy.studies.definition import definition_from_mapping
from readerstudy.studies.presets import preset, preset_folder, preset_names, read_preset

PAPER = Path(__file__).resolve().parents[4] / "shared" / "paper"
needs_paper = pytest.mark.skipif(not PAPER.exists(), reason="the paper's tables (../shared/paper) are not here")
NAME = "lumbar-spine-fast"


@pytest.fixture
def content():
    return yaml.safe_load((preset_folder() / f"{NAME}.yaml").read_text())


def rows(name):
    with (PAPER / name).open(newline="") as file:
        return list(csv.DictReader(file))


@needs_paper
def test_criteria_are_named_as_in_table_3_and_anchored_as_in_table_2():
    definition = preset(NAME)
    named = list(dict.fromkeys(row["category"] for row in rows("table3.csv")))
    assert [criterion.name for criterion in definition.criteria] == named
    anchors: dict[str, dict[str, str]] = {}
    for row in rows("table2.csv"):
        anchors.setdefault(row["category"], {})[row["score"]] = row["label"]
    assert list(anchors)[1] == "Ability to Discern Anatomical Structure"  # Table 3 calls it Anatomical Structures
    for criterion, expected in zip(definition.criteria, anchors.values(), strict=True):
        assert criterion.anchors == expected
        assert [str(end) for end in criterion.scale] == [min(expected), max(expected)]


@needs_paper
def test_sequences_and_arms_are_those_of_table_3():
    definition = preset(NAME)
    assert list(definition.sequences) == list(dict.fromkeys(row["sequence"] for row in rows("table3.csv")))
    arms = list(dict.fromkeys(row["arm"] for row in rows("table3.csv")))
    assert [arm.name for arm in definition.arms] == arms
    assert [arm.name for arm in definition.arms if arm.is_reference] == ["Standard"]


def paper_table_1():
    """Table 1 of the paper's text: parameter to its six values (MSK, then neuroradiology)."""
    text = (PAPER / "han-2023.txt").read_text()
    table = text[text.index("**Table 1.**") : text.index("**Table 2.**")]
    return {line.split("\t")[0]: line.split("\t")[1:7] for line in table.splitlines() if line.count("\t") >= 6}


@needs_paper
def test_protocols_are_table_1():
    table = {re.sub(r" *(<sup>.</sup>|\bb\b) *", " ", name).strip(): cells for name, cells in paper_table_1().items()}
    definition = preset(NAME)
    assert [protocol.name for protocol in definition.protocols] == ["MSK", "neuroradiology"]
    columns = [
        {line.acquisition: line for line in protocol.lines if line.sequence == sequence}
        for protocol in definition.protocols
        for sequence in definition.sequences
    ]

    def numbers(name):
        return [re.findall(r"[\d.:]+", cell) for cell in table[name]]

    for key, name, factor in [
        ("te_ms", "TE [ms]", 1),
        ("tr_ms", "TR [ms]", 1),
        ("fov_mm", "FOV [cm]", 10),
        ("slice_thickness_mm", "Slice thickness [mm]", 1),
        ("echo_train_length", "Echo train length", 1),
        ("bandwidth_khz", "Readout bandwidth [kHz]", 1),
    ]:
        for column, (value,) in zip(columns, numbers(name), strict=True):
            for line in column.values():
                assert Decimal(str(line.parameters[key])) == factor * Decimal(value), name
    for key, name in [("slices", "Slice number"), ("matrix", "Matrix size")]:
        for column, pair in zip(columns, numbers(name), strict=True):
            for line in column.values():
                assert line.parameters[key] == [int(value) for value in pair], name
    for column, (standard, fast) in zip(columns, numbers("NEX"), strict=True):
        assert (column["Standard"].nex, column["Fast"].nex) == (Decimal(standard), Decimal(fast))
    for column, times in zip(columns, numbers("Scan time [mins: secs]"), strict=True):
        seconds = [60 * int(t.split(":")[0]) + int(t.split(":")[1]) for t in times]
        assert [column["Standard"].scan_time_seconds, column["Fast"].scan_time_seconds] == seconds


def test_the_plan_is_the_one_of_the_paper():
    assert plan_from_mapping(preset(NAME).plan) == AnalysisPlan()


def test_more_arms_are_data_not_code(content):
    there = len(content["arms"])
    for percent in (30, 60, 90):
        content["arms"].append(
            {"name": f"Fast with {percent} % less", "acquisition": "Fast", "noise_reduction": f"0.{percent}"}
        )
    definition = definition_from_mapping(content)
    assert [arm.noise_reduction for arm in definition.arms][there:] == [Decimal(f"0.{n}") for n in (30, 60, 90)]


def test_the_paper_s_arms_and_what_is_taken_of_their_noise():
    arms = {arm.name: (arm.acquisition, arm.noise_reduction, arm.chain) for arm in preset(NAME).arms}
    assert arms == {
        "Standard": ("Standard", 0, paper_chain()),
        "Fast": ("Fast", 0, paper_chain()),
        "Fast DL25": ("Fast", Decimal("0.25"), paper_chain()),
        "Fast DL50": ("Fast", Decimal("0.50"), paper_chain()),
        "Fast DL75": ("Fast", Decimal("0.75"), paper_chain()),
    }


def at(content, path):
    for step in path:
        content = content[step]
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("arms", 1, "acquisition"), "Slow", "“acquisition” of the arm Fast cannot be “Slow”"),
        (("arms", 1, "reference"), True, "2 arms are marked as the reference"),
        (("arms", 1, "name"), "Standard", "names “Standard” twice"),
        (("arms", 1, "noise_reduction"), "1.5", "noise_reduction of the arm Fast is 1.5"),
        (("arms", 1, "colour"), "blue", "The colour of the arm Fast is “blue”"),
        (("arms",), [], "“arms” of The preset is empty"),
        (("sequences",), ["SAG T1", "SAG T1"], "names “SAG T1” twice"),
        (("criteria", 0, "margin"), -0.5, "is not a decimal number written as text"),
        (("criteria", 0, "margin"), "0.5", "The margin of the criterion Apparent SNR is 0.5, but higher"),
        (("criteria", 4, "margin"), "-0.2", "The margin of the criterion Presence of Artifacts is -0.2, but lower"),
        (("criteria", 0, "scale"), [5, 1], "The scale of the criterion Apparent SNR"),
        (("criteria", 0, "scale"), [0, 5], "The anchors of the criterion Apparent SNR do not fit its scale"),
        (("criteria", 4, "anchors"), {0: False, 1: True}, "The anchor “0” of the criterion Presence of Artifacts"),
        (("criteria", 0, "better"), "bigger", "“better” of the criterion Apparent SNR cannot be “bigger”"),
        (("protocols", 0, "sequences", "AX T2", "nex", "Fast"), "half", "“Fast” of “nex” of AX T2 in the protocol MSK"),
        (("protocols", 0, "sequences", "AX T2", "scan_time", "Fast"), "150", "is not minutes:seconds"),
        (("protocols", 0, "sequences", "AX T2", "matrix"), [256], "“matrix” of AX T2 in the protocol MSK"),
        (("protocols", 0, "sequences", "AX T2", "flip"), 150, "unknown entry “flip”"),
        (("plan", "family"), "everything", 'family of the analysis plan cannot be "everything"'),
        (("plan", "margin"), "-0.5", "unknown entry “margin”"),
        (("reader_rules", "order"), "alphabetical", "“order” of the reader rules cannot be “alphabetical”"),
        (("reader_rules", "allow_back"), "sometimes", "neither true nor false"),
        (("title",), "", "“title” of The preset is not a text"),
        (("colour",), "red", "The preset has the unknown entry “colour”"),
    ],
)
def test_a_wrong_preset_is_refused_in_words(content, path, value, words):
    at(content, path[:-1])[path[-1]] = value
    with pytest.raises(Refusal) as refusal:
        definition_from_mapping(content)
    assert words in str(refusal.value)
    assert refusal.value.action


@pytest.mark.parametrize("key", ["preset", "title", "sequences", "acquisitions", "arms", "criteria", "protocols"])
def test_what_is_missing_is_named(content, key):
    del content[key]
    with pytest.raises(Refusal, match=f"has no “{key}”"):
        definition_from_mapping(content)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(0, 5), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


def places(content, path=()):
    yield path
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


WHOLE = yaml.safe_load((preset_folder() / f"{NAME}.yaml").read_text())
PLACES = [path for path in places(WHOLE) if path]


@given(path=st.sampled_from(PLACES), value=garbage)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_a_preset_is_taken_or_refused_and_never_crashes(path, value):
    content = copy.deepcopy(WHOLE)
    at(content, path[:-1])[path[-1]] = value
    try:
        definition_from_mapping(content)
    except Refusal as refusal:
        assert refusal.what.endswith(".")


def test_a_file_that_is_no_preset_is_refused_by_its_name(tmp_path):
    for text, words in [
        ("title: [", "not valid YAML (line"),
        ("- a list", "not a list of named entries"),
        ("title: a\ntitle: b\n", "entry “title” twice"),
        ("", "not a list of named entries"),
    ]:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        with pytest.raises(Refusal, match=re.escape(words)) as refusal:
            read_preset(path)
        assert "mine.yaml" in refusal.value.what


def test_every_preset_that_comes_with_the_application_is_right():
    assert NAME in preset_names()
    for name in preset_names():
        assert preset(name).preset == name


@pytest.mark.parametrize("name", ["", "nothing", "../settings", "LUMBAR-SPINE-FAST"])
def test_an_unknown_preset_is_refused(name):
    with pytest.raises(Refusal, match="There is no preset"):
        preset(name)
