"""What is looked at in a target before its kind is decided; `data` measures it."""

from __future__ import annotations

from dataclasses import dataclass

SKEWED = 1.0  # a sample skewness above 1 is commonly called high


@dataclass(frozen=True)
class TargetFacts:
    """What is asked of a target before its task is decided; kept as the evidence for it. `spread` is the
    largest less the smallest number, `skew` and `log_skew` the skewness of positive numbers and of their logarithms,
    `asked` the task that was asked for.

    Of numbers: the `lowest`; the share of rows that are 0 (`zeros`), that have the largest value (`largest`) and that
    lie above the middle of the range (`upper`); how many whole numbers are not there below the 95 % quantile (`gaps`);
    the skewness of all (`bent`). `scale` are the levels in the order of a scale that is known, `scaled_by` from what.
    Where cells are lists, `listed` is one of them and `labels` how many different ones they hold.
    """

    numeric: bool
    fractions: bool
    distinct: int
    spread: float = 0.0
    skew: float | None = None
    log_skew: float | None = None
    asked: str | None = None
    lowest: float | None = None
    zeros: float = 0.0
    largest: float = 0.0
    upper: float = 0.0
    gaps: int = 0
    bent: float = 0.0
    scale: tuple[str, ...] = ()
    scaled_by: str = ""
    listed: str = ""
    labels: int = 0

    @property
    def log_scale(self) -> bool:
        """Whether the logarithm is modelled: positive numbers with a long tail that it shortens."""
        if self.skew is None or self.log_skew is None:
            return False
        return self.skew > SKEWED and abs(self.log_skew) < self.skew
