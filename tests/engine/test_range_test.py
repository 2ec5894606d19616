"""The range test on curves with known answers, and on a real network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from luthier.engine import Settings, confirm, range_test, suggest
from luthier.engine.range_test import smooth
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows


def test_rules_on_a_curve_with_a_known_answer() -> None:
    rates = np.geomspace(1e-6, 10, 141)  # 20 a decade
    x = np.log10(rates)
    curve = 2 - 1 / (1 + np.exp(-4 * (x + 2.5))) + np.where(x > -1, (x + 1) ** 2, 0)
    result = suggest(rates, curve)
    lowest = rates[np.argmin(curve)]
    assert result["minimum / 10"] == pytest.approx(lowest / 10)
    assert np.log10(result["steepest"]) == pytest.approx(-2.5, abs=0.1)  # the sigmoid's middle
    assert 1e-5 < result["valley"] < lowest


def test_a_loss_that_is_gone_tells_no_rate_from_another() -> None:
    """Rows that one number tells apart, without a loss that grows: the rate that solved them, not the largest one."""
    rates = np.geomspace(1e-6, 10, 141)
    assert suggest(rates, smooth(1.0 * (rates < 1e-3)))["minimum / 10"] == pytest.approx(1e-4, rel=0.2)
    X = torch.cat([torch.ones(100, 1), -torch.ones(100, 1)])
    part = Rows(Inputs(numbers=X), (X[:, 0] > 0).long())
    settings = Settings("softmax", "adam", batch_size=20, steps=100, evaluate_every=100)
    result = range_test(DenseSpec(1, (), 2), part, settings, seeds=range(3), high=1e4)
    assert not result.widened
    assert result.rate < 10


def test_smoothing_is_debiased_and_ends_where_the_loss_diverges() -> None:
    curve = np.concatenate([np.ones(30), [np.inf], np.ones(5)])
    result = smooth(curve)
    np.testing.assert_allclose(result[:30], 1.0)
    assert np.isnan(result[30:]).all()


def test_the_range_is_widened_until_something_diverges() -> None:
    g = torch.Generator().manual_seed(0)
    X = torch.randn(200, 4, generator=g)
    part = Rows(Inputs(numbers=X), X[:, 0] * 2)
    settings = Settings("mse", "sgd", batch_size=20, steps=100, evaluate_every=100)
    short = replace(settings, steps=60)
    narrow = range_test(DenseSpec(4, (8,), 1), part, short, seeds=range(3), low=1e-9, high=1e-7)
    assert narrow.widened
    assert narrow.rates[-1] > 1e-7
    usual = range_test(DenseSpec(4, (8,), 1), part, settings, seeds=range(3))
    assert not usual.widened
    assert usual.losses[-1] is None  # diverged
    assert 1e-4 < usual.pick < 1


def test_short_runs_leave_rates_that_change_nothing() -> None:
    """Where batches are noisier than what the test gains its lowest loss lies anywhere: of a pick a millionth of a good
    rate, runs at ever higher rates follow until they differ, and the best of them is one that learns."""
    g = torch.Generator().manual_seed(0)
    X = torch.randn(400, 4, generator=g)
    part = Rows(Inputs(numbers=X), X[:, 0] + 3 * torch.randn(400, generator=g))
    settings = Settings("mse", "sgd", batch_size=20, steps=60, evaluate_every=60)
    spec = DenseSpec(4, (), 1)
    good, low = (confirm(pick, spec, part, settings, seeds=range(3), steps=60) for pick in (0.01, 1e-8))
    assert len(good) == 3
    best = min((one for one in low if one["loss"] is not None), key=lambda one: one["loss"] or 0.0)
    assert 1e-3 < (best["rate"] or 0.0) < 0.3
    assert (best["loss"] or 0.0) <= 1.02 * min(one["loss"] or 0.0 for one in good)
