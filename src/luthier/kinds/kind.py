"""What a kind of target is: one value that holds all that differs from kind to kind. N rows, C outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from luthier.kinds.links import IDENTITY, Link
from luthier.kinds.target_facts import TargetFacts

Family = Literal["regression", "binary", "multiclass", "labels"]
TaskKind = Literal["regression", "binary", "multiclass", "count", "share", "amount", "ordered", "labels"]
Spread = Callable[[np.ndarray], np.ndarray]
OtherLoss = Callable[[np.ndarray, np.ndarray | None], str]


class Law(NamedTuple):
    """How values lie around a mean, up to one number, the dispersion, that `fitted` (values, means, weights) gives.

    `scores` (values, means, dispersion) are those of a standard normal law, where the kind's law is the true one;
    `values` (scores, means, dispersion) undoes it.
    """

    scores: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    values: Callable[[float | np.ndarray, np.ndarray, float], np.ndarray]
    fitted: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


@dataclass(frozen=True)
class Kind:
    """A kind of target: its loss, the link from outputs to answers, and what its values may be.

    `family` says how outputs are answered: as a number, one of two classes, one of several, or a set of labels. `loss`
    and `metric` are names of `luthier.objective`. `because` gives the reason why a target is of this kind, empty where
    it is not.

    Of a mean behind a `link`: `spread` is the deviation of a value around a mean [N], up to a factor, and intervals are
    so many times as wide. Values lie between `lowest` and `highest`, `whole` ones are whole numbers; `values` says it
    in words. Where the kind has a `law`, values lie around a mean as it says. Of classes `is_ordered` says that they
    are levels, whose metric asks for an answer of its own. `baselines` are names of `assess.baseline_process`.
    `other_loss` (values, weights) names a second loss worth asking of such values, empty where none is.
    """

    name: TaskKind
    family: Family
    loss: str
    metric: str
    baselines: tuple[str, ...]
    because: Callable[[TargetFacts], str]
    link: Link = IDENTITY
    spread: Spread | None = None
    lowest: float = -np.inf
    highest: float = np.inf
    whole: bool = False
    values: str = "numbers"
    is_ordered: bool = False
    law: Law | None = None
    other_loss: OtherLoss | None = None

    @property
    def is_classes(self) -> bool:
        """Whether an answer is a class, or a set of labels, with a probability for each."""
        return self.family != "regression"

    @property
    def is_labels(self) -> bool:
        """Whether a row has any number of labels, each with a probability of its own."""
        return self.family == "labels"

    def outputs(self, classes: int) -> int:
        """How many outputs a network has for so many classes: one for each of several, one less for levels.

        >>> from luthier.kinds import KINDS
        >>> [KINDS[kind].outputs(classes) for kind, classes in (("multiclass", 4), ("ordered", 4), ("binary", 2))]
        [4, 3, 1]
        """
        return classes - self.is_ordered if self.family in ("multiclass", "labels") else 1

    @property
    def is_linked(self) -> bool:
        """Whether networks predict a mean behind a link, in place of the (standardised) value."""
        return self.spread is not None

    def within(self, values: np.ndarray) -> np.ndarray:
        """Values as far as the target can have them.

        >>> from luthier.kinds import KINDS
        >>> KINDS["count"].within(np.array([-0.4, 3.2]))
        array([0. , 3.2])
        """
        return np.asarray(np.clip(values, self.lowest, self.highest))

    def refused(self, values: np.ndarray) -> np.ndarray:
        """Which values [N] a target of this kind cannot have."""
        outside = (values < self.lowest) | (values > self.highest)
        return np.asarray(outside | (values != np.round(values)) if self.whole else outside)
