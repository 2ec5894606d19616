"""Claims: whether one thing helps, from the adopted setting beside itself with that thing undone.

Both are trained on the same partitions of the open rows into folds, with the same seeds and batches. S partitions,
each an out-of-fold loss for every row; N rows, U units (groups, or a row and its copies), which are what new data
would bring anew. Choosing is another matter: it goes by expected losses, a claim by its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from luthier.statistics.paired import SeedSpread
from luthier.statistics.paired import luck as luck_of

MARGIN = 0.03  # of the loss: smaller differences are called none
# Set on 60 draws of 1,000 rows of `diamonds`: 95.0 % of 480 intervals hold what other rows say of these networks, and
# 96.9 % the mean over draws; on `default` 94.4 % and 96.2 % (`python -m benchmarks.coverage claims`).
WIDENING = 1.05
# A question that is open after the `FIRST` partitions is asked on more of them, until an interval wider by `EARLY`
# answers it; what was looked at more than once is widened by `LOOKED` beside.
FIRST, EARLY, LOOKED = 2, 1.3, 1.1

AnswerKind = Literal["helps", "hurts", "no-difference", "unknown"]


@dataclass(frozen=True)
class Answer:
    """What is known of one thing: by how much undoing it raises the loss, in shares of it, with a 95 % interval.

    "helps" and "hurts" leave 0 out of the interval, "no-difference" keeps all of it within the margin.
    """

    kind: AnswerKind
    size: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2


UNKNOWN = Answer("unknown", 0.0, -np.inf, np.inf)


def answer(
    reference: np.ndarray,
    losses: np.ndarray,
    units: np.ndarray,
    spread: SeedSpread,
    widening: float = WIDENING,
    margin: float = MARGIN,
) -> Answer:
    """Whether a thing helps: the `reference` [S, N] has it, in `losses` [S, N] it is undone. Above 0 it helps.

    Rows of one unit [N] are summed. The interval counts the luck of the rows and that of the trainings, which is
    judged by all questions of the run (`spread`, to which the caller adds their differences); it is widened by
    `widening`, since the folds share rows and no estimate of that variance is unbiased (Bengio and Grandvalet 2004).
    With fewer than two units or partitions, or with losses that are not finite, the answer is "unknown" and the
    interval has no ends.

    >>> rows = np.random.default_rng(0).exponential(size=(1, 400)).repeat(2, 0)
    >>> answer(rows, 1.1 * rows, np.arange(400), SeedSpread()).kind
    'helps'
    """
    difference = losses - reference
    numbers = np.unique(units, return_inverse=True)[1].reshape(-1)
    count = int(numbers.max(initial=-1)) + 1
    if min(count, len(difference)) < 2 or not np.isfinite(difference).all() or reference.mean() <= 0:
        return UNKNOWN
    mean_loss = float(reference.mean())
    share = float(difference.mean()) / mean_loss
    # A ratio's luck: what a unit gains beyond its share of its own loss.
    surplus = np.bincount(numbers, (difference - share * reference).mean(0), count)
    of_units = float(surplus.var(ddof=1)) * count / difference.shape[1] ** 2
    known = luck_of(share * mean_loss, (of_units, float(count - 1)), difference.mean(1), spread)
    half = widening * known.half_width() / mean_loss
    low, high = share - half, share + half
    if low > 0 or high < 0:
        return Answer("helps" if low > 0 else "hurts", share, low, high)
    return Answer("no-difference" if max(-low, high) <= margin else "unknown", share, low, high)


@dataclass(frozen=True)
class Asked:
    """What a question was asked by so far: losses [S, N] with the thing undone, or done where it was not there."""

    losses: np.ndarray
    used: bool = True

    @property
    def partitions(self) -> int:
        """S."""
        return len(self.losses)


def answers(
    reference: np.ndarray,
    asked: Mapping[str, Asked],
    units: np.ndarray,
    widening: float = WIDENING,
    *,
    luck: Sequence[np.ndarray] = (),
) -> dict[str, Answer]:
    """Each question's answer by all of its own partitions, the first ones of the `reference` [S, N].

    The luck of trainings is judged by all questions together, on the partitions that they share, and by differences
    [S] of the same loss (`luck`) that other settings have shown; what was cut before its `FIRST` partitions were whole
    has no part in it. Where a question was asked on more of them it was looked at more than once, and its interval is
    wider by `LOOKED`.

    >>> rows = np.random.default_rng(0).exponential(size=(1, 400)).repeat(2, 0)
    >>> asked = {"dropout": Asked(1.1 * rows), "L2": Asked(rows)}
    >>> {name: one.kind for name, one in answers(rows, asked, np.arange(400)).items()}
    {'dropout': 'helps', 'L2': 'no-difference'}
    """
    whole = [one for one in asked.values() if one.partitions >= FIRST]
    shared, spread = min((one.partitions for one in whole), default=0), SeedSpread()
    differences = [one.losses[:shared] - reference[:shared] for one in whole]
    differences += [one[:shared, None] for one in luck if len(one) >= shared]
    if shared > 1:
        spread.add([one for one in differences if np.isfinite(one).all()])
    result = {}
    for name, one in asked.items():
        pair = reference[: one.partitions], one.losses
        looked = LOOKED if one.partitions > FIRST else 1.0
        result[name] = answer(*(pair if one.used else pair[::-1]), units, spread, looked * widening)
    return result


def still_open(
    reference: np.ndarray,
    asked: Mapping[str, Asked],
    units: np.ndarray,
    widening: float = WIDENING,
    *,
    luck: Sequence[np.ndarray] = (),
) -> list[str]:
    """The questions that more partitions may answer: those that an interval wider by `EARLY` does not."""
    known = answers(reference, asked, units, EARLY * widening, luck=luck)
    return [name for name, one in known.items() if one.kind == "unknown" and np.isfinite(one.low)]
