"""Effects of a made experiment: planted ones are found, none is invented, errors hold."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.statistics.designs import Factor, ShapeFactor, sobol_settings, spread_shapes
from luthier.statistics.effects import REACH, Effects, ShapeEffects

NAMES = ("rate", "dropout", "l2", "smoothing", "clip", "ema")
FACTORS = [Factor(name, -1.0, 1.0) for name in NAMES]


def experiment(
    seed: int, coefficients: dict[str, float], shapes: int = 4, settings: int = 10, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, firsts, responses of so many shapes; the noise of a first setting is in all responses of its shape."""
    rng, rows = np.random.default_rng(seed), []
    for shape in range(shapes):
        first = dict(zip(NAMES, rng.uniform(-0.3, 0.3, len(NAMES)), strict=True))
        points = sobol_settings(FACTORS, settings, 100 * seed + shape, first)
        losses = sum(worth * points[:, NAMES.index(name)] for name, worth in coefficients.items())
        losses = losses + 0.05 * points[:, 0] ** 2 * bool(coefficients) + noise * rng.normal(size=settings)
        rows.append((points, np.tile(points[0], (settings, 1)), losses - losses[0]))
    points, firsts, responses = (np.concatenate(one) for one in zip(*rows, strict=True))
    return points, firsts, responses


def test_planted_effects_are_recovered() -> None:
    """Two standard errors hold nine in ten: shrinking draws large effects towards 0 on purpose."""
    planted = {"rate": 0.08, "dropout": -0.04}
    held = total = 0
    for seed in range(40):
        effects = Effects.fit(NAMES, *experiment(seed, planted))
        assert effects.noise == pytest.approx(0.02, rel=0.5)
        for effect in effects.effects():
            held += abs(effect.size - 2 * planted.get(effect.name, 0.0)) <= 2 * effect.error
            total += 1
    assert held / total > 0.9


def test_predictions_are_near_the_truth_and_their_deviation_says_how_near() -> None:
    planted, inside, missed = {"rate": 0.08, "dropout": -0.04}, [], []
    for seed in range(20):
        effects = Effects.fit(NAMES, *experiment(seed, planted))
        points, firsts, _ = experiment(seed + 100, planted)
        true = experiment(seed + 100, planted, noise=0.0)[2]
        off = effects.mean(points, firsts) - true
        deviation = effects.deviation(points, firsts)
        missed.append(np.sqrt((off**2).mean()))
        inside.append(np.abs(off[deviation > 0]) <= 2 * deviation[deviation > 0])
    assert np.mean(missed) < 0.02  # less than one setting's noise
    assert np.concatenate(inside).mean() > 0.85


def test_noise_is_not_an_effect() -> None:
    """Two standard errors hold 0 in at least 95 %; shrinking makes it more."""
    clear = [effect.clear for seed in range(60) for effect in Effects.fit(NAMES, *experiment(seed, {})).effects()]
    assert np.mean(clear) <= 0.05


def test_the_luck_of_the_first_setting_is_no_effect() -> None:
    """A first setting that was lucky raises all responses of its shape alike: squares would explain that."""
    points, firsts, responses = experiment(0, {}, shapes=1, settings=40)
    lucky = np.where((points == firsts).all(1), 0.0, responses + 0.2)
    square = Effects.fit(NAMES, points, np.zeros_like(points), lucky).coefficients[len(NAMES) : 2 * len(NAMES)]
    assert np.abs(square).max() < 0.05


def test_an_effect_of_three_deviations_is_found_in_forty_settings() -> None:
    found = [Effects.fit(NAMES, *experiment(seed, {"dropout": -0.03})).effect("dropout") for seed in range(50)]
    assert np.mean([effect.clear and effect.size < 0 for effect in found]) >= 0.8


def test_four_settings_of_twelve_factors_invent_nothing() -> None:
    rng, names, said = np.random.default_rng(0), [f"f{k}" for k in range(12)], []
    for _ in range(40):
        points = rng.uniform(-1, 1, (4, 12))
        effects = Effects.fit(names, points, np.zeros_like(points), rng.normal(size=4))
        assert not any(effect.clear for effect in effects.effects())
        said.append(np.abs(effects.mean(points, np.zeros_like(points))).max())
    assert np.median(said) < 0.7  # the noise is 1, and four responses reach 1.5


def test_first_settings_may_be_among_the_rows_or_not() -> None:
    points, firsts, responses = experiment(0, {"rate": 0.08})
    others = (points != firsts).any(1)
    one = Effects.fit(NAMES, points, firsts, responses)
    other = Effects.fit(NAMES, points[others], firsts[others], responses[others])
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-9)


def test_which_setting_is_called_the_first_changes_nothing() -> None:
    """Differences to another setting of the shape hold the same losses, and their shared luck is taken out alike."""
    points, firsts, responses = experiment(0, {"rate": 0.08})
    others = firsts.copy()
    turned = responses.copy()
    for start in range(0, 40, 10):
        shape = slice(start, start + 10)
        others[shape], turned[shape] = points[start + 7], responses[shape] - responses[start + 7]
    one, other = Effects.fit(NAMES, points, firsts, responses), Effects.fit(NAMES, points, others, turned)
    np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-5)  # the scale of the responses differs
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=0.05, atol=1e-6)


def test_draws_have_the_mean_and_the_covariance_of_the_posterior() -> None:
    points, firsts, responses = experiment(0, {"rate": 0.08})
    effects = Effects.fit(NAMES, points, firsts, responses)
    drawn = effects.draws(points, firsts, 4000, seed=0)
    deviation = effects.deviation(points, firsts)
    np.testing.assert_allclose(drawn.mean(0), effects.mean(points, firsts), atol=5 * deviation.max() / 4000**0.5)
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.06, atol=1e-12)  # five standard errors of 1.1 %
    rows = effects._differences(points, firsts)
    np.testing.assert_allclose(
        np.cov(drawn.T), rows @ effects.covariance @ rows.T, atol=0.08 * float(deviation.max()) ** 2
    )
    np.testing.assert_array_equal(drawn, effects.draws(points, firsts, 4000, seed=0))


def test_settings_that_diverged_close_their_region() -> None:
    points, firsts, responses = experiment(0, {"rate": 0.08})
    k = int(points[:, 0].argmax())
    broken = responses.copy()
    broken[k] = np.nan
    effects = Effects.fit(NAMES, points, firsts, broken)
    without = Effects.fit(NAMES, *(np.delete(one, k, 0) for one in (points, firsts, responses)))
    np.testing.assert_allclose(effects.coefficients, without.coefficients)
    around = np.tile(points[k], (5, 1))
    around[1, 0] += 0.3  # a higher rate
    around[2, 0] -= 0.1  # a lower one
    around[3, 1:] += 0.9 * REACH * np.sign(-points[k, 1:])  # near in all others
    around[4, 1:] += 1.1 * REACH * np.sign(-points[k, 1:])  # no longer
    closed = np.isinf(effects.mean(around, firsts[:5]))
    np.testing.assert_array_equal(closed, [True, True, False, True, False])
    assert np.isinf(effects.draws(around, firsts[:5], 3, 0)).sum() == 9
    assert np.isfinite(effects.deviation(around, firsts[:5])).all()
    nothing = Effects.fit(NAMES, points, firsts, np.full(len(points), np.inf))
    assert nothing.effect("rate").error > 1  # nothing is known


CHOICES = (ShapeFactor("units", (64, 128, 256)), ShapeFactor("layers", (1, 2)), ShapeFactor("rule", ("sgd", "adam")))


def test_effects_of_shapes_are_recovered_and_none_is_invented() -> None:
    shapes = spread_shapes(CHOICES, 8, {"units": 64, "layers": 1, "rule": "adam"}, 0)
    worth = np.array([-0.3 * (shape["layers"] == 2) for shape in shapes])
    found, clear = [], []
    for seed in range(60):
        noise = 0.05 * np.random.default_rng(seed).normal(size=8)
        levels = {(one.name, one.level): one for one in ShapeEffects.fit(CHOICES, shapes, worth - 1 + noise).effects()}
        found.append(levels["layers", 2].size)
        assert levels["layers", 1].size == pytest.approx(-levels["layers", 2].size)
        clear += [abs(one.size) > 2 * one.error for one in ShapeEffects.fit(CHOICES, shapes, noise - 1).effects()]
    assert np.mean(found) == pytest.approx(-0.15, abs=0.03)  # shrunk by a seventh
    assert np.mean(clear) <= 0.08  # eight shapes: two errors are not 95 %, and 1 % of luck


def test_shapes_are_expected_where_their_levels_say() -> None:
    shapes = spread_shapes(CHOICES, 8, {"units": 64, "layers": 1, "rule": "adam"}, 0)
    losses = np.array([-1 - 0.3 * (shape["layers"] == 2) for shape in shapes])
    fitted = ShapeEffects.fit(CHOICES, shapes, losses)
    np.testing.assert_allclose(fitted.mean(shapes), losses, atol=0.04)  # shrunk
    lost = np.where(np.arange(8) == 3, np.inf, losses)
    assert np.isfinite(ShapeEffects.fit(CHOICES, shapes, lost).mean(shapes)).all()
