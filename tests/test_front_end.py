"""Tests that need the built front end are skipped where one of the pages' entries is not built."""

import json

import pytest

from tests.application import ROOT, entries_of_pages, front_end_is_built


def test_every_entry_that_a_page_uses_has_its_sources():
    entries = entries_of_pages()
    assert {"src/reading/main.ts", "src/measurements/main.ts"} <= entries
    assert not [entry for entry in entries if not (ROOT / "frontend" / entry).exists()]


def test_a_build_of_all_entries_is_one(tmp_path):
    assert not front_end_is_built(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(dict.fromkeys(entries_of_pages(), "")))
    assert front_end_is_built(tmp_path)


@pytest.mark.parametrize("lacking", sorted(entries_of_pages()))
def test_a_build_that_lacks_an_entry_is_none(tmp_path, lacking):
    (tmp_path / "manifest.json").write_text(json.dumps(dict.fromkeys(entries_of_pages() - {lacking}, "")))
    assert not front_end_is_built(tmp_path)
