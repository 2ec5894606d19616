"""Shapes are balanced and hardly correlated, settings fill their box, boxes nest and widen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import ConfigError
from luthier.statistics.designs import Box, Factor, ShapeFactor, sobol_settings, spread_shapes

CHOICES = (
    ShapeFactor("units", (64, 128, 256, 512)),
    ShapeFactor("layers", (1, 2)),
    ShapeFactor("batch size", (64, 256)),
    ShapeFactor("rule", ("sgd", "adam")),
)
FIRST = {"units": 128, "layers": 2, "batch size": 64, "rule": "adam"}


def correlations(shapes: list[dict]) -> float:
    """The largest correlation between indicator columns of different factors."""
    owner, columns = [], []
    for choice in CHOICES:
        for level in choice.levels[1:] if len(choice.levels) == 2 else choice.levels:
            owner.append(choice.name)
            columns.append([float(shape[choice.name] == level) for shape in shapes])
    with np.errstate(invalid="ignore"):  # a level that is never there has no correlation
        table = np.nan_to_num(np.abs(np.corrcoef(columns)), nan=1.0)
    other = np.array(owner)[:, None] != np.array(owner)[None]
    return float(table[other].max())


@pytest.mark.parametrize("seed", range(5))
def test_shapes_are_balanced_and_uncorrelated(seed: int) -> None:
    """4 x 2 x 2 x 2 levels have an orthogonal array of eight rows: each level as often, no correlation."""
    shapes = spread_shapes(CHOICES, 8, FIRST, seed)
    assert shapes[0] == FIRST
    assert len({tuple(shape.values()) for shape in shapes}) == 8
    for choice in CHOICES:
        counts = Counter(shape[choice.name] for shape in shapes)
        assert max(counts.values()) - min(counts[level] for level in choice.levels) <= 1
    rng = np.random.default_rng(seed)
    drawn = [{c.name: c.levels[rng.integers(len(c.levels))] for c in CHOICES} for _ in range(8)]
    assert correlations(shapes) < min(0.4, correlations(drawn))
    assert shapes == spread_shapes(CHOICES, 8, FIRST, seed)


def test_a_small_grid_is_tried_whole_and_a_large_one_is_drawn_from() -> None:
    two = (ShapeFactor("layers", (1, 2)), ShapeFactor("norm", (False, True)))
    shapes = spread_shapes(two, 8, {"layers": 2, "norm": True}, 0)
    assert len(shapes) == 4
    assert spread_shapes((), 8, {}, 0) == [{}]
    many = tuple(ShapeFactor(f"f{k}", (0, 1, 2, 3)) for k in range(9))
    first = {f"f{k}": 3 for k in range(9)}
    shapes = spread_shapes(many, 6, first, 0)
    assert shapes[0] == first
    assert len({tuple(shape.values()) for shape in shapes}) == 6


def test_a_first_shape_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="100 is not one of 64, 128"):
        spread_shapes(CHOICES, 8, FIRST | {"units": 100}, 0)


@given(st.floats(1e-6, 1e2), st.floats(1.01, 1e4), st.floats(-2, 2), st.booleans())
def test_coding_goes_both_ways(low: float, ratio: float, place: float, log: bool) -> None:
    factor = Factor("rate", low, low * ratio, log=log)
    assert factor.coded(low) == pytest.approx(-1)
    assert factor.coded(low * ratio) == pytest.approx(1)
    assert factor.coded(factor.value(place)) == pytest.approx(place, abs=1e-6)  # a range of 1 % loses two digits


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0.0, 1.0, True), (-1.0, 1.0, True), (1.0, 1.0, False), (2, 1, False)]
)
def test_ranges_that_are_none_are_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(ConfigError, match="rate"):
        Factor("rate", low, high, log=log)


FACTORS = (Factor("rate", 1e-4, 1e-2, log=True), Factor("dropout", 0.0, 0.5, least=0.0, most=1.0))


@pytest.mark.parametrize("count", [1, 2, 8, 12, 17])
def test_settings_begin_with_the_first_and_fill_the_box(count: int) -> None:
    box = Box(np.array([-0.5, 0.0]), np.array([0.5, 2.0]))
    settings = sobol_settings(FACTORS, count, 0, {"rate": 1.0, "dropout": 0.0}, box)
    assert settings.shape == (count, 2)
    np.testing.assert_allclose(settings[0], [0.5, 0.0])  # moved into the box
    assert (settings >= box.low).all()
    assert (settings <= box.high).all()
    if count == 17:  # sixteen Sobol points: one in each sixteenth of every factor
        for k in range(2):
            sixteenths = np.floor(16 * (settings[1:, k] - box.low[k]) / (box.high - box.low)[k])
            assert sorted(sixteenths) == list(range(16))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=2), st.floats(0.1, 1.0))
def test_boxes_nest(around: list[float], by: float) -> None:
    outer = Box.whole(2)
    inner = outer.narrowed(np.array(around), by)
    assert (inner.low >= outer.low - 1e-12).all()
    assert (inner.high <= outer.high + 1e-12).all()
    np.testing.assert_allclose(inner.high - inner.low, 2 * by)
    held = (inner.low - 1e-12 <= around) & (around <= inner.high + 1e-12)
    assert held.all()


def test_boxes_widen_at_edges_and_say_so() -> None:
    box, names = Box.whole(2).widened(np.array([0.2, -0.3]), FACTORS)
    assert names == ()
    box, names = Box.whole(2).widened(np.array([-1.0, 1.0]), FACTORS)
    assert names == ("rate", "dropout")
    np.testing.assert_allclose((box.low, box.high), [[-2, -1], [1, 2]])
    again, names = box.widened(np.array([-2.0, 2.0]), FACTORS)
    assert names == ()  # -2 and 2 are the ends
    np.testing.assert_allclose(again.low, box.low)
    _, names = Box.whole(2).widened(np.array([0.0, -1.0]), FACTORS)
    assert names == ()  # dropout has nothing below 0
