"""What frozen layers of a module give for rows: all of them by one pass, and once for all runs where it is kept.

N rows, D numbers of each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.data.vector_cache import MOST_BYTES, with_cache
from luthier.nets.blocks import first_of, pooled
from luthier.seeds import torch_generator
from luthier.shapes import Activations, Embedded

PROBED = 2  # rows by which a module is told from another one with the same weights


@torch.no_grad()
def module_digest(net: nn.Module, like: Tensor, seen: Callable[[Tensor], Tensor]) -> str:
    """The SHA-256 of a module in evaluation mode: of its layers and weights, and of what is `seen` by it in drawn rows.

    The last tells modules apart whose code differs; three digits of it, which other machines share.
    """
    shape, draw = (PROBED, *like.shape[1:]), torch_generator(0, "probe")
    if like.dtype == torch.uint8:
        rows = torch.randint(256, shape, generator=draw, dtype=torch.uint8)
    else:
        rows = torch.randn(shape, generator=draw) if like.is_floating_point() else torch.zeros(shape)
    made = seen(rows.to(like.dtype)).double()
    facts = [f"{float(value):.3g}" for value in (*made.flatten(1).mean(1), *made.flatten(1).std(1, correction=0))]
    found = sha256(f"{net}{like.dtype}{shape}{facts}".encode())
    for name, value in sorted(net.state_dict().items()):
        found.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def row_keys(X: Tensor) -> list[bytes]:
    """What each of N rows is known by in the cache: the SHA-256 of its bytes."""
    return [sha256(row.contiguous().numpy().tobytes()).digest() for row in X]


@torch.no_grad()
def seen_by(
    net: nn.Module, head: str, blocks: Sequence[str], X: Activations, at_once: int, *, kept: bool = False
) -> list[Embedded]:
    """What reaches the layer named `head`, and what comes out of several blocks, pooled: [N, D each], in evaluation
    mode. With `kept` rows that were seen before come from the user's cache, and the others are kept there.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [tuple(one.shape) for one in seen_by(net, "2", ["0"], torch.ones(5, 2), at_once=4)]
    [(5, 3), (5, 3)]
    """
    net.eval()
    widths = [one.shape[1] for one in _by_a_pass(net, head, blocks, X[:1])]
    if not kept or 4 * sum(widths) * len(X) > MOST_BYTES / 2:
        pieces = [_by_a_pass(net, head, blocks, some) for some in torch.split(X, at_once)]
        return [torch.cat(one) for one in zip(*pieces, strict=True)]

    def compute(places: list[int]) -> np.ndarray:
        pieces = (_by_a_pass(net, head, blocks, X[some]) for some in torch.split(torch.tensor(places), at_once))
        return torch.cat([torch.cat(one, 1) for one in pieces]).numpy()

    def seen(rows: Tensor) -> Tensor:
        return torch.cat(_by_a_pass(net, head, blocks, rows), 1)

    name = sha256(f"{module_digest(net, X, seen)}{head}{blocks}".encode()).hexdigest()
    found = torch.from_numpy(with_cache(name, sum(widths), row_keys(X), compute, keep=True))
    return [one.contiguous() for one in torch.split(found, widths, 1)]


def _by_a_pass(net: nn.Module, head: str, blocks: Sequence[str], X: Tensor) -> list[Tensor]:
    found: dict[str, Tensor] = {}
    with _hooked(net, head, blocks, found):
        net(X.clone())
    return [found[name] for name in ("", *blocks)]


@contextmanager
def _hooked(net: nn.Module, head: str, blocks: Sequence[str], found: dict[str, Tensor]) -> Iterator[None]:
    def reaching(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        found[""] = given[0].flatten(1).float()

    def leaving(name: str) -> Any:
        return lambda layer, given, output: found.__setitem__(name, pooled(first_of(output)).float())

    handles = [net.get_submodule(head).register_forward_pre_hook(reaching)]
    handles += [net.get_submodule(name).register_forward_hook(leaving(name)) for name in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
