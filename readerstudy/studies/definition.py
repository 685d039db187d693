"""What a study is made from: the content of a preset, checked and in words where it is wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.plan import plan_from_mapping
from readerstudy.studies.chains import canonical_chain, check_together

DECIMAL = re.compile(r"-?\d+(\.\d+)?")
CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)")
STORED_MATRIX = (16, 2048)
"""Fewest and most pixels along a side."""
COLOUR = re.compile(r"#[0-9a-f]{6}")
ORDERS = ("simple", "blocked")
PROTOCOL_FIELDS = {
    "te_ms": "number",
    "tr_ms": "number",
    "fov_mm": "number",
    "slice_thickness_mm": "number",
    "slices": "pair",
    "echo_train_length": "number",
    "matrix": "pair",
    "bandwidth_khz": "number",
}
"""What Table 1 of the paper says of a sequence; matrix is frequency x phase encoding, slices the range that occurs."""


@dataclass(frozen=True)
class ArmDefinition:
    """What is compared: an acquisition and what is done to it; `chain` has every choice written out."""

    name: str
    acquisition: str
    noise_reduction: Decimal
    is_reference: bool
    colour: str
    chain: dict[str, Any]


@dataclass(frozen=True)
class CriterionDefinition:
    """What is graded; `anchors` has one text for every grade of the scale."""

    name: str
    scale: tuple[int, int]
    better: str
    margin: str
    anchors: dict[str, str]

    def as_plan(self) -> dict[str, Any]:
        """Its entry under `criteria` in the analysis plan."""
        return {"scale": list(self.scale), "better": self.better, "margin": self.margin}


@dataclass(frozen=True)
class ProtocolLineDefinition:
    """One sequence in one acquisition of a protocol."""

    sequence: str
    acquisition: str
    nex: Decimal
    scan_time_seconds: int
    parameters: dict[str, Any]


@dataclass(frozen=True)
class ProtocolDefinition:
    """How a group of subjects was scanned."""

    name: str
    lines: tuple[ProtocolLineDefinition, ...]


@dataclass(frozen=True)
class StudyDefinition:
    """A whole study before it has subjects and people; `stored_matrices` ([columns, rows]) by sequence, where set."""

    preset: str
    title: str
    description: str
    source: str
    sequences: tuple[str, ...]
    acquisitions: tuple[str, ...]
    arms: tuple[ArmDefinition, ...]
    criteria: tuple[CriterionDefinition, ...]
    protocols: tuple[ProtocolDefinition, ...]
    plan: dict[str, Any]
    reader_rules: dict[str, Any] = field(default_factory=dict)
    stored_matrices: dict[str, list[int]] = field(default_factory=dict)
    measured: tuple[str, ...] = ()


class _Reader:
    """Takes a mapping apart; every complaint says where it is."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, Mapping):
            raise Refusal(f"{where} is not a list of named entries.", "Write it as “name: value” lines.")
        self.content = {str(key): value for key, value in content.items()}
        self.where = where

    def only(self, *known: str) -> "_Reader":
        for key in self.content:
            if key not in known:
                raise Refusal(f"{self.where} has the unknown entry “{key}”.", f"Known are {', '.join(known)}.")
        return self

    def get(self, key: str) -> Any:
        if key not in self.content:
            raise Refusal(f"{self.where} has no “{key}”.", "Add it.")
        return self.content[key]

    def text(self, key: str, *, longest: int = 80, default: str | None = None) -> str:
        value = self.content.get(key, default) if default is not None else self.get(key)
        text = kept_text(value) if isinstance(value, str) else None
        if text is None or len(text) > longest or (default is None and not text):
            raise Refusal(
                f"“{key}” of {self.where} is not a text of at most {longest} characters.",
                "Write it in quotation marks.",
            )
        return text

    def names(self, key: str) -> tuple[str, ...]:
        values = self.get(key)
        if not isinstance(values, list) or not values or not all(isinstance(v, str) and kept_text(v) for v in values):
            raise Refusal(f"“{key}” of {self.where} is not a list of names.", "Write it as [first, second].")
        return _distinct([kept_text(value) for value in values], f"“{key}” of {self.where}")

    def entries(self, key: str) -> list[Any]:
        values = self.get(key)
        if not isinstance(values, list) or not values:
            raise Refusal(f"“{key}” of {self.where} is empty or not a list.", "Give at least one entry.")
        return values

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.get(key)
        if value not in choices:
            raise Refusal(f"“{key}” of {self.where} cannot be “{value}”.", f"Choose one of {', '.join(choices)}.")
        return str(value)

    def decimal(self, key: str) -> str:
        return decimal_text(self.get(key), f"“{key}” of {self.where}")


def decimal_text(value: Any, what: str) -> str:
    """A decimal number kept as the text that was written. Raises Refusal; a float is refused as inexact."""
    text = value.strip() if isinstance(value, str) else str(value) if type(value) is int else ""
    if not DECIMAL.fullmatch(text) or len(text) > 12:
        raise Refusal(f"{what} is not a decimal number written as text.", "Write it like “-0.5”.")
    return text


def _distinct(names: list[str], where: str) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise Refusal(f"{where} names “{name}” twice.", "Give each its own name.")
        if len(name) > 80:
            raise Refusal(f"“{name}” of {where} is longer than 80 characters.", "Shorten it.")
    return tuple(names)


def check_criterion(criterion: CriterionDefinition) -> CriterionDefinition:
    """Refuse a margin on the wrong side of zero, and anchors that do not fit the scale."""
    whose = f"the criterion {criterion.name}"
    margin = Decimal(decimal_text(criterion.margin, f"The margin of {whose}"))
    if margin == 0 or (margin > 0) != (criterion.better == "lower"):
        raise Refusal(
            f"The margin of {whose} is {criterion.margin}, but {criterion.better} grades are better there.",
            "A margin is negative where higher is better and positive where lower is better.",
        )
    least, greatest = criterion.scale
    if abs(margin) >= greatest - least:
        raise Refusal(
            f"The margin of {whose} is as wide as its scale from {least} to {greatest}.", "Choose a smaller one."
        )
    expected = [str(value) for value in range(least, greatest + 1)]
    if sorted(criterion.anchors, key=int) != expected:
        raise Refusal(f"The anchors of {whose} do not fit its scale.", f"Write one for each of {', '.join(expected)}.")
    for value, anchor in criterion.anchors.items():
        if not kept_text(anchor) or len(anchor) > 200:
            raise Refusal(
                f"The anchor of grade {value} of {whose} is empty or longer than 200 characters.",
                "Readers decide by these words; write a short sentence.",
            )
    return criterion


def check_reader_rules(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Reader rules with their defaults. Raises Refusal."""
    reader = _Reader(rules, "The reader rules").only("order", "allow_back", "minimum_distance", "seed")
    checked: dict[str, Any] = {"order": "simple", "allow_back": True, **reader.content}
    _Reader(checked, "the reader rules").one_of("order", ORDERS)
    if not isinstance(checked["allow_back"], bool):
        raise Refusal("“allow_back” of the reader rules is neither true nor false.", "Write true or false.")
    distance = checked.get("minimum_distance")
    if distance is not None and (type(distance) is not int or not 1 <= distance <= 1000):
        raise Refusal("“minimum_distance” of the reader rules is not a whole number from 1.", "Write for example 6.")
    if not isinstance(checked.get("seed", ""), str) or len(checked.get("seed", "")) > 64:
        raise Refusal(
            "“seed” of the reader rules is not a text of at most 64 characters.", "Shorten it or leave it out."
        )
    return checked


def check_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The plan as it was given, once `statistics` accepts it. Raises Refusal."""
    try:
        plan_from_mapping(plan)
    except AnalysisFault as error:
        raise Refusal(error.what, error.action) from error
    return dict(plan)


def check_stored_matrix(value: Any, sequence: str) -> list[int]:
    """Columns and rows to which a sequence's slices are zero filled. Raises Refusal."""
    least, most = STORED_MATRIX
    if not (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(length) is int and least <= length <= most for length in value)
    ):
        raise Refusal(
            f"The stored matrix of {sequence} is not two whole numbers from {least} to {most}.",
            "Write columns and rows as [512, 512], or leave it out for the acquired matrix.",
        )
    return list(value)


def arm_definition(entry: Any, acquisitions: tuple[str, ...]) -> ArmDefinition:
    """An arm as a preset or a form describes it. Raises Refusal."""
    reader = _Reader(entry, "An arm").only("name", "acquisition", "noise_reduction", "reference", "colour", "chain")
    name = reader.text("name")
    reader.where = f"the arm {name}"
    try:
        noise_reduction = Decimal(
            decimal_text(reader.content.get("noise_reduction", "0"), f"noise_reduction of {name}")
        )
    except InvalidOperation as error:  # pragma: no cover - the pattern allows no such text
        raise Refusal(f"noise_reduction of {name} is no number.", "Write it like “0.25”.") from error
    if not 0 <= noise_reduction < 1:
        raise Refusal(f"noise_reduction of the arm {name} is {noise_reduction}.", "Write 0 or a fraction below 1.")
    colour = reader.text("colour", default="#3a4556")
    if not COLOUR.fullmatch(colour):
        raise Refusal(f"The colour of the arm {name} is “{colour}”.", "Write it like “#1d4f80”.")
    reference = reader.content.get("reference", False)
    if not isinstance(reference, bool):
        raise Refusal(f"“reference” of the arm {name} is neither true nor false.", "Write true for one arm.")
    if -int(noise_reduction.as_tuple().exponent) > 2:
        raise Refusal(f"noise_reduction of the arm {name} is {noise_reduction}.", "Write at most two decimals.")
    chain = canonical_chain(reader.content.get("chain", {}), f"The chain of the arm {name}")
    check_together(chain, noise_reduction, name)
    return ArmDefinition(name, reader.one_of("acquisition", acquisitions), noise_reduction, reference, colour, chain)


def _criterion(entry: Any) -> CriterionDefinition:
    reader = _Reader(entry, "A criterion").only("name", "scale", "better", "margin", "anchors")
    name = reader.text("name")
    reader.where = f"the criterion {name}"
    scale = reader.get("scale")
    if not (isinstance(scale, list) and len(scale) == 2 and all(type(end) is int for end in scale)) or (
        not -9 <= scale[0] < scale[1] <= 10
    ):
        raise Refusal(f"The scale of the criterion {name} is not two ascending whole numbers.", "Write [1, 5].")
    anchors = _Reader(reader.get("anchors"), f"“anchors” of the criterion {name}").content
    for value, anchor in anchors.items():
        if not re.fullmatch(r"-?\d+", value) or not isinstance(anchor, str):
            raise Refusal(
                f"The anchor “{value}” of the criterion {name} is not a text for a grade.",
                "Write “1: ...”, and words such as Yes and No in quotation marks.",
            )
    anchors = {value: kept_text(anchor) for value, anchor in anchors.items()}
    better = reader.one_of("better", ("higher", "lower"))
    return check_criterion(CriterionDefinition(name, (scale[0], scale[1]), better, reader.decimal("margin"), anchors))


def _parameter(reader: _Reader, key: str, kind: str) -> Any:
    value = reader.get(key)
    if kind == "pair":
        if not (isinstance(value, list) and len(value) == 2 and all(type(end) is int and end > 0 for end in value)):
            raise Refusal(f"“{key}” of {reader.where} is not two whole numbers.", "Write it as [256, 192].")
        return value
    return decimal_text(value, f"“{key}” of {reader.where}") if isinstance(value, str) else _whole(value, key, reader)


def _whole(value: Any, key: str, reader: _Reader) -> int:
    if type(value) is not int or value <= 0:
        raise Refusal(f"“{key}” of {reader.where} is not a positive number.", "Write fractions as text, like “83.3”.")
    return value


def _protocol(entry: Any, sequences: tuple[str, ...], acquisitions: tuple[str, ...]) -> ProtocolDefinition:
    reader = _Reader(entry, "A protocol").only("name", "sequences")
    name = reader.text("name")
    by_sequence = _Reader(reader.get("sequences"), f"“sequences” of the protocol {name}").only(*sequences)
    lines = []
    for sequence in sequences:
        where = f"{sequence} in the protocol {name}"
        line = _Reader(by_sequence.get(sequence), where).only(*PROTOCOL_FIELDS, "nex", "scan_time")
        parameters = {key: _parameter(line, key, kind) for key, kind in PROTOCOL_FIELDS.items()}
        nex = _Reader(line.get("nex"), f"“nex” of {where}").only(*acquisitions)
        scan_time = _Reader(line.get("scan_time"), f"“scan_time” of {where}").only(*acquisitions)
        for acquisition in acquisitions:
            excitations = Decimal(nex.decimal(acquisition))
            if not 0 < excitations <= 16:
                raise Refusal(f"NEX of {where}, {acquisition}, is {excitations}.", "Write a number such as “0.5”.")
            clock = CLOCK.fullmatch(scan_time.text(acquisition))
            if not clock:
                raise Refusal(f"The scan time of {where}, {acquisition}, is not minutes:seconds.", "Write “4:30”.")
            seconds = 60 * int(clock[1]) + int(clock[2])
            lines.append(ProtocolLineDefinition(sequence, acquisition, excitations, seconds, parameters))
    return ProtocolDefinition(name, tuple(lines))


def _measured(reader: _Reader, sequences: tuple[str, ...]) -> tuple[str, ...]:
    """The sequences whose discs and bodies are measured; none unless the preset names some."""
    if "measured" not in reader.content:
        return ()
    named = reader.names("measured")
    for name in named:
        if name not in sequences:
            raise Refusal(
                f"“measured” of the preset names “{name}”, which is no sequence of it.",
                f"Name some of {', '.join(sequences)}.",
            )
    return named


def definition_from_mapping(content: Any) -> StudyDefinition:
    """The definition that a preset's content says.

    Raises
    ------
    Refusal
        For anything missing, unknown, named twice, or that cannot be; it says where.
    """
    reader = _Reader(content, "The preset").only(
        "preset", "title", "description", "source", "sequences", "acquisitions", "arms", "criteria", "protocols",
        "plan", "reader_rules", "stored_matrix", "measured",
    )  # fmt: skip
    sequences, acquisitions = reader.names("sequences"), reader.names("acquisitions")
    arms = tuple(arm_definition(entry, acquisitions) for entry in reader.entries("arms"))
    _distinct([arm.name for arm in arms], "The list of arms")
    references = [arm.name for arm in arms if arm.is_reference]
    if len(references) != 1:
        raise Refusal(
            f"{len(references)} arms are marked as the reference.", "Mark exactly one with “reference: true”."
        )
    criteria = tuple(_criterion(entry) for entry in reader.entries("criteria"))
    _distinct([criterion.name for criterion in criteria], "The list of criteria")
    protocols = tuple(_protocol(entry, sequences, acquisitions) for entry in reader.entries("protocols"))
    _distinct([protocol.name for protocol in protocols], "The list of protocols")
    matrices = _Reader(reader.content.get("stored_matrix", {}), "“stored_matrix” of the preset").only(*sequences)
    settings = _Reader(reader.content.get("plan", {}), "The analysis plan of the preset").only(
        "alpha", "family", "missing", "cannot_grade_image_quality"
    )
    plan = check_plan(
        {
            "reference_arm": references[0],
            "alpha": "0.05",
            "family": "sequence-category",
            "missing": "matched",
            "cannot_grade_image_quality": "worst",
            **settings.content,
            "criteria": {criterion.name: criterion.as_plan() for criterion in criteria},
        }
    )
    return StudyDefinition(
        preset=reader.text("preset", longest=60),
        title=reader.text("title", longest=200),
        description=reader.text("description", longest=600, default=""),
        source=reader.text("source", longest=200, default=""),
        sequences=sequences,
        acquisitions=acquisitions,
        arms=arms,
        criteria=criteria,
        protocols=protocols,
        plan=plan,
        reader_rules=check_reader_rules(reader.content.get("reader_rules", {})),
        stored_matrices={name: check_stored_matrix(value, name) for name, value in matrices.content.items()},
        measured=_measured(reader, sequences),
    )
