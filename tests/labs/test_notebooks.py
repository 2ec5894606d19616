"""Each lab's file is an executed notebook in the docs, up to date, and runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.labs.gallery import all_labs
from luthier.labs.notebook import executed, file_of, files, notebook

FOLDER = Path(__file__).parents[2] / "docs" / "labs"
SECONDS = {name: sum(lab.seconds for lab in all_labs().values() if file_of(lab) == name) for name in files()}
QUICK = [name for name in files() if SECONDS[name] <= 4]


@pytest.mark.parametrize("name", files())
def test_the_notebook_in_the_docs_is_that_of_the_file(name: str) -> None:
    kept = json.loads((FOLDER / f"{name}.ipynb").read_text())
    sources = [cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]) for cell in kept["cells"]]
    assert sources == [cell["source"] for cell in notebook(name)["cells"]], "make notebooks writes them anew"
    code = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    assert not [one for cell in code for one in cell["outputs"] if one["output_type"] == "error"]
    assert any("reproduced" in json.dumps(cell["outputs"]) for cell in code)


def runs(name: str) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    message = json.dumps(executed(notebook(name))["cells"])
    assert "not reproduced" not in message


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_notebook_runs(name: str) -> None:
    runs(name)


@pytest.mark.labs
@pytest.mark.parametrize("name", [name for name in files() if name not in QUICK])
def test_a_long_notebook_runs(name: str) -> None:
    runs(name)
