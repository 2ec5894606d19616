"""One target's part of a network with several heads: the same trunk under the outputs of that target alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from luthier.nets.spec import DenseSpec


def one_head(spec: DenseSpec, place: slice) -> DenseSpec:
    """The network that has the outputs in `place` alone.

    >>> one_head(DenseSpec(3, (8,), 6, constant_outputs=(4, 5)), slice(3, 6)).constant_outputs
    (1, 2)
    """
    constant = tuple(at - place.start for at in spec.constant_outputs if place.start <= at < place.stop)
    return replace(spec, outputs=place.stop - place.start, constant_outputs=constant)


def state_of_head(spec: DenseSpec, state: Mapping[str, Tensor], place: slice) -> dict[str, Tensor]:
    """The weights of `one_head`'s network: its outputs are those in `place`."""
    last = f"layers.{len(spec.hidden)}."
    return {name: value[place].clone() if name.startswith(last) else value for name, value in state.items()}
