"""Whether a loss compares each row's output with its own target, or lets PyTorch stretch one over the other.

Outputs [B, 1] minus targets [B] are B x B differences: every row is compared with every other one, the loss is a number
like any other, and the network learns the mean. B rows, K targets of one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from luthier.errors import InputError

SAID_BY_PYTORCH = "Using a target size"  # how PyTorch's own losses begin the warning


class _Stretching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operation that makes more of outputs and targets, as they came or changed entry by entry, than each is.

    What a loss selects, reshapes or expands itself is its own affair. With `members` outputs have an axis before rows.
    """

    def __init__(self, outputs: Any, targets: Tensor, *, members: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found, self._skipped = False, int(members)
        self._held = [tensor for tensor in (*tree_leaves(outputs), targets) if isinstance(tensor, Tensor)]
        self._of = {id(tensor): tensor is targets for tensor in self._held}  # True: targets, False: outputs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = [tensor for tensor in tree_leaves((args, kwargs)) if id(tensor) in self._of]
        kinds = {self._of[id(tensor)] for tensor in known}
        for tensor in tree_leaves(result):
            if not isinstance(tensor, Tensor) or not known:
                continue
            shapes = [one.shape for one in known]
            rows = {tuple(one.shape if self._of[id(one)] else one.shape[self._skipped :]) for one in known}
            if len(kinds) == 2 and len(rows) > 1:
                self.found = self.found or (_broadcast(shapes) == tensor.shape and tensor.numel() > 1)
            elif len(kinds) == 1 and tensor.shape == shapes[0]:
                self._held.append(tensor)  # so that no other tensor gets its number
                self._of[id(tensor)] = next(iter(kinds))
        return result


def _broadcast(shapes: list[torch.Size]) -> torch.Size | None:
    try:
        return torch.Size(np.broadcast_shapes(*shapes))
    except ValueError:
        return None


@contextmanager
def no_stretching(outputs: Any, targets: Tensor, *, members: bool = False) -> Iterator[None]:
    """A loss of these outputs and targets runs inside; InputError where it lets PyTorch broadcast them.

    >>> o, t = torch.zeros(8, 1), torch.zeros(8)
    >>> with no_stretching(o, t):
    ...     loss = (o[:, 0] - t).square().mean()
    >>> with no_stretching(o, t):
    ...     loss = (o - t).square().mean()
    Traceback (most recent call last):
    luthier.errors.InputError: the loss would compare outputs and targets of other rows
      expected: outputs and targets of one shape
      received: outputs [8, 1] and targets [8], which PyTorch broadcasts to [8, 8]
      try: give the targets the outputs' shape (y[:, None], or .squeeze(1) in the module); expand one in the loss if ...
    """
    looking = _Stretching(outputs, targets, members=members)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with looking:
            yield
    if looking.found or any(str(one.message).startswith(SAID_BY_PYTORCH) for one in caught):
        shapes = [tensor.shape for tensor in (*tree_leaves(outputs), targets) if isinstance(tensor, Tensor)]
        both, first = _broadcast(shapes), list(shapes[0])
        raise InputError(
            "the loss would compare outputs and targets of other rows"
            if both is not None and both.numel() > max(shape.numel() for shape in shapes)
            else "the loss would compare one output with several targets, or several with one",
            expected="outputs and targets of one shape",
            received=f"outputs {first} and targets {list(targets.shape)}"
            + ("" if both is None else f", which PyTorch broadcasts to {list(both)}"),
            remedy="give the targets the outputs' shape (y[:, None], or .squeeze(1) in the module); "
            "expand one in the loss if that is meant",
        )


def looked_at(function: Callable[..., Any], outputs: Any, targets: Tensor, *, members: bool = False) -> Any:
    """What a function of outputs and targets returns; InputError where it lets PyTorch broadcast them."""
    with no_stretching(outputs, targets, members=members):
        return function(outputs, targets)
