"""Recorded steps against those that run: what differs from step to step comes from memory that a recording reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from luthier.engine import Member, Population, Settings
from luthier.engine.feed import batches_for
from luthier.engine.populations.graphs import CudaRecorder, StepGraphs
from luthier.engine.populations.loss_buffer import LossBuffer
from luthier.nets import DenseSpec
from luthier.objective import loss_named
from luthier.optimise import RULES, Schedule
from luthier.rows import Inputs, Rows

ROWS, STEPS = 60, 45  # an epoch of 7 whole batches of 8 and one of 4
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 5, generator=GENERATOR)
CODES = torch.randint(0, 3, (ROWS, 2), generator=GENERATOR)
PART = Rows(Inputs(numbers=X), (X[:, 0] > 0).long())
PLAIN = DenseSpec(5, (8, 6), 2, activation="tanh")


def repeated(steps: Callable[[], None]) -> Callable[[], None]:
    """In place of a CUDA graph: what was recorded is run again at each replay."""
    return steps


def trained(
    part: Rows, members: list[Member], settings: Settings, *, recorder: Any, folds: Tensor | None = None
) -> tuple[Tensor, Tensor, StepGraphs | None]:
    """Weights [M, P] and losses [S, M] of some steps, a few at a time as the loop asks for them."""
    own = None if folds is None else torch.tensor([member.fold for member in members])
    population = Population.of(members, settings, len(part), folds=own)
    batches, (block,) = batches_for(population, part, folds), population.blocks
    graphs = None
    if recorder is not None:
        nothing = torch.zeros(0, len(members), dtype=settings.dtype, device=settings.device)
        graphs = StepGraphs(block.run, partial(LossBuffer, loss_named(settings.loss), nothing), recorder)
        block = population.blocks[0] = block._replace(graphs=graphs)
    done = 0
    while done < STEPS:
        count = min(batches.left(done), STEPS - done)
        rates = [population.rates.at(step) for step in range(done, done + count)]
        block.steps([[batches.at(step)] for step in range(done, done + count)], done + 1, rates)
        done += count
    return population.state.weights.cpu(), population.losses(), graphs


def recorder_on(device: torch.device) -> Any:
    return CudaRecorder() if device.type == "cuda" else repeated


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"momentum": 0.0},
    "dropout": {"dropout": (0.3, 0.1)},
    "averages": {"ema_decay": 0.9},
    "clipped": {"clip_norm": 0.1, "l2": 0.5, "weight_decay": 0.01},
    "frozen": {"frozen_until": (20, 3, 0), "layer_rates": (0.5, 1.0, 1.0)},
}


@pytest.mark.parametrize(("rule", "variant"), [*((rule, "dropout") for rule in RULES), *(("sgd", v) for v in VARIANTS)])
def test_replayed_steps_are_those_that_run(rule: str, variant: str) -> None:
    device = torch.device("cpu")
    members = [
        Member(PLAIN, seed, 0.05, schedule=Schedule("cosine", warmup=5), **VARIANTS[variant]) for seed in range(3)
    ]
    settings = Settings("softmax", rule, 8, STEPS, STEPS, dtype=torch.float64, device=device)
    wanted, losses, _ = trained(PART, members, settings, recorder=None)
    found, found_losses, graphs = trained(PART, members, settings, recorder=recorder_on(device))
    assert graphs is not None
    assert not graphs.failed
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)  # powers of a tensor round otherwise
    torch.testing.assert_close(found_losses, losses, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("what", ["embeddings", "weights", "folds", "batch norm"])
def test_whatever_batches_hold_is_replayed(what: str) -> None:
    spec, part, folds, sizes = PLAIN, PART, None, {}
    if what == "embeddings":
        spec, part = (
            DenseSpec(5, (8,), 2, embeddings=((3, 2), (3, 2))),
            Rows(Inputs(numbers=X, codes=CODES), PART.targets),
        )
    elif what == "weights":
        part = Rows(
            PART.inputs,
            PART.targets,
            torch.rand(ROWS, generator=GENERATOR, dtype=torch.float64),
        )
    elif what == "folds":
        folds, sizes = torch.arange(ROWS) % 3, {}
    else:
        spec = DenseSpec(5, (8, 6), 2, batch_norm=True)
    members = [Member(spec, k, 0.05, fold=k if folds is not None else None, **sizes) for k in range(3)]
    settings = Settings("softmax", "adam", 8, STEPS, STEPS, dtype=torch.float64)
    wanted, losses, _ = trained(part, members, settings, recorder=None, folds=folds)
    found, found_losses, _ = trained(part, members, settings, recorder=repeated, folds=folds)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found_losses, losses, rtol=1e-9, atol=1e-12)


def test_where_nothing_can_be_recorded_steps_are_run() -> None:
    def refuses(steps: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    members, settings = [Member(PLAIN, 0, 0.05)], Settings("softmax", "adam", 8, STEPS, STEPS)
    wanted, losses, _ = trained(PART, members, settings, recorder=None)
    found, found_losses, graphs = trained(PART, members, settings, recorder=refuses)
    assert graphs is not None
    assert "capturing" in graphs.failed
    assert torch.equal(found, wanted)
    assert torch.equal(found_losses, losses)
