"""Checks of the rows themselves. N rows, F features; names are those of the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from torch import Tensor

from luthier.data import LEAKING, share_explained
from luthier.messages import Message
from luthier.records import Finding, JsonObject
from luthier.rows import Rows

UNSCALED = 100.0  # times between the largest and the smallest deviation of features that are not 0 or 1
OFF_CENTRE = 10.0  # deviations that a feature's mean may lie from 0
IMBALANCED = 0.05
DRIFTED, LEVEL = 0.15, 0.001  # a size that matters, and a level of chance (divided by the features)
SHARED, SEVERAL = 0.01, 3  # of the validation rows that are also training rows, and rows: one or two are chance
FEWEST = 30
DENSE = 2.0  # a counted number and its like leave out at most every other one
MOST_LOOKED, MOST_ALONE = 2000, 200  # features that are looked at, and that are each asked for the target
UNSHUFFLED = 5.0  # times the spread of batches' mean targets that shuffling gives


class RowCheck(NamedTuple):
    """What one of these checks looks for, from which threshold on, and why that one."""

    code: str
    claim: str
    threshold: str
    source: str


ROWS = (
    RowCheck("inputs-not-finite", "inputs are NaN or infinite", "one value", "S4-40"),
    RowCheck("constant-inputs", "features that never change", "one, except pixels of pictures", "S4-28"),
    RowCheck(
        "unscaled-inputs",
        "features of very different scales, or far from 0",
        Message(
            "standard deviations {times:g} times apart, or a mean {far:g} standard deviations from 0",
            times=UNSCALED,
            far=OFF_CENTRE,
        ),
        "S2-07, S4-28",
    ),
    RowCheck(
        "class-imbalance",
        "a rare class",
        Message("{share:.0%} of the rows", share=IMBALANCED),
        "accuracy hides such a rare class",
    ),
    RowCheck(
        "leaking-column",
        "a feature that alone predicts the target",
        Message("{share:.1%} of the target explained", share=LEAKING),
        "real features do not explain the target fully",
    ),
    RowCheck(
        "identifier-as-feature",
        "a feature that numbers the rows",
        "distinct whole numbers, at least every second one present",
        "a row number has no meaning for new rows",
    ),
    RowCheck(
        "duplicates-across-splits",
        "validation rows that are also training rows",
        Message("{share:.0%}, and {count} rows", share=SHARED, count=SEVERAL),
        "S1-81",
    ),
    RowCheck(
        "validation-drift",
        "validation rows unlike training rows",
        Message(
            "Kolmogorov-Smirnov distance {far:g} and p-value below {level:g} over all features",
            far=DRIFTED,
            level=LEVEL,
        ),
        "S4-49",
    ),
    RowCheck(
        "unshuffled-batches",
        "batches of sorted rows",
        Message("variance of the batches' mean targets {times:g} times that of shuffled rows", times=UNSHUFFLED),
        "S2-12",
    ),
)
_SOURCE = {check.code: check.source for check in ROWS}


def check_rows(training: Rows, validation: Rows | None = None, names: Sequence[str] = ()) -> list[Finding]:
    """Findings on training rows, and on validation rows beside them."""
    X = _matrix(training.numbers)
    V = None if validation is None else _matrix(validation.numbers)
    names = list(names) or [f"feature {i}" for i in range(X.shape[1])]
    y = training.targets.numpy()
    result: list[Finding | None] = [_not_finite(X if V is None else np.concatenate([X, V]), names)]
    if result[0] is not None or len(X) < FEWEST:
        return [finding for finding in result if finding is not None]
    tabular = training.numbers.ndim == 2 and X.shape[1] <= MOST_LOOKED
    if tabular:
        result += [_constant(X, names), _unscaled(X, names)]
        result += [_identifier(X[:, i], name) for i, name in enumerate(names)]
        result += [_leak(X[:, i], y, name) for i, name in enumerate(names[:MOST_ALONE])] if y.ndim == 1 else []
    if y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
        result.append(_imbalance(y))
    if V is not None:
        result.append(_shared(X, V))
        result.append(_drifted(X, V, names) if tabular else None)
    return [finding for finding in result if finding is not None]


def _matrix(features: Tensor) -> np.ndarray:
    return np.asarray(features.flatten(1).double().numpy())


def _finding(code: str, sentence: str, evidence: JsonObject, remedy: str, severity: str = "warning") -> Finding:
    return Finding(code, severity, sentence, evidence, remedy, _SOURCE[code])  # type: ignore[arg-type]


def _listed(names: list[str], most: int = 5) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown if len(names) <= most else Message("{shown} and {count} more", shown=shown, count=len(names) - most)


def _not_finite(X: np.ndarray, names: Sequence[str]) -> Finding | None:
    bad = ~np.isfinite(X)
    if not bad.any():
        return None
    rows, columns = np.flatnonzero(bad.any(1)), [names[int(i)] for i in np.flatnonzero(bad.any(0))]
    sentence = Message(
        "{count} rows have values that are not finite, in {names}; the first is row {rows}",
        count=len(rows),
        names=_listed(columns),
        rows=rows[0],
    )
    evidence: JsonObject = {"rows": len(rows), "first": int(rows[0]), "features": columns[:20]}
    return _finding("inputs-not-finite", sentence, evidence, "fill or remove them before training", "error")


def _constant(X: np.ndarray, names: Sequence[str]) -> Finding | None:
    same = [names[int(i)] for i in np.flatnonzero(np.ptp(X, axis=0) == 0)]
    if not same or (len(same) == X.shape[1] and X.shape[1] == 0):
        return None
    if X.shape[1] >= 64 and len(same) < 0.5 * X.shape[1]:  # pixels at the edge of flattened pictures
        return None
    template = "{count} features never change: {names}" if len(same) > 1 else "{count} feature never changes: {names}"
    sentence = Message(template, count=len(same), names=_listed(same))
    return _finding("constant-inputs", sentence, {"features": same[:20]}, "remove them: they hold no information")


def _unscaled(X: np.ndarray, names: Sequence[str]) -> Finding | None:
    real = [i for i in range(X.shape[1]) if len(np.unique(X[:5000, i])) > 2]
    if not real:
        return None
    deviations, means = X[:, real].std(0), X[:, real].mean(0)
    kept = deviations > 0
    if not kept.any():
        return None
    ratio = float(deviations[kept].max() / deviations[kept].min())
    off = np.abs(means[kept]) / deviations[kept]
    # A shift matters when it is large against the layer's weights as well: features within [-1, 1] are harmless.
    far = float((off * (np.abs(means[kept]) > OFF_CENTRE)).max())
    large = float(deviations[kept].max())
    if (ratio <= UNSCALED or large < 1) and far <= OFF_CENTRE and large <= UNSCALED:
        return None
    widest = names[real[int(np.argmax(deviations))]]
    sentence = Message(
        "features differ in scale: `{widest}` has a standard deviation of {large:.3g}, {ratio:.3g} times the smallest",
        widest=widest,
        large=large,
        ratio=ratio,
    )
    evidence: JsonObject = {
        "ratio": ratio,
        "largest standard deviation": large,
        "largest mean, in standard deviations": far,
        "threshold": UNSCALED,
    }
    return _finding(
        "unscaled-inputs", sentence, evidence, "standardise: mean 0 and standard deviation 1 over the training rows"
    )


def _identifier(values: np.ndarray, name: str) -> Finding | None:
    whole = np.all(values == np.round(values))
    if not whole or len(np.unique(values)) != len(values) or values.max() - values.min() > DENSE * len(values):
        return None
    evidence: JsonObject = {"feature": name, "from": float(values.min()), "to": float(values.max())}
    return _finding("identifier-as-feature", Message("`{name}` numbers the rows", name=name), evidence, "leave it out")


def _leak(values: np.ndarray, y: np.ndarray, name: str) -> Finding | None:
    explained = share_explained(values, y, classes=np.issubdtype(y.dtype, np.integer))
    if explained is None or explained < LEAKING:
        return None
    sentence = Message("`{name}` alone predicts the target almost perfectly", name=name)
    evidence: JsonObject = {"feature": name, "explained": round(explained, 5), "threshold": LEAKING}
    return _finding("leaking-column", sentence, evidence, "remove it if it is known only after the target")


def _imbalance(y: np.ndarray) -> Finding | None:
    labels, counts = np.unique(y, return_counts=True)
    share = counts.min() / len(y)
    if len(labels) < 2 or share >= IMBALANCED * min(1.0, 10 / len(labels)):  # of 100 classes each has a hundredth
        return None
    sentence = Message(
        "class {labels} has {share:.1%} of the rows: accuracy alone is misleading",
        labels=labels[counts.argmin()],
        share=share,
    )
    evidence: JsonObject = {"class": int(labels[counts.argmin()]), "share": float(share), "threshold": IMBALANCED}
    return _finding(
        "class-imbalance", sentence, evidence, "weight the classes, and read the scores of each class", "note"
    )


def _shared(X: np.ndarray, V: np.ndarray) -> Finding | None:
    known = {row.tobytes() for row in np.ascontiguousarray(X)}
    again = sum(row.tobytes() in known for row in np.ascontiguousarray(V))
    coarse = 1 - len(known) / len(X)  # a table that repeats itself repeats itself everywhere
    if again < SEVERAL or again <= SHARED * len(V) or again / len(V) <= 2 * coarse:
        return None
    sentence = Message("{again} of {count} validation rows are also training rows", again=again, count=len(V))
    evidence: JsonObject = {"rows": again, "share": again / len(V), "threshold": SHARED}
    return _finding("duplicates-across-splits", sentence, evidence, "keep copies in one part of the split")


def _drifted(X: np.ndarray, V: np.ndarray, names: Sequence[str]) -> Finding | None:
    if len(V) < FEWEST:
        return None
    result = {}
    for i, name in enumerate(names):
        distance, chance = scipy.stats.ks_2samp(X[:, i], V[:, i], method="asymp")
        if distance > DRIFTED and chance * len(names) < LEVEL:
            result[name] = float(distance)
    if not result:
        return None
    worst = sorted(result, key=lambda name: -result[name])
    sentence = Message("validation rows are unlike training rows in {names}", names=_listed(worst))
    evidence: JsonObject = {"distances": {name: round(result[name], 3) for name in worst[:10]}, "threshold": DRIFTED}
    return _finding("validation-drift", sentence, evidence, "split the rows at random, or explain why they differ")


def check_order(batches: Sequence[Tensor]) -> Finding | None:
    """Whether the targets of consecutive batches show that the rows were sorted (data order effects)."""
    if len(batches) < 4:
        return None
    targets = [batch.double().flatten(1).mean(1) if batch.ndim > 1 else batch.double() for batch in batches]
    size = min(len(batch) for batch in targets)
    whole = np.concatenate([batch.numpy() for batch in targets])
    between = float(np.var([float(batch.mean()) for batch in targets], ddof=1))
    expected = float(whole.var(ddof=1)) / size
    if size < 4 or expected == 0 or between <= UNSHUFFLED * expected:
        return None
    sentence = Message(
        "the mean targets of the batches vary {between:.0f} times as much as after shuffling: the rows are sorted",
        between=between / expected,
    )
    evidence: JsonObject = {"between": between, "expected": expected, "threshold": UNSHUFFLED}
    return _finding("unshuffled-batches", sentence, evidence, "shuffle the rows before each epoch")
