"""What the reader's browser is given to run: nothing in it speaks of what is compared."""

import re

from readerstudy.settings.state import BASE_DIR
from readerstudy.templatetags.island import read_manifest

SOURCES = BASE_DIR / "frontend" / "src" / "reading"
WORDS = re.compile(
    r"\barms?\b|\bNEX\b|\bDL ?\d\d\b|noise.?reduction|denois|accelerat|\bFast\b|\bk-?space", re.IGNORECASE
)
WORDS_IN_THE_BUNDLE = re.compile(r"\bNEX\b|\bDL\d\d\b|noise.?reduction|denois|Fast DL|\bk-?space|is_reference")


def built_files(entry: str) -> list[str]:
    """Every script of an entry, those it imports included."""
    manifest = read_manifest()
    seen: set[str] = set()
    left = [entry]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += manifest[name].get("imports", []) + manifest[name].get("dynamicImports", [])
    return [manifest[name]["file"] for name in seen]


def test_the_sources_of_the_reading_page_name_nothing_of_what_is_compared():
    found = {
        str(path.relative_to(SOURCES)): WORDS.findall(path.read_text())
        for path in SOURCES.rglob("*.*")
        if WORDS.search(path.read_text())
    }
    assert found == {}


def test_nor_does_what_is_built_from_them_and_no_source_map_is_shipped():
    files = built_files("src/reading/main.ts")
    assert files
    for file in files:
        text = (BASE_DIR / "frontend" / "dist" / file).read_text()
        assert WORDS_IN_THE_BUNDLE.findall(text) == []
        assert "sourceMappingURL" not in text
    assert list((BASE_DIR / "frontend" / "dist").rglob("*.map")) == []
