"""The child process that fits the baselines: `python baseline_process.py FOLDER`. It imports nothing else of ours.

Training and validation rows come through its standard input. It fits one baseline after another, writes each one's
predictions for the validation rows into FOLDER (or why it failed; the others go on), and waits for the test rows, which
come when the parent has opened them: so the child cannot have seen them while fitting.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

TREES = "gradient-boosted trees"
MOST_ROWS = {"nearest neighbours": 50_000, "SVM (RBF)": 8_000}  # both slow down with the rows: so many of them
MOST_PICTURES = {
    "logistic regression": 10_000,
    "gradient-boosted trees": 3_000,
    "nearest neighbours": 10_000,
    "ridge regression": 20_000,
    "SVM (RBF)": 4_000,
}
# Of many classes each step of boosting grows as many trees, and an SVM decides between all pairs of them.
MOST_TREES, MOST_SVM_CLASSES, DECISION_BYTES = 60_000, 200, 1 << 26
FEWEST = 3  # rows of a class, below which three folds or a held-out tenth leave it out
# Files: the parent wants no more baselines; the child waits for the test rows; it has answered for them.
ENOUGH, READY, TESTED = "enough", "ready", "tested"
NEIGHBOURS = 15
PENALTIES = [0.3, 1.0, 3.0, 10.0], [0.001, 0.01, 0.1, 1.0]  # inverse ones: on tf-idf, on vectors of mean square 1
TF_IDF, VECTORS = "tf-idf", "sentence vectors"  # what linear baselines see of text
UNWEIGHED = ("nearest neighbours",)  # their library takes no weights
HELD_OUT = 0.1  # of the training rows, for the end of boosting
INNER_SPLITS = ("gradient-boosted trees", "SVM (RBF)")
MOST_TREE_LEVELS = 254  # scikit-learn's limit for a categorical feature


class TooManyClassesError(Exception):
    """A baseline that would take too much memory and time with so many classes."""

    template = "it decides between all pairs of classes; of {classes} they are too many"


def names_for(names: tuple[str, ...], *, text: bool, vectors: bool = False) -> tuple[str, ...]:
    """The baselines of a kind; of text those that count words (tf-idf), and that take vectors where there are some."""
    return (names[0], f"{names[1]} on {TF_IDF}", *[f"{names[1]} on {VECTORS}"] * vectors) if text else names


def quantile_trees(level: float) -> str:
    """The name of trees that learn a quantile.

    >>> quantile_trees(0.9), of_quantile(quantile_trees(0.9)), of_quantile(TREES)
    ('gradient-boosted trees q0.9', 0.9, None)
    """
    return f"{TREES} q{level:g}"


def of_quantile(name: str) -> float | None:
    """The quantile that a baseline learns, by its name."""
    head, _, level = name.rpartition(" q")
    return float(level) if head == TREES else None


def main(folder: Path) -> None:
    """Fit, answer for the validation rows, then for the test rows when told to."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    rows = _parts(sys.stdin.buffer)
    training, validation = next(rows), next(rows)
    regression, began = not task["classes"], time.monotonic()
    fitted = {}
    for name in task["names"]:
        if (folder / ENOUGH).exists() or time.monotonic() - began > (task.get("seconds") or inf):
            break
        level, asked = of_quantile(name), task
        if level is not None:
            task = {**asked, "loss": ["quantile", level]}
        has_log_link = name == TREES and task["loss"][0] == "poisson"
        scales = (True, False) if task["log_scale"] and not has_log_link else (False,)
        try:
            candidates = [_fitted(name, training, task, log) for log in scales]
            chosen = min(candidates, key=lambda one: _error(one, validation, task)) if regression else candidates[0]
            _answer(folder / f"{name}.validation.npz", chosen, validation, task)
        except Exception as error:  # whatever a library raises: it is said, and the other baselines go on
            by = runpy.run_path(str(Path(__file__).with_name("baseline_reasons.py")))  # a file of its own, by its path
            by["write_reason"](folder, name, error, training, task)
        else:
            fitted[name] = chosen
        task = asked
    (folder / READY).touch()
    for test in rows:
        for name, baseline in fitted.items():
            _answer(folder / f"{name}.test.npz", baseline, test, task)
        (folder / TESTED).touch()


def write_arrays(stream: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """Arrays, after a line that names them; see `_parts`."""
    known = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    stream.write(
        json.dumps({name: [values.dtype.str, values.shape] for name, values in known.items()}).encode() + b"\n"
    )
    for values in known.values():
        stream.write(values.reshape(-1).view(np.uint8).data)


def _parts(stream: IO[bytes]) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of one `write_arrays` after another, until the stream ends."""
    for line in iter(stream.readline, b""):
        arrays = {name: np.empty(shape, kind) for name, (kind, shape) in json.loads(line).items()}
        for values in arrays.values():
            rest = values.reshape(-1).view(np.uint8).data
            while len(rest):
                count = stream.readinto(rest)  # type: ignore[attr-defined]
                if not count:
                    return  # the parent has ended
                rest = rest[count:]
        yield arrays


def _end_with(parent: int) -> None:
    """End this process when the one that began it is gone, killed for instance: nobody waits for us then."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


class _Baseline(NamedTuple):
    """A fitted model; on the log scale its predictions are brought back by `smear`."""

    model: Any
    log: bool
    smear: float


def _fitted(name: str, training: dict[str, np.ndarray], task: dict[str, Any], log: bool) -> _Baseline:
    """A baseline fitted on the training rows, a regression's targets on the log scale or on their own."""
    labels, regression = training["targets"].ndim == 2, not task["classes"]
    name = name if of_quantile(name) is None else TREES
    taken = _some(training, (MOST_PICTURES if task["pictures"] else MOST_ROWS).get(name), regression or labels)
    of_text = name.endswith((TF_IDF, VECTORS))
    if not regression and not labels and (name in INNER_SPLITS or of_text):
        taken = _repeated(taken)
    if of_text:
        model = _of_text(name, taken, task["sizes"], task["words"], regression)
    else:
        model = _model(name, taken, task["sizes"], regression, task["loss"])
    if labels:  # a file of its own, by its path too
        model = runpy.run_path(str(Path(__file__).with_name("label_by_label.py")))["label_by_label"](model)
    model.fit(_inputs(taken), _targets(taken, task, log), **_weights(name, model, taken))
    inputs, targets = _inputs(training), _targets(training, task, log)
    # Duan's factor: the mean of exp is not exp of the mean; a quantile of exp is exp of the quantile.
    is_quantile = task["loss"][0] in ("absolute_error", "quantile") and name in ("mean", TREES)
    smear = _mean(np.exp(targets - model.predict(inputs)), training) if log and not is_quantile else 1.0
    return _Baseline(model, log, smear)


def _targets(part: dict[str, np.ndarray], task: dict[str, Any], log: bool) -> np.ndarray:
    return np.exp(part["targets"].astype(float)) if task["log_scale"] and not log else part["targets"]


def _some(part: dict[str, np.ndarray], most: int | None, regression: bool) -> dict[str, np.ndarray]:
    """At most so many rows, drawn at random, among them one of every class."""
    rows = len(part["numbers"])
    if most is None or rows <= most:
        return part
    order = np.random.default_rng(0).permutation(rows)
    if not regression:
        first = np.unique(part["targets"][order], return_index=True)[1]
        order = np.concatenate([order[first], np.delete(order, first)])
    chosen = np.sort(order[:most])
    return {key: values[chosen] for key, values in part.items()}


def _repeated(part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of the rarest classes several times, each with a part of its weight: an inner split then leaves none out."""
    _, codes, counts = np.unique(part["targets"], return_inverse=True, return_counts=True)
    times = -(-FEWEST // counts[codes])  # rounded up
    if times.max(initial=1) == 1:
        return part
    rows = np.repeat(np.arange(len(times)), times)
    weights = part.get("weights", np.ones(len(times))) / times
    return {**{key: values[rows] for key, values in part.items()}, "weights": weights[rows]}


def _weights(name: str, model: Any, training: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows' weights as the model's fit takes them; neighbours take none."""
    if "weights" not in training or name in UNWEIGHED:
        return {}
    steps = getattr(model, "steps", None)
    return {f"{steps[-1][0]}__sample_weight" if steps else "sample_weight": training["weights"]}


def _inputs(part: dict[str, np.ndarray]) -> np.ndarray:
    tokens = [part["tokens"]] if "tokens" in part else []
    return np.concatenate([part["numbers"], *tokens, part["codes"]], 1)


def _values(baseline: _Baseline, part: dict[str, np.ndarray], task: dict[str, Any]) -> np.ndarray:
    """Predictions, as far as the target can have them."""
    result = baseline.model.predict(_inputs(part))
    return np.asarray(np.clip(np.exp(result) * baseline.smear if baseline.log else result, *task["bounds"]))


def _error(baseline: _Baseline, part: dict[str, np.ndarray], task: dict[str, Any]) -> float:
    """The mean loss that the deciding metric asks for."""
    targets = np.exp(part["targets"].astype(float)) if task["log_scale"] else part["targets"]
    values, (loss, q) = _values(baseline, part, task), task["loss"]
    off = targets - values
    if loss == "poisson":
        values = np.maximum(values, 1e-12)
        return _mean(values - targets * np.log(values), part)
    return _mean(off**2 if loss == "squared_error" else np.maximum(q * off, (q - 1) * off), part)


def _mean(values: np.ndarray, part: dict[str, np.ndarray]) -> float:
    """The mean over the rows of a part, each by its weight."""
    return float(np.average(values, weights=part.get("weights")))


def _answer(path: Path, baseline: _Baseline, part: dict[str, np.ndarray], task: dict[str, Any]) -> None:
    if not task["classes"]:
        result = _values(baseline, part, task)
    else:
        result = np.zeros((len(part["numbers"]), task["classes"]))
        result[:, baseline.model.classes_.astype(int)] = baseline.model.predict_proba(_inputs(part))
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, prediction=result)
    temporary.rename(path)  # the parent polls for the name, so it appears only when whole


def _of_text(name: str, training: dict[str, np.ndarray], sizes: list[int], words: list[int], regression: bool) -> Any:
    """A linear model on tf-idf of pieces and pairs, or on vectors, beside the other columns; three folds find its
    penalty."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    first = training["numbers"].shape[1]  # of the tokens, which come behind the numbers
    plain, last = first - words[2], first + words[0]
    counted = make_pipeline(
        FunctionTransformer(_as_texts),
        TfidfVectorizer(
            ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True, min_df=min(2, len(training["codes"]))
        ),
    )
    parts: list[tuple[str, Any, slice]] = [("words", counted, slice(first, first + words[1]))]
    if name.endswith(VECTORS):
        scaled = FunctionTransformer(lambda vectors: vectors * np.sqrt(vectors.shape[1]))  # of mean square 1
        parts = [("vectors", scaled, slice(plain, first))]
    parts += _other_columns(plain, last, sizes)
    linear = (
        RidgeCV(alphas=np.logspace(-2, 2, 9))
        if regression
        else LogisticRegressionCV(Cs=PENALTIES[name.endswith(VECTORS)], cv=3, max_iter=1000, scoring="neg_log_loss")
    )
    return make_pipeline(ColumnTransformer(parts), linear)


def _as_texts(ids: np.ndarray) -> list[str]:
    """Rows of ids as texts again, a number standing for each piece; 0 is none."""
    return [" ".join(str(int(piece)) for piece in row if piece > 0) for row in ids]


def _other_columns(numbers: int, start_of_codes: int, sizes: list[int]) -> list[tuple[str, Any, slice]]:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts: list[tuple[str, Any, slice]] = []
    if numbers:
        scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
        parts.append(("numbers", scaled, slice(0, numbers)))
    if sizes:
        coded = OneHotEncoder(handle_unknown="ignore", sparse_output=False, max_categories=100)
        parts.append(("codes", coded, slice(start_of_codes, start_of_codes + len(sizes))))
    return parts


def _held_out(rows: int, classes: int) -> float:
    """The share of rows that ends the boosting: with room for a row of each class."""
    return min(0.5, max(HELD_OUT, (classes + 1) / rows))


def _in_pieces(svc: Any) -> Any:
    """The SVM that decides for a few rows at a time: a row's decisions between all pairs of classes take 17 bytes each.

    The numbers are those of scikit-learn's, to the bit.
    """

    class InPieces(svc):  # type: ignore[misc]
        def decision_function(self, X: np.ndarray) -> np.ndarray:
            pairs = len(self.classes_) * (len(self.classes_) - 1) // 2
            rows = max(1, DECISION_BYTES // (17 * pairs))
            decide = super().decision_function
            return np.concatenate([decide(X[start : start + rows]) for start in range(0, len(X), rows)])

    return InPieces


def _model(
    name: str,
    training: dict[str, np.ndarray],
    sizes: list[int],
    regression: bool,
    loss: tuple[str, float] = ("squared_error", 0.5),
) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    numbers, classes = training["numbers"].shape[1], 0 if regression else len(np.unique(training["targets"]))
    if name in ("mean", "majority class"):
        middle = {} if loss[0] in ("squared_error", "poisson") else {"strategy": "quantile", "quantile": loss[1]}
        return DummyRegressor(**middle) if regression else DummyClassifier(strategy="prior")
    if name == TREES:
        categorical = [numbers + k for k, size in enumerate(sizes) if size <= MOST_TREE_LEVELS]
        options: dict[str, Any] = {
            "learning_rate": 0.06,
            "max_iter": min(600, max(1, MOST_TREES // max(1, classes))),
            "early_stopping": True,
            "n_iter_no_change": 20,
            "validation_fraction": _held_out(len(training["numbers"]), classes),
            "categorical_features": categorical or None,
            "random_state": 0,
        }
        if regression:
            options |= {"loss": loss[0], "quantile": loss[1] if loss[0] == "quantile" else None}
        return HistGradientBoostingRegressor(**options) if regression else HistGradientBoostingClassifier(**options)
    transform = ColumnTransformer(_other_columns(numbers, numbers, sizes))
    if name == "nearest neighbours":
        kind = KNeighborsRegressor if regression else KNeighborsClassifier
        neighbours = min(NEIGHBOURS, len(training["numbers"]))
        return make_pipeline(transform, kind(n_neighbors=neighbours, weights="distance"))
    if name == "SVM (RBF)":
        if regression:
            scaled_target = TransformedTargetRegressor(SVR(C=1.0), transformer=StandardScaler())
            return make_pipeline(transform, scaled_target)
        if classes > MOST_SVM_CLASSES:
            raise TooManyClassesError(f"{classes:,}")
        return make_pipeline(transform, CalibratedClassifierCV(_in_pieces(SVC)(), ensemble=False, cv=3))
    linear: dict[str, Callable[[], Any]] = {
        "ridge regression": lambda: RidgeCV(alphas=np.logspace(-3, 3, 13)),
        "logistic regression": lambda: LogisticRegression(max_iter=2000),
        "logistic regression of shares": _of_shares,
        "Poisson regression": lambda: _with_log_link(1.0),
        "Tweedie regression": lambda: _with_log_link(1.5),
    }
    return make_pipeline(transform, linear[name]())


def _with_log_link(power: float) -> Any:
    """A generalised linear model of means behind a logarithm; three folds find its penalty."""
    from sklearn.linear_model import TweedieRegressor
    from sklearn.model_selection import GridSearchCV

    model = TweedieRegressor(power=power, link="log", max_iter=1000)
    return GridSearchCV(model, {"alpha": np.logspace(-4, 0, 5)}, cv=3)


def _of_shares() -> Any:
    """Logistic regression of shares: each row as a yes and as a no that count by them (Papke and Wooldridge, 1996)."""
    from sklearn.linear_model import LogisticRegression

    class Shares(LogisticRegression):  # type: ignore[misc]
        def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
            weights = np.ones(len(y)) if sample_weight is None else sample_weight
            both = np.concatenate([y * weights, (1 - y) * weights])
            return super().fit(np.concatenate([X, X]), np.repeat([1, 0], len(y)), both)

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.asarray(self.predict_proba(X)[:, 1])

    return Shares(max_iter=2000)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
