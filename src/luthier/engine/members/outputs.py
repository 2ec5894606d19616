"""What modules return, and the losses that follow from it. M members, B rows of a batch, C outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from luthier.engine.members.batches import Batch, exact
from luthier.errors import InputError, users_code
from luthier.objective import Criterion, Loss


def running(inputs: Sequence[Tensor], *, compiled: bool = False) -> AbstractContextManager[None]:
    """The module, or what `torch.compile` makes of it, and the loss run inside, on what it is called with."""
    shapes = " and ".join(str(list(value.shape)) for value in inputs)
    if compiled:
        return users_code(
            "the compiled module fails on the data",
            expected=f"a module that torch.compile can translate and call with inputs of shape {shapes}",
            remedy="leave out compile=True; a compiler of C++ (or Triton, on a GPU) is needed with it",
        )
    return users_code(
        "the module fails on the data",
        expected=f"a forward pass and a loss for inputs of shape {shapes}",
        remedy="call module(x) and the loss on a batch yourself, and compare shapes and types",
    )


def one_tensor(outputs: Any, rows: int) -> Tensor:
    """A module's outputs [B, ...]. InputError for anything but one tensor with an entry for each row."""
    if not isinstance(outputs, Tensor):
        raise InputError(
            "the module's outputs cannot be scored",
            expected="one tensor",
            received=type(outputs).__name__,
            remedy="wrap the module in one that returns the tensor to learn from",
        )
    if outputs.ndim == 0 or len(outputs) != rows:
        raise InputError(
            "the module's outputs are not one for each row",
            expected=f"shape [{rows}, ...] for {rows} rows",
            received=f"shape {list(outputs.shape)}",
            remedy="return what the loss is to be computed from, row by row",
        )
    return outputs


def as_rows(outputs: Tensor) -> Tensor:
    """Outputs [M, B] or [M, B, C] of modules as [M, B, C], which losses and metrics by name take."""
    if outputs.ndim > 3 or outputs.is_complex():
        kind = "complex numbers " if outputs.is_complex() else ""
        raise InputError(
            "the module's outputs do not go with a loss by name",
            expected="real numbers of shape [B] or [B, C]",
            received=f"{kind}of shape {list(outputs.shape[1:])}",
            remedy="give the loss as a function: loss=torch.nn.functional.cross_entropy",
        )
    result = outputs.unsqueeze(-1) if outputs.ndim == 2 else outputs
    return result.to(exact(result.dtype))


def mean_of(loss: Loss | Criterion, outputs: Tensor, batch: Batch, *, bf16: bool = False) -> Tensor:
    """The (weighted) mean loss of each member [M] from outputs [M, B, ...] as the modules gave them.

    `bf16` says that they were computed in bfloat16, and learn in longer numbers. Of rows of members' own each member is
    measured on its own.
    """
    if batch.own:
        rows = zip(
            outputs, batch.targets, [None] * len(outputs) if batch.weights is None else batch.weights, strict=True
        )
        return torch.stack([_mean(loss, Z.unsqueeze(0), targets, weights, bf16)[0] for Z, targets, weights in rows])
    return _mean(loss, outputs, batch.targets, batch.weights, bf16)


def _mean(loss: Loss | Criterion, outputs: Tensor, targets: Tensor, weights: Tensor | None, bf16: bool) -> Tensor:
    if isinstance(loss, Criterion):
        return loss.mean(outputs.float() if bf16 else outputs, targets, weights)
    return loss.mean(as_rows(outputs), targets, weights)
