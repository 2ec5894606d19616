"""Dropout that draws from a member's own generator, in modules of any kind."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from luthier.engine.sharing import current


class OwnDropout(nn.Module):
    """Inverted dropout by a generator of its own, or by a mask from outside.

    `spread` trailing axes share one draw (0: each entry has its own, 2: whole channels of pictures). The
    probability is a buffer, so that members of one population can differ in it.
    """

    def __init__(self, p: float, *, spread: int) -> None:
        super().__init__()
        self.p: Tensor
        self.register_buffer("p", torch.tensor(p, dtype=torch.float64))
        self.spread = spread
        self.generator: torch.Generator | None = None
        self.mask: Tensor | None = None
        self.shape: torch.Size | None = None  # of the last input

    def forward(self, x: Tensor) -> Tensor:
        """x with a share of about p of its entries set to 0, the others divided by 1 - p."""
        if not self.training:
            return x
        self.shape = x.shape
        if self.mask is None and float(self.p) == 0:
            return x
        return x * (self.drawn(x, float(self.p)) if self.mask is None else self.mask)

    def drawn(self, like: Tensor, p: float) -> Tensor:
        """A mask for an input."""
        share = current()
        rows = like.shape[0] if share is None else share.total  # of a shared batch all rows' masks are drawn
        shape = (rows, *like.shape[1 : like.ndim - self.spread], *[1] * self.spread)
        if p == 0:
            mask = torch.ones(shape, dtype=like.dtype)
        else:
            mask = torch.empty(shape, dtype=like.dtype).bernoulli_(1 - p, generator=self.generator)
            mask.mul_(1 / max(1 - p, 1e-12))
        return mask if share is None else mask[share.slice]


DROPOUTS: dict[type[nn.Module], int] = {nn.Dropout: 0, nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}


def own_dropouts(module: nn.Module) -> Iterator[OwnDropout]:
    """The dropout layers that draw from a member's generator, in order."""
    return (layer for layer in module.modules() if isinstance(layer, OwnDropout))
