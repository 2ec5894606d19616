"""What a transfer came to: the network, and what each number of unfrozen blocks measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired

from torch import nn
from typing_extensions import TypedDict


class StoredGain(TypedDict):
    """A paired gain in validation loss (see `statistics.paired.Gain`)."""

    gain: float | None
    half_width: float | None
    pairs: int
    clear: bool


class CutOption(TypedDict):
    """What heads on an earlier block measured."""

    block: str
    loss: float
    score: float
    gain: StoredGain


class DepthOption(TypedDict):
    """What a number of unfrozen blocks measured; see `Transferred`."""

    unfrozen: int
    blocks: list[str]
    rates: list[float]
    loss: float
    score: float
    norms: NotRequired[str]
    gain: NotRequired[StoredGain]
    whole: NotRequired[bool]


class Advice(TypedDict):
    """What rules of thumb would have said."""

    few: bool
    similar: bool
    ratio: float
    blocks: int
    sentence: str


@dataclass(frozen=True)
class Transferred:
    """The network, how many of its blocks below the head were unfrozen, and what each number of them measured.

    `options` has for each: `unfrozen`, `blocks` (their names), `rates` (of the blocks that learn), what the
    averages of batch `norms` in them do, `loss` over seeds and rows, `score` (the share that is right, or the root
    mean squared error), and `gain` over the best option before it; `whole` marks the whole network, tried against one
    that was cut. `taken` is the place of the one that was taken. `statistics` says which averages the
    batch norms below have, `statistics_gain` what those of the new rows would gain or gained. `cut` holds what
    heads on earlier blocks measured; the network `ends_at` one of them where that gained clearly. `advice` holds
    what rules of thumb would have said: whether rows are few, whether the tasks are similar (by how much better the
    features are than those of the same module untrained), and how many blocks that means.
    """

    module: nn.Module
    taken: int
    options: tuple[DepthOption, ...]
    statistics: str
    statistics_gain: StoredGain | None
    cut: tuple[CutOption, ...]
    ends_at: str
    advice: Advice

    @property
    def unfrozen(self) -> int:
        """How many blocks below the head learnt."""
        return int(self.options[self.taken]["unfrozen"])

    def __str__(self) -> str:
        lines = [f"{self.unfrozen} blocks unfrozen below the head; batch norm with {self.statistics}"]
        lines += [
            f"  head on block {one['block']}: loss {one['loss']:.4f}, score {one['score']:.4f}" for one in self.cut
        ]
        for option in self.options:
            gain = option.get("gain")
            message = f", gain {gain['gain']:+.4f} ± {gain['half_width']:.4f}" if gain else ""
            message += f", batch norms {option['norms']}" if "norms" in option else ""
            whole = ", of the whole network" if option.get("whole") else ""
            lines.append(
                f"  {option['unfrozen']} unfrozen{whole}: "
                f"loss {option['loss']:.4f}, score {option['score']:.4f}{message}"
            )
        return "\n".join([*lines, f"  {self.advice['sentence']}"])
