"""The studio's pages that are a formula, computed live: their numbers against the same formula written out."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("dash")

from luthier.studio.small import neuron


@pytest.mark.parametrize("epoch", [0, 1, 150, 300])
@pytest.mark.parametrize(("w", "b"), [(0.6, 0.9), (2.0, 2.0)])
def test_the_neuron_of_the_page_is_the_formulas(w: float, b: float, epoch: int) -> None:
    """An input of 1 and a target of 0; by the quadratic cost w and b fall by eta a a (1 - a)."""
    shown = dict(neuron({"w": w, "b": b, "eta": 0.15, "cost": "quadratic", "epoch": epoch}).numbers)
    for _ in range(epoch):
        a = 1 / (1 + math.exp(-(w + b)))
        step = 0.15 * a * a * (1 - a)
        w, b = w - step, b - step
    a = 1 / (1 + math.exp(-(w + b)))
    wanted = {"epoch": epoch, "weight": w, "bias": b, "output": a, "cost": a * a / 2}
    assert {name: float(number) for name, number in shown.items()} == pytest.approx(wanted, abs=6e-5)
