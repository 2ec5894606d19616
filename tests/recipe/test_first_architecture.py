"""How wide the first hidden layer is."""

from __future__ import annotations

import pytest

from luthier.recipe.decisions.starting_network import first_width, midpoint_width, sample_width


def test_the_two_rules_of_thumb() -> None:
    assert midpoint_width(784, 10) == 397
    assert sample_width(50_000, 784, 10, 2) == pytest.approx(31.5, abs=0.05)
    assert sample_width(50_000, 784, 10, 10) == pytest.approx(6.3, abs=0.05)
    assert first_width(3, 2, 1) >= 1
