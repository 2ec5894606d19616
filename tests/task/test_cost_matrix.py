"""A table of costs: read from a file, kept in the request, decided by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.errors import InputError
from luthier.task import cheapest, costs_as_text, is_matrix, matrix_of

TABLE = ",a,b,c\na,0,1,2\nb,6,0,1\nc,30,4,0\n"


def test_a_file_becomes_text_that_needs_no_file(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(TABLE)
    text = costs_as_text(str(tmp_path / "costs.csv"))
    assert is_matrix(text)
    assert matrix_of(text, ("c", "a", "b")).tolist() == [[0, 30, 4], [2, 0, 1], [1, 6, 0]]
    P = np.random.default_rng(0).dirichlet(np.ones(3), 400)
    costs = matrix_of(text, ("a", "b", "c"))
    np.testing.assert_array_equal(cheapest(text, ("a", "b", "c")).classes(P), (P @ costs).argmin(1))
    assert costs_as_text("1:5") == "1:5"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "cannot be read"),
        (",a,b\na,0,1\n", "cannot be read"),
        (",a,a\na,0,1\na,1,0\n", "cannot be read"),
        (",a,b\nb,0,1\na,1,0\n", "cannot be read"),
        (",a,b\na,0,x\nb,1,0\n", "not a number"),
        (",a,b\na,0,1,2\nb,1,0\n", "not square"),
        (",a,b\na,0,nan\nb,1,0\n", "not square"),
    ],
)
def test_what_is_no_table_of_costs_is_refused(table: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        costs_as_text(str(tmp_path / "costs.csv"))


def test_other_classes_and_broken_texts_are_refused() -> None:
    with pytest.raises(InputError, match="there is no such file"):
        costs_as_text("gone.csv")
    with pytest.raises(InputError, match="other classes"):
        matrix_of('{"classes": ["a", "b"], "costs": [[0, 1], [1, 0]]}', ("a", "c"))
    for text in (
        "{",
        '{"classes": ["a"]}',
        '{"classes": ["a", "b"], "costs": [[0, 1]]}',
        '{"classes": 3, "costs": []}',
    ):
        with pytest.raises(InputError, match="cannot be read"):
            matrix_of(text, ("a", "b"))


def test_a_run_answers_with_the_least_cost(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    level = x + rng.normal(size=300)
    y = np.array(["a", "b", "c"])[(level > 0).astype(int) + (level > 1.8)]
    (tmp_path / "costs.csv").write_text(TABLE)
    frame = pl.DataFrame({"x": x, "y": y})
    result = luthier.fit(frame, target="y", costs=str(tmp_path / "costs.csv"), budget="40steps", run=tmp_path / "run")
    (tmp_path / "costs.csv").unlink()
    decision = result.model.decision
    assert decision is not None
    np.testing.assert_array_equal(-decision.matrix, [[0, 1, 2], [6, 0, 1], [30, 4, 0]])
    inputs = result.model.encode(frame)
    costs, p = -decision.matrix, result.model.probabilities(inputs)
    told = result.model.predict(frame).to_numpy()
    expected = np.array(["a", "b", "c"])[(p @ costs).argmin(1)]
    np.testing.assert_array_equal(told, expected)
    luthier.test(tmp_path / "run", again=True)
