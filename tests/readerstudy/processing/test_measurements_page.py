"""The coordinator's Measurements page: the contours of all arms side by side, and nobody else who sees them."""

import html
import re

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import reverse

from readerstudy import storage
from readerstudy.processing import measurements
from readerstudy.processing.levels import names
from readerstudy.processing.models import MeasuredSeries, Structure
from readerstudy.processing.policies import OBJECTS
from recon_worker.segmentation.segment import A_SMALL_VOID, GOES_ON
from tests.readerstudy.builders import logged_in, make_study, make_user
from tests.readerstudy.processing.measured_rows import (
    ARMS,
    SEQUENCES,
    content_of,
    corrections,
    counted,
    into,
    measured_of,
    measured_rows,
    picture_of,
    structure,
)
from tests.readerstudy.processing.small_study import small_study

pytestmark = pytest.mark.django_db

STATES = ("preparing", "reading", "locked", "unblinded")


@pytest.fixture(autouse=True)
def built_front_end(settings, tmp_path):
    """A manifest is enough: the page names the script, it does not run it."""
    (tmp_path / "manifest.json").write_text('{"src/measurements/main.ts": {"file": "assets/measurements.js"}}')
    settings.FRONTEND_BUILD = tmp_path


@pytest.fixture
def graded():
    return measured_rows(overlays=True)


def page_address(graded):
    return reverse("processing:measurements", args=[graded.study.pk])


def overlay_address(graded, measured=None, study=None):
    measured = measured or measured_of(graded)
    return reverse("processing:overlay", args=[(study or graded.study).pk, measured.series_id])


def object_address(graded, name, measured=None, study=None):
    measured = measured or measured_of(graded)
    return reverse("processing:dicom-object", args=[(study or graded.study).pk, measured.series_id, name])


def structure_address(graded, one, study=None):
    return reverse("processing:correct-structure", args=[(study or graded.study).pk, one.pk])


def shift_address(graded, study=None):
    subject, sequence = graded.study.subjects.get(code="P01"), graded.study.sequences.get(name="SAG T1")
    return reverse("processing:shift-levels", args=[(study or graded.study).pk, subject.pk, sequence.pk])


def shown(graded, client=None):
    answer = (client or logged_in(graded.coordinator)).get(page_address(graded))
    assert answer.status_code == 200
    return answer.content.decode()


def words_of(text):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def post(graded, one, client=None, **fields):
    return (client or logged_in(graded.coordinator)).post(structure_address(graded, one), fields)


def cells(graded, kind="disc", patient="P01"):
    """(level, arm) to cell."""
    [group] = [one for one in measurements.page(graded.study)["groups"] if one["subject"].code == patient]
    [table] = [one for one in group["tables"] if one["kind"] == kind]
    return {(row["level"], cell["arm"].name): cell for row in table["rows"] for cell in row["cells"]}


def notes(cell):
    return [note for entry in cell["entries"] for note in entry["notes"]]


def test_every_subject_has_the_contours_of_all_arms_side_by_side(graded):
    text = shown(graded)
    parts = re.split(r'<section class="card measured"', text)[1:]
    assert len(parts) == 2
    for patient, part in zip(("P01", "P02"), parts, strict=True):
        assert re.findall(r'<img [^>]*src="([^"]+)"', part) == [
            overlay_address(graded, measured_of(graded, arm=arm, patient=patient)) for arm in ARMS
        ]
        assert [arm.strip() for arm in re.findall(r"</svg>([^<]+)", part)] == list(ARMS)
        assert re.findall(r'<a href="([^"]+)"[^>]*>all slices</a>', part) == [
            overlay_address(graded, measured_of(graded, arm=arm, patient=patient)) for arm in ARMS
        ]
        assert re.findall(r'popovertarget="[^"]+">([^<]+)</button>', part) == [
            f"{value:.1f}" for value in (*range(6, 12), *range(21, 28)) for _ in ARMS
        ]


def test_a_picture_is_that_of_its_series_and_is_kept_nowhere(graded):
    client = logged_in(graded.coordinator)
    for measured in MeasuredSeries.objects.all():
        answer = client.get(overlay_address(graded, measured))
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
        assert answer.content == picture_of(measured)
        assert answer["Cache-Control"] == "private, no-store"
        assert not {"ETag", "Last-Modified", "Expires"} & set(answer.headers)
    assert client.get(page_address(graded))["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "who", ["coordinator", "investigator", "reader", "stranger", "superuser", "other coordinator", "nobody"]
)
def test_who_sees_it_and_when(graded, who, state):
    into(graded, state)
    people = {
        "stranger": lambda: make_user("stranger"),
        "superuser": lambda: make_user("super", is_superuser=True),
        "other coordinator": lambda: make_study().coordinator,
        "nobody": AnonymousUser,
    }
    person = people[who]() if who in people else getattr(graded, who)
    client = Client() if who == "nobody" else logged_in(person)
    sees = who == "coordinator" or (who == "investigator" and state == "unblinded")
    refusal = 302 if who == "nobody" else 404
    for address in (page_address(graded), overlay_address(graded)):
        answer = client.get(address)
        assert answer.status_code == (200 if sees else refusal), address
        assert sees or (b"PNG of" not in answer.content and b"Fast DL50" not in answer.content)
    for name in OBJECTS:
        answer = client.get(object_address(graded, name))
        assert answer.status_code == (200 if who == "coordinator" else refusal), name
        assert who == "coordinator" or b"DICM" not in answer.content
    answer = post(graded, structure(graded, 3), client, act="exclude", reason="seen")
    assert answer.status_code == (302 if who == "coordinator" else refusal)
    assert bool(structure(graded, 3).excluded_reason) == (who == "coordinator" and state in ("preparing", "reading"))


@pytest.mark.parametrize(("name", "says"), OBJECTS.items())
def test_segmentation_and_report_of_a_series_are_files_of_the_coordinator(graded, name, says):
    client = logged_in(graded.coordinator)
    text = shown(graded, client)
    for measured in MeasuredSeries.objects.all():
        address = object_address(graded, name, measured)
        assert re.search(rf'<a href="{address}"[^>]* download>{says}</a>', text)
        answer = client.get(address)
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/dicom")
        assert b"".join(answer.streaming_content) == content_of(measured, name)
        series = measured.series
        arm = series.arm.name.lower().replace(" ", "-")
        file_name = f"{series.subject.code.lower()}-sag-t1-{arm}-{name}"
        assert answer["Content-Disposition"] == f'attachment; filename="{file_name}"'
        assert answer["Cache-Control"] == "private, no-store"
    assert "name its levels as they were found in that series" in words_of(text)
    into(graded, "unblinded")
    assert "/segmentation.dcm" not in shown(graded, logged_in(graded.investigator))


@pytest.mark.parametrize("name", ["labels.npz", "overlay.dcm", "frames.u16", "..", "segmentation.dcm.part"])
def test_no_other_file_is_handed_out(graded, name):
    measured = measured_of(graded)
    path = measured.overlay.replace("overlay.png", name)
    MeasuredSeries.objects.filter(pk=measured.pk).update(files=[*measured.files, {"path": path}])
    assert logged_in(graded.coordinator).get(object_address(graded, name)).status_code == 404


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_not_there_or_of_another_study_is_not_found(graded, name):
    client, other = logged_in(graded.coordinator), small_study()
    assert client.get(object_address(graded, name, study=other.study)).status_code == 404
    assert logged_in(other.coordinator).get(object_address(graded, name, study=other.study)).status_code == 404
    measured = measured_of(graded)
    storage.remove(measured.overlay.replace("overlay.png", name))
    assert client.get(object_address(graded, name)).status_code == 404
    MeasuredSeries.objects.filter(pk=measured.pk).update(files=[])
    assert client.get(object_address(graded, name)).status_code == 404
    assert object_address(graded, name) not in shown(graded, client)


def test_a_picture_is_found_in_its_own_study_alone(graded):
    other = small_study()
    theirs = logged_in(other.coordinator)
    assert theirs.get(overlay_address(graded)).status_code == 404
    assert theirs.get(overlay_address(graded, study=other.study)).status_code == 404
    assert logged_in(graded.coordinator).get(overlay_address(graded, study=other.study)).status_code == 404
    one = structure(graded, 3)
    assert (
        theirs.post(structure_address(graded, one, other.study), {"act": "exclude", "reason": "x"}).status_code == 404
    )
    assert structure(graded, 3).excluded_reason == ""


def test_a_series_without_a_picture_has_none(graded):
    measured = measured_of(graded)
    storage.remove(measured.overlay)
    client = logged_in(graded.coordinator)
    assert client.get(overlay_address(graded)).status_code == 404
    MeasuredSeries.objects.filter(pk=measured.pk).update(
        overlay="", fault_message="No spine was found.", fault_action="Look at the series."
    )
    assert client.get(overlay_address(graded)).status_code == 404
    text = shown(graded)
    assert overlay_address(graded) not in text
    assert "Fast No spine was found. Look at the series." in words_of(text)
    assert "1 value or series to look at" in words_of(text)


def test_a_level_is_corrected_and_a_disc_left_out_and_included_on_the_page(graded):
    structure(graded, 6).delete()
    answer = post(graded, structure(graded, 5), act="level", level="6", reason="the <rib> is lower")
    assert answer.status_code == 302
    assert structure(graded, 5).corrected_level == 6
    assert "Corrected by hand, found as L4-L5: the &lt;rib&gt; is lower." in shown(graded)
    back, place = answer["Location"].split("#")
    assert back == f"{page_address(graded)}?shown={place}"
    assert f'id="{place}"' in shown(graded), "back to where it was"
    post(graded, structure(graded, 3), act="exclude", reason="<b>motion</b>")
    text = shown(graded)
    assert "Left out by coordinator: &lt;b&gt;motion&lt;/b&gt;" in text
    assert set(counted(graded)) == {1, 2, 4, 6}
    post(graded, structure(graded, 3), act="include")
    assert "Left out by" not in shown(graded)
    assert [event.actor for event in corrections(graded)] == [graded.coordinator] * 3


@pytest.mark.parametrize("level", ["", "0", "7", "-1", "5.0", "²", "nine", "9" * 5000])
def test_a_level_that_there_is_not_is_refused_in_words(graded, level):
    client = logged_in(graded.coordinator)
    answer = post(graded, structure(graded, 3), client, act="level", level=level, reason="counted again")
    assert answer.status_code == 302
    assert "There is no such level of a disc. Choose one of the list." in words_of(shown(graded, client))
    assert structure(graded, 3).corrected_level is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"act": "level", "level": "4", "reason": "x"}, "Another disc of this series is L3-L4 already."),
        ({"act": "level", "level": "3", "reason": "a fold over the disc"}, "This disc is L2-L3 already."),
        ({"act": "exclude"}, "A structure is left out for a reason."),
        ({"act": "exclude", "reason": " "}, "A structure is left out for a reason."),
    ],
)
def test_what_is_refused_is_said(graded, fields, words):
    client = logged_in(graded.coordinator)
    post(graded, structure(graded, 3), client, **fields)
    assert words in words_of(shown(graded, client))
    assert corrections(graded) == []


def test_only_a_form_of_the_page_corrects(graded):
    one = structure(graded, 3)
    client = logged_in(graded.coordinator)
    assert client.get(structure_address(graded, one), {"act": "exclude", "reason": "x"}).status_code == 405
    assert post(graded, one, client, act="delete").status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(graded.coordinator)
    assert post(graded, one, strict, act="exclude", reason="x").status_code == 403
    assert corrections(graded) == []


def shift_form(graded, client):
    """What the page's form of P01 would send, before anything is chosen."""
    _, form = shown(graded, client).split(f'action="{shift_address(graded)}"')
    return {"seen": re.search(r'name="seen" value="([0-9a-f]{16})"', form)[1], "arm": ""}


def test_all_levels_are_shifted_on_the_page_once_and_it_says_what_was_left_out(graded):
    client = logged_in(graded.coordinator)
    sent = {**shift_form(graded, client), "direction": "up", "reason": "the <rib> is lower"}
    answer = client.post(shift_address(graded), sent)
    assert answer.status_code == 302 and answer["Location"].split("#")[1].startswith("P01.")
    assert counted(graded) == {level: level + 6.0 for level in range(1, 6)}
    text = shown(graded, client)
    assert "P01: All levels of Standard, Fast and Fast DL50 are one up now." in words_of(text)
    assert "T12 and T12-L1 of Standard, Fast and Fast DL50." in words_of(text)
    assert "Above the levels that have a name since all were shifted." in text
    assert "Left out by coordinator: the &lt;rib&gt; is lower" in text
    client.post(shift_address(graded), sent)
    assert "Levels of this subject changed since you saw them." in words_of(shown(graded, client))
    assert len(corrections(graded)) == 1
    client.post(shift_address(graded), {**shift_form(graded, client), "direction": "down", "reason": "wrong way"})
    assert counted(graded) == {level: level + 5.0 for level in range(1, 7)}


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"direction": "", "reason": "x"}, 302, "Levels are shifted by one, up or down. Choose one of the two."),
        ({"direction": "up"}, 302, "Levels are shifted for a reason. Write it down."),
        ({"direction": "up", "reason": "x", "arm": "0" * 32}, 302, "There is no level to shift."),
        ({"direction": "up", "reason": "x", "arm": "Fast"}, 404, ""),
    ],
)
def test_a_shift_that_is_refused_says_why(graded, fields, status, words):
    client = logged_in(graded.coordinator)
    assert client.post(shift_address(graded), fields).status_code == status
    assert words in words_of(shown(graded, client))
    assert corrections(graded) == []


def test_a_subject_is_shifted_in_its_own_study_alone(graded):
    other = small_study()
    theirs = logged_in(other.coordinator)
    for study in (graded.study, other.study):
        answer = theirs.post(shift_address(graded, study), {"direction": "up", "reason": "x"})
        assert answer.status_code == 404
    assert corrections(graded) == []


@pytest.mark.parametrize("state", ["locked", "unblinded"])
def test_after_the_lock_the_page_only_shows(graded, state):
    into(graded, state)
    client = logged_in(graded.coordinator)
    text = shown(graded, client)
    assert "Values are fixed." in text
    assert "/measurements/structures/" not in text and "/shift" not in text
    post(graded, structure(graded, 3), client, act="exclude", reason="late")
    assert f"The study is {state}. Measurements are fixed since the lock." in words_of(shown(graded, client))
    assert len(counted(graded)) == 6


def test_a_superseded_series_is_neither_shown_nor_corrected(graded):
    client, one = logged_in(graded.coordinator), structure(graded, 3)
    series = one.measured.series
    series.is_current = False
    series.save()
    assert overlay_address(graded, one.measured) not in shown(graded, client)
    post(graded, one, client, act="exclude", reason="old")
    assert "This series was made anew meanwhile." in words_of(shown(graded, client))
    assert corrections(graded) == []


def test_nothing_is_marked_where_all_arms_agree(graded):
    assert measurements.page(graded.study)["attention"] == 0
    assert "Nothing stands out." in shown(graded)


@pytest.mark.parametrize(
    ("kind", "value", "note"),
    [
        ("disc", 10.9, None),
        ("disc", 11.1, "+3.1 mm from the reference"),
        ("disc", 4.9, "-3.1 mm from the reference"),
        ("body", 26.4, None),
        ("body", 26.5, "+3.5 cm³ from the reference"),
    ],
)
def test_what_is_far_from_the_reference_is_marked(graded, kind, value, note):
    """Of the reference's 8.0 mm and 23.0 cm³: 3 mm, and 15 % or 3.45 cm³."""
    one = structure(graded, 3, kind=kind)
    Structure.objects.filter(pk=one.pk).update(measures={next(iter(one.measures)): value})
    assert notes(cells(graded, kind)[3, "Fast"]) == [note] * (note is not None)
    assert measurements.page(graded.study)["attention"] == (note is not None)


def test_what_does_not_count_is_no_reference(graded):
    Structure.objects.filter(pk=structure(graded, 3, arm="Standard").pk).update(
        measures={"disc_height_mm": 80.0}, excluded_reason="a fold", excluded_by=graded.coordinator
    )
    here = cells(graded)
    assert [notes(here[3, arm]) for arm in ARMS] == [
        ["left out here, measured in Fast: the level counts in no arm's comparison"], [], [],
    ]  # fmt: skip
    assert measurements.page(graded.study)["attention"] == 1


def cut(graded, one):
    """As the worker reports what the field of view cuts."""
    Structure.objects.filter(pk=one.pk).update(state="cut", measures={}, flags=["cut by the edge of the field of view"])
    MeasuredSeries.objects.filter(pk=one.measured_id).update(
        remarks=[f"Cut by the field of view and not measured: {names(one.kind)[one.level]}."]
    )


def test_what_is_cut_in_every_arm_is_not_to_be_looked_at(graded):
    for arm in ARMS:
        cut(graded, structure(graded, 1, kind="body", arm=arm))
    assert measurements.page(graded.study)["attention"] == 0
    assert "Cut by the field of view and not measured: T12." in words_of(shown(graded))
    other = structure(graded, 1, kind="body")
    Structure.objects.filter(pk=other.pk).update(flags=[*other.flags, "the lowest disc is small"])
    assert measurements.page(graded.study)["attention"] == 1, "a further remark still counts"


def test_what_is_remarked_on_a_series_is_to_be_looked_at_once(graded):
    MeasuredSeries.objects.filter(pk=measured_of(graded).pk).update(
        remarks=["Not found: L3.", "The count of the levels needs a look: x.", "Levels above T12 show."]
    )
    assert measurements.page(graded.study)["attention"] == 1
    assert "Nothing stands out." not in words_of(shown(graded)).split("P01 ·")[0]
    assert shown(graded).count('class="remark look"') == 2


def test_what_is_large_in_an_outermost_slice_is_said_and_calls_no_look(graded):
    """In the words of the recon worker, which the web does not import."""
    Structure.objects.filter(pk=structure(graded, 3).pk).update(flags=[GOES_ON])
    assert notes(cells(graded)[3, "Fast"]) == [GOES_ON]
    assert measurements.page(graded.study)["attention"] == 0
    Structure.objects.filter(pk=structure(graded, 3).pk).update(flags=[GOES_ON, A_SMALL_VOID])
    assert measurements.page(graded.study)["attention"] == 1


def test_what_is_remarked_on_several_arms_is_said_once(graded):
    for arm, remarks in (("Standard", ["Not found: L3."]), ("Fast", ["Not found: L3.", "Not found: L4."])):
        MeasuredSeries.objects.filter(pk=measured_of(graded, arm=arm).pk).update(remarks=remarks)
    text = words_of(shown(graded))
    assert text.count("Not found: L3.") == 1 and "Standard, Fast Not found: L3. Fast Not found: L4." in text


def test_a_level_that_another_arm_has_is_to_be_looked_at_where_it_was_not_found(graded):
    structure(graded, 4, kind="body").delete()
    here = cells(graded, "body")
    assert [here[4, arm]["attention"] for arm in ARMS] == [False, True, False]
    assert measurements.page(graded.study)["attention"] == 1
    assert re.search('<span class="look" title="[^"]+">not found</span>', shown(graded))
    cut(graded, structure(graded, 4, kind="body", arm="Fast DL50"))
    post(graded, structure(graded, 4, kind="body", arm="Standard"), act="exclude", reason="motion")
    assert measurements.page(graded.study)["attention"] == 0, "no arm has a value that drops"


def test_a_series_that_failed_is_counted_once(graded):
    measured = measured_of(graded)
    measured.structures.all().delete()
    MeasuredSeries.objects.filter(pk=measured.pk).update(fault_message="No spine was found.")
    assert measurements.page(graded.study)["attention"] == 1


def test_what_the_measurement_remarked_on_is_marked_until_it_is_left_out(graded):
    Structure.objects.filter(pk=structure(graded, 3).pk).update(flags=["it touches the border"])
    cut(graded, structure(graded, 6))
    assert notes(cells(graded)[3, "Fast"]) == ["it touches the border"]
    assert notes(cells(graded)[6, "Fast"]) == [
        "cut by the field of view",
        "cut here, measured in Standard: the level counts in no arm's comparison",
    ]
    assert measurements.page(graded.study)["attention"] == 2
    for arm in ARMS:
        post(graded, structure(graded, 3, arm=arm), act="exclude", reason="it touches the border")
    assert measurements.page(graded.study)["attention"] == 1, "the cut one"


@pytest.mark.parametrize("one_of", ["reference", "another"])
@pytest.mark.parametrize(
    ("how", "words"), [("cut", "cut"), ("excluded", "not measured"), ("left out", "left out"), ("gone", "not found")]
)
def test_a_level_that_counts_in_no_comparison_since_one_arm_has_no_value_is_to_be_looked_at(graded, how, words, one_of):
    arm, holder = ("Standard", "Fast") if one_of == "reference" else ("Fast", "Standard")
    one = structure(graded, 4, arm=arm)
    if how == "gone":
        one.delete()
    elif how == "left out":
        post(graded, one, act="exclude", reason="a fold")
    else:
        Structure.objects.filter(pk=one.pk).update(state=how, measures={})
    said = f"{words} here, measured in {holder}: the level counts in no arm's comparison"
    cell = cells(graded)[4, arm]
    assert cell["drops"] == said and cell["attention"] and said in [*notes(cell), cell["drops"]]
    assert measurements.page(graded.study)["attention"] == 1
    text = words_of(shown(graded).replace('title="', ">"))
    assert f"{said[0].upper()}{said[1:]}." in text
    assert "1 to look at" in text
    for other in (each for each in ARMS if each != arm):
        post(graded, structure(graded, 4, arm=other), act="exclude", reason="a fold")
    assert measurements.page(graded.study)["attention"] == 0, "no value is left that drops"


def test_the_warning_stands_beside_each_form_that_leaves_out(graded):
    text = shown(graded)
    forms = text.count("Leave out</button>")
    assert forms == text.count('<p class="warning">Decide by the contours, not by the numbers:') == 2 * 3 * 13


def test_two_at_one_level_are_marked_until_one_is_corrected(graded):
    structure(graded, 6).delete()
    Structure.objects.filter(pk=structure(graded, 4).pk).update(matched_level=5)
    here = cells(graded)
    assert here[4, "Fast"]["missing"]
    assert [entry["value"] for entry in here[5, "Fast"]["entries"]] == ["9.0", "10.0"]
    assert notes(here[5, "Fast"]) == [
        "named L3-L4 in its own series, matched by position",
        "two structures of the series have this level: none counts",
        "at one level with another here, measured in Standard: the level counts in no arm's comparison",
        "two structures of the series have this level: none counts",
        "at one level with another here, measured in Standard: the level counts in no arm's comparison",
    ]
    post(graded, structure(graded, 4), act="level", level="4", reason="counted again")
    here = cells(graded)
    assert notes(here[5, "Fast"]) == []
    assert notes(here[4, "Fast"]) == ["corrected by hand, found as L4-L5: counted again"]
    assert not any(here[level, "Fast"]["attention"] for level in (4, 5)), "what a person decided is not looked at again"
    assert measurements.page(graded.study)["attention"] == 1, "the level 6 that was deleted"


def test_each_measured_sequence_has_its_own_place():
    graded = measured_rows(sequences=SEQUENCES)
    text = shown(graded)
    places = re.findall(r'<section class="card measured" id="([^"]+)"', text)
    assert len(set(places)) == len(places) == 4
    assert re.findall(r'<a href="#([^"]+)"', text) == places
    assert "P01 SAG T1" in words_of(text) and "P02 SAG T2 FS" in words_of(text)


def test_a_page_holds_some_groups_and_leads_to_the_others(graded, monkeypatch):
    monkeypatch.setattr(measurements, "GROUPS_A_PAGE", 1)
    client = logged_in(graded.coordinator)
    first, second = (group["anchor"] for group in measurements.page(graded.study)["groups"])
    page = client.get(page_address(graded)).content.decode()
    assert re.findall(r'<section class="card measured" id="([^"]+)"', page) == [first]
    assert f'<a href="#{first}"' in page and f'<a href="?shown={second}#{second}"' in page
    assert 'rel="prev"' not in page and f'<a href="?shown={second}#{second}" rel="next">' in page
    later = client.get(page_address(graded), {"shown": second}).content.decode()
    assert re.findall(r'<section class="card measured" id="([^"]+)"', later) == [second]
    assert 'rel="next"' not in later and f'<a href="?shown={first}#{first}" rel="prev">' in later
    assert measurements.page(graded.study, shown="nobody.0")["on_page"][0]["anchor"] == first
