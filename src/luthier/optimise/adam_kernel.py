"""Adam's step of a whole stack as one kernel on a CUDA device: what it reads and writes passes through memory once.

The formula in `rules` makes a dozen passes, and memory is all that such a step costs on a GPU. Where Triton is missing,
or cannot compile, the formula serves. M members, P numbers of one.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # as on machines without a GPU
    triton, tl = None, SimpleNamespace(constexpr=int)

BLOCK = 2048  # numbers that one program takes


def _step(P, G, MEAN, SQUARE, OWN, columns, block: tl.constexpr):  # type: ignore[no-untyped-def]
    member = tl.program_id(1)
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < columns
    at = member.to(tl.int64) * columns + place
    step = tl.load(OWN + member * 5)
    beta1 = tl.load(OWN + member * 5 + 1)
    beta2 = tl.load(OWN + member * 5 + 2)
    root = tl.load(OWN + member * 5 + 3)
    epsilon = tl.load(OWN + member * 5 + 4)
    g = tl.load(G + at, mask=inside)
    mean = tl.load(MEAN + at, mask=inside)
    square = tl.load(SQUARE + at, mask=inside)
    mean += (1 - beta1) * (g - mean)
    square = beta2 * square + (1 - beta2) * g * g
    tl.store(MEAN + at, mean, mask=inside)
    tl.store(SQUARE + at, square, mask=inside)
    moved = tl.load(P + at, mask=inside) - step * mean / (tl.sqrt(square) * root + epsilon)
    tl.store(P + at, moved, mask=inside)


_kernel = None if triton is None else triton.jit(_step)


def adam_step(P: Tensor, G: Tensor, mean: Tensor, square: Tensor, own: Tensor) -> None:
    """Move parameters and moments [M, P] in place.

    `own` [M, 5] are each member's step, the memories of both moments, the root of the correction, and epsilon.
    """
    assert _kernel is not None
    with torch.cuda.device(P.device):
        programs = (triton.cdiv(P.shape[1], BLOCK), len(P))
        _kernel[programs](P, G, mean, square, own, P.shape[1], block=BLOCK, num_warps=8)
