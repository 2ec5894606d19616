"""Plain records that any room may return; who keeps them is decided further down the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from luthier.citations import cited

Severity = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Measure:
    """A number with its uncertainty.

    `low` and `high` bound a 95 % interval (both None where none was computed); `n` is how many
    rows, seeds or repeats it rests on.

    >>> str(Measure("accuracy", 0.971, 0.955, 0.982, 360))
    'accuracy 0.971 [0.955, 0.982] (n=360)'
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.name} {self.value:.4g}{interval}" + (f" (n={self.n})" if self.n else "")

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """A named diagnosis: what was seen, the numbers that show it, and one thing to do about it.

    `code` is stable and machine-readable ("dead-relu"); `source` names the document row or paper
    that the threshold comes from; `to_json` gives it as a title.
    """

    code: str
    severity: Severity
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return {**asdict(self), "source": cited(self.source)}


@dataclass(frozen=True)
class Option:
    """One of the things a decision could have chosen, with what was measured for it."""

    name: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Decision:
    """What a step of the recipe chose, from which options, on what evidence, and why.

    `step` is the recipe's step, 0 for what comes before step 1. `override` is how a user can
    decide otherwise, empty where that is not possible. `rule` names how `chosen` follows from options and
    evidence, so that it can be worked out again.

    >>> Decision(1, "loss", "softmax cross-entropy", "the target has 10 classes").sentence()
    'loss: softmax cross-entropy, because the target has 10 classes'
    """

    step: int
    topic: str
    chosen: str
    reason: str
    options: tuple[Option, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    override: str = ""
    rule: str = ""

    def sentence(self) -> str:
        """The decision as one readable sentence."""
        tail = f"; override with {self.override}" if self.override else ""
        return f"{self.topic}: {self.chosen}, because {self.reason}{tail}"

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)
