"""Text against linear models over tf-idf and over MiniLM: `python -m benchmarks.text [BUDGET] [SPLITS] [TASK] [MODEL]`.

TASK is `reviews`, the sentiment of film reviews (needs `LUTHIER_DATA`; area under the curve), or `docstrings`, which of
eight installed packages a docstring comes from (accuracy; its first paragraph, without the packages' names). Both were
named before anything was trained on them. MODEL is what `--text-model` takes. The peers learn from all rows outside the
test part, their penalties found by folds, and are measured on the same sealed rows. A finished split is a line of
`results/text-BUDGET.jsonl`, of `docstrings` or another model of `results/text-TASK-MODEL-BUDGET.jsonl`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

import luthier
from luthier.data.sentences import MINILM, STATIC, source_named
from luthier.errors import InputError
from luthier.runs.screen import SilentScreen

SPLITS = 5
PACKAGES = ("numpy", "scipy", "sklearn", "pandas", "polars", "plotly", "networkx", "sympy")
EACH, WORDS = 600, 4  # docstrings of a package, and the fewest words of one
REVIEWS, DOCSTRINGS = "reviews", "docstrings"
COLUMNS = {REVIEWS: ("text", "sentiment"), DOCSTRINGS: ("text", "package")}


def docstrings(package: str) -> Iterator[str]:
    """First paragraphs of a package's docstrings, in the order of its files."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    own = re.compile("|".join((*PACKAGES, "scikit-learn", r"\bnp\.", r"\bpd\.", r"\bpl\.")), re.IGNORECASE)
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "test" in file.as_posix().removeprefix(Path(spec.origin).parent.as_posix()):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8", errors="replace"))):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
            first = own.sub(" ", (text or "").split("\n\n")[0])
            if len(first.split()) >= WORDS:
                yield " ".join(first.split())


def table_of(task: str, folder: Path) -> Path:
    """The table of a task."""
    if task == REVIEWS:
        return Path(os.environ["LUTHIER_DATA"]) / "text" / "movie_reviews.csv"
    rows = []
    for package in PACKAGES:
        known = np.array(list(dict.fromkeys(docstrings(package))), dtype=object)
        some = np.random.default_rng(0).permutation(len(known))[:EACH]
        rows += [{"text": text, "package": package} for text in known[np.sort(some)]]
    pl.DataFrame(rows).write_csv(folder / "docstrings.csv")
    return folder / "docstrings.csv"


def peers_of(task: str) -> dict[str, Any]:
    """Linear models over tf-idf, and over MiniLM's vectors where its package is there."""
    scoring = "roc_auc" if task == REVIEWS else "neg_log_loss"
    options: dict[str, Any] = {"cv": 5, "max_iter": 2000, "scoring": scoring}
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    result = {
        "tf-idf + logistic": make_pipeline(words, LogisticRegressionCV(Cs=[0.3, 1.0, 3.0, 10.0, 30.0], **options))
    }
    try:
        model = source_named(MINILM)
    except InputError:
        return result

    class Vectors:
        def fit(self, texts: np.ndarray, y: np.ndarray) -> Vectors:
            return self

        def transform(self, texts: np.ndarray) -> np.ndarray:
            return model.vectors(pl.Series(list(texts)))

    linear = LogisticRegressionCV(Cs=[1.0, 3.0, 10.0, 30.0, 100.0], **options)
    return {**result, "MiniLM + logistic": make_pipeline(Vectors(), linear)}


def one_split(path: Path, task: str, seed: int, budget: str, text_model: str) -> dict[str, float]:
    """The scores of one outer split."""
    text, target = COLUMNS[task]
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        result = luthier.fit(
            path,
            target=target,
            columns={"rating": "identifier"} if task == REVIEWS else {},
            metric="auc" if task == REVIEWS else "accuracy",
            budget=budget,
            seed=seed,
            text_model=text_model,
            run=Path(folder) / "run",
            screen=SilentScreen(),
        )
        seconds = time.monotonic() - began
        assert result is not None
        part = pl.read_parquet(result.folder.splits)["part"].to_numpy()
        headline = result.scores["headline"]["value"]
    frame = pl.read_csv(path).filter(pl.col(target).is_not_null())
    texts, y = frame[text].fill_null("").to_numpy(), frame[target].to_numpy()
    test, scores = part == "test", {}
    for name, peer in peers_of(task).items():
        peer.fit(texts[~test], y[~test])
        p = peer.predict_proba(texts[test])
        right = peer.classes_[p.argmax(1)] == y[test]
        scores[name] = float(roc_auc_score(y[test] == peer.classes_[1], p[:, 1]) if task == REVIEWS else right.mean())
    return {"seed": seed, "Luthier": headline, **scores, "seconds": round(seconds, 1)}


def main(budget: str = "10m", splits: str = str(SPLITS), task: str = REVIEWS, text_model: str = STATIC) -> None:
    """Go on with the splits that are not there yet, and print all means with the paired differences."""
    plain = task == REVIEWS and text_model == STATIC
    name = f"text-{budget}.jsonl" if plain else f"text-{task}-{Path(text_model).name}-{budget}.jsonl"
    results = Path(__file__).parent / "results" / name
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        path = table_of(task, Path(folder))
        for seed in range(len(rows), int(splits)):
            rows.append(one_split(path, task, seed, budget, text_model))
            with results.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    for peer in [name for name in rows[0] if "+" in name]:
        ours, theirs = (np.array([row[one] for row in rows if peer in row]) for one in ("Luthier", peer))
        gain = ours - theirs
        error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
        print(f"Luthier {ours.mean():.4f}, {peer} {theirs.mean():.4f}: {gain.mean():+.4f} ± {error:.4f} (s.e.)")


if __name__ == "__main__":
    main(*sys.argv[1:5])
