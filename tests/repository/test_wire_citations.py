"""Citations of the wire reference name sections that it has.

Code, docs and docstrings cite ``docs/reference/wire.md`` as ``wire.md#anchor``. An anchor is the slug of a heading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if folder.name == "tests").parent
REFERENCE = ROOT / "docs" / "reference" / "wire.md"
FOLDERS = ("live_protocol", "transports", "tests", "docs", "benchmarks", "examples")
SUFFIXES = {".py", ".pyi", ".md", ".json", ".js", ".mjs", ".css", ".html", ".yaml", ".toml", ".txt"}

CITATION = re.compile(r"\bwire\.md#([\w-]*)")
# In prose a line may end inside of a citation, and the next one may begin with a comment sign.
BY_NUMBER = re.compile(r"\bwire\.md[\s#]+(?:(?:sections?|appendix|§)\b|§|\d)", re.IGNORECASE)


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings() -> list[str]:
    text = re.sub(r"^```.*?^```$", "", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)


def sources() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path != Path(__file__).resolve() and "node_modules" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def places(pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for name, text in sources():
        for match in pattern.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}", match


def test_every_anchor_exists() -> None:
    anchors = set(map(slug, headings()))
    assert [f"{place}: {match[0]}" for place, match in places(CITATION) if match[1] not in anchors] == []


def test_nothing_is_cited_by_number() -> None:
    assert [f"{place}: {match[0]!r}" for place, match in places(BY_NUMBER)] == []


def test_the_reference_is_cited() -> None:
    assert sum(1 for _ in places(CITATION)) > 200


def test_anchors_are_unique() -> None:
    assert [anchor for anchor, times in Counter(map(slug, headings())).items() if times > 1] == []


def test_the_table_of_contents_is_complete() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    contents = text.partition("\n## Contents\n")[2].partition("\n## ")[0]
    title, heading, *rest = map(slug, headings())
    assert (title, heading) == ("wire-reference", "contents")
    assert re.findall(r"\(#([\w-]+)\)", contents) == rest


def test_links_inside_the_reference_resolve() -> None:
    links = re.findall(r"\]\(#([\w-]+)\)", REFERENCE.read_text(encoding="utf-8"))
    assert set(links) <= set(map(slug, headings()))


@pytest.mark.parametrize(
    "text", ["wire.md section 6", "wire.md sections 1 to 3", "wire.md\n    # appendix A", "wire.md 10"]
)
def test_citations_by_number_are_recognised(text: str) -> None:
    assert BY_NUMBER.search(text)


def test_citations_by_anchor_are_not_numbers() -> None:
    assert not BY_NUMBER.search("wire.md#setup, wire.md#turn-order and docs/reference/wire.md.")
