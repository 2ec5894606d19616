"""Dropout by the masks of a member of its own, in modules of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import prod

import torch
from torch import Tensor, nn

from luthier.engine.members.masks import Drop, mask
from luthier.engine.members.sharing import current


class OwnDropout(nn.Module):
    """Inverted dropout by masks that follow from a key, or that come from outside.

    `spread` trailing axes share one draw (0: each entry has its own, 2: whole channels of pictures). The
    probability is a buffer, so that members of one population can differ in it. Without a key it draws as
    `nn.Dropout` does.
    """

    def __init__(self, p: float, *, spread: int) -> None:
        super().__init__()
        self.p: Tensor
        self.register_buffer("p", torch.tensor(p, dtype=torch.float64))
        self.spread = spread
        self._key: Tensor | None = None
        self._share: float | None = None
        self._masks: Sequence[Tensor] = ()
        self.shapes: list[torch.Size] = []  # of a mask at each call since `begin`

    def begin(self, key: Tensor | None = None, masks: Sequence[Tensor] = (), *, p: float | None = None) -> None:
        """Start a pass with a key [1], or with the masks of each call; `p` spares it a look at its buffer."""
        self._key, self._masks, self._share, self.shapes = key, masks, p, []

    def forward(self, x: Tensor) -> Tensor:
        """x with a share of about p of its entries set to 0, the others divided by 1 - p."""
        if not self.training:
            return x
        call, shape = len(self.shapes), self._shape(x)
        self.shapes.append(shape)
        if self._masks:
            return x * self._masks[call]
        p = float(self.p) if self._share is None else self._share
        if p == 0:
            return x
        if self._key is None:
            return x * torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - p) / max(1 - p, 1e-12)
        return x * masks_of(self._key, _drop(p, x.dtype, x.device), shape, call)[0]

    def _shape(self, x: Tensor) -> torch.Size:
        return torch.Size((*x.shape[: x.ndim - self.spread], *[1] * self.spread))


@lru_cache(maxsize=64)
def _drop(p: float, dtype: torch.dtype, device: torch.device) -> Drop:
    return Drop.of([p], dtype, device)


def masks_of(keys: Tensor, drop: Drop, shape: torch.Size, call: int) -> Tensor:
    """Masks [M, *shape] of a layer's inputs [B, ...] by keys [M]; every call of one pass has its own."""
    share = current()
    start = 0 if share is None else share.start
    return mask(keys + call, drop, shape[0], prod(shape[1:]), start=start).reshape(len(keys), *shape)


DROPOUTS: dict[type[nn.Module], int] = {nn.Dropout: 0, nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}


def own_dropouts(module: nn.Module) -> Iterator[OwnDropout]:
    """The dropout layers that draw by a member's keys, in order."""
    return (layer for layer in module.modules() if isinstance(layer, OwnDropout))
