"""Sets hold what they promise, and rows unlike training are said."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.assess import (
    Familiarity,
    figures_of_sets,
    prediction_sets,
    set_threshold,
)


def classes_of(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are off, and labels drawn from others: the promise does not need calibration."""
    logits = rng.normal(size=(rows, 5)) * 2
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (truth.cumsum(1) > rng.random((rows, 1))).argmax(1)
    off = np.exp(logits * 2.5)
    return off / off.sum(1, keepdims=True), y


@pytest.mark.parametrize("nominal", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_they_say(nominal: float) -> None:
    rng = np.random.default_rng(0)
    result = []
    for _ in range(60):
        p, y = classes_of(rng, 400)
        threshold = set_threshold(p[:200], y[:200], nominal)
        result.append(figures_of_sets(prediction_sets(p[200:], threshold), y[200:], nominal).coverage)
    mean, error = np.mean(result), np.std(result, ddof=1) / np.sqrt(len(result))
    assert nominal - 3 * error <= mean <= nominal + 0.01 + 3 * error


def test_a_set_is_never_empty() -> None:
    p = np.array([[0.4, 0.3, 0.3], [0.98, 0.01, 0.01]])
    assert prediction_sets(p, 0.9).sum(1).tolist() == [1, 1]
    assert prediction_sets(p, 0.0).all()


def test_rows_unlike_training_are_told() -> None:
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(6, 6))
    training, validation, fresh = (rng.normal(size=(n, 6)) @ mix for n in (2000, 800, 2000))
    result = Familiarity.fit(training, validation)
    assert result.unlike(fresh).mean() < 0.02
    assert result.unlike(fresh + 8 * np.abs(mix).sum(0)).all()
    # within each column's range, but against the correlation of all
    twisted = training[rng.permuted(np.tile(np.arange(2000), (6, 1)), axis=1).T, np.arange(6)]
    assert result.unlike(twisted).mean() > 5 * result.unlike(fresh).mean()
    alone = Familiarity.fit(np.ones((50, 3)), np.ones((20, 3)))
    assert not alone.unlike(np.ones((5, 3))).any()


def test_rows_unlike_training_among_more_columns_than_rows() -> None:
    """By the products of rows the distances are those of the products of columns, and there is a bound on both."""
    rng = np.random.default_rng(2)
    training, validation, fresh = (rng.normal(size=(n, 1100)) @ np.diag(np.linspace(1, 2, 1100)) for n in (90, 60, 30))
    centred = training - training.mean(0)
    inverse = np.linalg.pinv(np.cov(centred, rowvar=False), rcond=1e-3, hermitian=True)
    away = fresh - training.mean(0)
    result = Familiarity.fit(training, validation)
    np.testing.assert_allclose(
        result.distance(fresh), np.sqrt(np.einsum("nf,fg,ng->n", away, inverse, away)), rtol=1e-9
    )
    many = Familiarity.fit(np.tile(training, (14, 1)), validation)
    assert many.whitening.shape[1] <= 256
