"""Learning curves are followed rightly: the law that made them is found again."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.assess import (
    fit_power_law,
    more_rows,
)


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.2])
def test_a_power_law_is_found_again(exponent: float) -> None:
    sizes = [100, 200, 400, 800]
    law = fit_power_law(sizes, [0.1 + 3 * n**-exponent for n in sizes])
    assert law.at(1600) == pytest.approx(0.1 + 3 * 1600**-exponent, rel=0.01)


def test_whether_more_rows_would_help() -> None:
    """The documents' accuracies over training sizes still rise: more would help; a flat curve says no (S1-109)."""
    sizes = [1000, 5000, 20000, 50000]
    errors = [1 - x / 100 for x in (88.85, 93.24, 95.85, 95.97)]
    rng = np.random.default_rng(0)
    rising = more_rows(sizes, [[e + 0.0005 * rng.normal() for _ in range(3)] for e in (0.5, 0.35, 0.25, 0.2)])
    assert rising["helps"]
    assert rising["low"] <= rising["gain"] <= rising["high"]
    flat = more_rows(sizes, [[0.3 + 0.002 * rng.normal() for _ in range(3)] for _ in sizes])
    assert not flat["helps"]
    law = fit_power_law(sizes, errors)
    assert law.at(50000) == pytest.approx(errors[-1], abs=0.006)
