"""Every row of the documents is met by something that is there, and would be missed if it broke."""

from __future__ import annotations

import ast
import hashlib
import random
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.coverage import coverage
from tests.coverage.coverage import Sabotage
from tests.coverage.looking import BROKEN, GREEN, RED, look
from tests.coverage.renaming import renamed
from tests.coverage.rewriting import rewritten

ROOT = Path(__file__).parents[2]
SAMPLE = 12
OF_PROMISES = [sabotage for _, sabotage in coverage.promises().values()]
SABOTAGES = [*(row.sabotage for row in coverage.rows().values() if row.sabotage is not None), *OF_PROMISES]


def _sample() -> list[Sabotage]:
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


def test_pages_play_rows_that_exist() -> None:
    played = {row for page in coverage.pages().values() for row in page.rows}
    assert played <= set(coverage.every_name())
    assert len(played) >= 60


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
    names |= {"safetensors", "luthier", "pydantic_core"}  # the last is a part of Pydantic, pinned by it
    names |= {"triton"}  # comes with PyTorch for CUDA; one kernel uses it where it is there
    result = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            result |= {module.split(".")[0].lower() for module in modules}
    assert not result - names - {name.lower() for name in sys.stdlib_module_names}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the sources, as they are."""
    return _copied(tmp_path_factory.mktemp("intact"))


def _copied(folder: Path) -> Path:
    """The sources and their byte code, which stays valid; but none that another process is writing."""
    return Path(shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.pyc.*")))


def _rewritten(source: str, sabotage: Sabotage) -> str:
    return rewritten(source, sabotage.function, sabotage.at, sabotage.becomes, sabotage.which)


def test_every_sabotage_is_of_the_product_and_seen_by_its_own_row() -> None:
    assert not [sabotage for sabotage in SABOTAGES if not coverage.is_there(sabotage.seen_by)]
    assert not [sabotage for sabotage in SABOTAGES if sabotage.module.startswith("luthier.labs")]
    of_rows = [one for one in SABOTAGES if one not in OF_PROMISES]
    assert not [one for one in of_rows if one.seen_by not in coverage.rows()[one.row].met]


def test_every_row_has_a_sabotage_but_the_few_that_state_a_fact() -> None:
    rows = coverage.rows().values()
    facts = [row for row in rows if row.fact]
    assert len(facts) <= 25
    assert not [row for row in facts if row.sabotage]
    assert not [row for row in rows if not row.fact and not row.sabotage]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.row)
def test_a_sabotage_finds_its_place(sabotage: Sabotage) -> None:
    source = (ROOT / "src" / sabotage.file).read_text()
    assert ast.dump(ast.parse(_rewritten(source, sabotage))) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.row)
def test_no_renaming_moves_the_place_of_a_sabotage(sabotage: Sabotage) -> None:
    """Local names, parameters and what is private may be renamed: the same place is changed in the same way."""
    source = (ROOT / "src" / sabotage.file).read_text()
    assert renamed(source) != ast.unparse(ast.parse(source))
    assert _rewritten(renamed(source), sabotage).strip() == renamed(_rewritten(source, sabotage))


def _stays_green(sabotages: Sequence[Sabotage], source: Path, said: Path) -> None:
    """What sabotages are seen by has nothing to say of the sources as they are."""
    names = sorted({sabotage.seen_by for sabotage in sabotages})
    labs = [[name] for name in names if name.startswith(coverage.LAB)]
    tests = [name for name in names if not name.startswith(coverage.LAB)]
    for together in [*labs, *([tests] if tests else [])]:
        assert look(together, source, said) == GREEN, said.read_text()[-2000:]


def _goes_red(sabotage: Sabotage, folder: Path) -> None:
    """Apply a sabotage to a copy of the sources, and run what has to see it."""
    source, message = _copied(folder), folder / "said"
    path = source / sabotage.file
    path.write_text(_rewritten(path.read_text(), sabotage))
    verdict = look([sabotage.seen_by], source, message)
    assert verdict == RED, f"{sabotage} leaves {sabotage.seen_by} {verdict}\n{message.read_text()[-2000:]}"


def test_what_sees_the_sample_is_green_without_it(intact: Path, tmp_path: Path) -> None:
    _stays_green(_sample(), intact, tmp_path / "said")


@pytest.mark.parametrize("sabotage", _sample(), ids=lambda sabotage: sabotage.row)
def test_a_sabotage_goes_red(sabotage: Sabotage, tmp_path: Path) -> None:
    _goes_red(sabotage, tmp_path)


@pytest.mark.labs
def test_what_sees_the_sabotages_is_green_without_them(intact: Path, tmp_path: Path) -> None:
    _stays_green(SABOTAGES, intact, tmp_path / "said")


@pytest.mark.labs
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.row)
def test_every_sabotage_goes_red(sabotage: Sabotage, tmp_path: Path) -> None:
    _goes_red(sabotage, tmp_path)


def test_an_error_is_neither_red_nor_green(intact: Path, tmp_path: Path) -> None:
    """A test that breaks before it asserts, or that is not there, has seen nothing."""
    test = tmp_path / "test_it.py"
    test.write_text("def test_a(): assert 1 + 1 == 3\ndef test_b(): {}['x']\ndef test_c(): pass\n")
    verdicts = [
        look([f"{test}::{name}"], intact, tmp_path / "said") for name in ("test_a", "test_b", "test_c", "test_d")
    ]
    assert verdicts == [RED, BROKEN, GREEN, BROKEN]
