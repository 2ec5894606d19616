"""A run's folder: what is removed for a new run in its place, and what is nobody's business of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

import luthier
from luthier.errors import InputError
from luthier.saved import create_run, discard, settle


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=["fit", "search"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    if request.param == "fit":
        luthier.fit("iris", budget="60steps", run=folder)
    else:
        luthier.tune_table("iris", space={"learning_rate": (1e-3, 1e-1)}, trials=2, epochs=1, run=folder)
    return folder


def test_a_new_run_in_its_place_removes_all_of_a_run_and_nothing_else(finished: Path) -> None:
    own = {"table.csv", "history/notes.txt", "checkpoint/mine.pt"}
    for name in own:
        (finished / name).parent.mkdir(exist_ok=True)
        (finished / name).write_text("a,b\n1,2\n")
    (finished / ".scores.json.x1").write_text("{")  # what a kill in the middle of writing leaves
    with pytest.raises(InputError, match="already holds a run"):
        create_run(finished, "run")
    assert own < files_of(finished)
    before = files_of(finished) - {".lock"}
    create_run(finished, "run", replace=True)
    (finished / "scores.json").write_text("{}")  # what the new run has begun with
    discard(finished)
    assert files_of(finished) == before
    create_run(finished, "run", replace=True)
    settle(finished)
    assert files_of(finished) == own
