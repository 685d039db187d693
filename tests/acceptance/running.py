"""A running application, its people over HTTP, and its processes from outside."""

import base64
import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readerstudy.launch.upload_client import UploadClient
from tests.application import ROOT, Application, command_of, free_port, parent_of

ANSWER_SECONDS = 120
TUS_PART = "application/offset+octet-stream"
COMMANDS = {
    "queue": "valkey-server",
    "light worker": "-A readerstudy",
    "recon worker": "-A recon_worker.tasks",
    "job": "recon_worker.job_process",
    "web": "gunicorn",
}


@contextmanager
def running(state: Path, **variables: str) -> Iterator[Application]:
    """`manage.py up` on a state folder, stopped with Ctrl-C at the end."""
    application = Application(state, free_port(), **variables)
    try:
        application.wait_until_ready()
        yield application
    finally:
        if application.process.poll() is None:
            assert application.stop() == 0


def inside(application: Application, name: str, /, **arguments: Any) -> Any:
    """What a function of `tests.acceptance.inside` returns in the application's environment."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.inside", name, json.dumps(arguments)],
        cwd=ROOT,
        env=application.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_until(condition: Callable[[], Any], *, seconds: float, says: str, every: float = 0.2) -> Any:
    """The first true value of `condition`."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {seconds:.0f} s in vain for {says}"
        time.sleep(every)
    return found


@dataclass(frozen=True)
class Answer:
    """What the server said, and after how many seconds it had said it."""

    status: int
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Person(UploadClient):
    """Somebody logged in."""

    def __init__(self, application: Application, username: str, password: str) -> None:
        super().__init__(f"{application.address}/")
        self.log_in(username, password)

    def get(self, path: str) -> Answer:
        return self._ask(urllib.request.Request(urllib.parse.urljoin(self.address, path)))

    def post(self, path: str, content: dict[str, Any]) -> Answer:
        """JSON, as the reading page sends it."""
        return self._ask(self._written(path, json.dumps(content).encode(), "application/json"))

    def submit(self, path: str, **form: str) -> Answer:
        """A form of a page; redirections are followed."""
        body = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": self._cookie("csrftoken")}).encode()
        return self._ask(self._written(path, body, "application/x-www-form-urlencoded"))

    def begin_upload(self, metadata: dict[str, str], length: int) -> str:
        """Announce a file; its address."""
        encoded = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
        headers = {"Upload-Length": str(length), "Upload-Metadata": encoded}
        with self._send("POST", "api/uploads/", headers) as answer:
            return urllib.parse.urljoin(self.address, answer.headers["Location"])

    def offset(self, location: str) -> int:
        """How much of a file has arrived."""
        with self._send("HEAD", location, {}) as answer:
            return int(answer.headers["Upload-Offset"])

    def send_part(self, location: str, *, offset: int, body: bytes) -> None:
        self._send("PATCH", location, {"Upload-Offset": str(offset), "Content-Type": TUS_PART}, body).close()

    def upload_headers(self, *, offset: int, length: int) -> dict[str, str]:
        """For a part that a test sends over a connection of its own."""
        return {
            "Upload-Offset": str(offset),
            "Content-Type": TUS_PART,
            "Content-Length": str(length),
            "Tus-Resumable": "1.0.0",
            "Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies),
            "X-CSRFToken": self._cookie("csrftoken"),
            "Referer": self.address,
        }

    def _written(self, path: str, body: bytes, content_type: str) -> urllib.request.Request:
        url = urllib.parse.urljoin(self.address, path)
        headers = {"Content-Type": content_type, "X-CSRFToken": self._cookie("csrftoken"), "Referer": self.address}
        return urllib.request.Request(url, body, headers, method="POST")

    def _ask(self, request: urllib.request.Request) -> Answer:
        began = time.monotonic()
        try:
            with self.opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return Answer(answer.status, answer.read(), time.monotonic() - began)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), time.monotonic() - began)


class StudyAtWork:
    """A study made by `inside.make_study`, with its coordinator logged in."""

    def __init__(self, application: Application, *, sequence: str, subjects: int = 1, readers: int = 1) -> None:
        self.application = application
        self.made = inside(
            application, "make_study", name="Acceptance", sequences=[sequence], subjects=subjects, readers=readers
        )
        self.id: str = self.made["id"]
        self.coordinator = self.person(self.made["coordinator"])

    def person(self, username: str) -> Person:
        return Person(self.application, username, self.made["password"])

    def metadata(self, acquisition: str, *, subject: str = "S01", filename: str = "raw.h5") -> dict[str, str]:
        """What an upload says of itself."""
        [sequence] = self.made["sequences"].values()
        return {
            "study": self.id,
            "subject": self.made["subjects"][subject],
            "sequence": sequence,
            "acquisition": self.made["acquisitions"][acquisition],
            "filename": filename,
        }

    def upload(self, path: Path, acquisition: str, *, subject: str = "S01") -> str:
        return self.coordinator.upload(path, self.metadata(acquisition, subject=subject, filename=path.name))

    def page(self) -> dict[str, Any]:
        """What the Processing page shows."""
        answer = self.coordinator.get(f"api/processing/{self.id}/status")
        assert answer.status == 200, answer.body
        content: dict[str, Any] = answer.json
        return content

    def row(self, acquisition: str, *, subject: str = "S01") -> dict[str, Any]:
        """One acquisition's row of the page."""
        rows = self.page()["acquisitions"]
        return next(
            row for row in rows if (row["subject"]["name"], row["acquisition"]["name"]) == (subject, acquisition)
        )

    def is_running(self, acquisition: str, *, subject: str = "S01") -> bool:
        """Whether a worker has taken this acquisition's job."""
        row = self.row(acquisition, subject=subject)
        assert row["kind"] != "done", "it ended before it could be disturbed"
        return bool(row["job"] and row["kind"] == "run")

    def is_queued(self, acquisition: str, *, subject: str = "S01") -> bool:
        """Whether this acquisition's job is there and waits for the worker."""
        row = self.row(acquisition, subject=subject)
        return bool(row["job"] and row["kind"] == "wait")

    def finished(self, *, subject: str = "S01") -> bool:
        """Whether the subject's series are there; a failure ends the wait."""
        page = self.page()
        mine = [row for row in page["acquisitions"] if row["subject"]["name"] == subject]
        groups = [group for group in page["sequences"] if group["subject"] == subject]
        for each in [*mine, *groups]:
            assert each["kind"] != "bad", f"{each['stage']} {each['action']}"
        return bool(groups) and all(group["kind"] == "done" for group in groups)

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = inside(self.application, "jobs", study=self.id)
        return found

    def check_recorded_once(self) -> dict[str, dict[str, Any]]:
        """The jobs of a study with one subject, by acquisition and "finishing": each is done, its result stands once,
        and the trail says so once."""
        found = self.jobs()
        by_name = {job["acquisition"] or job["kind"]: job for job in found}
        assert len(found) == len(by_name) == 3
        for job in found:
            assert (job["status"], job["done_events"]) == ("done", 1), job
            assert (job["volumes"], job["series"]) == ((1, 0) if job["kind"] == "acquisition" else (0, 2)), job
        return by_name

    def release(self) -> None:
        """As the coordinator does it on the page."""
        assert self.coordinator.submit(f"studies/{self.id}/release").status == 200
        wait_until(
            lambda: inside(self.application, "state", study=self.id)["state"] == "reading",
            seconds=60,
            says="the release",
        )


def descendants(process_id: int) -> list[int]:
    """All processes below one, at this moment."""
    parents = {int(status.parent.name): parent_of(status) for status in Path("/proc").glob("[0-9]*/stat")}
    found, level = [], [process_id]
    while level := [child for child, parent in parents.items() if parent in level]:
        found += level
    return found


def processes(application: Application, name: str) -> list[int]:
    """Ids of the application's processes of one kind (see COMMANDS)."""
    found = []
    for process_id in descendants(application.process.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if COMMANDS[name] in command_of(process_id):
                found.append(process_id)
    return sorted(found)


def forget_peaks(application: Application) -> None:
    """Let the kernel measure peaks of memory from now on."""
    for process_id in descendants(application.process.pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process_id}/clear_refs").write_text("5")


def peak_megabytes(application: Application, name: str) -> int:
    """The most resident memory that one process of this kind has had (VmHWM)."""
    peaks = []
    for process_id in processes(application, name):
        status = Path(f"/proc/{process_id}/status").read_text()
        peaks.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1000)
    return max(peaks)
