"""Dropout masks from counters: where a bit stands decides what it is, not what was drawn before.

M members, L layers, B rows, U units. A mask's bits follow from the member's own seed, the layer, the batch's number,
the row's place in the whole batch and the unit: so they are the same alone and in company, in one process and in
several, on every device, and nothing has to be kept for resuming. A 64-bit hash gives the numbers of four units.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.seeds import derive

# SplitMix64 (Steele, Lea and Flood, 2014): the odd step between counters, and the two factors that mix.
STEP, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
LAYER = -0x3C6EF372FE94F82B  # another odd step, between layers
LEVELS = 1 << 16  # that a probability is rounded to
AHEAD = 64  # batches whose keys are worked out together


class Drop(NamedTuple):
    """What members drop of a layer, as bits are compared with: those below `least` [M, 1, 1]; `scale` [M, 1, 1]."""

    least: Tensor
    scale: Tensor

    @classmethod
    def of(cls, shares: Sequence[float], dtype: torch.dtype, device: torch.device | None = None) -> Drop:
        """From probabilities, which are rounded to 1 / 65,536; the scale is that of the rounded ones."""
        return cls.of_layers(torch.tensor([shares], dtype=torch.float64), dtype, device)[0]

    @classmethod
    def of_layers(cls, shares: Tensor, dtype: torch.dtype, device: torch.device | None = None) -> list[Drop]:
        """One for each layer, from probabilities [L, M] in float64."""
        levels = (shares * LEVELS).round_().clamp_(0, LEVELS)
        # In the bits' own type a comparison is four times as fast; where everything is dropped the scale is 0.
        least = (levels.clamp_max(LEVELS - 1) - LEVELS // 2).to(torch.int16).to(device)
        scale = torch.where(levels < LEVELS, LEVELS / (LEVELS - levels).clamp_min(1), 0.0).to(dtype).to(device)
        shape = (*shares.shape, 1, 1)
        return [cls(*layer) for layer in zip(least.view(shape), scale.view(shape), strict=True)]


def mask_seeds(seeds: Sequence[int], device: torch.device | None = None) -> Tensor:
    """What each member's masks follow from [M]."""
    return torch.tensor([derive(seed, "masks") for seed in seeds], dtype=torch.int64, device=device)


def mask_keys(seeds: Tensor, layers: int, numbers: int | Tensor) -> Tensor:
    """A key [L, M] for each layer and member, of the batch of this number; of many, [S, 1, 1], keys [S, L, M]."""
    steps = torch.arange(1, layers + 1, device=seeds.device).unsqueeze(1) * LAYER
    if isinstance(numbers, int):  # worked out here: a number that is sent to a GPU is waited for
        return _mixed(_mixed(seeds + _wrapped(numbers * STEP)) + steps)
    return _mixed(_mixed(seeds + numbers * STEP) + steps)


def _wrapped(number: int) -> int:
    """A whole number as 64 bits with a sign hold it."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def mask(keys: Tensor, drop: Drop, rows: int, units: int, *, start: int = 0) -> Tensor:
    """Inverted masks [M, B, U] by keys [M]; the first row is the one numbered `start` of the whole batch.

    >>> drop = Drop.of([0.5, 0.0], torch.float32)
    >>> few = mask(mask_keys(mask_seeds([0, 1]), layers=1, numbers=0)[0], drop, rows=4, units=3)
    >>> sorted(few[0].unique().tolist()), few[1].unique().tolist()
    ([0.0, 2.0], [1.0])
    """
    words = -(-units // 4)
    bits = _mixed(keys.view(-1, 1, 1) + _counters(rows, words, start, keys.device)).view(torch.int16)
    # Written as numbers at once: as truth values, and these as numbers, it takes seven times as long.
    result = torch.ge(bits, drop.least, out=bits.new_empty(bits.shape, dtype=drop.scale.dtype)).mul_(drop.scale)
    return result if units == 4 * words else result[:, :, :units]


class LayerMasks:
    """The masks of each hidden layer of a stack, by the number of a batch.

    `drops` [M, L] are the members' probabilities, `units` those of each layer. Keys are worked out for many batches at
    a time: of a small network they would take as long as its step.
    """

    def __init__(self, seeds: Tensor, drops: Tensor, units: Sequence[int], dtype: torch.dtype) -> None:
        self.seeds, self.drops, self._units, self._dtype = seeds, drops, units, dtype
        self._shares = drops.T.to("cpu", torch.float64)
        self._dropping = self._shares.any(1).tolist()
        self.scale(torch.ones(len(drops), dtype=torch.float64))
        self._none: list[Tensor | None] = [None] * len(units)
        self._read = list[Tensor]()  # by what was recorded: it has to stay where it is
        self._some, self._first = any(self._dropping), -1

    def scale(self, factors: Tensor) -> None:
        """Drop so many times the members' probabilities [M] from now on."""
        drops = Drop.of_layers(self._shares * factors, self._dtype, self.seeds.device)
        self._drops = [drop if drops_any else None for drop, drops_any in zip(drops, self._dropping, strict=True)]

    def __call__(self, number: int | Tensor, rows: int, start: int = 0) -> list[Tensor | None]:
        """A mask [M, B, U] for each layer, None where nothing drops; the number may be a tensor []."""
        if not self._some:
            return self._none
        if isinstance(number, Tensor):
            keys = mask_keys(self.seeds, len(self._units), number)
            self._read += [_counters(rows, -(-units // 4), start, keys.device) for units in self._units]
        else:
            first = number // AHEAD * AHEAD
            if first != self._first:
                steps = torch.arange(first, first + AHEAD, device=self.seeds.device).view(-1, 1, 1)
                self._first, self._keys = first, mask_keys(self.seeds, len(self._units), steps)
            keys = self._keys[number - first]
        layers = enumerate(zip(self._drops, self._units, strict=True))
        return [None if drop is None else mask(keys[i], drop, rows, units, start=start) for i, (drop, units) in layers]


@lru_cache(maxsize=64)
def _counters(rows: int, words: int, start: int, device: torch.device) -> Tensor:
    """One counter for four units of a row [1, B, words]."""
    return (torch.arange(start * words, (start + rows) * words, device=device) * STEP).view(1, rows, words)


def _mixed(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place. Shifts of signed numbers carry their sign, which is masked away."""
    shifted = torch.empty_like(x)
    for bits, factor in ((30, FIRST), (27, SECOND), (31, 1)):
        torch.bitwise_right_shift(x, bits, out=shifted)
        x.bitwise_xor_(shifted.bitwise_and_((1 << (64 - bits)) - 1))
        if factor != 1:
            x.mul_(factor)
    return x
