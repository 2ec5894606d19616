"""The estimators are scikit-learn's: its own checks, its pipelines and searches, and pickles without code of ours."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.metadata_routing import get_routing_for_object

import luthier
from luthier import LuthierClassifier, LuthierRegressor
from luthier.errors import InputError


@parametrize_with_checks([LuthierClassifier(max_epochs=30), LuthierRegressor(max_epochs=60)])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_in_pipelines_and_searches() -> None:
    X, y = load_wine(return_X_y=True)
    line = make_pipeline(StandardScaler(), LuthierClassifier(max_epochs=15))
    assert cross_val_score(line, X, y, cv=3).mean() > 0.9
    search = GridSearchCV(LuthierClassifier(max_epochs=10, seeds=1), {"hidden": [(4,), (32,)]}, cv=2).fit(X, y)
    assert search.best_params_["hidden"] in ((4,), (32,))
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_a_grid_search_has_a_space() -> None:
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(LuthierClassifier(max_epochs=2, seeds=1), LuthierClassifier.search_space(), cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 9
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_it_is_about_as_good_as_others() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    assert LuthierClassifier().fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.93
    X, y = load_diabetes(return_X_y=True)
    assert LuthierRegressor().fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.4


def test_a_budget_in_place_of_epochs() -> None:
    X, y = load_wine(return_X_y=True)
    few, more = (LuthierClassifier(budget=budget).fit(X, y) for budget in ("3steps", "400steps"))
    assert few.n_iter_ <= 3 < more.n_iter_ <= 400
    assert clone(more).get_params()["budget"] == "400steps"
    assert LuthierClassifier(budget="2s").fit(X, y).score(X, y) > 0.9
    with pytest.raises(InputError, match="budget 'soon' cannot be read"):
        LuthierClassifier(budget="soon").fit(X, y)


def test_frames_with_words_and_gaps() -> None:
    rng = np.random.default_rng(0)
    kind = rng.choice(["red", "green", "blue"], 300)
    x = rng.normal(size=300)
    y = np.where((kind == "red") ^ (x > 0), "yes", "no")
    frame = pd.DataFrame({"kind": kind, "x": np.where(rng.random(300) < 0.05, np.nan, x)})
    result = LuthierClassifier(max_epochs=60).fit(frame[:200], y[:200])
    assert list(result.classes_) == ["no", "yes"]
    assert result.score(frame[200:], y[200:]) > 0.85
    assert list(result.feature_names_in_) == ["kind", "x"]
    with pytest.raises(ValueError, match="in fit they were"):
        result.predict(frame[["x", "kind"]])
    assert make_column_transformer(("passthrough", ["x"])).fit(frame) is not None


def test_weights_count() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] > 0).astype(int)
    wrong = 1 - y
    both, labels = np.vstack([X, X]), np.concatenate([y, wrong])
    weights = np.concatenate([np.ones(200), np.full(200, 0.01)])
    assert LuthierClassifier(max_epochs=20).fit(both, labels, weights).score(X, y) > 0.9


@pytest.mark.parametrize("rows", [60, 400])
def test_a_row_of_weight_two_is_the_row_twice_in_any_order(rows: int) -> None:
    """Where all rows learn, and where some validate: copies never lie on both sides."""
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:rows], y[:rows]
    counts = np.random.default_rng(0).integers(0, 4, rows)
    order = np.random.default_rng(1).permutation(counts.sum())
    weighted = LuthierRegressor(max_epochs=3, seeds=1).fit(X, y, sample_weight=counts)
    repeated = LuthierRegressor(max_epochs=3, seeds=1).fit(X.repeat(counts, 0)[order], y.repeat(counts)[order])
    np.testing.assert_allclose(
        weighted.predict(X), repeated.predict(X), rtol=1e-9
    )  # weights are scaled in another order


def test_a_pickle_holds_the_bundle(tmp_path: Path) -> None:
    X, y = load_wine(return_X_y=True)
    result = LuthierClassifier(max_epochs=5).fit(X, y)
    state = result.__getstate__()
    assert [bundle[:2] for bundle in state["_bundles"]] == [b"PK"]
    assert "models_" not in state
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.predict_proba(X), result.predict_proba(X))
    model = luthier.load(result.save(tmp_path / "model.luthier"))
    assert model.task.classes == ("0", "1", "2")


def test_the_same_seed_gives_the_same_numbers() -> None:
    X, y = load_wine(return_X_y=True)
    one, two, other = (
        LuthierClassifier(max_epochs=5, random_state=seed).fit(X, y).predict_proba(X) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("wrong", [{"max_epochs": 0}, {"seeds": 0}, {"validation_share": 1.0}])
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    X, y = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match="at least 1"):
        LuthierClassifier(**wrong).fit(X, y)


@pytest.mark.parametrize("weights", [-1, np.r_[np.ones(149), -1.0], np.zeros(150)])
def test_weights_that_cannot_be_used_are_refused(weights: Any) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"above 0 in some|at least one non-zero"):
        LuthierClassifier(max_epochs=1).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("scale", [1e-60, 7.0, 1e39])
def test_rows_of_weight_0_are_as_if_they_were_not_there(scale: float) -> None:
    """Also a class and a column's levels that they alone have; and weights are relative."""
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X).assign(k=np.where(y == 2, "never", "seen")).rename(columns=str)
    counts = (y < 2) * np.where(np.arange(150) % 3, 1.0, 2.0)
    whole = LuthierClassifier(max_epochs=2, seeds=1).fit(frame, y, sample_weight=scale * counts)
    left = LuthierClassifier(max_epochs=2, seeds=1).fit(frame[y < 2], y[y < 2], sample_weight=counts[y < 2])
    assert whole.classes_.tolist() == left.classes_.tolist() == [0, 1]
    np.testing.assert_allclose(whole.predict_proba(frame), left.predict_proba(frame), rtol=1e-5)


def test_a_row_is_predicted_alike_by_itself_and_among_others() -> None:
    """Also where pandas gives a row other types: a category that is missing is a float, a truth beside it a number."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "a": np.where(rng.random(200) < 0.2, np.nan, rng.normal(size=200)),
            "k": rng.choice(["x", "y"], 200).astype(object),
            "flag": rng.random(200) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, 200), unit="D"),
        }
    )
    frame.loc[rng.random(200) < 0.3, "k"] = None
    y = (frame["k"].isna() ^ frame["flag"]).to_numpy()
    model = LuthierClassifier(max_epochs=3, seeds=1).fit(frame, y)
    wanted = model.predict_proba(frame)
    some = frame.head(30)
    alone = [model.predict_proba(some.iloc[[i]]) for i in range(30)]
    rebuilt = [model.predict_proba(pd.DataFrame([some.iloc[i].to_dict()])) for i in range(30)]
    gaps = [model.predict_proba(some.iloc[[i]].assign(k=np.nan)) for i in range(30) if some["k"].isna()[i]]
    np.testing.assert_allclose(np.concatenate(alone), wanted[:30], atol=1e-6)
    np.testing.assert_allclose(np.concatenate(rebuilt), wanted[:30], atol=1e-6)
    np.testing.assert_allclose(np.concatenate(gaps), wanted[:30][some["k"].isna()], atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(frame[::-1])[::-1], wanted, atol=1e-6)
    numbers = frame.drop(columns="day")
    numeric = LuthierClassifier(max_epochs=3, seeds=1).fit(numbers, y)
    gap = numbers[numbers["k"].isna()].head(5)
    np.testing.assert_allclose(
        numeric.predict_proba(gap.assign(k=np.nan)), numeric.predict_proba(numbers)[gap.index], atol=1e-6
    )


def test_groups_learn_together_or_validate_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, np.ndarray, np.ndarray, np.ndarray]] = []
    real = LuthierClassifier._parts

    def watched(self: Any, rows: Any, classes: Any, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        parts = real(self, rows, classes, rng)
        seen.append((rows.groups, classes, *parts))
        return parts

    monkeypatch.setattr(LuthierClassifier, "_parts", watched)
    rng = np.random.default_rng(0)
    groups, X = rng.integers(0, 40, 300), rng.normal(size=(300, 2))
    y = np.where(X[:, 0] > 1.9, "rare", "usual")
    LuthierClassifier(max_epochs=1, seeds=1).fit(X, y, groups=groups)
    own, classes, training, validation = seen[0]  # rows come in the order of their values
    assert sorted(own) == sorted(groups)
    assert not set(own[training]) & set(own[validation])
    assert sorted([*training, *validation]) == list(range(300))
    assert 0.1 < len(validation) / 300 < 0.3
    assert len(set(classes[training])) == 2
    with pytest.raises(ValueError, match="groups has 299 values"):
        LuthierClassifier().fit(X, y, groups=groups[1:])


def test_weights_and_groups_are_routed() -> None:
    X, y = load_wine(return_X_y=True)
    groups, weights = np.arange(len(y)) // 3, np.ones(len(y))
    with config_context(enable_metadata_routing=True):
        model = LuthierClassifier(max_epochs=2, seeds=1).set_fit_request(sample_weight=True, groups=True)
        model.set_score_request(sample_weight=True)
        assert get_routing_for_object(model).consumes("fit", ["sample_weight", "groups", "X"]) == {
            "sample_weight",
            "groups",
        }
        line = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        found = cross_val_score(line, X, y, cv=GroupKFold(2), params={"groups": groups, "sample_weight": weights})
    assert len(found) == 2


def test_several_outputs_have_a_model_each(tmp_path: Path) -> None:
    X, y = load_diabetes(return_X_y=True)
    both = np.stack([y, 300 - 2 * y], 1)
    model = LuthierRegressor(max_epochs=10, seeds=1).fit(X[:300], both[:300])
    found = model.predict(X[300:])
    assert found.shape == (142, 2)
    alone = LuthierRegressor(max_epochs=10, seeds=1).fit(X[:300], both[:300, 1]).predict(X[300:])
    np.testing.assert_allclose(found[:, 1], alone)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X[300:]), found)
    with pytest.raises(InputError, match="a model for each output"):
        model.save(tmp_path / "model.luthier")


def test_it_shows_itself_as_others_do() -> None:
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = LuthierClassifier(max_epochs=1, seeds=1)
    assert "LuthierClassifier" in model._repr_html_()
    assert "Not fitted" in model._repr_html_()
    model.fit(X, y)
    assert "Not fitted" not in model._repr_html_()
    assert list(model.feature_names_in_) == list(X.columns)
    scaled = make_pipeline(StandardScaler().set_output(transform="pandas"), model).fit(X, y)
    assert list(scaled[-1].feature_names_in_) == list(X.columns)
    assert list(scaled[:-1].get_feature_names_out()) == list(X.columns)


def test_masked_cells_are_missing_and_not_what_lies_under_the_mask() -> None:
    X, y = load_diabetes(return_X_y=True)
    hidden, gaps = np.ma.masked_greater(X, 0.05), np.where(X > 0.05, np.nan, X)
    hidden.data[hidden.mask] = 1e6
    model = LuthierRegressor(max_epochs=2, random_state=0).fit(hidden, y)
    np.testing.assert_array_equal(
        model.predict(hidden), LuthierRegressor(max_epochs=2, random_state=0).fit(gaps, y).predict(gaps)
    )
    with pytest.raises(ValueError, match="NaN"):
        LuthierRegressor().fit(X, np.ma.masked_greater(y, 300))


def test_what_would_give_wrong_numbers_is_refused() -> None:
    """Squares of such targets are 0 or infinite, and of columns of one name the second would take the first's place."""
    X, y = load_diabetes(return_X_y=True)
    for scale in (1e-200, 1e200):
        for targets in (scale * y, np.stack([y, scale * y], 1)):
            with pytest.raises(InputError, match=r"numbers too (small|large)"):
                LuthierRegressor(max_epochs=2).fit(X, targets)
    with pytest.raises(ValueError, match="'a' is there 2 times"):
        LuthierRegressor().fit(pd.DataFrame(X[:, :3], columns=["a", "b", "a"]), y)
