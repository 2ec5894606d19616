"""Adam's kernel, run by a stand-in for Triton: the formula's numbers, at every place of every member."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from luthier.optimise import RULES, adam_kernel, rules


class Pointer(NamedTuple):
    """Places in the memory of a tensor."""

    memory: Tensor
    at: Tensor

    def __add__(self, further: Tensor) -> Pointer:  # type: ignore[override]
        return Pointer(self.memory, self.at + further)


def program(member: int, block: int) -> SimpleNamespace:
    """What one program of the kernel sees of Triton's language."""

    def load(pointer: Pointer, mask: Tensor | None = None) -> Tensor:
        inside = torch.ones_like(pointer.at, dtype=torch.bool) if mask is None else mask
        return torch.where(inside, pointer.memory[torch.where(inside, pointer.at, 0)], torch.nan)

    def store(pointer: Pointer, value: Tensor, mask: Tensor) -> None:
        pointer.memory[pointer.at[mask]] = value[mask]

    ids = torch.tensor([block, member])
    return SimpleNamespace(
        program_id=lambda axis: ids[axis],
        arange=torch.arange,
        int64=torch.int64,
        load=load,
        store=store,
        sqrt=torch.sqrt,
    )


@pytest.mark.parametrize("step", [1, 7])
def test_the_kernel_computes_the_formula(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    members, columns, block = 3, 10, 4  # the last block of a row is not whole
    generator = torch.Generator().manual_seed(0)
    P, G, mean, square = torch.rand(4, members, columns, generator=generator, dtype=torch.float64)
    hyper = {
        name: torch.tensor(values, dtype=torch.float64).unsqueeze(1)
        for name, values in {
            "rate": [0.1, 0.01, 0.2],
            "beta1": [0.9, 0.8, 0.0],
            "beta2": [0.999, 0.9, 0.99],
            "epsilon": [1e-8, 1e-3, 1e-7],
        }.items()
    }
    wanted = [value.clone() for value in (P, mean, square)]
    RULES["adam"].update(wanted[0], G.clone(), {"mean": wanted[1], "square": wanted[2]}, hyper, step)

    def kernel(P: Tensor, G: Tensor, mean: Tensor, square: Tensor, own: Tensor) -> None:
        pointers = [Pointer(value.view(-1), torch.tensor(0)) for value in (P, G, mean, square, own)]
        for member in range(members):
            for place in range(-(-columns // block)):
                monkeypatch.setattr(adam_kernel, "tl", program(member, place))
                adam_kernel._step(*pointers, columns, block)

    monkeypatch.setattr(rules, "_adam_kernel", lambda device, dtype: kernel)
    assert rules._one_pass(P, G, {"mean": mean, "square": square}, hyper, step)
    for found, value in zip((P, mean, square), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-14)


def test_without_a_kernel_the_formula_serves() -> None:
    assert rules._adam_kernel(torch.device("cpu"), torch.float64) is None
