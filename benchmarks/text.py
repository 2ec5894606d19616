"""Sentiment of film reviews against tf-idf and logistic regression: `python -m benchmarks.text [BUDGET] [SPLITS]`.

Needs `LUTHIER_DATA`. The peer learns from all rows outside the test part, words and pairs of words, its penalty found
by folds; the area under the curve is of the same sealed rows. A finished split is a line of
`results/text-BUDGET.jsonl`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

import luthier
from luthier.runs.screen import SilentScreen

SPLITS = 5


def one_split(path: Path, seed: int, budget: str) -> dict[str, float]:
    """Both areas under the curve of one outer split."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        result = luthier.fit(
            path,
            target="sentiment",
            columns={"rating": "identifier"},
            metric="auc",
            budget=budget,
            seed=seed,
            run=Path(folder) / "run",
            screen=SilentScreen(),
        )
        seconds = time.monotonic() - began
        assert result is not None
        part = pl.read_parquet(result.folder.splits)["part"].to_numpy()
        headline = result.scores["headline"]["value"]
    frame = pl.read_csv(path).filter(pl.col("sentiment").is_not_null())
    text, y = frame["text"].fill_null("").to_numpy(), (frame["sentiment"] == "positive").to_numpy()
    peer = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegressionCV(Cs=[0.3, 1.0, 3.0, 10.0, 30.0], cv=5, max_iter=2000, scoring="roc_auc"),
    )
    test = part == "test"
    peer.fit(text[~test], y[~test])
    score = float(roc_auc_score(y[test], peer.predict_proba(text[test])[:, 1]))
    return {"seed": seed, "Luthier": headline, "tf-idf + logistic": score, "seconds": round(seconds, 1)}


def main(budget: str = "10m", splits: str = str(SPLITS)) -> None:
    """Go on with the splits that are not there yet, and print both means with the paired difference."""
    path = Path(os.environ["LUTHIER_DATA"]) / "text" / "movie_reviews.csv"
    results = Path(__file__).parent / "results" / f"text-{budget}.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for seed in range(len(rows), int(splits)):
        rows.append(one_split(path, seed, budget))
        with results.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    ours, theirs = (np.array([row[name] for row in rows]) for name in ("Luthier", "tf-idf + logistic"))
    gain = ours - theirs
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    print(f"Luthier {ours.mean():.4f}, tf-idf + logistic {theirs.mean():.4f}: {gain.mean():+.4f} ± {error:.4f} (s.e.)")


if __name__ == "__main__":
    main(*sys.argv[1:3])
