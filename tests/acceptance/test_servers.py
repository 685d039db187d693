"""The application on real servers (PostgreSQL, S3, Valkey over TCP), from the upload to the tables."""

from pathlib import Path

from tests.acceptance.conftest import Note
from tests.acceptance.raw_files import RawPair
from tests.acceptance.reading import Reader
from tests.acceptance.running import StudyAtWork, inside, processes, running, wait_until
from tests.acceptance.servers import postgresql, valkey_on_tcp
from tests.recon_worker.object_storage import object_storage


def test_a_study_on_postgresql_s3_and_valkey(tmp_path: Path, raw: RawPair, note: Note):
    with (
        postgresql("readerstudy") as databases,
        valkey_on_tcp() as queue,
        object_storage() as storage,
        running(
            tmp_path / "state", DATABASE_URL=databases["readerstudy"], REDIS_URL=queue, STORAGE_URL=storage
        ) as application,
    ):
        assert processes(application, "queue") == [], "the embedded Valkey runs beside the real one"
        study = StudyAtWork(application, sequence=raw.sequence, readers=1)
        study.upload(raw.standard, "Standard")
        study.upload(raw.fast, "Fast")
        wait_until(study.finished, seconds=120, says="the series")
        jobs = study.check_recorded_once()
        note("jobs on S3: " + ", ".join(f"{name} {job['seconds']:.1f} s" for name, job in jobs.items()))
        pictures = [series["preview"] for group in study.page()["sequences"] for series in group["series"]]
        assert len(pictures) == 2
        for picture in pictures:
            assert study.coordinator.get(picture).body.startswith(b"\x89PNG")
        study.release()

        reader = Reader(study.person(study.made["readers"][0]), study.id, seed=1)
        assert reader.read_all() == 2
        stored = inside(application, "frames", study=study.id)
        assert reader.frames == stored, "every frame served is the worker's, byte by byte"

        investigator = study.person(study.made["investigator"])
        assert investigator.submit(f"studies/{study.id}/lock", reason="").status == 200
        assert investigator.submit(f"studies/{study.id}/unblind", reason="All series are read.").status == 200
        table = investigator.get(f"studies/{study.id}/results/table3.csv")
        assert table.status == 200
        assert len(table.body.splitlines()) == 1 + 2 * 5
        audit = application.manage("verify_audit")
        assert audit.returncode == 0, audit.stderr
        assert inside(application, "state", study=study.id) == {
            "state": "unblinded",
            "broken_link": None,
            "waiting": 0,
            "raw_files": 2,
        }

    left = [path for path in (tmp_path / "state").rglob("*") if path.suffix in (".sqlite3", ".u16", ".h5", ".npz")]
    assert left == [], "nothing lies on the disk that belongs on the servers"
    assert not list((tmp_path / "state" / "uploads").iterdir())
