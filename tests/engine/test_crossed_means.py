"""Means of the target by level: scikit-learn's, out of fold for every row that is learnt from, leaking nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from luthier.engine import Member, Settings, train
from luthier.engine.populations.crossed_means import CrossedMeans
from luthier.errors import ConfigError, InputError
from luthier.nets import DenseSpec, LevelSums, TargetEncoding
from luthier.rows import Inputs, Rows

ROWS, LEVELS, FOLDS = 300, 12, 5
RNG = np.random.default_rng(1)
CODES = torch.from_numpy(RNG.integers(0, LEVELS, (ROWS, 2)))
VALUES = torch.from_numpy(RNG.normal(size=ROWS)) + 0.2 * CODES[:, 1]
CLASSES = (CODES[:, 1] + torch.from_numpy(RNG.integers(0, 5, ROWS))) % 3
DEALT = torch.arange(ROWS) % FOLDS
CLOSE = {"rtol": 0, "atol": 1e-9}


def part(targets: torch.Tensor, codes: torch.Tensor = CODES) -> Rows:
    return Rows(Inputs(numbers=torch.zeros(len(codes), 1, dtype=torch.float64), codes=codes), targets)


def spec(outputs: int = 1, levels: int = LEVELS, **options: object) -> DenseSpec:
    width = outputs if outputs > 2 else 1
    encoding = TargetEncoding((1,), (levels,), width, **options)  # type: ignore[arg-type]
    return DenseSpec(1, (4,), outputs, embeddings=((levels, 2), (levels, 2)), target_encoding=encoding)


def crossed(shape: DenseSpec, targets: torch.Tensor, folds: torch.Tensor | None) -> CrossedMeans:
    members = [Member(shape, seed=0, learning_rate=0.1, fold=None if folds is None else k) for k in range(FOLDS)]
    result = CrossedMeans.of(members, part(targets), None, folds)
    assert result is not None
    return result


def entered(result: CrossedMeans, fold: int) -> torch.Tensor:
    """What all rows enter with in a network that leaves out a fold [N, T]."""
    return result.tables[fold]["targets.0.table"][result.training.codes[:, -1]]


def in_deviations(encoded: np.ndarray, learnt: torch.Tensor) -> np.ndarray:
    """scikit-learn's means in deviations of the target [N, T] of the rows that they are over, from its mean."""
    return np.asarray((encoded - learnt.mean(0).numpy()) / learnt.std(0, correction=0).numpy())


@pytest.mark.parametrize("smoothing", [0.5, 10.0])
@pytest.mark.parametrize("targets", [VALUES, CLASSES], ids=["a number", "classes"])
def test_every_network_and_row_has_the_means_of_scikit_learn(targets: torch.Tensor, smoothing: float) -> None:
    """Row by row of fold f, in the network without fold k: fitted on the rows outside of both."""
    classes = not targets.is_floating_point()
    result = crossed(spec(3 if classes else 1, smoothing=smoothing), targets, DEALT)
    y = torch.nn.functional.one_hot(targets, 3).double() if classes else targets.unsqueeze(1)
    for k in range(FOLDS):
        ours = entered(result, k)
        for f in range(FOLDS):
            rest, own = (k != DEALT) & (f != DEALT), f == DEALT
            encoder = TargetEncoder(smooth=smoothing, target_type="multiclass" if classes else "continuous")
            encoder.fit(CODES[rest, 1:].numpy(), targets[rest].numpy())
            theirs = in_deviations(encoder.transform(CODES[own, 1:].numpy()), y[rest])
            np.testing.assert_allclose(ours[own].numpy(), theirs, **CLOSE)


def test_the_same_folds_give_scikit_learns_encoding_of_learning_rows() -> None:
    """Without folds of their own, members learn from five: here scikit-learn's."""
    dealt = torch.zeros(ROWS, dtype=torch.int64)
    cut = KFold(FOLDS, shuffle=True, random_state=3)
    for fold, (_, own) in enumerate(cut.split(CODES)):
        dealt[own] = fold + 1
    sums = LevelSums.of(CODES[:, 1], VALUES, levels=LEVELS, folds=dealt)
    theirs = TargetEncoder(smooth=10.0, target_type="continuous", cv=cut).fit_transform(CODES[:, 1:], VALUES)
    for fold in range(1, FOLDS + 1):
        own = dealt == fold
        ours = sums.means({0, fold}, smoothing=10.0)[CODES[own, 1]].numpy()
        expected = in_deviations(theirs[own.numpy()], VALUES[~own].unsqueeze(1))
        np.testing.assert_allclose(ours, expected, **CLOSE)


def test_weights_count_as_that_many_rows() -> None:
    counts = torch.from_numpy(RNG.integers(1, 4, ROWS))
    weighted = LevelSums.of(CODES[:, 0], VALUES, levels=LEVELS, weights=counts)
    repeated = LevelSums.of(CODES[:, 0].repeat_interleave(counts), VALUES.repeat_interleave(counts), levels=LEVELS)
    ours, theirs = (sums.means(smoothing=2.0).numpy() for sums in (weighted, repeated))
    np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_a_level_that_was_not_learnt_from_has_the_mean() -> None:
    sums = LevelSums.of(CODES[:, 0] // 2, VALUES, levels=LEVELS)
    assert sums.means(smoothing=0.0)[-1].tolist() == [0.0]
    assert LevelSums.of(CODES[:, 0], torch.ones(ROWS), levels=LEVELS).means(smoothing=1.0).abs().max() < 1e-12


@pytest.mark.parametrize("folds", [None, DEALT], ids=["one part", "folds"])
def test_a_row_that_is_learnt_from_does_not_enter_with_its_own_target(folds: torch.Tensor | None) -> None:
    changed = VALUES.clone()
    changed[7] += 100
    before, after = (crossed(spec(), targets, folds) for targets in (VALUES, changed))
    assert entered(before, 0)[7] == entered(after, 0)[7]
    others = entered(before, 0)[CODES[:, 1] == CODES[7, 1]] != entered(after, 0)[CODES[:, 1] == CODES[7, 1]]
    assert others.any()  # its fold's neighbours aside, who have not seen it either


def test_what_is_kept_is_over_all_rows_that_were_learnt_from() -> None:
    members = [Member(spec(), seed=k, learning_rate=0.01, fold=k) for k in range(FOLDS)]
    settings = Settings("mse", "adam", 30, 20, 10, keep_last=True, dtype=torch.float64)
    outcome = train(members, part(VALUES), None, settings, folds=DEALT)
    for k in range(FOLDS):
        own = k == DEALT
        table = outcome.state_dict(k)["targets.0.table"]
        expected = LevelSums.of(CODES[~own, 1], VALUES[~own], levels=LEVELS).means(smoothing=10.0)
        np.testing.assert_allclose(table.numpy(), expected.numpy(), **CLOSE)
        # The network that is delivered says of the rows left out what was measured of them.
        net, some = outcome.module(k), part(VALUES).rows(own)
        with torch.no_grad():
            loss = (net(some.numbers, some.codes)[:, 0] - some.targets).square().mean()
        assert float(loss) == pytest.approx(outcome.best_validation_loss[k], rel=1e-9)
    again = train(members, part(VALUES), None, replace(settings, blocks=3), folds=DEALT)
    np.testing.assert_allclose(again.parameters.numpy(), outcome.parameters.numpy(), rtol=1e-9, atol=1e-12)


def gain_on_coin_labels(draw: int, *, crossed: bool) -> float:
    """How far below log 2 the loss on rows left out comes, of networks that see means at many levels alone."""
    rng = np.random.default_rng(draw)
    codes, coin = (torch.from_numpy(rng.integers(0, n, (240, k))) for n, k in ((60, 1), (2, 1)))
    rows, shape = part(coin[:, 0], codes), DenseSpec(1, (4,), 1, target_encoding=TargetEncoding((0,), (60,)))
    settings, folds = Settings("binary", "adam", 40, 60, 60, keep_last=True), torch.arange(240) % 3
    members = [Member(shape, seed=k, learning_rate=0.02, fold=k if crossed else None) for k in range(3)]
    if crossed:
        outcome = train(members, rows, None, settings, folds=folds)
    else:
        outcome = train(members, rows.rows(folds > 0), rows.rows(folds == 0), settings)
    return float(np.log(2) - outcome.best_validation_loss.mean())


@pytest.mark.parametrize("crossed", [True, False], ids=["crossed", "one part"])
def test_coin_labels_leak_nothing(crossed: bool) -> None:
    """No network is better than log 2 on rows that it did not learn from, by more than two standard errors."""
    gains = [gain_on_coin_labels(draw, crossed=crossed) for draw in range(12)]
    error = np.std(gains, ddof=1) / len(gains) ** 0.5
    assert np.mean(gains) < 2 * error, (np.mean(gains), error)


def test_means_over_all_rows_would_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """What folds are for: entered by means over all rows, the labels of a coin look predictable."""
    means = LevelSums.means
    monkeypatch.setattr(LevelSums, "means", lambda self, without, *, smoothing: means(self, (), smoothing=smoothing))
    gains = [gain_on_coin_labels(draw, crossed=True) for draw in range(4)]
    assert min(gains) > 0.03, gains


def test_it_says_what_it_cannot_do() -> None:
    several = Rows(Inputs(numbers=torch.zeros(4, 1), codes=torch.zeros(4, 2, dtype=torch.int64)), torch.zeros(4, 2))
    with pytest.raises(InputError, match="one target"):
        train([Member(spec(), seed=0, learning_rate=0.1)], several, None, Settings("mse", "sgd", 2, 1, 1))
    with pytest.raises(ConfigError, match="12 levels, not 3"):
        replace(spec(), target_encoding=TargetEncoding((1,), (3,)))
    with pytest.raises(ConfigError, match="smoothing of 0 at least"):
        TargetEncoding((), ())
