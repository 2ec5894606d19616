"""Which of two classes is the positive one, and what a column alone explains of classes of any rarity."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from luthier.data import Task, check_table, infer_columns, infer_task, share_explained
from luthier.data.typed_columns.task import is_known_class, positive_facts, positive_of, with_positive
from luthier.errors import InputError


@pytest.mark.parametrize(
    ("labels", "expected", "why"),
    [
        ([0, 1], "1", "means yes"),
        ([1, -1], "1", "means yes"),
        ([True, False], "True", "means yes"),
        (["yes", "no"], "yes", "means yes"),
        (["Y", "N"], "Y", "means yes"),
        (["false", "true"], "true", "means yes"),
        (["1.0", "1.0", "1.0", "0.0"], "1.0", "means yes"),
        (["On", "On", "On", "off"], "On", "means yes"),
        (["legit", "legit", "legit", "fraud"], "fraud", "rarer class, 25.0 %"),
        (["healthy", "cancer", "healthy"], "cancer", "rarer class, 33.3 %"),
        ([3, 4, 4], "3", "rarer"),
        (["b", "a"], "b", "equally frequent"),
    ],
)
def test_the_positive_class_is_the_one_that_means_yes_or_the_rarer(
    labels: list[object], expected: str, why: str
) -> None:
    series = pl.Series("y", labels * 20)
    task = infer_task(series)
    assert task.positive == task.positive_name == expected
    assert why in positive_of(positive_facts(series, task))[1]
    assert task.classes[task.positive_index] == expected
    assert Task.from_json(task.to_json()) == task


def test_classes_are_rare_by_their_weight_and_a_choice_decides() -> None:
    series = pl.Series("y", ["a", "b", "b", "b"] * 10)
    task, weights = infer_task(series), np.array([9.0, 1.0, 1.0, 1.0] * 10)
    assert positive_of(positive_facts(series, task, weights)) == ("b", "it is the rarer class, 25.0 % of the rows")
    assert with_positive(task, positive_facts(series, task, None, "b")).positive_index == 1
    flags = pl.Series("y", [True, False, True] * 10)
    for asked in ("false", "False", "0"):
        assert (
            with_positive(infer_task(flags), positive_facts(flags, infer_task(flags), None, asked)).positive == "False"
        )
    with pytest.raises(InputError, match="no such class") as caught:
        positive_facts(series, task, None, "c")
    assert "a or b" in str(caught.value)
    several = infer_task(pl.Series("y", ["a", "b", "c"] * 10))
    assert several.positive_name == ""
    with pytest.raises(InputError, match="for two classes"):
        positive_facts(series, several, None, "a")


def test_models_of_earlier_versions_mean_their_second_class() -> None:
    task = Task.from_json({"kind": "binary", "target": "y", "classes": ["fraud", "legit"]})
    assert (task.positive_index, task.positive_name) == (1, "legit")


def test_known_classes_are_told_from_new_ones() -> None:
    task = infer_task(pl.Series("y", [1, 2, 3] * 10))
    assert is_known_class(pl.Series("y", [1.0, 2.5, None, 3.0]), task).to_list() == [True, False, False, True]


@pytest.mark.parametrize(("rows", "rare"), [(1000, 1), (1000, 3), (1000, 10), (2000, 100)])
def test_a_majority_is_not_a_leak_and_a_leak_of_a_rare_class_is(rows: int, rare: int) -> None:
    g = np.random.default_rng(rare)
    y = np.array(["p"] * rare + ["q"] * (rows - rare))
    frame = pl.DataFrame(
        {
            "noise": g.normal(size=rows),
            "word": g.choice(list("stuvw"), rows),
            "leak": g.normal(size=rows) + 20 * (y == "p"),
            "y": y,
        }
    )
    columns = infer_columns(frame, target="y", overrides={})
    result = {
        f.evidence["column"] for f in check_table(frame, columns, infer_task(frame["y"])) if f.code == "leaking-column"
    }
    assert result == ({"leak"} if rare >= 10 else set())  # fewer rows stand together by chance


def test_what_a_feature_explains_is_its_accuracy_where_classes_are_even() -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=2000)
    y = (x > 0).astype(int)
    y[:20] = 1 - y[:20]  # 1 % wrong
    assert share_explained(x, y, classes=True) == pytest.approx(0.99, abs=0.002)
    several = np.where(y == 1, g.integers(1, 3, 2000), 0)  # the largest class has half: the rest cannot be told apart
    assert share_explained(x, several, classes=True) == pytest.approx(0.75, abs=0.06)  # 20 groups fit noise too
