"""One study from an empty installation to the downloaded tables, in Chromium, on the real application.

Every page a person meets is photographed into test-output/screenshots. The grades are drawn here, so that the tables
can be computed a second time, from the rows of the database and with scipy, without a line of the application.
"""

import contextlib
import csv
import io
import json
import random
import re
import sqlite3
from collections import defaultdict
from pathlib import Path
from statistics import mean, median, stdev

import pytest
from playwright.sync_api import Browser, Page, Response, TimeoutError
from scipy.stats import false_discovery_control, wilcoxon

from recon_worker.phantom.simulate import simulate_study
from tests.application import ROOT, Application, free_port
from tests.browser.chromium import Watched, until

SCREENSHOTS = ROOT / "test-output" / "screenshots"
SCANNER_FILE = ROOT.parent / "shared" / "data" / "raw" / "twix_gre_skyra.dat"
PASSWORD = "a calm sentence of four words"
READERS = ["r.adams", "r.baker", "r.clark"]
INVESTIGATOR = "p.investigator"
SUBJECTS = 2
SEED = 1
LEFT_OUT = ["Fast DL25", "Fast DL50"]
ARMS = 3
"""Standard, Fast, and Fast with the most noise reduction; the coordinator takes the others out on the page of the arms,
so that three readers are done in time."""
LONGEST_PROCESSING_SECONDS = 900
"""For a machine whose cores are taken by others; alone on two cores it takes about half a minute."""
SEQUENCES = ["SAG T2 FS", "SAG T1", "AX T2"]
LIKERT = ["Apparent SNR", "Anatomical Structures", "Diagnostic Confidence", "Overall Image Quality"]
ARTIFACTS = "Presence of Artifacts"


@pytest.fixture(scope="module")
def raw_files(tmp_path_factory):
    manifest = simulate_study(tmp_path_factory.mktemp("raw"), subjects=SUBJECTS, seed=SEED, size="tiny")
    folder = manifest.parent
    return [
        {**file, "path": folder / file["path"]} for file in json.loads(manifest.read_text())["files"]
    ]


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    run = Application(tmp_path_factory.mktemp("whole") / "state", free_port())
    try:
        run.wait_until_ready()
        yield run
    finally:
        assert run.stop() == 0


class Person(Watched):
    """Somebody at a browser of their own."""

    def __init__(self, browser: Browser, application: Application, name: str) -> None:
        super().__init__(browser.new_context(viewport={"width": 1366, "height": 768}, accept_downloads=True))
        self.address, self.name = application.address, name
        self.page.on("response", self._response)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.request.method} {response.url}: {response.status} {response.text()[:200]}")

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def first_login(self, one_time_password: str) -> None:
        """Log in with the one-time password and choose an own one, as the page asks."""
        page = self.open("/")
        self.photograph("login")
        page.fill("[name=username]", self.name)
        page.fill("[name=password]", one_time_password)
        page.click("text=Log in >> nth=-1")
        page.fill("[name=current]", one_time_password)
        page.fill("[name=new]", PASSWORD)
        page.fill("[name=again]", PASSWORD)
        self.photograph("password")
        page.click("text=Save the password")
        until(lambda: page.locator("text=My studies").count() > 0, says="the list of studies")

    def photograph(self, name: str, *, whole: bool = False) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"study-{name}.png", full_page=whole)


def one_time_password_of(text: str) -> str:
    found = re.search(r"[a-z2-9]{4}(?:-[a-z2-9]{4}){3}", text)
    assert found, text
    return found.group()


def test_a_whole_study(browser, application, raw_files):
    coordinator = Person(browser, application, "c.coordinator")
    made = application.manage("create_person", coordinator.name, "--may-create-studies")
    coordinator.first_login(one_time_password_of(made.stdout))
    study = create_study(coordinator)
    people = {name: one_time_password_of(text) for name, text in add_people(coordinator, study).items()}
    upload(coordinator, study, raw_files)
    release(coordinator, study)

    given = {}
    for number, name in enumerate(READERS):
        reader = Person(browser, application, name)
        reader.first_login(people[name])
        given[name] = read_all(reader, study, random.Random(number))
        assert not reader.errors

    investigator = Person(browser, application, INVESTIGATOR)
    investigator.first_login(people[INVESTIGATOR])
    tables = lock_and_unblind(investigator, study)
    assert not investigator.errors
    assert not coordinator.errors
    check_tables(application.state / "readerstudy.sqlite3", study, given, tables)

    audit = application.manage("verify_audit")
    assert audit.returncode == 0, audit.stderr


@pytest.mark.skipif(not SCANNER_FILE.exists(), reason="the scanner's file of ../shared is missing")
def test_a_real_scanners_file_becomes_a_series(browser, application):
    coordinator = Person(browser, application, "p.physicist")
    made = application.manage("create_person", coordinator.name, "--may-create-studies")
    coordinator.first_login(one_time_password_of(made.stdout))
    page = coordinator.page
    page.click("text=New study")
    page.fill("#name", "Phantom")
    page.click("input[value=phantom-quality]")
    page.click("text=Create the study")
    study = re.search(r"/studies/([0-9a-f-]{36})/", page.url).group(1)
    page.fill("#codes", "P1")
    page.click("#subjects >> text=Add")
    coordinator.open(f"/studies/{study}/processing")
    page.locator("tr[data-row] input[type=file]").set_input_files(str(SCANNER_FILE))
    until(lambda: page.locator(".group .pill.done").count() == 1, seconds=90, says="the series of the scanner's file")
    picture = page.locator(".group img")
    until(lambda: picture.count() == 1 and picture.evaluate("image => image.naturalWidth") == 160, says="its picture")
    coordinator.photograph("processing-scanner-file", whole=True)
    assert not coordinator.errors


def create_study(coordinator):
    page = coordinator.page
    coordinator.photograph("my-studies-empty")
    page.click("text=New study")
    page.fill("#name", "Lumbar spine MRI")
    coordinator.photograph("new")
    page.click("text=Create the study")
    study = re.search(r"/studies/([0-9a-f-]{36})/", page.url).group(1)
    page.fill("#codes", f"S01-S0{SUBJECTS}")
    page.click("#subjects >> text=Add")
    coordinator.photograph("design", whole=True)
    page.goto(f"{coordinator.address}/studies/{study}/arms")
    for arm in LEFT_OUT:
        page.click(f"button[aria-label='Remove {arm}']")
    coordinator.photograph("arms", whole=True)
    page.click("text=Back to the design")
    page.click("text=Begin preparing")
    return study


def add_people(coordinator, study):
    shown = {}
    roles = {**dict.fromkeys(READERS, "reader"), INVESTIGATOR: "principal-investigator"}
    for name, role in roles.items():
        page = coordinator.open(f"/studies/{study}/people")
        page.fill("#new-name", name)
        page.fill("#new-display", name.split(".")[1].title())
        page.select_option("#new-role", role)
        page.click("button:has-text('Create')")
        shown[name] = page.inner_text(".handover")
    coordinator.photograph("people")
    return shown


def row_of(page, file):
    cells = [file["subject"], file["sequence"], file["acquisition"]]
    return page.locator("tr[data-row]", has=page.locator(f"input[aria-label$=': {' '.join(cells)}']"))


def all_taken_in(page, raw_files):
    """Whether every row has its file; rows that lost their upload to the reload are given the file again."""
    missing = 0
    for file in raw_files:
        row = row_of(page, file)
        if row.locator("input[aria-label^='Replace']").count():
            continue
        missing += 1
        if row.locator(".pill.run").count():
            continue
        with contextlib.suppress(TimeoutError):  # the row may have been drawn anew meanwhile: looked at again later
            row.locator("input[aria-label^='Choose file']").set_input_files(str(file["path"]), timeout=1000)
    page.wait_for_timeout(300)
    return missing == 0


def upload(coordinator, study, raw_files):
    """Every file through its row's chooser; first a file that is none, which is refused in words and replaced."""
    page = coordinator.open(f"/studies/{study}/processing")
    coordinator.photograph("processing-empty", whole=True)
    first = row_of(page, raw_files[0])
    first.locator("input[type=file]").set_input_files(
        {"name": "notes.h5", "mimeType": "text/plain", "buffer": b"These are notes and no raw data.\n" * 100}
    )
    until(lambda: first.locator(".pill.bad").count(), seconds=60, says="the refusal of a file that is no raw file")
    coordinator.photograph("processing-refused", whole=True)
    for file in raw_files:
        row_of(page, file).locator("input[type=file]").set_input_files(str(file["path"]))
    until(lambda: page.locator(".pill.run").count(), seconds=30, says="something under way")
    coordinator.photograph("processing-running", whole=True)
    page.reload()
    until(lambda: all_taken_in(page, raw_files), seconds=120, says="every file is there, after a reload in mid-upload")
    expected = SUBJECTS * len(SEQUENCES)

    def finished():
        assert not page.locator(".group .pill.bad").count(), page.inner_text("main")
        return page.locator(".group .pill.done").count() == expected

    until(finished, seconds=LONGEST_PROCESSING_SECONDS, says="all series finished")
    until(lambda: page.locator(".group img").count() == ARMS * expected, says="a picture for every series")
    page.wait_for_timeout(500)
    coordinator.photograph("processing-finished", whole=True)
    page.click("text=lineage >> nth=0")
    coordinator.photograph("lineage", whole=True)


def release(coordinator, study):
    page = coordinator.open(f"/studies/{study}/release")
    coordinator.photograph("release-before", whole=True)
    page.click("button:has-text('Release to readers')")
    # The page refreshes itself while the frames are copied.
    until(lambda: page.locator("h2:has-text('Released')").count(), seconds=90, says="the release")
    coordinator.photograph("release-after", whole=True)


def read_all(reader, study, draw):
    """Grade every series by keys alone: five digits and Enter. Returns what was given, by token and criterion."""
    page = reader.page
    reader.photograph("reader-my-studies")
    page.goto(f"{reader.address}/studies/{study}/start")
    reader.photograph("reader-start", whole=True)
    page.click("text=Begin")
    length, given = SUBJECTS * len(SEQUENCES) * ARMS, {}
    viewer = page.locator("#viewer")
    for position in range(1, length + 1):
        token = until(
            lambda: (
                viewer.get_attribute("data-ready") == "true"
                and viewer.get_attribute("data-token") not in given
                and viewer.get_attribute("data-token")
            ),
            seconds=30,
            says=f"series {position} of {length}",
        )
        until(lambda: len(set((viewer.get_attribute("data-loaded") or "0/1").split("/"))) == 1, says="all slices")
        if position <= 3:
            reader.photograph(f"reading-{position}")
        given[token] = {criterion: draw.randint(2, 5) for criterion in LIKERT} | {ARTIFACTS: draw.randint(0, 1)}
        for value in given[token].values():
            page.keyboard.press(str(value))
        if position == 1:
            reader.photograph("reading-graded")
        page.keyboard.press("Enter")
    until(lambda: page.locator("text=Thank you").count(), says="the thanks after the last series")
    reader.photograph("reader-end")
    return given


def lock_and_unblind(investigator, study):
    page = investigator.open(f"/studies/{study}/results")
    assert "Noninferiority" not in page.inner_text("body")
    investigator.photograph("results-before")
    page = investigator.open(f"/studies/{study}/readers")
    investigator.photograph("progress")
    page.click("a.button:has-text('Lock the study')")
    investigator.photograph("lock")
    page.click("button:has-text('Lock the study')")
    page.click("a.button:has-text('Unblind')")
    page.fill("#reason", "All readers are done.")
    investigator.photograph("unblind")
    page.click("button:has-text('Unblind')")
    tables = {}
    for sequence in SEQUENCES:
        page.goto(f"{investigator.address}/studies/{study}/results?sequence={sequence}")
        until(lambda: page.locator("canvas, svg.marks").count() >= 2, says="both figures")
        page.wait_for_timeout(300)
        investigator.photograph(f"results-{sequence.lower().replace(' ', '-')}", whole=True)
    for name in ("table3", "table4", "table5"):
        with page.expect_download() as download:
            page.click(f"a[href$='{name}.csv']")
        text = Path(download.value.path()).read_text(encoding="utf-8-sig")
        tables[name] = list(csv.DictReader(io.StringIO(text)))
    return tables


def check_tables(database, study, given, tables):
    """The downloaded numbers, once more: from the rows of the database, by hand and by scipy."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT u.username, p.token, a.name, sub.code, seq.name, c.name, g.value"
            " FROM reading_grade g JOIN reading_presentation p ON g.presentation_id = p.token"
            " JOIN accounts_user u ON p.reader_id = u.id JOIN studies_criterion c ON g.criterion_id = c.id"
            " JOIN blinding_seal s ON s.readable_id = p.series_id JOIN processing_series f ON s.series_id = f.id"
            " JOIN studies_arm a ON f.arm_id = a.id JOIN studies_subject sub ON f.subject_id = sub.id"
            " JOIN studies_sequence seq ON f.sequence_id = seq.id WHERE p.study_id = ?",
            [study.replace("-", "")],
        ).fetchall()
    assert len(rows) == len(READERS) * SUBJECTS * len(SEQUENCES) * ARMS * 5
    for reader, token, _, _, _, criterion, value in rows:
        assert given[reader][token][criterion] == value
    scores = defaultdict(dict)
    for reader, _, arm, subject, sequence, criterion, value in rows:
        scores[sequence, arm, criterion][subject, reader] = value
    subjects = sorted({key[0] for cell in scores.values() for key in cell})

    def sums(cell):
        return [sum(cell[subject, reader] for reader in READERS) for subject in subjects]

    assert len(tables["table3"]) == len(scores)
    for line in tables["table3"]:
        means = [total / len(READERS) for total in sums(scores[line["sequence"], line["arm"], line["category"]])]
        assert float(line["mean"]) == pytest.approx(mean(means), abs=1e-12)
        assert float(line["sd"]) == pytest.approx(stdev(means), abs=1e-12)
    assert len(tables["table4"]) == len(SEQUENCES) * (ARMS - 1) * 5
    blocks = defaultdict(list)
    for line in tables["table4"]:
        sequence, category = line["sequence"], line["category"]
        arms = [sums(scores[sequence, arm, category]) for arm in (line["arm"], "Standard")]
        pairs = zip(*arms, strict=True)
        differences = [fast - standard for fast, standard in pairs]
        if category == ARTIFACTS:  # integers before ranks: 15 (difference of means - 0.2)
            shifted, side = [5 * d - 3 for d in differences], "less"
        else:  # 6 (difference of means + 0.5)
            shifted, side = [2 * d + 3 for d in differences], "greater"
        p = wilcoxon(shifted, correction=True, method="asymptotic", alternative=side).pvalue
        assert float(line["p_raw"]) == pytest.approx(p, abs=1e-9)
        blocks[sequence, category].append((p, float(line["p_adjusted"])))
        walsh = [(a + b) / 6 for i, a in enumerate(differences) for b in differences[i:]]
        assert float(line["pseudomedian"]) == pytest.approx(median(walsh), abs=1e-12)
    for block in blocks.values():
        raw, adjusted = zip(*block, strict=True)
        assert adjusted == pytest.approx(false_discovery_control(raw), abs=1e-9)
    assert len(tables["table5"]) == len(scores)
    for line in tables["table5"]:
        cell = scores[line["sequence"], line["arm"], line["category"]]
        observed, expected = [], []
        for i, first in enumerate(READERS):
            for second in READERS[i + 1 :]:
                pairs = [(cell[subject, first], cell[subject, second]) for subject in subjects]
                observed.append(mean((a - b) ** 2 for a, b in pairs))
                expected.append(mean((a - b) ** 2 for a, _ in pairs for _, b in pairs))
        if mean(expected) == 0:
            assert line["kappa"] == ""
        else:
            assert float(line["kappa"]) == pytest.approx(1 - mean(observed) / mean(expected), abs=1e-9)
