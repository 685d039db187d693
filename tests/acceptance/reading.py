"""A reader at work over the reader's API, as the reading page does it, and what it measured."""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

from tests.acceptance.running import Answer, Person


class Reader:
    """Reads a whole list; every answer's time is kept by kind."""

    def __init__(self, person: Person, study: str, *, seed: int) -> None:
        self._person, self._base, self._draw = person, f"api/reading/{study}", Random(seed)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.statuses: dict[int, int] = defaultdict(int)
        self.frames: dict[str, str] = {}
        """SHA-256 of all frames of a presentation in a row, by token."""

    def _asked(self, kind: str, answer: Answer, expected: int = 200) -> Any:
        self.seconds[kind].append(answer.seconds)
        self.statuses[answer.status] += 1
        assert answer.status == expected, (kind, answer.status, answer.body[:500])
        return answer

    def read_all(self, enough: Callable[[], bool] = lambda: False) -> int:
        """Look at every frame, answer every criterion, sign off, until the list ends or it is `enough`. Returns how
        many were read."""
        study = self._asked("list", self._person.get(f"{self._base}/study")).json
        self._asked("session", self._person.post(f"{self._base}/sessions", {"display": {"width": 1366}}), 201)
        token, read = study["presentations"][0]["token"], 0
        while token is not None and not enough():
            token = self._read(token, study["criteria"])
            read += 1
        return read

    def _read(self, token: str, criteria: list[dict[str, Any]]) -> str | None:
        at = f"{self._base}/presentations/{token}"
        shown = self._asked("series", self._person.get(at)).json
        digest = hashlib.sha256()
        for number in range(shown["slices"]):
            frame = self._asked("frame", self._person.get(f"{at}/frames/{number}")).body
            assert len(frame) == shown["rows"] * shown["columns"] * 2
            digest.update(frame)
        self.frames[token] = digest.hexdigest()
        for criterion in criteria:
            value = self._draw.randint(criterion["minimum"], criterion["maximum"])
            content = {"id": str(uuid.uuid4()), "criterion": criterion["id"], "value": value}
            self._asked("grade", self._person.post(f"{at}/grades", content), 201)
        following: str | None = self._asked("sign-off", self._person.post(f"{at}/sign-off", {})).json["next"]
        return following
