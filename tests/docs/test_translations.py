"""A Chinese page says what its English page says: the same programs, numbers, headings and rows of tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.zh.md"), *(ROOT / "docs").rglob("*.zh.md")])
_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh.md", ".md"))


def programs(page: Path) -> list[str]:
    """The blocks of code, without their comments and the blanks before those."""
    return [re.sub(r"[ \t]*(^|\s)#.*$", "", block, flags=re.MULTILINE) for block in _BLOCK.findall(page.read_text())]


def prose(page: Path) -> str:
    """The text, without blocks and without where links lead."""
    return re.sub(r"\]\([^)]*\)", "]", _BLOCK.sub("", page.read_text()))


def numbers(page: Path) -> list[str]:
    return sorted(number.replace(",", "") for number in re.findall(r"\d+(?:[.,]\d+)*", prose(page)))


def shape(page: Path) -> dict[str, int]:
    """How many headings of each depth, rows of tables and items of lists."""
    lines = prose(page).splitlines()
    starts = ("# ", "## ", "### ", "|", "- ")
    return {start: sum(line.startswith(start) for line in lines) for start in starts}


def test_pages_are_translated() -> None:
    assert len(PAGES) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_translated_page_says_the_same(page: Path) -> None:
    assert programs(page) == programs(english(page))
    assert numbers(page) == numbers(english(page))
    assert shape(page) == shape(english(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_translated_page_lead_to_chinese_pages(page: Path) -> None:
    links = re.findall(r"\]\(([^):#]+\.md)", _BLOCK.sub("", page.read_text()))
    led = [(page.parent / link).resolve() for link in links]
    assert all(path.exists() for path in led), led
    assert not [path for path in led if path != english(page) and path.with_suffix(".zh.md") in PAGES]
