"""Six people read at once while jobs run: nobody gets an error, and nobody is told that the database is locked."""

import statistics
import threading
from collections import Counter, defaultdict
from pathlib import Path

from tests.acceptance.conftest import Note
from tests.acceptance.raw_files import RawPair
from tests.acceptance.reading import Reader
from tests.acceptance.running import StudyAtWork, inside, running, wait_until
from tests.application import Application

READERS = 6
SUBJECTS = 8
ARMS = 2
KINDS = ("list", "series", "frame", "grade", "sign-off")


def released_study(application: Application, raw: RawPair) -> StudyAtWork:
    """A study with many subjects: the series of one real subject, copied."""
    source = StudyAtWork(application, sequence=raw.sequence)
    source.upload(raw.standard, "Standard")
    source.upload(raw.fast, "Fast")
    wait_until(source.finished, seconds=120, says="the series to copy")
    study = StudyAtWork(application, sequence=raw.sequence, subjects=SUBJECTS, readers=READERS)
    inside(application, "adopt", study=study.id, source=source.id)
    study.release()
    return study


def test_six_readers_while_jobs_run(tmp_path: Path, raw: RawPair, note: Note):
    with running(tmp_path / "state") as application:
        study = released_study(application, raw)
        beside = StudyAtWork(application, sequence=raw.sequence)
        readers = [
            Reader(study.person(name), study.id, seed=number) for number, name in enumerate(study.made["readers"])
        ]
        faults: list[BaseException] = []
        begin = threading.Barrier(READERS + 1)

        def read(reader: Reader) -> None:
            begin.wait()
            try:
                assert reader.read_all() == SUBJECTS * ARMS
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
        for thread in threads:
            thread.start()
        begin.wait()
        beside.upload(raw.standard, "Standard")
        beside.upload(raw.fast, "Fast")
        wait_until(beside.finished, seconds=240, says="the jobs beside the readers", every=2)
        for thread in threads:
            thread.join(300)
        assert not faults, faults[0]

        statuses = sum((Counter(reader.statuses) for reader in readers), Counter())
        assert set(statuses) <= {200, 201}, statuses
        beside.check_recorded_once()
        state = inside(application, "state", study=study.id)
        assert state["broken_link"] is None
        stored = inside(application, "frames", study=study.id)
        assert {token: digest for reader in readers for token, digest in reader.frames.items()} == stored
        logs = {path.name: path.read_text(errors="replace") for path in (application.state / "logs").glob("*.log")}
        assert {name for name, text in logs.items() if "database is locked" in text} == set()
        assert "Traceback" not in logs["web.log"]

    times: dict[str, list[float]] = defaultdict(list)
    for reader in readers:
        for kind, seconds in reader.seconds.items():
            times[kind] += [1000 * each for each in seconds]
    note(f"{READERS} readers beside two jobs: {sum(statuses.values())} answers, in milliseconds")
    for kind in KINDS:
        note(
            f"  {kind:<9} {len(times[kind]):5d} x   median {statistics.median(times[kind]):5.0f}"
            f"   95th percentile {statistics.quantiles(times[kind], n=20)[18]:5.0f}   longest {max(times[kind]):5.0f}"
        )
