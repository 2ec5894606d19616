"""Matrix products of a stack, by the library that is fastest at their size.

PyTorch multiplies float32 matrices with MKL, which keeps to AVX2 on processors that are not Intel's.
oneDNN, which comes with PyTorch too, uses AVX-512 there, and takes half the time from a few million
operations on where that is twice as wide: on AMD's since Zen 5. Zen 4 does AVX-512 in halves, and MKL is
the faster one. The choice follows from the processor and the sizes alone, never from a clock, so that the
same run gives the same numbers again.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ZEN_5 = 26  # AMD's number of that family
ONEDNN_FROM = 3_000_000  # floating-point operations of one product; below, its calls cost what it saves


@cache
def onednn() -> Any:
    """oneDNN's product (a [I, K], b [J, K]) -> a b^T, where it beats MKL; else None."""
    operations = torch.ops.mkldnn
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not hasattr(operations, "_linear_pointwise"):
        return None
    facts = Path("/proc/cpuinfo")
    return operations._linear_pointwise if facts.exists() and _is_whole(facts.read_text()[:1000]) else None


def _is_whole(facts: str) -> bool:
    """Whether the processor of these lines of /proc/cpuinfo is one of AMD's whose AVX-512 units are 512 bits wide.

    >>> _is_whole("vendor_id : AuthenticAMD\\ncpu family : 26"), _is_whole("vendor_id : AuthenticAMD\\ncpu family : 25")
    (True, False)
    """
    family = re.search(r"^cpu family\s*:\s*(\d+)", facts, re.MULTILINE)
    return "AuthenticAMD" in facts and family is not None and int(family[1]) >= ZEN_5


def _with_onednn(a: Tensor, columns: int) -> Any:
    large = 2 * a.shape[-2] * a.shape[-1] * columns >= ONEDNN_FROM
    return onednn() if large and a.dtype == torch.float32 and a.device.type == "cpu" else None


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None, bf16: bool = False) -> Tensor:
    """a [M, I, K] times b [M, K, J], into `out` [M, I, J] where it is given; `low` multiplies in bfloat16."""
    if bf16:
        result = torch.bmm(a.bfloat16(), b.bfloat16()).to(a.dtype)
        return result if out is None else out.copy_(result)
    linear = _with_onednn(a, b.shape[2])
    if linear is None:
        return torch.bmm(a, b) if out is None else torch.bmm(a, b, out=out)
    if out is None:
        if len(a) == 1:
            return _one(linear, a[0], b[0].mT).unsqueeze(0)
        out = a.new_empty(a.shape[0], a.shape[1], b.shape[2])
    for m in range(len(a)):
        out[m].copy_(_one(linear, a[m], b[m].mT))
    return out


def _one(linear: Any, a: Tensor, b: Tensor) -> Tensor:
    """a [I, K] times b^T [J, K]; a slice of a wider matrix would send oneDNN to its reference code."""
    if not (b.is_contiguous() or b.mT.is_contiguous()):
        b = b.contiguous()
    result: Tensor = linear(a, b, None, "none", [], "")
    return result


def stays_small(rows: int, numbers: int) -> bool:
    """Whether no product of so many rows with matrices of at most so many numbers is worth oneDNN's calls."""
    return 2 * rows * numbers < ONEDNN_FROM


def take_product(w: Tensor, a: Tensor, b: Tensor, *, bf16: bool = False) -> None:
    """Subtract a [M, I, K] times b [M, K, J] from `w` [M, I, J] in place."""
    if bf16 or _with_onednn(a, b.shape[2]) is not None:
        w.sub_(product(a, b, bf16=bf16))
    else:
        w.baddbmm_(a, b, alpha=-1)
