"""A group that fares worse is found, others are not; the worst rows are named."""

from __future__ import annotations

import numpy as np

from luthier.assess import (
    subgroup_scores,
    worst_cases,
)


def test_a_group_that_fares_worse_is_found_and_others_are_not() -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    for trial in range(40):
        rows = 800
        columns = {name: rng.choice(["a", "b", "c"], rows) for name in ("x", "y", "z")}
        y = rng.integers(0, 2, rows)
        right = rng.random(rows) < 0.9
        if trial == 0:
            right[columns["x"] == "b"] = rng.random((columns["x"] == "b").sum()) < 0.7
        p = np.stack([1 - y, y], 1) * np.where(right, 1, -1)[:, None]
        result = subgroup_scores(columns, "binary", y, p.astype(float), "accuracy")
        worse = [(row.column, row.value) for row in result if row.worse]
        if trial == 0:
            assert worse[0] == ("x", "b")
        else:
            alarms += bool(worse)
    assert alarms <= 5  # 5 % of 39, and chance


def test_worst_cases_name_their_rows() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01]])
    result = worst_cases(np.array([0, 0, 1]), p, "binary", np.array([10, 20, 30]))
    assert [row.row for row in result] == [30, 20]
    values = worst_cases(np.array([1.0, 2.0]), np.array([1.5, 7.0]), "regression", np.array([4, 5]))
    assert [row.row for row in values] == [5, 4]
