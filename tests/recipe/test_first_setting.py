"""The first setting of tables: what it is made of for few, more and many rows, and that it learns."""

from __future__ import annotations

import pytest
import torch

from luthier.data import Preprocess
from luthier.engine import Settings, train
from luthier.objective import loss_named
from luthier.recipe.experiment.first_setting import EMBEDDED, TableShape, first_setting
from luthier.recipe.planning.setting import Setting, seeded
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator


@pytest.mark.parametrize(("rows", "width"), [(1, 64), (300, 64), (5_000, 128), (40_000, 256)])
def test_width_and_batches_grow_with_the_rows(rows: int, width: int) -> None:
    first = first_setting(TableShape("regression", rows, numbers=4, levels=(5, 60)))
    assert first.setting.member.dense.hidden == (width, width)
    assert first.setting.batch_size <= rows
    assert Setting.from_json(first.setting.to_json()) == first.setting


def test_of_no_numbers_or_very_many_none_is_embedded() -> None:
    for numbers, embedded in ((0, False), (EMBEDDED, True), (EMBEDDED + 1, False)):
        spec = first_setting(TableShape("binary", 500, numbers, levels=(4,), flags=1)).setting.member.dense
        assert (spec.number_embedding is not None) is embedded
        assert spec.inputs == numbers + 1


def test_it_learns_a_wave() -> None:
    """A target of two periods: its variance is 1; a tenth of it may be left."""
    x = torch.rand(1_200, 1, generator=torch_generator(0), dtype=torch.float64)
    targets = (2**0.5 * torch.sin(4 * torch.pi * x[:, 0])).float()
    first = first_setting(TableShape("regression", 1_200, numbers=1))
    part = Rows(Inputs(numbers=Preprocess.fit(x, first.setting.method)(x)), targets)
    steps = first.epochs * (1_200 // first.setting.batch_size)
    members = seeded(first.setting, [0, 1], steps)
    outcome = train(members, part, part, Settings("mse", first.setting.rule, first.setting.batch_size, steps, steps))
    losses = loss_named("mse").mean(outcome.logits(part.numbers), targets, None)
    assert losses.max() < 0.1
