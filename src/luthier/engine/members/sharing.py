"""One batch shared by several processes: what each of them holds of it, and sums over all of them.

A process computes with its own rows; whatever is a mean over the batch (a gradient, a loss, batch norm's mean and
variance) is the sum of the processes' parts, so that the numbers are those of one process up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class BatchShare:
    """The rows of a batch of `total` that this process has: `rows` of them from the one numbered `start`."""

    start: int
    rows: int
    total: int

    @classmethod
    def of(cls, place: int, processes: int, total: int) -> BatchShare:
        """The share of one process: as even as can be.

        >>> [BatchShare.of(place, 3, 10).rows for place in range(3)]
        [3, 3, 4]
        """
        start, stop = place * total // processes, (place + 1) * total // processes
        return cls(start, stop - start, total)

    @property
    def slice(self) -> slice:
        """The rows as a slice of the whole batch."""
        return slice(self.start, self.start + self.rows)


_share: ContextVar[BatchShare | None] = ContextVar("share", default=None)


@contextmanager
def sharing(share: BatchShare) -> Iterator[None]:
    """What is computed inside is of a share of the batch."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def current() -> BatchShare | None:
    """The share that is being computed with; None where one process has the whole batch."""
    return _share.get()


def several_processes() -> bool:
    """Whether this process is one of several that were started together (torchrun)."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of several GPUs the one with its number on this machine."""
    if device.type != "cuda":
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", distributed.get_rank())))


class _Summed(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its derivative, as every process's loss depends on the sum."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, value: Tensor) -> Tensor:
        total = value.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *slopes: Tensor) -> Tensor:
        total = slopes[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


def summed(value: Tensor) -> Tensor:
    """The sum over all processes that share a batch; the value itself where one process has it all."""
    if current() is None:
        return value
    result: Tensor = _Summed.apply(value)  # type: ignore[no-untyped-call]
    return result


def mean_of_rows(value: Tensor) -> Tensor:
    """The mean [M, 1, H] over the whole batch of values [M, B, H]."""
    share = current()
    return value.mean(1, keepdim=True) if share is None else summed(value.sum(1, keepdim=True)) / share.total


class _SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose mean and variance are those of the whole batch, wherever its rows are."""

    def forward(self, x: Tensor) -> Tensor:
        share = current()
        if share is None or not self.training:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        axes, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        count = x.numel() // x.shape[1] // share.rows * share.total
        mean = summed(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = summed(centred.square().sum(axes)) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                part = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), part)
                self.running_var.lerp_((variance * count / max(1, count - 1)).to(self.running_var.dtype), part)
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        return normal * self.weight.view(shape) + self.bias.view(shape) if self.affine else normal


class _SharedNorm1d(_SharedNorm, nn.BatchNorm1d):
    pass


class _SharedNorm2d(_SharedNorm, nn.BatchNorm2d):
    pass


class _SharedNorm3d(_SharedNorm, nn.BatchNorm3d):
    pass


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _SharedNorm1d,
    nn.BatchNorm2d: _SharedNorm2d,
    nn.BatchNorm3d: _SharedNorm3d,
}


def share_norms(module: nn.Module) -> nn.Module:
    """The module, its batch norms counting the rows of all processes while a batch is shared; names stay."""
    for layer in module.modules():
        if type(layer) in _SHARED:
            layer.__class__ = _SHARED[type(layer)]
    return module
