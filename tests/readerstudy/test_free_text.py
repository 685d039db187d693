"""What people write is kept as they wrote it, without what cannot be stored, and is empty where nothing can be seen."""

import random
from unicodedata import category

import pytest

from readerstudy.accounts.services import create_user
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.studies import amendments
from readerstudy.studies.definition import arm_definition
from tests.readerstudy.builders import make_study

INVISIBLE = {
    "nothing": "",
    "space": " \t\r\n",
    "no-break and wide spaces": "\u00a0\u2003\u3000",
    "zero width space": "\u200b",
    "zero width joiners": "\u200c\u200d",
    "byte order mark": "\ufeff",
    "direction marks": "\u200e\u202e\u2066\u2069",
    "soft hyphen": "\u00ad",
    "line separator": "\u2028",
    "NUL": "\x00",
    "escape and delete": "\x1b\x7f\x9f",
    "Hangul filler": "\u3164",
    "empty Braille": "\u2800",
    "a mark on nothing": "\u0301\ufe0f",
    "half of a surrogate pair": "\ud800",
    "all of these": " \u200b\x00\ufeff \u3164\n",
}


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_what_shows_nothing_is_empty(text):
    assert kept_text(text) == ""


READABLE = (
    "motion", "x", "?", "½", "運動", "حركة", "👍", "👩\u200d⚕️", "naïve", "nai\u0308ve", "می\u200cخواهم",
    "two\n\tlines",
)  # fmt: skip


@pytest.mark.parametrize("text", READABLE)
def test_what_can_be_read_is_kept_as_it_was_written(text):
    assert kept_text(text) == text == kept_text(f" \x00{text}\n ")


def test_control_characters_go_and_words_stay_apart():
    assert kept_text("a\x00b") == "ab"
    assert kept_text("slice\x0b3\x85and\x1f4") == "slice 3 and 4"
    assert kept_text("one\r\ntwo\rthree") == "one\ntwo\nthree"


def test_whatever_is_written_can_be_stored_and_is_kept_once_for_all():
    draw = random.Random(4)
    for _ in range(300):
        text = "".join(chr(draw.choice((draw.randrange(0x120), draw.randrange(0x110000)))) for _ in range(30))
        kept = kept_text(text)
        kept.encode()
        assert {one for one in kept if category(one) == "Cc"} <= {"\n", "\t"}
        assert kept_text(kept) == kept


def test_names_and_anchors_are_free_text_too(db):
    built = make_study()
    how = {"study": built.study, "actor": built.coordinator}
    with pytest.raises(Refusal, match="name is empty"):
        amendments.rename_study(**how, name="\u200b\x00")
    assert amendments.rename_study(**how, name="Fast\x00 spine").name == "Fast spine"
    criterion = built.study.criteria.first()
    value = next(iter(criterion.anchors))
    with pytest.raises(Refusal, match="is empty"):
        amendments.change_criteria(**how, margins={}, anchors={criterion.name: {value: "\ufeff"}})
    amendments.change_criteria(**how, margins={}, anchors={criterion.name: {value: "much\x00 noise"}})
    criterion.refresh_from_db()
    assert criterion.anchors[value] == "much noise"
    assert create_user(username="j.lee", password="a-long-password-8", display_name="J\x00 Lee").display_name == "J Lee"
    with pytest.raises(Refusal, match="“name” of An arm is not a text"):
        arm_definition({"name": "\u200b", "acquisition": "Fast"}, ("Fast",))
    assert arm_definition({"name": "Fast\x00", "acquisition": "Fast"}, ("Fast",)).name == "Fast"
