"""The verdict on new rows."""

from __future__ import annotations

from luthier.runs.checking import judge_population


def test_the_verdict_on_new_rows() -> None:
    columns = [{"column": "a", "drifted": True}, {"column": "b", "drifted": False}]
    worse, same = ({"value": v, "low": v - 0.02, "high": v + 0.02} for v in (-0.1, 0.0))
    assert judge_population(columns, None, worse)[0] == "act"
    assert judge_population(columns, None, same)[0] == "watch"
    assert judge_population(columns[1:], {"auc": 0.7, "low": 0.65, "high": 0.75}, same)[0] == "watch"
    assert judge_population(columns[1:], {"auc": 0.95, "low": 0.93, "high": 0.97}, same)[0] == "act"
    assert judge_population(columns[1:], {"auc": 0.5, "low": 0.45, "high": 0.55}, same) == (
        "fine",
        "the new rows look like the training rows",
    )
