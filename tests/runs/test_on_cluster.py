"""A run whose populations train in pieces on a cluster is the run that trains here."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import luthier
from luthier.errors import InputError
from luthier.recipe import read_ledger
from luthier.recipe.planning.config import read_recipe, write_recipe
from luthier.runs.screen import SilentScreen
from luthier.saved import RunFolder, read_histories

pytestmark = pytest.mark.filterwarnings("ignore")
ROUNDING = 5e-6  # of float32 in stacks of other sizes, over hundreds of steps; 6e-7 was measured
ASKED: dict[str, Any] = {"target": "progression", "budget": "1200steps"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    return luthier.fit("diabetes", **ASKED, run=tmp_path_factory.mktemp("here") / "run", screen=SilentScreen())


@pytest.fixture(scope="module")
def there(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    run = tmp_path_factory.mktemp("there") / "run"
    return luthier.fit("diabetes", **ASKED, run=run, on="ray", screen=SilentScreen())


def decisions(result: luthier.Result) -> list[tuple[str, Any]]:
    records = read_ledger(result.path / "ledger.jsonl")
    return [(one["code"], one["choice"]) for one in records if one["kind"] == "decision"]


def alike(one: Any, other: Any) -> bool:
    """Whether two choices are the same, numbers that were worked out to rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == (pytest.approx(other, rel=ROUNDING) if isinstance(one, float) else other))


def losses(result: luthier.Result) -> dict[str, list[float]]:
    return {
        name: frame.sort("member", "step")["train_loss"].to_list()
        for name, frame in read_histories(RunFolder(result.path)).items()
    }


def test_decisions_are_equal_and_losses_to_rounding(here: luthier.Result, there: luthier.Result) -> None:
    ours, theirs = decisions(here), decisions(there)
    assert [code for code, _ in ours] == [code for code, _ in theirs]
    assert [one for one, other in zip(ours, theirs, strict=True) if not alike(one[1], other[1])] == []
    pieces = [one for one in read_ledger(there.path / "ledger.jsonl") if one["kind"] == "pieces"]
    assert len(pieces) > 2
    assert all(len(one["sizes"]) > 1 for one in pieces)
    known, found = losses(here), losses(there)
    assert known.keys() == found.keys()
    for name, curve in known.items():
        assert found[name] == pytest.approx(curve, rel=ROUNDING, nan_ok=True), name
    assert there.scores["headline"]["value"] == pytest.approx(here.scores["headline"]["value"], rel=ROUNDING)


def test_it_is_repeated_without_the_cluster(there: luthier.Result, tmp_path: Path) -> None:
    """The pieces are in the recipe, so that every sum is added up as it was."""
    again = luthier.rerun(there.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert losses(again) == losses(there)
    assert decisions(again) == decisions(there)
    assert again.scores["headline"] == there.scores["headline"]


def test_pieces_of_another_size_are_refused(there: luthier.Result, tmp_path: Path) -> None:
    recipe = read_recipe(there.path / "recipe.toml")
    first, *others = recipe.pieces
    wrong = first.model_copy(update={"sizes": (*first.sizes, 1)})
    write_recipe(tmp_path / "recipe.toml", recipe.model_copy(update={"pieces": (wrong, *others)}))
    with pytest.raises(InputError, match=f"the recorded pieces of the population '{first.work}' have"):
        luthier.rerun(tmp_path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())


def test_a_worker_that_is_lost_is_replaced(cluster: Any, there: luthier.Result, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    killed: list[int] = []

    def kill() -> None:
        ends = time.monotonic() + 60
        while not killed and time.monotonic() < ends:
            for process in psutil.process_iter(["name", "cmdline"]):
                if any("ray::_train" in word for word in process.info["cmdline"] or []):
                    process.kill()
                    killed.append(process.pid)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    result = luthier.fit("diabetes", **ASKED, run=tmp_path / "run", on="ray", screen=SilentScreen())
    thread.join()
    assert killed
    assert losses(result) == losses(there)
    assert not list((tmp_path / "run" / "checkpoint").glob("*.state"))


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    for options, said in (({"workers": 2}, "without a cluster"), ({"on": "moon"}, "cannot train on 'moon'")):
        with pytest.raises(InputError, match=said):
            luthier.fit("iris", run=tmp_path / "run", **options)  # type: ignore[arg-type]
        assert not (tmp_path / "run").exists()
