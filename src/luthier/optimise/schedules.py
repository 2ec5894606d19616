"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from luthier.drawing import draw_schedules, small_table
from luthier.errors import ConfigError, InputError, nearest, users_code
from luthier.identity import identity, name_of
from luthier.records import JsonObject

if TYPE_CHECKING:
    import plotly.graph_objects as go

KINDS = (
    *("constant", "cosine", "restarts", "exponential", "staircase", "inverse", "linear", "one-cycle", "plateau"),
    *("coslog4", "flat-cosine", "stable-decay"),
)
FLAT = 0.5  # share of the training that "flat-cosine" stays at 1
# One cycle (Smith, 2018), with PyTorch's defaults: start at 1/25, rise for 30 %, end 10,000 times lower.
ONE_CYCLE_START, ONE_CYCLE_RISE, ONE_CYCLE_FALL = 1 / 25, 0.3, 1e4


@dataclass(frozen=True)
class Schedule:
    """What a member's base rate is multiplied with at each step, by its `kind`.

    With k for `decay`, T for `period` and t the step:

    - `constant`: 1;
    - `cosine`: from 1 to 0 over the training;
    - `restarts`: cosine cycles of T steps, each `multiplier` times as long as the one before, the
      rate back at its base at the start of each;
    - `exponential`: k^(t/T); `staircase`: k^floor(t/T); `inverse`: 1 / (1 + k t/T);
    - `linear`: from 1 to 0 over the training;
    - `one-cycle`: from 1/25 up to 1 and down to nearly nothing, along cosines;
    - `coslog4`: four cosine cycles over the training, each twice as long as the one before, from 0 to 1 and back to 0:
      (1 - cos(2 pi log2(1 + 15 s))) / 2 at the share s of the training (Holzmueller and others, 2024);
    - `flat-cosine`: 1 for half of the training, then along a cosine to 0;
    - `stable-decay`: 1 until the last k of the training, then linear to 0 (with `warmup` the "WSD" of large models);
    - `plateau`: times k after T evaluations without a lower validation loss, each member by its own.

    `warmup` steps rise linearly to 1 first.

    >>> [round(Schedule("cosine").factor(t, 10), 3) for t in range(0, 11, 5)]
    [1.0, 0.5, 0.0]
    >>> Schedule("restarts", period=4).factor(4, 8)
    1.0
    >>> Schedule("staircase", decay=0.5, period=10).factor(25, 100)
    0.25
    >>> [round(Schedule("stable-decay", decay=0.2).factor(t, 100), 2) for t in (79, 90, 100)]
    [1.0, 0.5, 0.0]
    """

    kind: str = "constant"
    warmup: int = 0
    period: int = 1
    multiplier: float = 1.0
    decay: float = 0.1

    def __post_init__(self) -> None:
        mistakes = []
        if self.kind not in KINDS:
            hint = nearest(self.kind, KINDS)
            mistakes.append(f"schedule '{self.kind}' is not one of {', '.join(KINDS)}; {hint}".rstrip("; "))
        if self.period < 1 or self.warmup < 0 or self.multiplier <= 0 or self.decay <= 0:
            mistakes.append(
                "a schedule needs a period of at least 1, a warm-up of at least 0, a multiplier and decay above 0; got "
                f"period {self.period}, warmup {self.warmup}, multiplier {self.multiplier:g}, decay {self.decay:g}"
            )
        if mistakes:
            raise ConfigError(mistakes)

    @property
    def name(self) -> str:
        """Its kind, and what differs from the usual.

        >>> Schedule("cosine").name, Schedule("restarts", period=50).name
        ('cosine', 'restarts(period=50)')
        """
        usual = {field.name: field.default for field in fields(self)}
        own = [f"{name}={value}" for name, value in asdict(self).items() if name != "kind" and value != usual[name]]
        return f"{self.kind}({', '.join(own)})" if own else self.kind

    def factor(self, step: int, total: int) -> float:
        """The multiplier at `step` (from 0) of a training of `total` steps; 1 for a plateau not yet met."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        t, total = step - self.warmup, max(1, total - self.warmup)
        match self.kind:
            case "cosine":
                return _half_cosine(t / total)
            case "linear":
                return max(0.0, 1 - t / total)
            case "exponential":
                return float(self.decay ** (t / self.period))
            case "staircase":
                return float(self.decay ** (t // self.period))
            case "inverse":
                return 1 / (1 + self.decay * t / self.period)
            case "coslog4":
                return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * min(1.0, t / total))))
            case "flat-cosine":
                return _half_cosine(max(0.0, t / total - FLAT) / (1 - FLAT))
            case "stable-decay":
                return min(1.0, max(0.0, 1 - t / total) / self.decay)
            case "one-cycle":
                return _one_cycle(t, total)
            case "restarts":
                return self._restarted(t)
            case _:
                return 1.0

    def curve(self, total: int, learning_rate: float = 1.0) -> list[float]:
        """The rate at every step of a training of `total` steps, before it is run (a plateau is not foreseen).

        >>> Schedule("staircase", decay=0.1, period=2).curve(4, learning_rate=1.0)
        [1.0, 1.0, 0.1, 0.1]
        """
        return [learning_rate * self.factor(step, total) for step in range(total)]

    def plot(self, total: int = 1000, learning_rate: float = 1.0) -> go.Figure:
        """The rate at every step of a training of `total` steps, as a figure.

        >>> len(Schedule("cosine").plot(100).data[0].y)
        100
        """
        return draw_schedules({self.kind: self.curve(total, learning_rate)})

    def _repr_html_(self) -> str:
        """A notebook shows the multiplier of the rate at tenths of a training of a thousand steps."""
        curve = self.curve(1000)
        shares = [(f"{k} %", f"{curve[min(999, 10 * k)]:.3g}") for k in range(0, 101, 10)]
        return small_table((f"{self.kind}, of the training", "rate, times"), shares)

    def _restarted(self, t: int) -> float:
        length = float(self.period)
        while t >= length:
            t -= round(length)
            length = max(1.0, length * self.multiplier)
        return _half_cosine(t / length)

    def to_json(self) -> JsonObject:
        """The schedule as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schedule:
        """The schedule that `to_json` gave."""
        return cls(**value)


@dataclass(frozen=True, repr=False)
class CustomSchedule:
    """A schedule of your own: `function(step, total)` is what the base rate is multiplied with, steps counted from 0.

    >>> CustomSchedule(lambda step, total: 1 - step / total).curve(4)
    [1.0, 0.75, 0.5, 0.25]
    """

    function: Callable[[int, int], float]
    kind: ClassVar[str] = "custom"
    warmup: ClassVar[int] = 0
    period: ClassVar[int] = 1
    decay: ClassVar[float] = 1.0

    def __repr__(self) -> str:
        return f"CustomSchedule({identity(self.function)})"

    @property
    def name(self) -> str:
        """That of its function."""
        return name_of(self.function)

    def factor(self, step: int, total: int) -> float:
        """The multiplier at `step` (from 0) of a training of `total` steps. InputError where it is not a size."""
        with users_code("the schedule cannot be computed", expected="a function (step, total) -> number"):
            result = float(self.function(step, total))
        if not 0 <= result < math.inf:
            raise InputError(
                f"the schedule gives no multiplier of the rate at step {step}",
                expected="a number of at least 0",
                received=str(result),
            )
        return result

    def curve(self, total: int, learning_rate: float = 1.0) -> list[float]:
        """The rate at every step of a training of `total` steps, before it is run."""
        return [learning_rate * self.factor(step, total) for step in range(total)]


AnySchedule = Schedule | CustomSchedule


def schedule_for(schedule: Any) -> AnySchedule:
    """A schedule by its kind, as it is, or of one's own: a function (step, total) -> multiplier of the rate.

    >>> schedule_for("cosine").kind, schedule_for(lambda step, total: 0.5).kind
    ('cosine', 'custom')
    """
    if isinstance(schedule, Schedule | CustomSchedule):
        return schedule
    if isinstance(schedule, str):
        return Schedule(schedule)
    if callable(schedule) and not isinstance(schedule, type):
        return CustomSchedule(schedule)
    raise ConfigError([f"schedule is a name, a Schedule or a function (step, total) -> multiplier, not {schedule!r}"])


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _one_cycle(t: int, total: int) -> float:
    top = ONE_CYCLE_RISE * total - 1
    if t <= top:
        return 1 + (ONE_CYCLE_START - 1) * _half_cosine(t / top)
    end = ONE_CYCLE_START / ONE_CYCLE_FALL
    return end + (1 - end) * _half_cosine((t - top) / max(1.0, total - 1 - top))
