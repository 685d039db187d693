"""The exact rule over what the reader's API really answers, with a positive control.

For every reader, subject and sequence, the answers about all arms are compared: status, headers, JSON in the order in
which it is sent, lengths of the frames. All must be equal but for token, position, own grades and pixels. A rule that
never fires proves nothing, so differences are planted in copies of the answers, and each must be found.
"""

import copy
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from rest_framework.request import Request

from readerstudy.blinding import words
from readerstudy.blinding.models import Seal
from readerstudy.reading import api
from readerstudy.reading.models import Presentation
from readerstudy.studies.models import Study

OWN = frozenset({"token", "position", "grades", "comment", "signed_off"})
"""What may differ between presentations: it is the reader's own, or random."""


@dataclass
class Served:
    """What one presentation answers, without what may differ."""

    token: str
    status: list[int]
    headers: list[dict[str, str]]
    content: dict[str, Any]
    lengths: list[int]

    def comparable(self) -> dict[str, str]:
        """Part by part, as text in the order in which it is served."""
        parts = {f"value of {name}": json.dumps(value) for name, value in self.content.items()}
        parts["names and order of the values"] = json.dumps(list(self.content))
        parts["status"] = json.dumps(self.status)
        parts["headers"] = json.dumps(self.headers)
        parts["lengths of the frames"] = json.dumps(self.lengths)
        return parts


@dataclass(frozen=True)
class LeakAudit:
    """The outcome."""

    readers: int
    presentations: int
    groups: int
    values: int
    planted: int
    found: int
    problems: list[str] = field(default_factory=list)
    sha256: str = ""

    @property
    def passed(self) -> bool:
        """Nothing differs, and everything planted was found."""
        return not self.problems

    @property
    def sentence(self) -> str:
        """In one sentence."""
        return (
            f"{self.values} served values of {self.presentations} presentations compared in {self.groups} groups of "
            f"arms; {self.found} of {self.planted} planted differences found."
        )


class _Anybody(api.PresentationsView):
    """Answers about any presentation, in any state of the reading: for the audit alone, never routed."""

    authentication_classes = []
    permission_classes = []

    def presentation(self, request: Request, study_id: UUID, token: str) -> Presentation:
        try:
            return Presentation.objects.select_related("study", "series__sequence").get(token=token, study=study_id)
        except Presentation.DoesNotExist as error:
            raise Http404 from error

    def shown(self, presentation: Presentation) -> None:
        """The audit opens nothing."""


class _PresentationView(_Anybody, api.PresentationView):
    pass


class _FrameView(_Anybody, api.FrameView):
    pass


def _get(view: Any, **kwargs: Any) -> Any:
    request = HttpRequest()
    request.method = "GET"
    request.META.update({"SERVER_NAME": "localhost", "SERVER_PORT": "80"})
    response = view.as_view()(request, **kwargs)
    return response.render() if hasattr(response, "render") else response


def served(presentation: Presentation, *, frames: bool = True, every_frame: bool = False) -> Served:
    """Ask the reader's own views about one presentation; by default the first and the last frame."""
    where = {"study_id": presentation.study_id, "token": presentation.token}
    answer = _get(_PresentationView, **where)
    content: dict[str, Any] = json.loads(answer.content)
    status, headers, lengths = [answer.status_code], [dict(answer.items())], []
    slices = int(content.get("slices", 0))
    wanted = range(slices) if every_frame else sorted({0, max(slices - 1, 0)})
    for number in [*wanted, slices] if frames else []:  # one past the end: its error is an answer as well
        answer = _get(_FrameView, **where, number=number)
        status.append(answer.status_code)
        headers.append(dict(answer.items()))
        lengths.append(len(answer.content))
    kept = {name: None if name in OWN else value for name, value in content.items()}
    return Served(presentation.token, status, headers, kept, lengths)


def differences(group: list[Served]) -> list[str]:
    """Names of the parts that are not equal over the group."""
    first = group[0].comparable()
    names: dict[str, None] = {}
    for other in group[1:]:
        parts = other.comparable()
        for name in {**first, **parts}:
            if first.get(name) != parts.get(name):
                names[name] = None
    return list(names)


def plantings(one: Served) -> list[Served]:
    """Copies of an answer with one difference each, of the kinds that tell an arm."""
    planted = []
    for change in range(5):
        other = copy.deepcopy(one)
        if change == 0:
            other.content["window"] = [value + 1 for value in other.content["window"]]
        elif change == 1:
            other.content["remark"] = ""
        elif change == 2:
            other.content = dict(reversed(list(other.content.items())))
        elif change == 3:
            other.headers[0]["ETag"] = "1"
        else:
            other.lengths = [*other.lengths, 1]
        planted.append(other)
    return planted


def audit(study: Study, *, frames: bool = True, every_frame: bool = False) -> LeakAudit:
    """Run the exact rule and its control over all readers of a released study."""
    place = {
        seal.readable_id: (seal.series.subject_id, seal.series.sequence_id)
        for seal in Seal.objects.filter(study=study).select_related("series")
    }
    search = words.pattern(words.arm_words(study) + words.subject_words(study))
    groups: dict[Any, list[Served]] = defaultdict(list)
    problems: list[str] = []
    readers = set()
    for presentation in Presentation.objects.filter(study=study).order_by("token"):
        readers.add(presentation.reader_id)
        one = served(presentation, frames=frames, every_frame=every_frame)
        groups[presentation.reader_id, *place[presentation.series_id]].append(one)
        said = json.dumps({**one.content, "sequence": None, "headers": one.headers}).encode()
        problems += [f"An answer holds the word “{word}”." for word in words.found_in(said, search)]
    planted = found = values = 0
    for group in groups.values():
        values += sum(len(one.comparable()) for one in group)
        problems += [f"{name.capitalize()} differs between arms." for name in differences(group)]
        for other in plantings(group[0]):
            planted += 1
            found += bool(differences([group[0], other]))
    if not groups:
        problems.append("Nothing is released to readers yet.")
    if found != planted:
        problems.append(f"The control failed: {planted - found} planted differences were not found.")
    unique = list(dict.fromkeys(problems))
    content = [[part.comparable() for part in group] for group in groups.values()]
    digest = hashlib.sha256(json.dumps(sorted(map(json.dumps, content))).encode()).hexdigest()
    return LeakAudit(
        readers=len(readers),
        presentations=sum(len(group) for group in groups.values()),
        groups=len(groups),
        values=values,
        planted=planted,
        found=found,
        problems=unique,
        sha256=digest,
    )
