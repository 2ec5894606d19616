"""A network above its frozen blocks: what comes out of them is worked out once, not at every step. N rows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CHECKED = 4  # rows by which the part above is compared with the whole
TOLERANCE = 1e-4  # relative, of float32 sums in another order


class FrozenOutput(nn.Module):
    """In the place of the last frozen block: what that block gave for these rows, whatever comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Tensor | None = None

    def forward(self, *given: Any, **named: Any) -> Tensor | None:
        """The rows that the network was called with."""
        return self.value


class PassedOn(nn.Module):
    """In the place of the other frozen blocks: what comes in goes on."""

    def forward(self, first: Any, *given: Any, **named: Any) -> Any:
        """The first of what comes in."""
        return first


class _Hand:
    """A hook before the network: rows go to the block that stands for the frozen ones, and zeros in their place through
    what there is between the blocks. A class, so that a copy of the network has a hook that knows the copy's block."""

    def __init__(self, given: FrozenOutput, rows: Tensor) -> None:
        self.given, self.shape, self.dtype = given, rows.shape[1:], rows.dtype

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.given.value = args[0]
        return args[0].new_zeros((len(args[0]), *self.shape), dtype=self.dtype), *args[1:]


@torch.no_grad()
def above_frozen(
    net: nn.Module, frozen: Sequence[str], rows: Sequence[Tensor], *, at_once: int, most_bytes: int
) -> tuple[nn.Module, list[Tensor]] | None:
    """The network without its first blocks, in their order of use, and what these give for several sets of rows.

    What is left has the names that it had, and takes what the last frozen block gave. None where there is no such
    network (a later block uses more than that), where a block gives no tensor with a row for each row, or where
    all of them would take more than `most_bytes`.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> X = torch.ones(5, 2)
    >>> above, (Z,) = above_frozen(net, ["0"], [X], at_once=2, most_bytes=1000)
    >>> list(above.state_dict()), torch.equal(above(Z), net(X))
    (['2.weight', '2.bias'], True)
    """
    if not frozen:
        return None
    whole, few = copy.deepcopy(net).eval(), rows[0][:CHECKED]
    some = _given_by(whole, frozen[-1], few)
    if some is None or some.nbytes / max(1, len(some)) * sum(map(len, rows)) > most_bytes:
        return None
    above = _without(whole, frozen, few)
    try:
        same = torch.allclose(above(some), whole(few.clone()), rtol=TOLERANCE, atol=TOLERANCE)
    except Exception:  # the user's own module, with zeros between its blocks, may raise anything
        same = False
    if not same:
        return None
    pieces = [[_given_by(whole, frozen[-1], piece) for piece in torch.split(X, at_once)] for X in rows]
    return above, [torch.cat([one for one in each if one is not None]) for each in pieces]


def _without(net: nn.Module, frozen: Sequence[str], rows: Tensor) -> nn.Module:
    result, given = copy.deepcopy(net), FrozenOutput()
    for name in frozen:
        parent, _, own = name.rpartition(".")
        setattr(result.get_submodule(parent), own, given if name == frozen[-1] else PassedOn())
    result.register_forward_pre_hook(_Hand(given, rows))
    return result


class _ReachedError(Exception):
    """The block has been reached."""


def _given_by(net: nn.Module, block: str, rows: Tensor) -> Tensor | None:
    """What a block gives for rows; None where that is not one tensor with as many rows. What lies above is not run."""
    found: list[Any] = []

    def stop(layer: nn.Module, given: Any, output: Any) -> None:
        found.append(output)
        raise _ReachedError

    handle = net.get_submodule(block).register_forward_hook(stop)
    try:
        net(rows.clone())
    except _ReachedError:
        pass
    finally:
        handle.remove()
    fits = bool(found) and isinstance(found[0], Tensor) and found[0].ndim > 1 and len(found[0]) == len(rows)
    return found[0].detach() if fits else None
