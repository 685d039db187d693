"""The page: who sees it, what it shows; numbers in words."""

import re

import pytest
from django.urls import reverse
from django.utils.html import escape

from readerstudy.faults import Refusal
from readerstudy.processing.models import Series
from readerstudy.results import downloads, selectors, services, words
from tests.readerstudy.results.graded_study import PASSWORD, graded_study
from tests.readerstudy.statistics.score_tables import random_scores

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("front_end")]


def addresses(study):
    return [
        reverse("results:results", args=[study.pk]),
        *(reverse("results:download", args=[study.pk, name]) for name in downloads.NAMES),
    ]


def test_the_principal_investigator_sees_every_sequence(graded, client):
    client.force_login(graded.investigator)
    for sequence in ("SAG T2 FS", "AX T2"):
        page = client.get(reverse("results:results", args=[graded.study.pk]), {"sequence": sequence})
        assert page.status_code == 200
        assert page["Cache-Control"] == "private, no-store"
        text = page.content.decode()
        content = services.compute_results(study=graded.study).content
        for row in content["table4"]:
            if row["sequence"] == sequence:
                value, p = words.number(row["pseudomedian"], 3), words.p_value(row["p_adjusted"])
                assert f'{value}<span class="p">{escape(p)}' in text
        assert "Margin −0.5 (Apparent SNR" in text
        assert "simulated" not in text.lower()
        assert "<script>" not in text


def test_the_coordinator_sees_them_too_and_cannot_unblind(graded, client):
    client.force_login(graded.coordinator)
    assert all(client.get(address).status_code == 200 for address in addresses(graded.study))
    graded.study.state = "locked"
    graded.study.save()
    text = client.get(addresses(graded.study)[0]).content.decode()
    assert "No results yet" in text
    assert reverse("blinding:unblind", args=[graded.study.pk]) not in text


def test_downloads_are_attachments(graded, client):
    client.force_login(graded.investigator)
    for name in downloads.NAMES:
        answer = client.get(reverse("results:download", args=[graded.study.pk, name]))
        assert answer.status_code == 200
        assert answer["Content-Disposition"] == f'attachment; filename="fast-lumbar-spine-mri-{name}"'
        assert answer.content.decode() == downloads.download_text(
            study=graded.study, actor=graded.investigator, name=name
        )


def test_simulated_grades_are_named_on_the_page_and_in_file_names(db, client, scores):
    graded = graded_study(scores, simulated=True)
    client.force_login(graded.investigator)
    assert "Simulated grades." in client.get(addresses(graded.study)[0]).content.decode()
    assert "simulated-grades-table4.csv" in client.get(
        reverse("results:download", args=[graded.study.pk, "table4.csv"])
    )["Content-Disposition"]  # fmt: skip


@pytest.mark.parametrize("who", ["reader", "superuser"])
def test_for_everybody_else_there_is_no_such_page(graded, client, who, django_user_model):
    user = (
        django_user_model.objects.create_superuser("root", password=PASSWORD)
        if who == "superuser"
        else getattr(graded, who)
    )
    client.force_login(user)
    for address in addresses(graded.study):
        assert client.get(address).status_code == 404


def test_without_login_the_login_page(graded, client):
    for address in addresses(graded.study):
        assert client.get(address).status_code == 302


@pytest.mark.parametrize("state", ["reading", "locked"])
def test_before_unblinding_no_number(db, client, state):
    graded = graded_study(random_scores(4, patients=2, sequences=("SAG T1",)), state=state)
    client.force_login(graded.investigator)
    page, *files = addresses(graded.study)
    text = client.get(page).content.decode()
    assert "No results yet" in text
    assert "table4" not in text
    assert all(client.get(address).status_code == 404 for address in files)


def test_unknown_sequence_or_file(graded, client):
    client.force_login(graded.investigator)
    assert client.get(addresses(graded.study)[0], {"sequence": "AX T1"}).status_code == 404
    assert client.get(reverse("results:download", args=[graded.study.pk, "table7.csv"])).status_code == 404


def test_a_plan_that_was_changed_is_said_in_words(graded, client):
    graded.study.plan["family"] = "none"
    graded.study.save()
    client.force_login(graded.investigator)
    answer = client.get(addresses(graded.study)[0])
    assert answer.status_code == 409
    assert "not the one that was frozen" in answer.content.decode()


def test_every_figure_has_its_specification_and_its_words(graded, client):
    client.force_login(graded.investigator)
    text = client.get(addresses(graded.study)[0]).content.decode()
    figures = re.findall(r'class="figure" id="([a-z]+-\d)" role="img" aria-label="([^"]+)"', text)
    assert [name for name, _ in figures] == ["scores-0", "scores-1", "differences-0", "differences-1"]
    assert text.count('<script type="application/json">') == 4
    assert all("Apparent SNR" in words or "Presence of Artifacts" in words for _, words in figures)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "< .001"),
        (0.00099, "< .001"),
        (0.001, ".001"),
        (0.0464, ".046"),
        (0.99996, "1.000"),
        (None, "not estimable"),
    ],
)
def test_p_in_print(value, text):
    assert words.p_value(value) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.5, 3, "−0.500"), (-0.0001, 2, "0.00"), (1.005, 2, "1.00"), (0.0, 3, "0.000"), (None, 2, "not estimable")],
)
def test_numbers_in_print(value, decimals, text):
    assert words.number(value, decimals) == text


def test_settings_in_words():
    assert words.level("0.05") == "90 %"
    assert words.level("0.025") == "95 %"
    assert words.alpha_text("0.05") == ".05"
    counts = {"graded": 8, "expected": 10, "readers": 3, "image_quality": 1, "technical": 0, "not_signed_off": 0}
    assert words.completeness(counts, "worst") == (
        "In all sequences, 8 of 10 grades by three readers; 1 could not be graded because of image quality and counts "
        "as the worst grade; 1 not given."
    )
    counts |= {"graded": 4, "image_quality": 2, "technical": 3}
    assert words.completeness(counts, "missing") == (
        "In all sequences, 4 of 10 grades by three readers; 2 could not be graded because of image quality and are "
        "missing; 3 could not be graded for a technical reason and are missing; 1 not given."
    )


def test_a_clamped_noise_reduction_stands_under_the_tables(graded, client):
    client.force_login(graded.investigator)
    address = addresses(graded.study)[0]
    arm = graded.study.arms.get(name="Fast DL50")
    assert "Noise reduction reached" not in client.get(address).content.decode()
    arm.noise_reduction, arm.chain = "0.50", {"undersampling": 2}
    arm.save()
    series = list(Series.objects.filter(arm=arm, sequence__name="SAG T2 FS"))
    for number, one in enumerate(series):
        one.noise_reduction_reached = 0.41 if number else 0.5
        one.save()
    text = client.get(address, {"sequence": "SAG T2 FS"}).content.decode()
    assert "Noise reduction reached in the subjects: Fast DL50 41 to 50 % of the 50 % asked." in text
    assert "Fast DL50 by SENSE, every 2nd line, 24 calibration lines; the others as in the paper" in text
    assert "Noise reduction reached" not in client.get(address, {"sequence": "AX T2"}).content.decode()


def test_the_json_names_chains_and_what_was_reached(graded):
    arm = graded.study.arms.get(name="Fast DL50")
    Series.objects.filter(arm=arm).update(noise_reduction_reached=0.4)
    content = services.compute_results(study=graded.study).content
    assert {row["name"] for row in content["arms"]} == {"Standard", "Fast", "Fast DL50"}
    assert all(row["chain"]["parallel_imaging"] == "SENSE" for row in content["arms"])
    assert [(row["sequence"], row["least"], row["most"], row["subjects"]) for row in content["noise_reduction"]] == [
        ("SAG T2 FS", 0.4, 0.4, 6),
        ("AX T2", 0.4, 0.4, 6),
    ]
    graded.study.state = "locked"
    graded.study.save()
    with pytest.raises(Refusal):
        selectors.noise_reductions(graded.study)


def test_what_was_reached_in_words():
    row = {"arm": "Fast DL75", "asked": 0.75, "least": 0.66, "most": 0.7}
    assert words.noise_reductions([{**row, "least": 0.75, "most": 0.75}]) == words.noise_reductions([]) == ""
    assert words.noise_reductions([row, {**row, "arm": "DL50", "asked": 0.5, "least": 0.48, "most": 0.48}]) == (
        "Noise reduction reached in the subjects: Fast DL75 66 to 70 % of the 75 % asked; DL50 48 % of the 50 % asked."
    )
