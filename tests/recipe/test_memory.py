"""A run that is given little memory trains its networks in turns, to the same decisions and scores."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import luthier
from luthier.errors import InputError
from luthier.recipe.running.memo import Memo
from luthier.recipe.running.memory_groups import PieceFacts
from luthier.runs.screen import SilentScreen


def test_with_little_memory_the_numbers_are_the_same(tmp_path: Path) -> None:
    runs = {}
    for name, memory in (("plenty", None), ("little", "380KiB")):
        result = luthier.fit("iris", budget="300steps", memory=memory, run=tmp_path / name, screen=SilentScreen())
        assert result is not None
        runs[name] = result
    notes = [one["sentence"] for one in runs["little"].ledger if one["kind"] == "note"]
    assert any("turns of up to" in note for note in notes)
    assert not any("turns of up to" in str(one.get("sentence")) for one in runs["plenty"].ledger)
    decided = {
        name: [(one["topic"], one["chosen"]) for one in run.ledger if one["kind"] == "decision"]
        for name, run in runs.items()
    }
    assert decided["little"] == decided["plenty"]
    assert runs["little"].scores["headline"] == runs["plenty"].scores["headline"]
    curves = [run.history.sort("population", "step", "member") for run in runs.values()]
    # Products of other sizes round otherwise, and of settings that are as good, later rounds may then draw others.
    first = pl.col("population").str.contains("^train-(reference|screen)")
    left, right = (curve.filter(first) for curve in curves)
    assert left.height >= 40
    assert_frame_equal(left, right, rel_tol=1e-4, abs_tol=1e-5)
    again = luthier.rerun(runs["little"].path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == runs["little"].scores["headline"]


def test_what_is_remembered_of_a_population_is_checked_when_it_is_recalled(tmp_path: Path) -> None:
    memo = Memo(tmp_path, lambda: 0.0)
    tensors = {"logits": torch.zeros(1, 2, 1)}
    memo.keep("one", tensors, {"statuses": ["done"], "validation_loss": [float("nan")], "cut": None})
    recalled = memo.recall("one", PieceFacts)
    assert recalled is not None
    assert recalled[1]["statuses"] == ["done"]
    memo.keep("one", tensors, {"statuses": "done"})
    with pytest.raises(InputError, match=r"one\.safetensors' does not hold what it should: statuses"):
        memo.recall("one", PieceFacts)
    assert memo.recall("two", PieceFacts) is None
