"""Rows of a thousand classes: what is held of a row does not grow with the classes, and the numbers stay the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.engine.test_streams import Held

from luthier.engine import Member, Settings, Stream, train
from luthier.engine.feed import batches_for
from luthier.engine.populations.population import Population
from luthier.nets import DenseSpec
from luthier.objective import losses
from luthier.rows import Inputs, Rows

ROWS, CLASSES = 2000, 1000
SETTINGS = Settings("softmax", "sgd", 100, 40, 20)


def part() -> Rows:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(ROWS, 3, generator=generator)
    return Rows(Inputs(numbers=X), torch.arange(ROWS) % CLASSES)


def members() -> list[Member]:
    return [Member(DenseSpec(inputs=3, hidden=(8,), outputs=CLASSES), seed, 0.1) for seed in (0, 1)]


@pytest.mark.parametrize("rows", [part(), Stream(Held(part()))], ids=["memory", "disk"])
def test_batches_hold_no_number_for_each_class(rows: Rows | Stream) -> None:
    batches = batches_for(Population.of(members(), SETTINGS, ROWS), rows)
    held = {
        id(column): column.untyped_storage() for step in range(batches.left(0)) for column in columns(batches, step)
    }
    kept = {storage.data_ptr(): storage.nbytes() for storage in held.values()}
    assert sum(kept.values()) <= ROWS * (4 * 4 + 8)  # three inputs and the bias's one in float32, and a class number


def columns(batches: object, step: int) -> list[torch.Tensor]:
    return list(batches.at(step).named().values())  # type: ignore[attr-defined]


def test_class_numbers_and_written_out_shares_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = train(members(), part(), part(), SETTINGS)
    monkeypatch.setattr(losses, "SHARED_CLASSES", CLASSES)
    shares = train(members(), part(), part(), SETTINGS)
    assert numbers.parameters.equal(shares.parameters)
    assert np.array_equal(numbers.best_validation_loss, shares.best_validation_loss)
