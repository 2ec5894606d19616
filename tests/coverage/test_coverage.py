"""Every row of the documents is met by something that is there, and would be missed if it broke."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import random
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from tests.coverage.looking import look

ROOT = Path(__file__).parents[2]
SAMPLE = 4


def _coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("row_coverage", Path(__file__).parent / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["row_coverage"] = module
    spec.loader.exec_module(module)
    return module


coverage = _coverage()
SABOTAGES = [row.sabotage for row in coverage.rows().values() if row.sabotage is not None]


def _sample() -> list[object]:
    """A few sabotages, others with each change of the sources."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return random.Random(digest.hexdigest()).sample(SABOTAGES, SAMPLE)


def test_every_row_is_met_by_something_that_is_there() -> None:
    rows = coverage.rows()
    assert list(rows) == coverage.every_name()
    assert not {name for name, row in rows.items() if not row.met}
    assert not {(name, what) for name, row in rows.items() for what in row.met if not coverage.is_there(what)}
    assert len({row.claim for row in rows.values()}) == len(rows)


def test_the_page_is_up_to_date() -> None:
    assert coverage.PAGE.read_text() == coverage.page(), "python tests/coverage/coverage.py writes it anew"


def test_labs_name_rows_that_exist() -> None:
    known = set(coverage.every_name())
    assert not {row for lab in coverage.all_labs().values() for row in lab.rows} - known


def test_the_survey_names_every_framework() -> None:
    page = (ROOT / "docs" / "concepts" / "frameworks.md").read_text()
    named = (
        "Caffe",
        "Caffe2",
        "Torch",
        "TensorFlow",
        "Keras",
        "mxnet",
        "PaddlePaddle",
        "CNTK",
        "DL4J",
        "Lasagne",
        "Theano",
    )
    assert not [name for name in named if name not in page]
    assert (ROOT / "LICENSE").is_file()


def test_pages_of_concepts_are_there() -> None:
    folder = ROOT / "docs" / "concepts"
    assert "no free lunch" in (folder / "evidence.md").read_text()
    assert "1609.04747" in (folder / "further-reading.md").read_text()


def test_what_is_imported_is_declared() -> None:
    """Every package that a module imports is in pyproject.toml: needed always, or by an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {one.split(">")[0].split("=")[0].split("[")[0].replace("-", "_").lower() for one in listed}
    names |= {"sklearn" if name == "scikit_learn" else "pil" if name == "pillow" else name for name in names}
    names |= {"safetensors", "luthier"}
    result = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            result |= {module.split(".")[0].lower() for module in modules}
    assert not result - names - {name.lower() for name in sys.stdlib_module_names}


def test_every_sabotage_names_what_is_there() -> None:
    assert len(SABOTAGES) >= 60
    for sabotage in SABOTAGES:
        assert (ROOT / "src" / "luthier" / sabotage.file).read_text().count(sabotage.was) == 1, sabotage
        assert coverage.is_there(sabotage.seen_by), sabotage


def _goes_red(sabotage: object, folder: Path) -> None:
    """Apply a sabotage to a copy of the sources, and run what has to see it."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    path = source / "luthier" / sabotage.file  # type: ignore[attr-defined]
    text = path.read_text()
    path.write_text(text.replace(sabotage.was, sabotage.becomes))  # type: ignore[attr-defined]
    seen_by = sabotage.seen_by  # type: ignore[attr-defined]
    code = look(seen_by, source, folder / "said")
    message = (folder / "said").read_text()
    assert code == 1, f"{sabotage} was not seen, or by something else than an assertion: {code}\n{message[-2000:]}"
    assert "ImportError" not in message, message[-2000:]
    assert "ModuleNotFoundError" not in message, message[-2000:]
    assert "not reproduced" in message or "failed" in message.lower() or "Traceback" in message, message[-2000:]


@pytest.mark.parametrize("sabotage", _sample(), ids=lambda sabotage: sabotage.row)
def test_a_sabotage_goes_red(sabotage: object, tmp_path: Path) -> None:
    _goes_red(sabotage, tmp_path)


@pytest.mark.labs
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.row)
def test_every_sabotage_goes_red(sabotage: object, tmp_path: Path) -> None:
    _goes_red(sabotage, tmp_path)
