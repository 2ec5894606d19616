"""What a user reads: no ids of the source documents' rows, and none of the phrases that style forbids."""

from __future__ import annotations

import ast
import html
import importlib
import inspect
import io
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.cli.reference import page
from luthier.diagnosis import CHECKS, ROWS
from luthier.labs.gallery import all_labs, gallery, lab_named, lines
from luthier.labs.lab import run_lab
from luthier.labs.notebook import files, notebook
from luthier.report import model_card, summary_lines, write_report
from luthier.runs.screen import TextScreen

ROOT = Path(__file__).parents[1]
SOURCE = Path(luthier.__file__).parent
ROW_ID = re.compile(r"\bS[0-4]-\d\d")
COMMANDS = [
    [],
    *([name] for name in ("fit", "check", "compare", "doctor", "export", "predict", "serve", "test", "tune")),
]
PAGES = [
    path
    for path in (*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")))
    if path.name != "coverage.md"  # the one page whose subject is those rows
]
FORBIDDEN = {  # what not to write, and what to write in its place
    r"(?<!there )\b(is|are|was|were) no (?!longer|different|better|worse|free lunch)\w+": "is not a ...; choose from",
    r"\bis none of\b": "'x' is not one of ...",
    r"\b(fore)?(tell|tells|telling|told)\b": "predict, print, show, distinguish",
    r"\bow(e|es|ing)\b": "attribution, importance",
    r"\bknow(s|ing)? nothing\b": "a constant (or uniform) prediction, the trivial baseline",
    r"\b(by|for) heart\b": "memorise, overfit",
    r"\bgone through whole\b": "cannot be combined",
    r"\b(go|goes|going|gone|went) on\b": "continue",
    r"\bwants\b": "needs, expects",
    r"\bsays? nothing\b": "has no effect, holds no information",
    r"\btaken over\b": "kept, applied",
}


def ids(text: str) -> list[str]:
    """Row ids in a text, each with what stands around it."""
    return [text[max(0, one.start() - 40) : one.end() + 40] for one in ROW_ID.finditer(text)]


def phrases(text: str) -> list[str]:
    """Forbidden phrases in a text, each with the better one."""
    result = ((one, better) for rule, better in FORBIDDEN.items() for one in re.finditer(rule, text, re.IGNORECASE))
    return [f"{text[max(0, one.start() - 40) : one.end() + 40]!r}: write {better}" for one, better in result]


def spoken() -> Iterator[tuple[str, str]]:
    """Every string constant with a blank in it, with its place; docstrings are left out."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        silent = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):  # as one sentence, with {} where a value stands
                silent |= {id(part) for part in node.values}
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
                text = node.value
            else:
                continue
            if " " in text:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", text


def raised() -> Iterator[tuple[str, str]]:
    """Every string that stands in a `raise` or in a call of an error, with its place."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")
            if call or isinstance(node, ast.Raise):
                for one in ast.walk(node):
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        yield f"{path.relative_to(SOURCE)}:{one.lineno}", one.value


def public_docstrings() -> Iterator[tuple[str, str]]:
    """The docstrings that `help` shows of the package's names and of their public methods."""
    for name in luthier.__all__:
        thing = getattr(luthier, name)
        yield name, inspect.getdoc(thing) or ""
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not method.startswith("_"):
                yield f"{name}.{method}", inspect.getdoc(value) or ""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short fit and what its screen showed."""
    folder, text = tmp_path_factory.mktemp("sentences") / "run", io.StringIO()
    luthier.fit("wine", budget="60steps", run=folder, screen=TextScreen(Console(file=text, width=10_000), verbose=True))
    return folder, text.getvalue()


def test_a_fit_shows_titles_and_no_row_ids(run: tuple[Path, str]) -> None:
    folder, screen = run
    page = write_report(folder).read_text()
    assert "Khanna&#x27;s recipe, step 4" in page
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    ledger = (folder / "ledger.jsonl").read_text()
    result = [
        screen,
        body,
        ledger,
        model_card(folder),
        *summary_lines(folder),
        str(luthier.check(folder, "wine")["lines"]),
    ]
    assert [one for text in result for one in ids(text) + phrases(re.sub(r"<[^>]+>", " ", text))] == []


def test_help_and_lists_name_sources_by_title() -> None:
    runner = CliRunner()
    shown = [page(), *(runner.invoke(app, [*command, "--help"]).stdout for command in COMMANDS)]
    for command in (["tune", "--list"], ["tune", "--list", "--json"], ["lab", "list"], ["show", "--explain"]):
        result = runner.invoke(app, command)
        assert result.exit_code == 0, result.output
        shown.append(result.stdout)
    assert "Andrew Ng's lectures" in shown[-4]
    assert "\nNielsen\n" in shown[-2]
    assert [one for text in shown for one in ids(text) + phrases(text)] == []


def test_labs_name_sources_by_title() -> None:
    outcome = run_lab(lab_named("softmax"))
    cells = [cell["source"] for name in files() for cell in notebook(name)["cells"] if cell["cell_type"] == "markdown"]
    shown = [gallery([outcome]), *lines(outcome), repr(outcome), json.dumps(outcome.to_json()), *cells]
    assert html.escape(lab_named("softmax").source) in shown[0]
    assert "Andrew Ng's lectures" in lab_named("softmax").source
    assert [one for text in shown for one in ids(text)] == []
    assert [(place, text) for place, text in spoken() if place.startswith("labs/") and ids(text)] == []
    claims = [text for lab in all_labs().values() for text in (lab.title, lab.claim)]
    assert [one for text in claims for one in phrases(text)] == []


def test_notebooks_show_no_row_ids() -> None:
    for path in sorted((ROOT / "docs" / "labs").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            shown = cell["outputs"] if cell["cell_type"] == "code" else cell["source"]
            assert ids(json.dumps(shown)) == [], path.name


def test_a_diagnosis_names_sources_by_title() -> None:
    rules = [check.to_json() for check in _findings()]
    assert {rule["source"] for rule in rules} >= {"Nielsen, chapter 3", "Khanna's recipe, step 4"}
    assert ids(json.dumps(rules)) == []


def _findings() -> list[luthier.records.Finding]:
    from luthier.records import Finding

    return [Finding(one.code, "note", one.claim, {}, one.threshold, one.source) for one in (*CHECKS, *ROWS)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_reads_well(path: Path) -> None:
    text = path.read_text()
    assert ids(text) + phrases(text) == []


def test_no_error_names_a_row() -> None:
    assert [(place, one) for place, text in raised() for one in ids(text)] == []


def test_no_sentence_has_a_forbidden_phrase() -> None:
    result = [(place, one) for place, text in (*spoken(), *public_docstrings()) for one in phrases(text)]
    assert result == []


def without_effect(tree: ast.AST) -> list[ast.Expr]:
    """Strings that stand alone as statements, docstrings apart: the second halves of sentences without brackets."""
    found = []
    for node in ast.walk(tree):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            pairs = pairwise(block) if isinstance(block, list) else ()
            if isinstance(node, ast.ClassDef):  # a string below a field is the field's docstring
                pairs = [(last, one) for last, one in pairs if not isinstance(last, ast.AnnAssign)]
            alone = [one for _, one in pairs if isinstance(one, ast.Expr)]
            found += [one for one in alone if isinstance(one.value, ast.JoinedStr) or _is_text(one.value)]
    return found


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def test_no_sentence_loses_its_end() -> None:
    lost = [(path, one.lineno) for path in SOURCE.rglob("*.py") for one in without_effect(ast.parse(path.read_text()))]
    assert lost == []
    assert without_effect(ast.parse("said = f'one {1} '\n'two'\n"))


def test_the_checks_see_what_they_look_for() -> None:
    assert ids("at least 3 rows (S4-22)")
    for bad in (
        "'x' is no rule",
        "what the score owes to each column",
        "knowing nothing costs 2.303",
        "32 rows are learnt by heart",
        "--seed says nothing beside --resume",
        "a grid is gone through whole",
        "the run goes on",
    ):
        assert phrases(bad), bad
    assert not phrases("there is no file 'x'; it is no longer open")
    assert importlib.import_module("luthier.citations").cited("S4-22") == "Khanna's recipe, step 4"
