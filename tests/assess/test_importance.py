"""A column's importance by permutation, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.inspection import permutation_importance as oracle_importance
from sklearn.linear_model import LinearRegression

from luthier.assess import (
    permutation_importance,
)
from luthier.rows import Inputs


def test_importance_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2000, 3))
    y = 3 * X[:, 0] + X[:, 1] + 0.1 * rng.normal(size=2000)
    model = LinearRegression().fit(X, y)
    groups = {name: {"numbers": [i]} for i, name in enumerate("abc")}
    inputs = Inputs(numbers=torch.from_numpy(X))
    result = permutation_importance(lambda rows: model.predict(rows.numbers.numpy()), inputs, y, "rmse", groups)
    known = oracle_importance(model, X, y, scoring="neg_root_mean_squared_error", n_repeats=5, random_state=0)
    assert [row.column for row in result] == ["a", "b", "c"]
    for row, mean in zip(result, known.importances_mean, strict=True):
        assert row.drop == pytest.approx(mean, rel=0.05, abs=0.005)


@pytest.mark.parametrize(
    ("most", "rows", "times"), [(0, 400, 5), (2000, 400, 5), (1000, 200, 5), (240, 100, 2), (1, 100, 2)]
)
def test_fewer_predictions_are_of_fewer_rows_and_then_fewer_times(most: int, rows: int, times: int) -> None:
    X = np.random.default_rng(0).normal(size=(400, 2))
    asked: list[int] = []

    def predict(inputs: Inputs) -> np.ndarray:
        asked.append(len(inputs.numbers))
        return np.asarray(inputs.numbers[:, 0])

    groups = {"a": {"numbers": [0]}, "b": {"numbers": [1]}}
    found = permutation_importance(predict, Inputs(numbers=torch.from_numpy(X)), X[:, 0], "rmse", groups, most=most)
    assert asked == [rows] * (1 + 2 * times)
    assert found[0].drop == pytest.approx(2**0.5, rel=0.25)
    assert found[0].spread > 0
    assert (found[1].column, found[1].drop) == ("b", 0.0)
