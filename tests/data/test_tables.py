"""Inference, splitting, encoding and preprocessing of tables."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from luthier.data import (
    Preprocess,
    SplitRule,
    TableEncoder,
    decode_classes,
    encode_target,
    infer_columns,
    infer_task,
    read_source,
    split_rows,
)
from luthier.data.preprocess import METHODS
from luthier.errors import ConfigError, InputError

ROWS = 60
MIXED = pl.DataFrame(
    {
        "row_id": list(range(100, 100 + ROWS)),
        "size": [0.5 * i for i in range(ROWS)],
        "sold": [i % 2 == 0 for i in range(ROWS)],
        "garden": ["yes", "no", None] * 20,
        "cut": ["fair", "good", "ideal"] * 20,
        "when": [str(dt.date(2024, 1, 1) + dt.timedelta(i)) for i in range(ROWS)],
        "same": ["x"] * ROWS,
        "name": [f"house number {i} on the hill" for i in range(ROWS)],
        "code": [f"k{i}" for i in range(ROWS)],
        "y": [float(i) for i in range(ROWS)],
    }
)


def test_kinds_and_reasons() -> None:
    columns = {column.name: column for column in infer_columns(MIXED, target="y", overrides={})}
    kinds = {name: (column.kind, column.used) for name, column in columns.items()}
    assert kinds == {
        "row_id": ("identifier", False),
        "size": ("number", True),
        "sold": ("boolean", True),
        "garden": ("boolean", True),
        "cut": ("category", True),
        "when": ("date", True),
        "same": ("constant", False),
        "name": ("text", True),
        "code": ("identifier", False),
    }
    assert "3 levels" in columns["cut"].sentence()
    assert "--column cut=" in columns["cut"].sentence()


@pytest.mark.parametrize(
    ("values", "kind", "log_scale"),
    [
        ([1.5, 2.5, 3.5] * 10, "regression", False),
        (np.exp(np.linspace(0, 6, 40)).tolist(), "regression", True),
        (["a", "b"] * 10, "binary", False),
        ([0, 1] * 10, "binary", False),
        ([3, 4, 5] * 10, "multiclass", False),
        (["a", "b", "c"] * 10, "multiclass", False),
        (list(range(200)), "regression", False),
    ],
)
def test_task(values: list[object], kind: str, log_scale: bool) -> None:
    task = infer_task(pl.Series("y", values))
    assert (task.kind, task.log_scale) == (kind, log_scale)


@pytest.mark.parametrize("labels", [["b", "a"], [10, 9], [2.0, 1.0], [True, False]])
def test_labels_come_back_as_they_went_in(labels: list[object]) -> None:
    series = pl.Series("y", labels * 10)
    task = infer_task(series)
    assert decode_classes(encode_target(series, task), task).to_list() == series.to_list()


def test_numeric_classes_are_ordered_as_numbers() -> None:
    assert infer_task(pl.Series("y", [2, 10, 1, 3] * 5), override="multiclass").classes == ("1", "2", "3", "10")


@given(st.integers(0, 2**31), st.integers(12, 80), st.integers(2, 4))
def test_splits_are_disjoint_complete_and_stratified(seed: int, rows: int, classes: int) -> None:
    frame = pl.DataFrame({"x": list(range(rows)), "y": [f"c{i % classes}" for i in range(rows)]})
    splits = split_rows(frame, task=infer_task(frame["y"]), seed=seed)
    joined = np.concatenate([splits.training, splits.validation, splits.test])
    assert sorted(joined.tolist()) == list(range(rows))
    for part in (splits.validation, splits.test):
        counts = np.bincount(part % classes, minlength=classes)
        expected = np.bincount(np.arange(rows) % classes) * 0.2
        assert (np.abs(counts - expected) <= 1).all()


@given(st.integers(0, 2**31))
def test_copies_never_lie_on_two_sides(seed: int) -> None:
    x = [*range(90), *range(10)]  # ten rows come twice
    frame = pl.DataFrame({"x": x, "y": ["a", "b"] * 50})
    splits = split_rows(frame, task=infer_task(frame["y"]), seed=seed)
    values = [set(np.array(x)[part].tolist()) for part in (splits.training, splits.validation, splits.test)]
    assert not values[0] & values[1]
    assert not values[0] & values[2]
    assert not values[1] & values[2]
    assert "copies" in splits.notes[0]


def test_a_coarse_table_is_said() -> None:
    frame = pl.DataFrame({"x": [1, 2, 3, 4] * 25, "y": ["a", "b"] * 50})
    splits = split_rows(frame, task=infer_task(frame["y"]), seed=0)
    assert "not kept in one part of the split" in splits.notes[0]
    assert len(splits.test) == pytest.approx(20, abs=1)


def test_encoder_round_trip_unknown_and_missing() -> None:
    columns = infer_columns(MIXED, target="y", overrides={})
    fitted = TableEncoder.fit(MIXED, columns)
    again = TableEncoder.from_json(json.loads(json.dumps(fitted.to_json())))
    for one, other in zip(fitted.encode(MIXED).values(), again.encode(MIXED).values(), strict=True):
        assert torch.equal(one.nan_to_num(-9), other.nan_to_num(-9))
    changed = MIXED.with_columns(cut=pl.Series(["never seen", None, "fair"] * 20))
    assert fitted.encode(changed).codes[:3, 0].tolist() == [0, 1, 2]
    day = fitted.number_names.index("when (weekday)")
    assert fitted.encode(MIXED).numbers[0, day] == dt.date(2024, 1, 1).isoweekday()


def test_text_of_a_streamed_csv_encodes_like_typed_values() -> None:
    columns = infer_columns(MIXED, target="y", overrides={})
    fitted = TableEncoder.fit(MIXED, columns)
    text = MIXED.with_columns(pl.all().cast(pl.String))
    for one, other in zip(fitted.encode(MIXED).values(), fitted.encode(text).values(), strict=True):
        assert torch.equal(one.nan_to_num(-9), other.nan_to_num(-9))


def numbers(rows: int = 500, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    X = np.stack([rng.normal(3, 2, rows), rng.exponential(1, rows), rng.integers(0, 4, rows), np.full(rows, 7.0)], 1)
    return torch.tensor(X, dtype=torch.float32)


def test_standardising_equals_scikit_learn() -> None:
    X = numbers()
    expected = StandardScaler().fit_transform(X.double().numpy())
    # float32 against float64
    np.testing.assert_allclose(Preprocess.fit(X)(X).numpy(), expected, atol=1e-5)


def test_normal_scores_equal_scikit_learn() -> None:
    X = numbers()
    oracle = QuantileTransformer(n_quantiles=256, output_distribution="normal").fit(X.numpy())
    result = Preprocess.fit(X, "quantile")(X).numpy()
    # continuous columns; ties are averaged here and there alike, up to one knot in 256
    np.testing.assert_allclose(result[:, :2], oracle.transform(X.numpy())[:, :2], atol=2e-3)
    assert np.isfinite(result).all()


def test_piecewise_coding_is_monotone_and_bounded() -> None:
    X = numbers()
    fitted = Preprocess.fit(X, "piecewise")
    line = torch.linspace(-5, 10, 200).unsqueeze(1).repeat(1, 4)
    coded = fitted(line)[:, 4 : 4 + 16]  # the first column's bins
    assert ((coded >= 0) & (coded <= 1)).all()
    assert (coded.diff(dim=0) >= 0).all()
    assert fitted(X).shape[1] == fitted.width


@pytest.mark.parametrize("method", METHODS)
def test_missing_values_get_the_median_and_a_flag(method: str) -> None:
    X = numbers()
    X[::3, 0] = float("nan")
    fitted = Preprocess.fit(X, method)
    result = fitted(X)
    assert result.isfinite().all()
    assert torch.equal(result[:, -1], X[:, 0].isnan().float())
    filled = X.clone()
    filled[::3, 0] = fitted.median[0]
    torch.testing.assert_close(result[:, :-1], fitted(filled)[:, :-1])
    again = Preprocess.from_config(json.loads(json.dumps(fitted.config())))
    again.load_state_dict(fitted.state_dict())
    assert torch.equal(again(X), result)


def test_arrow_and_pandas_frames_enter() -> None:
    frame = MIXED.select("size", "cut", "y")
    for other in (frame.to_pandas(), frame.to_arrow()):
        assert read_source(other).frame["size"].to_list() == frame["size"].to_list()


def grouped(rows: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "patient": [f"p{i}" for i in rng.integers(0, 60, rows)],
            "day": [str(dt.date(2023, 1, 1) + dt.timedelta(int(i))) for i in rng.integers(0, 200, rows)],
            "x": rng.normal(size=rows),
            "y": rng.choice(["a", "b"], rows),
        }
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_group_lies_on_two_sides(seed: int) -> None:
    frame = grouped()
    splits = split_rows(frame, SplitRule(group="patient"), task=infer_task(frame["y"]), seed=seed)
    parts = [set(frame["patient"][rows].to_list()) for rows in (splits.training, splits.validation, splits.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert len(splits.training) + len(splits.validation) + len(splits.test) == 400
    assert 40 < len(splits.test) < 120
    assert 40 < len(splits.validation) < 120


def test_no_part_sees_what_came_after_it() -> None:
    frame = grouped()
    splits = split_rows(frame, SplitRule(time="day"), task=infer_task(frame["y"]), seed=0)
    days = [frame["day"][rows] for rows in (splits.training, splits.validation, splits.test)]
    assert days[0].max() < days[1].min()
    assert days[1].max() < days[2].min()
    assert 60 <= len(splits.test) <= 100


def test_splits_that_cannot_be_are_said() -> None:
    frame = grouped().with_columns(pl.lit("one").alias("same"), pl.lit(None, dtype=pl.String).alias("never"))
    task = infer_task(frame["y"])
    with pytest.raises(InputError, match="different values"):
        split_rows(frame, SplitRule(group="same"), task=task, seed=0)
    with pytest.raises(InputError, match="without a value"):
        split_rows(frame, SplitRule(time="never"), task=task, seed=0)


def test_robust_numbers_are_scikit_learns_softly_clipped() -> None:
    X = numbers().double()
    X[3, 0] = 1e6
    scaled = torch.from_numpy(RobustScaler().fit_transform(X.numpy()))
    wanted = scaled / (1 + (scaled / 3) ** 2).sqrt()
    result = Preprocess.fit(X, "robust")(X)
    torch.testing.assert_close(result, wanted.float(), rtol=1e-5, atol=1e-6)
    assert result.abs().max() < 3.0001


def test_robust_scales_where_quartiles_are_equal() -> None:
    """Half the range, as RealMLP has it; a constant column is all zeros."""
    X = torch.tensor([[1.0, 5.0], [1.0, 5.0], [1.0, 5.0], [1.0, 5.0], [7.0, 5.0]])
    result = Preprocess.fit(X, "robust")(X)
    assert result[4, 0] == pytest.approx(2 / (1 + 4 / 9) ** 0.5)
    assert result[:4, 0].abs().max() == 0
    assert result[:, 1].abs().max() == 0


def test_periodic_codes_are_sines_and_cosines_of_the_standardised_value() -> None:
    X = torch.linspace(-3, 5, 50).unsqueeze(1)
    fitted = Preprocess.fit(X, "periodic")
    result = fitted(X)
    assert result.shape == (50, fitted.width) == (50, 17)
    standard = ((X - X.mean()) / X.std(correction=0))[:, 0]
    torch.testing.assert_close(result[:, 0], standard)
    torch.testing.assert_close(result[:, 1], torch.sin(2 * torch.pi * standard / 8), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(result[:, 9], torch.cos(2 * torch.pi * standard / 8), atol=1e-5, rtol=1e-5)


def test_one_deviation_for_all_columns() -> None:
    X = torch.stack([torch.randn(500, generator=torch.Generator().manual_seed(0)), torch.zeros(500)], 1)
    X[7, 1] = 0.5  # a pixel that is seldom lit
    result = Preprocess.fit(X, "common")(X)
    assert float(result.mean(0).abs().max()) < 1e-6
    assert float(result.var(0, correction=0).mean()) == pytest.approx(1.0, rel=1e-5)
    assert float(result[7, 1]) < 1  # standardised by itself it would be 10, the clamp


@pytest.mark.parametrize("kind", ["text", "category", "boolean", "date"])
def test_lengths_of_time_are_numbers_or_left_out(kind: str) -> None:
    table = pl.DataFrame({"q": pl.Series([1, 2, 3]).cast(pl.Duration("us")), "y": ["a", "b", "a"]})
    with pytest.raises(ConfigError, match=f"--column q={kind}: its cells are lengths of time"):
        infer_columns(table, target="y", overrides={"q": kind})
    for allowed in ("number", "identifier"):
        assert infer_columns(table, target="y", overrides={"q": allowed})[0].kind == allowed
