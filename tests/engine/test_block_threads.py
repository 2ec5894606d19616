"""Blocks of members in threads: the same bits for any number of threads, exact resume, errors as everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import luthier
from luthier.engine import FileCheckpoint, Member, ModuleSpec, Outcome, Settings, train
from luthier.engine.populations.layouts import choose
from luthier.engine.populations.population import Population
from luthier.errors import InputError
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

g = torch_generator(0, "block threads")
X, LABELS = torch.randn(90, 7, generator=g), torch.randint(0, 3, (90,), generator=g)
CODES = torch.randint(0, 4, (90, 1), generator=g)
PART = Rows(Inputs(numbers=X), LABELS)
SETTINGS = Settings("softmax", "adam", 20, 14, 4, blocks=3)


def dense(count: int = 7, **changes: Any) -> list[Member]:
    spec = DenseSpec(inputs=7, hidden=(9, 5), outputs=3, **changes)
    return [Member(spec, seed=k, learning_rate=0.01 * (1 + k), dropout=(0.2, 0.1)) for k in range(count)]


class Drawing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(nn.functional.dropout(x, 0.3, self.training))


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(7, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3))


def same(one: Outcome, other: Outcome) -> None:
    assert torch.equal(one.parameters, other.parameters)
    assert torch.equal(one.buffers, other.buffers)
    assert one.history.rows == other.history.rows


@pytest.mark.parametrize(
    ("members", "part", "changes"),
    [
        (dense(), PART, {}),
        (dense(batch_norm=True), PART, {"rungs": ((5, 4), (9, 2))}),
        (dense(embeddings=((4, 2),)), Rows(Inputs(numbers=X, codes=CODES), LABELS), {"accumulate": 2}),
        (dense(), PART, {"rule": "sgd", "mixed_precision": True}),
        ([replace(member, momentum=0.0) for member in dense()], PART, {"rule": "sgd"}),
    ],
    ids=["plain", "norms and rungs", "embeddings", "bfloat16", "descent"],
)
def test_numbers_are_the_same_for_any_number_of_threads(members: Any, part: Rows, changes: dict[str, Any]) -> None:
    outcomes = [train(members, part, part, replace(SETTINGS, **changes, threads=threads)) for threads in (1, 2, 3, 8)]
    for other in outcomes[1:]:
        same(outcomes[0], other)


@pytest.mark.parametrize("layout", ["stacked", "vmapped", "looped"])
def test_modules_step_in_threads_too(layout: str) -> None:
    settings = replace(SETTINGS, blocks=2)
    spec, _ = choose(ModuleSpec(chain), 4, PART, settings, layout)
    members = [Member(spec, seed=k, learning_rate=0.01) for k in range(4)]
    assert len(Population.of(members, replace(settings, threads=2), 90).lanes) == 2
    same(*(train(members, PART, PART, replace(settings, threads=threads)) for threads in (1, 2)))


def test_a_module_that_draws_from_the_shared_generator_has_one_lane() -> None:
    spec, _ = choose(ModuleSpec(Drawing), 4, PART, SETTINGS, "looped")
    members = [Member(spec, seed=k, learning_rate=0.01) for k in range(4)]
    assert len(Population.of(members, replace(SETTINGS, threads=2), 90).lanes) == 1
    same(*(train(members, PART, PART, replace(SETTINGS, threads=threads)) for threads in (1, 2)))


def test_a_checkpoint_keeps_its_blocks_whatever_the_machine_has(tmp_path: Path) -> None:
    whole, saved = train(dense(), PART, PART, SETTINGS), FileCheckpoint(tmp_path / "state", seconds=0.0)
    train(dense(), PART, PART, replace(SETTINGS, threads=2), checkpoint=saved, stop=lambda done: done >= 6)
    known = saved.load()
    assert known is not None
    assert known.facts["blocks"] == 3
    same(whole, train(dense(), PART, PART, replace(SETTINGS, blocks=1), checkpoint=saved))


def test_folds_step_in_threads() -> None:
    members = [replace(member, fold=k % 3) for k, member in enumerate(dense(6))]
    folds = torch.arange(90) % 3
    same(*(train(members, PART, None, replace(SETTINGS, threads=threads), folds=folds) for threads in (1, 3)))


class Failing(nn.Module):
    """Fails from its third batch on."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.passed = nn.Linear(7, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passed += self.training
        if self.passed > 4:
            raise RuntimeError("enough")
        return self.out(x)


def test_an_error_in_a_thread_is_said_as_everywhere() -> None:
    with pytest.raises(InputError, match="enough"):
        luthier.train(Failing, (X, LABELS), seeds=4, steps=9, batch_size=20, layout="looped", threads=2)


def test_settings_of_pytorch_are_as_before() -> None:
    before = torch.get_num_threads()
    one = luthier.train(chain, (X, LABELS), seeds=4, steps=9, batch_size=20, threads=2)
    assert torch.get_num_threads() == before
    assert one.status == ["finished"] * 4
