"""What meets each row of the documents, gathered from the table of rows and from the labs; `docs/coverage.md` of it.

python tests/coverage/coverage.py     writes the page anew
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from luthier.labs.gallery import all_labs
from luthier.labs.lab import IN_THE_SUITE
from luthier.labs.pages.assemble import LabPage, pages
from luthier.labs.recorded import recorded

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coverage.md"
HERE = Path(__file__).parent
COUNTS = {"S0": 40, "S1": 122, "S2": 38, "S3": 38, "S4": 51}
TITLES = {
    "S0": "Tuning, batch norm, several classes, frameworks (Andrew Ng)",
    "S1": "Neural Networks and Deep Learning, chapters 1 to 3 (Michael Nielsen)",
    "S2": "CS231n, lecture 7",
    "S3": "Dive into Deep Learning: linear and softmax regression",
    "S4": "A recipe of six steps (Harry Khanna)",
}
LAB = "lab "
SABOTAGE_MINUTES = 7  # of a processor; 103 of them took 2.6


@dataclass(frozen=True)
class Sabotage:
    """A change of one place of a module (`rewriting.py`) that `seen_by`, a test or a lab, has to turn red for."""

    row: str
    module: str
    function: str
    at: str
    becomes: str
    seen_by: str
    which: str = ""

    @property
    def file(self) -> Path:
        """The module's file, below the folder of the sources."""
        return Path(*self.module.split(".")).with_suffix(".py")


@dataclass(frozen=True)
class Row:
    """A row: its claim, what meets it (tests, and labs as "lab NAME"), a sabotage of it, and the pages that play it.

    `fact` says what it states where it claims nothing that code could get wrong.
    """

    name: str
    claim: str
    met: tuple[str, ...]
    sabotage: Sabotage | None
    pages: tuple[LabPage, ...] = ()
    fact: str = ""

    @property
    def in_the_suite(self) -> bool:
        """Whether `make test` runs some of what meets it; else `make labs` alone does."""
        return any(runs_in_the_suite(one) for one in self.met)


@cache
def rows() -> dict[str, Row]:
    """Every row by its name."""
    table: dict[str, dict[str, Any]] = tomllib.loads((HERE / "rows.toml").read_text())
    result = {}
    for name, entry in table.items():
        labs = [LAB + lab.name for lab in all_labs().values() if name in lab.rows]
        sabotage = Sabotage(name, **entry["sabotage"]) if "sabotage" in entry else None
        played = tuple(page for page in pages().values() if name in page.rows)
        result[name] = Row(
            name, entry["claim"], (*labs, *entry.get("met", ())), sabotage, played, entry.get("fact", "")
        )
    return result


@cache
def promises() -> dict[str, tuple[str, Sabotage]]:
    """What is promised beside the documents: the claim, and a sabotage of it, by a name of its own."""
    table: dict[str, dict[str, str]] = tomllib.loads((HERE / "promises.toml").read_text())
    return {name: (entry.pop("claim"), Sabotage(name, **entry)) for name, entry in table.items()}


def every_name() -> list[str]:
    """The names of all rows of the documents, in their order."""
    return [f"{part}-{number:02d}" for part, count in COUNTS.items() for number in range(1, count + 1)]


@cache
def tests_of(file: str) -> frozenset[str]:
    """Names of the test functions in a file; none where it is not there."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def runs_in_the_suite(what: str) -> bool:
    """Whether a lab or a test runs in `make test`, a lab quickly; what does not, does in `make labs`."""
    if what.startswith(LAB):
        return all_labs()[what.removeprefix(LAB)].seconds <= IN_THE_SUITE
    file, _, name = what.partition("::")
    return name not in _long_tests(file)


@cache
def _long_tests(file: str) -> frozenset[str]:
    """Names of a file's test functions that are marked as labs."""
    functions = [one for one in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(one, ast.FunctionDef)]
    marked = (one.name for one in functions if "pytest.mark.labs" in map(ast.unparse, one.decorator_list))
    return frozenset(marked)


def is_there(what: str) -> bool:
    """Whether a lab or a test of that name exists."""
    if what.startswith(LAB):
        return what.removeprefix(LAB) in all_labs()
    file, _, name = what.partition("::")
    return name in tests_of(file)


def page() -> str:
    """The page, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    result = rows()
    sabotaged = sum(row.sabotage is not None for row in result.values())
    yield "# What meets each row\n"
    yield f"All {len(result)} rows of the five documents that Luthier follows, each with what would fail if its claim"
    yield "did: labs (`luthier lab run NAME`) and tests. `python tests/coverage/coverage.py` writes it; the suite"
    yield "fails when a row has nothing, or names something that is not there."
    also = len(promises())
    yield f"For {sabotaged} rows, marked ✂, and {also} promises beside them a sabotage of the product is kept: a sign"
    yield "flipped, a factor dropped. What sees it has to be green without it and red with it: twelve of them, others"
    yield "with each change of sources, in `make test`, and all in `make labs`, where they take about"
    yield f"{SABOTAGE_MINUTES} minutes of a processor."
    facts = [row for row in result.values() if row.fact]
    yield f"{len(facts)} rows state a fact, and nothing that code could get wrong:"
    yield ", ".join(f"{row.name} ({row.fact})" for row in facts) + "."
    alone = sum(not row.in_the_suite for row in result.values())
    yield f"What meets {alone} rows runs in `make labs` alone, what meets all others in `make test` as well. Each lab's"
    yield "numbers are compared there with the [recorded ones](../src/luthier/labs/recorded.jsonl), their day beside."
    played = sum(bool(row.pages) for row in result.values())
    yield f"{played} rows can be played in the browser, with numbers that the suite compares: ▶ leads to the page."
    for part, title in TITLES.items():
        yield f"\n## {part}: {title}\n"
        yield "| row | claim | met by | runs in |"
        yield "|---|---|---|---|"
        for row in result.values():
            if row.name.startswith(part):
                tested = (_lab(one.removeprefix(LAB)) if one.startswith(LAB) else _test(one) for one in row.met)
                met = ", ".join((*tested, *(f"[▶ {page.title[0]}](labs/{page.name}.html)" for page in row.pages)))
                name, claim = f"{row.name}{' ✂' if row.sabotage else ''}", row.claim.replace("|", "/")
                yield f"| {name} | {claim} | {met} | {_runs_in(row)} |"
    yield "\n## Beside the documents\n"
    yield "| promise | met by |"
    yield "|---|---|"
    for claim, sabotage in promises().values():
        yield f"| {claim} ✂ | {_test(sabotage.seen_by)} |"


def _lab(name: str) -> str:
    long, kept = all_labs()[name].seconds > IN_THE_SUITE, recorded().get(name)
    return f"{LAB}`{name}`" + (f" ({kept.date})" if long and kept else "")


def _runs_in(row: Row) -> str:
    labs = not all(map(runs_in_the_suite, row.met))
    return " and ".join(f"`make {name}`" for name, here in (("test", row.in_the_suite), ("labs", labs)) if here)


def _test(name: str) -> str:
    file, _, function = name.partition("::")
    return f"[{function.removeprefix('test_').replace('_', ' ')}](../{file})"


if __name__ == "__main__":
    PAGE.write_text(page())
