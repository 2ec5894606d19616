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

    `dropout` is the probability to drop, one for each hidden layer (none: no dropout). `l2` is the
    documents' lambda: the penalty is lambda / (2 n) times the sum of squared weights, n training
    rows, biases left out (S1-86). `weight_decay` is decoupled: each step also shrinks the weights
    by rate times decay.
    """

    spec: DenseSpec
    seed: int
    learning_rate: float
    schedule: Schedule = field(default_factory=Schedule)
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    l2: float = 0.0
    weight_decay: float = 0.0
    dropout: tuple[float, ...] = ()
    clip_norm: float = inf
    label: str = ""

    @property
    def drop_rates(self) -> tuple[float, ...]:
        """The probability to drop of each hidden layer."""
        return self.dropout or (0.0,) * len(self.spec.hidden)

    def to_json(self) -> dict[str, Any]:
        """The member as plain JSON values; an infinite clip becomes None."""
        value = asdict(self)
        return {**value, "clip_norm": None if self.clip_norm == inf else self.clip_norm}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Member:
        """The member that `to_json` gave."""
        clip = value["clip_norm"]
        return cls(
            **{
                **value,
                "spec": DenseSpec.from_json(value["spec"]),
                "schedule": Schedule.from_json(value["schedule"]),
                "betas": tuple(value["betas"]),
                "dropout": tuple(value["dropout"]),
                "clip_norm": inf if clip is None else clip,
            }
        )
