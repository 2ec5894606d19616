"""`check` says how many of the rows are the run's own, whether or not rows repeat each other by chance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from luthier.rows import Inputs
from luthier.runs.checking import known_rows


def drawn(rows: int, levels: int, seed: int) -> torch.Tensor:
    """Two columns of so many levels each: the fewer, the more rows equal others by chance."""
    return torch.randint(0, levels, (rows, 2), generator=torch.Generator().manual_seed(seed)).float()


def own(levels: int, seed: int) -> Any:
    part = lambda rows, k: SimpleNamespace(inputs=Inputs(numbers=drawn(rows, levels, seed + k)))  # noqa: E731
    return SimpleNamespace(training=part(600, 1), validation=part(200, 2))


@pytest.mark.parametrize(("levels", "share"), [(1000, 0.5), (1000, 1.0), (30, 0.5), (30, 1.0), (12, 1.0)])
def test_the_runs_own_rows_are_counted(levels: int, share: float) -> None:
    run = own(levels, 0)
    mine = torch.cat([run.training.inputs.numbers, run.validation.inputs.numbers])[: int(800 * share)]
    rows = torch.cat([mine, drawn(int(800 - len(mine)), levels, 9)])
    known = known_rows(run, Inputs(numbers=rows))
    assert len(mine) <= known <= len(rows)


@pytest.mark.parametrize("levels", [1000, 30, 12])
def test_a_file_that_holds_all_of_them_is_seen(levels: int) -> None:
    run = own(levels, 0)
    rows = torch.cat([drawn(400, levels, 7), run.training.inputs.numbers, run.validation.inputs.numbers])
    assert known_rows(run, Inputs(numbers=rows)) == 800


@pytest.mark.parametrize("levels", [1000, 30, 12, 3])
def test_other_rows_are_not_however_coarse_the_columns(levels: int) -> None:
    wrong = 0
    for seed in range(0, 200, 10):
        rows = drawn(1200, levels, seed + 5)
        wrong += known_rows(own(levels, seed), Inputs(numbers=rows)) > 0
    assert wrong <= 1
