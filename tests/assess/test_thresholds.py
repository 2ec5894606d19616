"""Thresholds cost least, and costs that cannot be are refused."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.assess import (
    Costs,
)
from luthier.errors import InputError


def test_thresholds_cost_least() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(4000)
    y = (rng.random(4000) < p).astype(int)
    for text in ("1:1", "1:5", "4:1"):
        costs = Costs.parse(text)
        threshold, cost = costs.best(p, y)
        tried = [costs.of(p, y, at) for at in np.linspace(0, 1, 201)]
        assert cost <= min(tried) + 1e-12
        assert threshold == pytest.approx(costs.threshold, abs=0.06)
        assert costs.of(p, y, threshold) == pytest.approx(cost)


@pytest.mark.parametrize("text", ["", "5", "1:0", "a:b", "1:2:3", "-1:2"])
def test_costs_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        Costs.parse(text)
