"""What was seen of one network's training, as plain numbers: the only thing that checks look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from luthier.messages import Message


class LayerSeen(NamedTuple):
    """Activations of a layer at a step, over the rows and units of a batch.

    `kind` is the activation ("relu", "sigmoid", ...), or the layer's type where it is none. `spread` is the
    deviation over rows, the root mean square over units. `saturated` is
    the share of values within a hundredth of an end of the function's range, `zero` the share of zeros,
    `dead` the share of units that gave zero for every row of the last probed batches; None where the
    kind has no such thing.
    """

    step: int
    layer: str
    kind: str
    mean: float
    spread: float
    saturated: float | None = None
    zero: float | None = None
    dead: float | None = None
    rows: int = 0


class WeightsSeen(NamedTuple):
    """A layer's weights at a step: their norm, the root mean square of their gradient, and the length of
    the update as a share of the norm (None where no update was seen)."""

    step: int
    layer: str
    norm: float
    gradient: float
    update: float | None = None


class NormSeen(NamedTuple):
    """How far a batch's mean lies from a batch norm's moving mean, in moving standard deviations."""

    step: int
    layer: str
    drift: float
    rows: int


@dataclass(frozen=True)
class Evaluated:
    """Losses at a step. `validation_parts` are mean losses of equal parts of the validation rows: their spread
    says how sure the mean is. Scores are shares of rows that are right, None for regressions."""

    step: int
    training: float
    validation: float | None = None
    validation_parts: tuple[float, ...] = ()
    training_score: float | None = None
    validation_score: float | None = None
    training_parts: tuple[float, ...] = ()
    validation_rows: int = 0

    @property
    def noise(self) -> float:
        """Standard error of the validation loss."""
        return _error(self.validation_parts)


@dataclass(frozen=True)
class Birth:
    """Where the first value that is not finite came from: `part` is "input", "weights", "forward", "loss"
    or "gradient"; `rows` are the first rows of the batch that had it."""

    step: int
    part: str
    layer: str
    op: str = ""
    rows: tuple[int, ...] = ()

    def sentence(self) -> Message:
        """The birth in words."""
        step, layer, rows = self.step, self.layer, ", ".join(map(str, self.rows))
        first = Message(", first in row {rows}", rows=rows) if len(self.rows) == 1 else ""
        first = Message(", first in rows {rows}", rows=rows) if len(self.rows) > 1 else first
        match self.part:
            case "input":
                return Message("the inputs of step {step} are not finite{first}", step=step, first=first)
            case "weights":
                template = "the weights of `{layer}` were not finite after the update before step {step}"
            case "forward":
                template = "at step {step} `{layer}` gave the first non-finite value, in {op}{first}"
                return Message(template, step=step, layer=layer, op=self.op, first=first)
            case "loss":
                return Message("at step {step} the loss is not finite although the outputs are", step=step)
            case _:
                template = "at step {step} the gradient of `{layer}` is the first that is not finite"
        return Message(template, step=step, layer=layer)


@dataclass
class Trace:
    """What was seen of a training. `order` names the layers with their types as they were used;
    `trivial` is the loss of a constant prediction, the targets' mean or shares."""

    layers: list[LayerSeen] = field(default_factory=list)
    weights: list[WeightsSeen] = field(default_factory=list)
    norms: list[NormSeen] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    evaluations: list[Evaluated] = field(default_factory=list)
    order: list[tuple[str, str, dict[str, float]]] = field(default_factory=list)
    birth: Birth | None = None
    waiting: float = 0.0
    working: float = 0.0
    uncleared: int = 0
    batch_size: int = 0
    loss: str = ""
    trivial: float | None = None
    wrong_saturated: float | None = None
    normalised_outputs: bool = False
    step: int = 0

    def last(self, rows: list[Any]) -> list[Any]:
        """Those rows that were seen last, in the order of the layers."""
        latest = max((row.step for row in rows), default=0)
        return [row for row in rows if row.step == latest]

    def first(self, rows: list[Any]) -> list[Any]:
        """Those rows that were seen first."""
        earliest = min((row.step for row in rows), default=0)
        return [row for row in rows if row.step == earliest]

    @property
    def best(self) -> Evaluated | None:
        """The evaluation with the lowest validation loss."""
        known = [e for e in self.evaluations if e.validation is not None and np.isfinite(e.validation)]
        return min(known, key=lambda e: e.validation or 0.0, default=None)


def difference(one: Evaluated, other: Evaluated) -> tuple[float, float]:
    """How much higher the validation loss is at `one` than at `other`, and its standard error, part by part."""
    gap = (one.validation or 0.0) - (other.validation or 0.0)
    if len(one.validation_parts) != len(other.validation_parts) or len(one.validation_parts) < 2:
        return gap, 0.0
    return gap, _error([a - b for a, b in zip(one.validation_parts, other.validation_parts, strict=True)])


def _error(parts: Any) -> float:
    return float(np.std(parts, ddof=1) / np.sqrt(len(parts))) if len(parts) > 1 else 0.0
