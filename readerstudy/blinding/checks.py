"""What must hold before a study is handed to its readers.

The exact rule: every value that readers could be served, but token, position, own grades and pixels, is equal for all
arms of a subject and sequence; and no word of arms or subjects stands in what the worker authored.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from readerstudy import storage
from readerstudy.blinding import words
from readerstudy.faults import Refusal
from readerstudy.intake.models import RawFile
from readerstudy.processing.models import Job, Series
from readerstudy.reading import order
from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.plan import plan_from_mapping
from readerstudy.studies.models import Membership, Study

MOST_NAMED = 8
UID = re.compile(rb"2\.25\.[0-9]{39}")
SERIES_JSON_KEYS = {"rows", "columns", "slices", "spacing_mm", "window", "edges"}
CHUNK_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Check:
    """One check: its sentence, and what it found wrong (nothing: it holds)."""

    name: str
    sentence: str
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For the release's row."""
        return {**asdict(self), "passed": self.passed}


def shortened(problems: list[str]) -> list[str]:
    """The first problems, and how many more there are."""
    if len(problems) <= MOST_NAMED:
        return problems
    return [*problems[:MOST_NAMED], f"… and {len(problems) - MOST_NAMED} more of this kind."]


def current_series(study: Study) -> list[Series]:
    """The series that a release hands out."""
    return list(
        Series.objects.filter(study=study, is_current=True)
        .select_related("subject", "sequence", "arm")
        .order_by("sequence__order", "subject__code", "arm__order")
    )


def by_subject_and_sequence(series: Iterable[Series]) -> list[list[Series]]:
    """Series that differ by arm alone."""
    groups: dict[tuple[Any, Any], list[Series]] = defaultdict(list)
    for one in series:
        groups[one.subject_id, one.sequence_id].append(one)
    return list(groups.values())


def people(study: Study) -> list[str]:
    """Readers, a principal investigator."""
    roles = list(study.memberships.filter(user__is_active=True).values_list("role", flat=True))
    problems = []
    if Membership.Role.READER not in roles:
        problems.append("The study has no reader. Add at least one on the People page.")
    if Membership.Role.PRINCIPAL_INVESTIGATOR not in roles:
        problems.append("The study has no principal investigator. Add one on the People page.")
    return problems


def definition(study: Study) -> list[str]:
    """Criteria, sequences, arms, subjects; exactly one reference arm."""
    there = {
        "criteria": study.criteria.exists(),
        "sequences": study.sequences.exists(),
        "arms": study.arms.exists(),
        "subjects": study.subjects.exists(),
    }
    problems = [f"The study has no {name}." for name, any_of_it in there.items() if not any_of_it]
    if study.arms.exists() and not study.arms.filter(is_reference=True).exists():
        problems.append("No arm is the reference.")
    return problems


def plan(study: Study) -> list[str]:
    """The analysis plan is understood, names the study's reference arm, and has a margin for every criterion."""
    try:
        understood = plan_from_mapping(study.plan)
    except AnalysisFault as fault:
        return [str(fault)]
    problems = []
    reference = study.arms.filter(is_reference=True).first()
    if reference and understood.reference_arm != reference.name:
        named = understood.reference_arm
        problems.append(f"The plan compares with {named}, but the reference arm is {reference.name}.")
    for name in study.criteria.values_list("name", flat=True):
        if name not in understood.criteria:
            problems.append(f"The plan has no margin for {name}.")
    return problems


def complete(study: Study) -> list[str]:
    """Every subject and sequence has a current series in every arm, made of its current files; no job is under way."""
    present = {(one.subject_id, one.sequence_id, one.arm_id) for one in current_series(study)}
    arms = list(study.arms.all())
    problems = []
    for subject in study.subjects.all():
        for sequence in study.sequences.all():
            missing = [arm.name for arm in arms if (subject.pk, sequence.pk, arm.pk) not in present]
            if missing:
                problems.append(f"{subject.code}, {sequence.name}: no series yet for {', '.join(missing)}.")
    for file in RawFile.objects.filter(study=study, is_current=True).select_related("subject", "sequence"):
        needed = any(arm.acquisition_id == file.acquisition_id for arm in arms)
        made = Series.objects.filter(
            subject=file.subject_id, sequence=file.sequence_id, is_current=True, job__inputs__raw_file=file
        )
        if needed and not made.exists():
            problems.append(f"{file.subject.code}, {file.sequence.name}: {file.file_name} is not in its series yet.")
    working = Job.objects.filter(study=study, status__in=[Job.Status.QUEUED, Job.Status.RUNNING]).count()
    if working:
        problems.append(f"{working} processing job{'s are' if working > 1 else ' is'} still under way.")
    return problems


def same_geometry(study: Study) -> list[str]:
    """Matrix, slices, spacing, window and edges are equal over the arms."""
    problems = []
    for group in by_subject_and_sequence(current_series(study)):
        for name in ("rows", "columns", "slices", "spacing_mm", "window", "edges"):
            if any(getattr(one, name) != getattr(group[0], name) for one in group):
                problems.append(f"{_place(group[0])}: {name.replace('_mm', '')} differ between the arms.")
    return problems


def same_lengths(study: Study) -> list[str]:
    """Files have the same names and lengths over the arms; the frames have exactly the length of their pixels."""
    problems = []
    for group in by_subject_and_sequence(current_series(study)):
        listings = [{name: file["bytes"] for name, file in reader_files(one).items()} for one in group]
        if any(listing != listings[0] for listing in listings):
            problems.append(f"{_place(group[0])}: files differ in name or length between the arms.")
        for one in group:
            frames = reader_files(one).get("frames.u16")
            if frames is None or frames["bytes"] != one.slices * one.rows * one.columns * 2:
                problems.append(f"{_place(one)}, {one.arm.name}: the frames do not have the length of their pixels.")
    return problems


def order_possible(study: Study) -> list[str]:
    """The order that the study asks for can be made."""
    series = current_series(study)
    if not series:
        return []
    tokens: dict[str, list[str]] = defaultdict(list)
    for one in series:
        tokens[one.sequence.name].append(str(one.pk))
    try:
        order.make_plan(
            algorithm=study.reader_rules.get("order", "simple"),
            seed="trial",
            readers=["one"],
            series=tokens,
            groups={str(one.pk): (str(one.subject_id), str(one.arm_id)) for one in series},
            minimum_distance=study.reader_rules.get("minimum_distance"),
        )
    except Refusal as refusal:
        return [str(refusal)]
    return []


def reader_files(series: Series) -> dict[str, dict[str, Any]]:
    """The stored files of a series by their name in its folder, without the coordinator's preview."""
    files = {}
    for file in series.files:
        path = str(file["path"])
        name = path.removeprefix(series.path).lstrip("/")
        if not name.endswith(".png"):
            files[name] = {**file, "path": path if path.startswith(series.path) else f"{series.path}/{name}"}
    return files


def frames_whole(study: Study) -> list[str]:
    """The stored frames are, bit for bit, what the worker made."""
    problems = []
    for one in current_series(study):
        file = reader_files(one)["frames.u16"]
        try:
            intact = stored_sha256(file["path"]) == file["sha256"]
        except OSError:
            intact = False
        if not intact:
            problems.append(f"{_place(one)}, {one.arm.name}: the stored frames are missing or not what was made.")
    return problems


def stored_sha256(path: str) -> str:
    """SHA-256 (hex) of a stored file, read in chunks."""
    digest = hashlib.sha256()
    with storage.open_file(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def header_bytes(series: Series, file: dict[str, Any]) -> bytes:
    """A DICOM file up to its pixels, which come last, with every UID put to one constant."""
    length = file["bytes"] - series.rows * series.columns * 2
    return UID.sub(b"U" * 44, storage.read_range(file["path"], 0, max(length, 0)))


def same_headers(study: Study) -> list[str]:
    """series.json and the DICOM headers are equal over the arms, byte by byte but for the UIDs."""
    problems = []
    for group in by_subject_and_sequence(current_series(study)):
        try:
            problems += _header_differences(group)
        except OSError:
            problems.append(f"{_place(group[0])}: a stored file is missing.")
    return problems


def _header_differences(group: list[Series]) -> list[str]:
    first = reader_files(group[0])
    for name in first:
        if name == "frames.u16":
            continue
        contents = []
        for one in group:
            file = reader_files(one)[name]
            if name.endswith(".dcm"):
                contents.append(header_bytes(one, file))
            else:
                contents.append(storage.read_range(file["path"], 0, file["bytes"]))
        if any(content != contents[0] for content in contents):
            return [f"{_place(group[0])}: {name} differs between the arms."]
        if name == "series.json" and set(json.loads(contents[0])) != SERIES_JSON_KEYS:
            return [f"{_place(group[0])}: series.json holds more or less than readers may receive."]
    return []


def no_words(study: Study) -> list[str]:
    """No word of arms, acquisitions or subjects stands in series.json or a DICOM header."""
    search = words.pattern(words.arm_words(study) + words.subject_words(study))
    problems = []
    for one in current_series(study):
        for name, file in reader_files(one).items():
            if name == "frames.u16":
                continue
            try:
                content = (
                    header_bytes(one, file)
                    if name.endswith(".dcm")
                    else storage.read_range(file["path"], 0, file["bytes"])
                )
            except OSError:
                continue  # said by same_headers
            if found := words.found_in(content, search):
                problems.append(f"{_place(one)}, {one.arm.name}: {name} says “{found[0]}”.")
                break
    return problems


def remarks(study: Study) -> list[str]:
    """What the coordinator should know and may decide: readers see these texts, whatever the series."""
    search = words.pattern(words.arm_words(study))
    texts = {"The study's name": study.name}
    texts |= {f"The sequence {name}": name for name in study.sequences.values_list("name", flat=True)}
    for criterion in study.criteria.all():
        texts[f"The criterion {criterion.name}"] = " ".join([criterion.name, *map(str, criterion.anchors.values())])
    return [
        f"{what} holds the word “{found[0]}”. Readers see it with every series, so it tells no arm, "
        "but it tells what is compared."
        for what, text in texts.items()
        if (found := words.found_in(text.encode(), search))
    ]


def _place(series: Series) -> str:
    return f"{series.subject.code}, {series.sequence.name}"


QUICK: list[tuple[str, str, Callable[[Study], list[str]]]] = [
    ("people", "There is at least one reader and a principal investigator.", people),
    ("definition", "Criteria, sequences, arms and subjects are defined, with one reference arm.", definition),
    ("plan", "The analysis plan is complete; it is frozen with the release.", plan),
    ("complete", "Every subject and sequence has one series in every arm, and no job is under way.", complete),
    ("geometry", "Matrix, slices, spacing, window and edge letters are equal over the arms.", same_geometry),
    ("lengths", "Files are equal in name and length over the arms.", same_lengths),
    ("order", "The order of the series that the study asks for is possible.", order_possible),
]
"""Checks of the database alone."""

THOROUGH: list[tuple[str, str, Callable[[Study], list[str]]]] = [
    ("frames", "The stored frames are, bit for bit, what was made.", frames_whole),
    ("headers", "DICOM headers are equal over the arms, byte by byte but for the random UIDs.", same_headers),
    ("words", "No word of arms or subjects stands in a file made for readers.", no_words),
]
"""Checks that read every file; run at the release."""


def run(study: Study, *, thorough: bool = True) -> list[Check]:
    """Run the checks; those that read files only where the others hold."""
    results = [Check(name, sentence, shortened(check(study))) for name, sentence, check in QUICK]
    if thorough and all(check.passed for check in results):
        results += [Check(name, sentence, shortened(check(study))) for name, sentence, check in THOROUGH]
    return results
