"""Seven real tables, five outer splits each: ranks among Luthier, boosted trees, a linear model and an MLP.

Needs `LUTHIER_DATA`. `python -m benchmarks.ranks [BUDGET]` continues where it was stopped: every finished split is a
line of `benchmarks/results/ranks-BUDGET.jsonl`. The peers learn from all rows outside the test part, training and
validation together, with early stopping of their own; the network gets the budget, on two cores.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import rankdata
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import luthier
from luthier.assess import measure
from luthier.data import encode_target, read_source
from luthier.objective import METRICS
from luthier.recipe import read_as_asked
from luthier.recipe.preparing.prepare import parts_of
from luthier.request import RunRequest
from luthier.runs.screen import SilentScreen

TARGETS = {
    "diamonds": "price",
    "ames": "Sale_Price",
    "churn": "churn",
    "default": "default",
    "titanic": "survived",
    "penguins": "species",
    "stackoverflow": "Remote",
}
SPLITS = 5
OURS = "Luthier"
PEERS = ("gradient-boosted trees", "linear", "scikit-learn MLP")


def one_split(table: str, seed: int, budget: str) -> dict[str, Any]:
    """The test score of everyone on one outer split, all on the same rows."""
    path = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{table}.csv"
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = Path(folder) / table
        result = luthier.fit(path, target=TARGETS[table], budget=budget, seed=seed, run=run, screen=SilentScreen())
        seconds = time.monotonic() - began
        assert result is not None
        parts = pl.read_parquet(result.folder.splits)
        metric, ours = result.scores["metric"], result.scores["headline"]["value"]
    read = read_as_asked(read_source(path, target=TARGETS[table]).frame, RunRequest(source="", target=TARGETS[table]))
    scores = {OURS: ours}
    for name, prediction, y in _peers(read, parts, seed):
        scores[name] = measure(metric, y, prediction, seed=seed).value
    return {"table": table, "seed": seed, "metric": metric, "scores": scores, "seconds": round(seconds, 1)}


def _peers(read: Any, parts: pl.DataFrame, seed: int) -> Any:
    """Each peer's predictions for the test rows, on the target's own scale."""
    test = (parts["part"] == "test").to_numpy()
    encoder = parts_of(read, RunRequest(source="", seed=seed)).encoder
    numbers, codes = (tensor.numpy() for tensor in encoder.encode(read.frame).values())
    X = np.concatenate([numbers, codes], 1)
    y = encode_target(read.frame[read.task.target], read.task).numpy()
    regression, log = read.task.kind == "regression", read.task.log_scale
    own = np.exp(y.astype(float)) if log else y
    width = numbers.shape[1]
    categorical = [width + k for k, size in enumerate(encoder.category_sizes) if size <= 254]
    for name in PEERS:
        model = _model(name, regression, width, X.shape[1], categorical, seed)
        if log:
            model = TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[~test], own[~test])
            yield name, model.predict(X[test]) if regression else model.predict_proba(X[test]), own[test]


def _model(name: str, regression: bool, width: int, columns: int, categorical: list[int], seed: int) -> Any:
    if name == "gradient-boosted trees":
        options: dict[str, Any] = {
            "learning_rate": 0.06,
            "max_iter": 600,
            "early_stopping": True,
            "n_iter_no_change": 20,
            "categorical_features": categorical or None,
            "random_state": seed,
        }
        return HistGradientBoostingRegressor(**options) if regression else HistGradientBoostingClassifier(**options)
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    coded = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("numbers", scaled, slice(0, width)), ("codes", coded, slice(width, columns))]
    transform = ColumnTransformer([part for part in parts if part[2].start < part[2].stop])
    if name == "linear":
        return make_pipeline(
            transform, RidgeCV(np.logspace(-3, 3, 13)) if regression else LogisticRegression(max_iter=2000)
        )
    if regression:
        net: Any = TransformedTargetRegressor(
            MLPRegressor(hidden_layer_sizes=(128, 128), early_stopping=True, max_iter=200, random_state=seed),
            transformer=StandardScaler(),
        )
    else:
        net = MLPClassifier(hidden_layer_sizes=(128, 128), early_stopping=True, max_iter=200, random_state=seed)
    return make_pipeline(transform, net)


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The tables of scores and ranks as Markdown."""
    names = [OURS, *PEERS]
    lines = [
        "| table | metric | " + " | ".join(names) + " | behind the best, in standard errors |",
        "|---|---|" + "---|" * 5,
    ]
    every = []
    for table in TARGETS:
        mine = [row for row in rows if row["table"] == table]
        if not mine:
            continue
        metric = mine[0]["metric"]
        sign = 1.0 if METRICS[metric].larger_is_better else -1.0
        scores = np.array([[row["scores"][name] for name in names] for row in mine])
        every += [rankdata(-sign * row) for row in scores]
        best = int(np.argmax(sign * scores.mean(0)))
        gap = sign * (scores[:, best] - scores[:, 0])
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.nan
        behind = "best" if best == 0 else f"{gap.mean() / max(error, 1e-12):.1f}"
        cells = " | ".join(f"{mean:.4g}" for mean in scores.mean(0))
        lines.append(f"| {table} ({len(mine)}) | {metric} | {cells} | {behind} |")
    ranks = np.mean(every, 0)
    return [*lines, "| mean rank | | " + " | ".join(f"{rank:.2f}" for rank in ranks) + " | |"]


def main(budget: str = "60s") -> None:
    """Measure what is missing, and print the summary."""
    path = Path(__file__).parent / "results" / f"ranks-{budget}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["table"], row["seed"]) for row in rows}
    splits = SPLITS if budget == "60s" else 1
    for seed in range(splits):
        for table in TARGETS:
            if (table, seed) not in done:
                rows.append(one_split(table, seed, budget))
                with path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                sys.stdout.write(json.dumps(rows[-1]) + "\n")
                sys.stdout.flush()
    sys.stdout.write("\n".join(summary(rows)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
