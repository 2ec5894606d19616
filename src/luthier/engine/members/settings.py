"""What a population shares: its data, rule, batches and length; and what may be asked of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from luthier.engine.members.devices import CPU
from luthier.errors import ConfigError
from luthier.identity import name_of
from luthier.objective import WATCHED, Criterion, Loss, Metric, loss_mistakes, metric_named
from luthier.optimise import AnyRule, rule_mistakes


@dataclass(frozen=True)
class Settings:
    """How a population is trained. `loss` is one of LOSSES, or a Loss of your own (a module also takes a Criterion).

    `rule` is one of RULES, a Rule, or a class of `torch.optim` for looped members.

    `rungs` are (step, members kept): there the members with the worse best validation loss so far
    are cut away. `patience` counts evaluations without an improvement by more than `tolerance`
    (0: never stop early). With `keep_last` the weights of the last step are kept, whatever the evaluations say, so that
    held-out rows choose nothing. `batch_seed` orders the batches, the same for all members. A step averages the
    gradients of `accumulate` batches. `only_first_batch` trains on one batch alone, to see whether it
    can be overfitted. With `mixed_precision` matrix products run in bfloat16, all else in `dtype`. With `compile`
    looped members run what `torch.compile` makes of their module.
    `metrics`, by name or as a Metric, are measured on the validation part at each evaluation, beside loss and score.
    `every_step` keeps the training loss of every step too. On which `device` all of this is computed changes no plan: a
    training goes on from a checkpoint on another one. On a CUDA device the steps of dense networks are launched many at
    a time, unless `cuda_graphs` is False. On the processor members step in at least so many `blocks`, which so many
    `threads` take: a checkpoint knows its blocks, and numbers do not depend on threads.
    """

    loss: str | Loss | Criterion
    rule: AnyRule
    batch_size: int
    steps: int
    evaluate_every: int
    patience: int = 0
    tolerance: float = 0.0
    keep_last: bool = False
    rungs: tuple[tuple[int, int], ...] = ()
    batch_seed: int = 0
    dtype: torch.dtype = torch.float32
    accumulate: int = 1
    only_first_batch: bool = False
    mixed_precision: bool = False
    compile: bool = False
    metrics: tuple[str | Metric, ...] = ()
    every_step: bool = False
    device: torch.device = field(default=CPU, repr=False)
    cuda_graphs: bool = field(default=True, repr=False)
    blocks: int = field(default=1, repr=False)
    threads: int = field(default=1, repr=False)

    def __post_init__(self) -> None:
        mistakes = [
            f"{name} must be at least 1, not {value}"
            for name, value in (
                ("batch_size", self.batch_size),
                ("steps", self.steps),
                ("evaluate_every", self.evaluate_every),
                ("accumulate", self.accumulate),
                ("blocks", self.blocks),
                ("threads", self.threads),
            )
            if value < 1
        ]
        mistakes += loss_mistakes(self.loss) if isinstance(self.loss, str) else []
        for name in self.metrics:
            try:
                if isinstance(name, str) and metric_named(name).of_law:
                    mistakes.append(f"{name}: a network gives one value a row, not how values are distributed")
            except ConfigError as error:
                mistakes += error.mistakes
        mistakes += rule_mistakes(self.rule)
        mistakes += [
            f"a metric is one of {', '.join(WATCHED)}, or a Metric, not {type(metric).__name__}"
            for metric in self.metrics
            if not isinstance(metric, str | Metric)
        ]
        if mistakes:
            raise ConfigError(mistakes)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What the metrics go by in the history."""
        return tuple(name_of(metric) for metric in self.metrics)


@dataclass(frozen=True)
class Snapshot:
    """The exact state of training between two steps: tensors by name, and plain JSON facts."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


class Checkpointer(Protocol):
    """Where the loop keeps its state; it asks before every step whether saving is due."""

    def load(self) -> Snapshot | None:
        """The state to go on from, or None."""
        ...

    def due(self) -> bool:
        """Whether to save now."""
        ...

    def save(self, snapshot: Snapshot) -> None:
        """Keep this state in place of the last one."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """The best member's figures at an evaluation, for whoever watches."""

    step: int
    epoch: float
    members: int
    train_loss: float
    validation_loss: float
    best_validation_loss: float
    learning_rate: float


Stop = Callable[[int], bool]


def never(step: int) -> bool:
    """Train to the planned end."""
    return False
