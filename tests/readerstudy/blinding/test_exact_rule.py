"""Everything that a reader's browser receives is equal for all arms but for token, position, own grades and pixels."""

import json
import re
import uuid
from collections import defaultdict
from dataclasses import dataclass

import pytest
from django.apps import apps
from django.db import transaction
from django.test import Client

from readerstudy.blinding.models import Seal
from readerstudy.blinding.services import release
from readerstudy.processing.models import Series
from readerstudy.reading import selectors
from readerstudy.reading.models import Presentation
from tests.readerstudy.reading.study_rows import make_study

OWN = {"token", "position", "grades", "comment", "signed_off"}
FORBIDDEN = re.compile(
    rb"\b(NEX|DL ?\d*|acquisition\w*|denois\w*|noise[ _-]reduction|arms?|frames\.u16|series\.json|\w*\.dcm|\w*\.png|"
    rb"Standard|Fast\w*|PAT\d+|coordinator-\w+|investigator-\w+|chain\w*|undersampl\w*|GRAPPA|calibration|reached|"
    rb"stored_matrix|remarks|REMARK\d+|is_measured|measurements|overlay\w*|disc_height\w*|body_volume\w*|labels\.npz)\b",
    re.IGNORECASE,
)
PER_RESPONSE = {"Content-Length"}  # compared apart: exactly, where position and grades have one length


@dataclass
class Everything:
    """What one reader received over a whole read of four arms: answers by presentation token, and the rest."""

    presentations: list[Presentation]
    place: dict[str, tuple]
    answers: dict[str, list]
    other: list


@pytest.fixture(scope="module")
def everything(django_db_setup, django_db_blocker):
    """Collected once; the rows themselves are rolled back."""
    with django_db_blocker.unblock(), transaction.atomic():
        collected = collect()
        transaction.set_rollback(True)
    return collected


def collect() -> Everything:
    rows = make_study(subjects=2, sequences=2, arms=4, readers=2)
    for number, arm in enumerate(rows.study.arms.all()):  # every arm its own chain, effective factor and remark
        arm.chain = {"undersampling": 1 + number, "parallel_imaging": "GRAPPA" if number % 2 else "SENSE"}
        arm.save()
        Series.objects.filter(arm=arm).update(noise_reduction_reached=0.1 * number, remarks=[f"REMARK{number}"])
    rows.study.sequences.update(stored_matrix=[512, 512])
    release(study=rows.study, actor=rows.coordinator)
    reader = rows.readers[0]
    client = Client(raise_request_exception=False)
    client.force_login(reader)
    base = f"/api/reading/{rows.study.pk}"
    answers: dict[str, list] = defaultdict(list)
    other = [("start", client.get(f"/studies/{rows.study.pk}/start"))]
    presentations = list(
        Presentation.objects.filter(reader=reader).select_related("series__sequence").order_by("position")
    )
    criteria = rows.criteria
    for presentation in presentations:
        here = f"{base}/presentations/{presentation.token}"
        kept = answers[presentation.token]

        def post(path: str, content: object, where: str = here):
            return client.post(f"{where}/{path}", content, content_type="application/json")

        kept.append(("presentation", client.get(here)))
        for number in range(presentation.series.slices + 1):
            kept.append((f"frame {number}", client.get(f"{here}/frames/{number}")))
        kept.append(("open", post("open", {})))
        kept.append(("bad grade", post("grades", {"id": "x", "criterion": str(criteria[0].pk), "value": 3})))
        off_scale = {"id": str(uuid.uuid4()), "criterion": str(criteria[0].pk), "value": 9}
        kept.append(("grade off the scale", post("grades", off_scale)))
        kept.append(("early sign-off", post("sign-off", {})))
        for criterion in criteria:
            grade = {"id": str(uuid.uuid4()), "criterion": str(criterion.pk), "value": 1}
            kept.append(("grade", post("grades", grade)))
        kept.append(("comment", post("comment", {"text": "fine"})))
        kept.append(("presentation graded", client.get(here)))
        kept.append(("sign-off", post("sign-off", {})))
        kept.append(("presentation signed off", client.get(here)))
        kept.append(("unknown method", client.delete(here)))
        kept.append(("unknown path", client.get(f"{here}/dicom")))
    for what in (
        f"{base}/study",
        f"/studies/{rows.study.pk}/start",
        f"/studies/{rows.study.pk}/read",
        f"/studies/{rows.study.pk}/processing",
        "/nothing/here",
        "/",
    ):
        other.append((what, client.get(what)))
    place = {
        seal.readable_id: (seal.series.subject_id, seal.series.sequence_id)
        for seal in Seal.objects.filter(study=rows.study).select_related("series")
    }
    return Everything(presentations, place, answers, other)


def masked(response) -> object:
    """The content without what may differ."""
    if not response["Content-Type"].startswith("application/json"):
        return ("length", len(response.content))
    content = json.loads(response.content)
    if isinstance(content, dict):
        pairs = [(key, None if key in OWN | {"next"} else value) for key, value in content.items()]
        return json.dumps(pairs)
    return json.dumps(content)


def test_the_exact_rule(everything):
    assert len(everything.answers) == 2 * 2 * 4
    groups = defaultdict(list)
    for presentation in everything.presentations:
        groups[everything.place[presentation.series_id]].append(everything.answers[presentation.token])
    assert {len(group) for group in groups.values()} == {4}
    compared = 0
    for group in groups.values():
        for together in zip(*group, strict=True):
            names = {what for what, _ in together}
            responses = [response for _, response in together]
            assert len(names) == 1
            assert len({response.status_code for response in responses}) == 1, names
            headers = [
                [(name, value) for name, value in response.items() if name not in PER_RESPONSE]
                for response in responses
            ]
            assert all(other == headers[0] for other in headers), names
            assert len({masked(response) for response in responses}) == 1, names
            if not responses[0]["Content-Type"].startswith("application/json"):
                assert len({len(response.content) for response in responses}) == 1, names
            for response in responses:
                assert not response.cookies or "arm" not in str(response.cookies)
                compared += 1
    assert compared > 16 * 15


def test_lengths_differ_by_the_digits_of_the_position_alone(everything):
    lengths = defaultdict(set)
    for presentation in everything.presentations:
        for what, response in everything.answers[presentation.token]:
            digits = len(str(presentation.position)) if what.startswith("presentation") else 0
            if what == "sign-off" and response.json()["next"] is None:
                continue
            lengths[presentation.series.sequence_id, what].add(len(response.content) - digits)
    for key, found in lengths.items():
        assert len(found) == 1, key


def test_no_word_of_arms_or_subjects_in_anything_a_reader_receives(everything):
    responses = [pair for pairs in everything.answers.values() for pair in pairs] + everything.other
    assert {response.status_code for _, response in everything.other} == {200, 404}
    for what, response in responses:
        if response["Content-Type"] == "application/octet-stream":
            continue
        text = re.sub(rb"<link[^>]*>|<script[^>]*></script>|</?dl\b", b"", response.content)  # names of files and tags
        assert not FORBIDDEN.findall(text), (what, FORBIDDEN.findall(text))
        for name, value in response.items():
            assert not FORBIDDEN.findall(f"{name}: {value}".encode()), (what, name, value)


def test_tokens_and_rows_are_in_no_order_that_tells(db):
    """The order of the rows in the tables does not follow the arms (a fixed order would show in 16 of 16 pairs)."""
    rows = make_study(subjects=4, sequences=2, arms=2, readers=1)
    release(study=rows.study, actor=rows.coordinator)
    seals = list(Seal.objects.filter(study=rows.study).order_by("pk").select_related("series__arm"))
    arms = [seal.series.arm.name for seal in seals]
    assert len(arms) == 16
    assert arms != sorted(arms) and arms != sorted(arms, reverse=True)
    made = [seal.series_id for seal in seals]
    assert made != [one.pk for one in rows.series]
    tokens = [seal.readable_id for seal in seals]
    assert len(set(tokens)) == 16 and all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_server_faults_look_the_same_for_every_series(rows, monkeypatch):
    """Even when our code breaks, the answer does not depend on the series and holds no detail."""

    def broken(*args: object) -> None:
        raise RuntimeError("Fast DL75 of PAT01 in work/123/frames.u16")

    monkeypatch.setattr(selectors, "frame_bytes", broken)
    monkeypatch.setattr(selectors, "reader_presentation", broken)
    client = Client(raise_request_exception=False)
    client.force_login(rows.readers[0])
    seen = set()
    for presentation in rows.presentations(rows.readers[0])[:3]:
        for path in ("", "/frames/0"):
            answer = client.get(f"/api/reading/{rows.study.pk}/presentations/{presentation.token}{path}")
            assert answer.status_code == 500
            assert not FORBIDDEN.findall(answer.content)
            seen.add((answer.content, tuple(sorted(answer.items()))))
    assert len(seen) == 1


def test_reading_imports_and_rows_reach_no_arm():
    """No field of a reading model points to processing, arms, acquisitions or subjects."""
    allowed = {"accounts.User", "studies.Study", "studies.Sequence", "studies.Criterion"}
    for model in apps.get_app_config("reading").get_models():
        for relation in model._meta.get_fields():
            if relation.many_to_one or relation.one_to_one:
                target = relation.related_model._meta.label
                assert target.startswith("reading.") or target in allowed, (model, relation.name)
        for relation in model._meta.related_objects:
            if not relation.related_model._meta.label.startswith("reading."):
                assert relation.get_accessor_name() is None, "the key must not be reachable from a reading row"


def test_neither_reading_nor_blinding_nor_audit_is_in_the_admin_site():
    if apps.is_installed("django.contrib.admin"):
        from django.contrib import admin

        registered = {model._meta.app_label for model in admin.site._registry}
        assert not registered & {"reading", "blinding", "audit"}
