"""A member of a population: an architecture, its hyper-parameters and its seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from luthier.nets import DenseSpec
from luthier.optimise import Schedule


@dataclass(frozen=True)
class Member:
    """One network to be trained.

    `dropout` is the probability to drop, one for each hidden layer (none: no dropout). `l2` and `l1`
    are the documents' lambda, n training rows: the penalty is lambda / (2 n) times the sum of squared
    weights (S1-86), or lambda / n times the sum of their sizes, with sgn(0) = 0 (S1-94); biases are
    left out. `weight_decay` is decoupled: each step also shrinks the weights by rate times decay
    (with Adam that is AdamW). `epsilon` and `smoothing` (RMSProp's and Adadelta's memory) are the
    rule's own where they are None. A gradient is cut by value first, then by norm.
    """

    spec: DenseSpec
    seed: int
    learning_rate: float
    schedule: Schedule = field(default_factory=Schedule)
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float | None = None
    smoothing: float | None = None
    l2: float = 0.0
    l1: float = 0.0
    weight_decay: float = 0.0
    dropout: tuple[float, ...] = ()
    clip_norm: float = inf
    clip_value: float = inf
    label: str = ""

    @property
    def drop_rates(self) -> tuple[float, ...]:
        """The probability to drop of each hidden layer."""
        return self.dropout or (0.0,) * len(self.spec.hidden)

    def to_json(self) -> dict[str, Any]:
        """The member as plain JSON values; an infinite clip becomes None."""
        return {name: None if value == inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Member:
        """The member that `to_json` gave."""
        clips = {name: inf if value[name] is None else value[name] for name in ("clip_norm", "clip_value")}
        return cls(
            **{
                **value,
                "spec": DenseSpec.from_json(value["spec"]),
                "schedule": Schedule.from_json(value["schedule"]),
                "betas": tuple(value["betas"]),
                "dropout": tuple(value["dropout"]),
                **clips,
            }
        )
