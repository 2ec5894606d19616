"""Several targets of one network as one kind: the heads' kinds, their outputs and answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from luthier.kinds.inference import KINDS


def _slices(widths: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(end - width, end) for end, width in zip(accumulate(widths), widths, strict=True))


@dataclass(frozen=True)
class JointKind:
    """The `kinds` of T targets by name, and how many of a network's outputs each takes.

    An answer is what the mean over networks is taken of: a probability for each class, or a number. `factors` say how
    much the loss of a row that has a target counts, so that the mean over all rows is the loss that is minimised.

    >>> joint = JointKind(("regression", "binary", "ordered"), (1, 1, 3), (1.0, 1.0, 1.0))
    >>> joint.answers
    (slice(0, 1, None), slice(1, 3, None), slice(3, 7, None))
    """

    kinds: tuple[str, ...]
    widths: tuple[int, ...]
    factors: tuple[float, ...]

    @property
    def places(self) -> tuple[slice, ...]:
        """Where each target's outputs lie."""
        return _slices(self.widths)

    @property
    def answers(self) -> tuple[slice, ...]:
        """Where each target's answers lie: two probabilities come from one output, C from C - 1 cuts."""
        kinds = [KINDS[name] for name in self.kinds]
        more = [kind.family == "binary" or kind.is_ordered for kind in kinds]
        return _slices([width + one for width, one in zip(self.widths, more, strict=True)])
