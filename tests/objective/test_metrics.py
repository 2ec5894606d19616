"""The table of metrics against scikit-learn's: also with absent classes, ties, weights and one row."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from luthier.errors import ConfigError
from luthier.objective import METRICS, WATCHED, metric_named, spelled
from luthier.objective.metrics import SPELLINGS
from luthier.seeds import numpy_generator, torch_generator

CASES = int(os.environ.get("LUTHIER_METRIC_CASES", "150"))  # drawn for each metric; 1,000 take half a minute

Oracle = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


def macro_or_positive(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    if p.shape[1] == 2:
        return float(sk.f1_score(y, p.argmax(1), sample_weight=w))
    return float(sk.f1_score(y, p.argmax(1), sample_weight=w, average="macro"))


ORACLES: dict[str, Oracle] = {
    "accuracy": lambda y, p, w: sk.accuracy_score(y, p.argmax(1), sample_weight=w),
    "balanced accuracy": lambda y, p, w: sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=w),
    "f1": macro_or_positive,
    # The columns are known classes: only here are the labels said, or a class without rows would be an error.
    "log loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w, labels=list(range(p.shape[1]))),
    "f1 macro": lambda y, p, w: sk.f1_score(y, p.argmax(1), sample_weight=w, average="macro"),
    "f1 weighted": lambda y, p, w: sk.f1_score(y, p.argmax(1), sample_weight=w, average="weighted"),
    "mcc": lambda y, p, w: sk.matthews_corrcoef(y, p.argmax(1), sample_weight=w),
    "kappa": lambda y, p, w: sk.cohen_kappa_score(y, p.argmax(1), sample_weight=w),
    "quadratic kappa": lambda y, p, w: sk.cohen_kappa_score(
        y, p.argmax(1), labels=list(range(p.shape[1])), weights="quadratic", sample_weight=w
    ),
    "top 5 accuracy": lambda y, p, w: (
        sk.top_k_accuracy_score(y, p, k=5, sample_weight=w, labels=list(range(p.shape[1]))) if p.shape[1] > 5 else 1.0
    ),
    "brier": lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w, labels=list(range(p.shape[1]))),
    "auc": lambda y, p, w: sk.roc_auc_score(y, p[:, 1], sample_weight=w),
    "auc ovr": lambda y, p, w: float(
        np.mean([sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in np.unique(y)])
    ),
    "average precision": lambda y, p, w: sk.average_precision_score(y, p[:, 1], sample_weight=w),
    "precision at recall 0.8": lambda y, p, w: on_curve(y, p, w)[0],
    "recall at precision 0.8": lambda y, p, w: on_curve(y, p, w)[1],
    # A label that no row has and none is given has no F1, as a class has none.
    "f1 micro": lambda y, p, w: sk.f1_score(y, p >= 0.5, sample_weight=w, average="micro", zero_division=np.nan),
    "hamming loss": lambda y, p, w: sk.hamming_loss(y, p >= 0.5, sample_weight=w),
    "label ranking loss": lambda y, p, w: sk.label_ranking_loss(y, p, sample_weight=w),
    "label ranking average precision": lambda y, p, w: sk.label_ranking_average_precision_score(y, p, sample_weight=w),
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    "mse": lambda y, p, w: sk.mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "median absolute error": lambda y, p, w: sk.median_absolute_error(y, p, sample_weight=w),
    "mape": lambda y, p, w: sk.mean_absolute_percentage_error(y, p, sample_weight=w),
    "smape": lambda y, p, w: float(
        np.average(np.nan_to_num(2 * np.abs(y - p) / (np.abs(y) + np.abs(p)).clip(1e-300)), weights=w)
    ),
    "rmsle": lambda y, p, w: sk.root_mean_squared_log_error(y, p, sample_weight=w),
    "msle": lambda y, p, w: sk.mean_squared_log_error(y, p, sample_weight=w),
    "pinball 0.5": lambda y, p, w: sk.mean_pinball_loss(y, p, sample_weight=w),
    "poisson deviance": lambda y, p, w: sk.mean_poisson_deviance(y, p, sample_weight=w),
    "tweedie deviance 1.5": lambda y, p, w: sk.mean_tweedie_deviance(y, p, sample_weight=w, power=1.5),
    "crps": lambda y, p, w: float(
        np.average(np.abs(p - y[:, None]).mean(1) - np.abs(p[:, :, None] - p[:, None]).mean((1, 2)) / 2, weights=w)
    ),
    # Shifted: around the rounded mean of equal values scikit-learn finds a spread of 1e-33, and a score of -1e31.
    "r2": lambda y, p, w: sk.r2_score(y - y[0], p - y[0], sample_weight=w),
}


POSITIVE = ("rmsle", "msle", "poisson deviance", "tweedie deviance 1.5")  # of values that are not negative
UNDEFINED = {"f1", "auc", "auc ovr", "r2", "kappa", "quadratic kappa", "average precision"}
UNDEFINED |= {"precision at recall 0.8", "recall at precision 0.8", "f1 micro"}


def on_curve(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> tuple[float, float]:
    """Best precision at a recall of 0.8 and best recall at a precision of 0.8, of scikit-learn's curve without its last
    point, which no threshold has."""
    precision, recall, _ = sk.precision_recall_curve(y, p[:, 1], sample_weight=w)
    precision, recall = precision[:-1], recall[:-1]
    at = [far[given >= 0.8 - 1e-12].max(initial=0.0) for far, given in ((precision, recall), (recall, precision))]
    return float(at[0]), float(at[1])


def drawn(name: str, case: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A random case: few rows or many, classes that are absent, rounded scores, sure and wrong ones, weights."""
    g = numpy_generator(case, "metric cases", name)
    rows = int(g.choice([1, 2, 3, 5, 20, 60]))
    w = (None, g.random(rows) + 0.01, g.integers(1, 4, rows).astype(float))[g.integers(3)]
    if "regression" in METRICS[name].kinds:
        scale, offset = g.choice([1e-6, 1.0, 1e6]), g.choice([0.0, 1.0, 1e3])
        y = scale * (g.integers(-2, 3, rows) if g.random() < 0.5 else g.normal(size=rows)) + scale * offset
        p = y + scale * g.normal(size=rows) * g.choice([0.0, 1.0])
        if name in POSITIVE:
            y, p = np.abs(y), np.abs(p) + 1e-9 * scale
        return y, p[:, None] + scale * g.normal(size=(rows, 4)) if METRICS[name].of_law else p, w
    if METRICS[name].kinds == ("labels",):
        return *labels(rows, g), w
    classes = 2 if METRICS[name].kinds == ("binary",) else int(g.integers(2, 9 if name.startswith("top") else 6))
    y = g.choice(g.permutation(classes)[: g.integers(1, classes + 1)], rows)
    p = g.dirichlet([g.choice([0.05, 1.0])] * classes, rows)
    if g.random() < 0.5:
        p = np.eye(classes)[p.argmax(1)] if g.random() < 0.5 else p.round(1)
        p[p.sum(1) == 0] = 1 / classes
        p = p / p.sum(1, keepdims=True)
    if g.random() < 0.2:
        p = np.eye(classes)[y]  # a perfect answer
    return y, p, w


def labels(rows: int, g: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels that some rows have, none or all of them, and their probabilities, often tied."""
    shape = rows, int(g.integers(2, 7))
    y = (g.random(shape) < g.choice([0.0, 0.2, 0.6, 1.0])).astype(int)
    return y, y + 0.0 if g.random() < 0.1 else g.random(shape).round(int(g.integers(1, 8)))


def expected_of(name: str, y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    """What scikit-learn gives; NaN where it warns that the score is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UndefinedMetricWarning)
        warnings.filterwarnings("error", "No positive class found", UserWarning)
        try:
            return float(ORACLES[name](y, p, w))
        except (UndefinedMetricWarning, UserWarning):
            return float("nan")


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_scikit_learns_in_every_case(name: str) -> None:
    undefined = 0
    for case in range(CASES):
        y, p, w = drawn(name, case)
        weights = torch.ones(1, len(y), dtype=torch.float64) if w is None else torch.from_numpy(w)[None]
        result = METRICS[name].value(torch.from_numpy(y), torch.from_numpy(p)[None], weights, 1)
        assert result.shape == (1, 1)
        expected = expected_of(name, y, p, w)
        undefined += np.isnan(expected)
        # Sums in another order: an ulp or two of the largest term. R2 divides by the spread, which cancels digits of
        # values a thousand times their spread; of Tweedie's deviance three terms of size 10 cancel, in both libraries.
        atol = 1e-10 if name.startswith("tweedie") else 1e-12
        np.testing.assert_allclose(result.item(), expected, rtol=1e-12, atol=atol, err_msg=f"case {case}")
    assert (undefined > 0) == (name in UNDEFINED)


@pytest.mark.parametrize("name", METRICS)
def test_ways_of_weighing_are_scored_like_copies_of_rows(name: str) -> None:
    g = numpy_generator(0, "copies", name)
    for case in range(20):
        y, p, _ = drawn(name, case)
        counts = g.integers(0, 3, (4, len(y)))
        counts[counts.sum(1) == 0] = 1
        result = METRICS[name].value(
            torch.from_numpy(y), torch.from_numpy(p)[None], torch.from_numpy(counts).double(), 1
        )
        for k, count in enumerate(counts):
            rows = np.repeat(np.arange(len(y)), count)
            if name == "r2" and (count > 0).sum() < 2:  # copies of one row are one row
                assert result[0, k].isnan()
                continue
            expected = expected_of(name, y[rows], p[rows], None)
            np.testing.assert_allclose(result[0, k].item(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["f1 macro", "f1 weighted", "log loss"])
def test_scores_of_classes_are_those_of_labels_too(name: str) -> None:
    g = numpy_generator(0, "labels", name)
    for _ in range(CASES):
        y, p = labels(int(g.choice([1, 5, 40])), g)
        if name == "f1 weighted" and not y.any():
            continue  # the mean by rows of labels that no row has
        w = g.random(len(y)) + 0.01
        if name == "log loss":
            each = [sk.log_loss(one, q, sample_weight=w, labels=[0, 1]) for one, q in zip(y.T, p.T, strict=True)]
            expected = float(np.mean(each))
        else:
            average = name.removeprefix("f1 ")
            expected = sk.f1_score(y, p >= 0.5, sample_weight=w, average=average, zero_division=np.nan)
        result = METRICS[name].value(torch.from_numpy(y), torch.from_numpy(p)[None], torch.from_numpy(w)[None], 1)
        np.testing.assert_allclose(result.item(), expected, rtol=1e-9)
    assert METRICS[name].of_outputs(torch.tensor([[[2.0, -2.0]]]), torch.tensor([[1.0, 0.0]])).isfinite().all()


def test_a_perfect_answer_has_a_perfect_f1_though_a_class_is_absent() -> None:
    y = torch.tensor([0, 1, 0, 1])
    assert METRICS["f1"].value(y, torch.eye(3)[y][None], torch.ones(1, 4), 1).item() == 1.0


def test_f1_is_that_of_the_positive_class() -> None:
    y, p, _ = drawn("auc", 4)
    y, p = np.concatenate([y, [0, 1, 0]]), np.concatenate([p, [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]])
    for positive in (0, 1):
        result = METRICS["f1"].value(
            torch.from_numpy(y), torch.from_numpy(p)[None], torch.ones(1, len(y)).double(), positive
        )
        assert result.item() == pytest.approx(sk.f1_score(y, p.argmax(1), pos_label=positive), rel=1e-12)


M, N = 3, 200
G = torch_generator(0, "metrics")
LOGITS, CLASSES = torch.randn(M, N, 4, generator=G, dtype=torch.float64), torch.randint(0, 4, (N,), generator=G)
ONE, SIDES = LOGITS[..., :1].round(decimals=1), torch.randint(0, 2, (N,), generator=G)
VALUES, WEIGHTS = torch.randn(2, N, generator=G, dtype=torch.float64)


@pytest.mark.parametrize("weights", [None, WEIGHTS.abs()], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", WATCHED)
def test_outputs_of_a_stack_are_scored_member_by_member(name: str, weights: torch.Tensor | None) -> None:
    if "regression" in WATCHED[name].kinds:
        y = VALUES.abs() if name in POSITIVE else VALUES
        Z = ONE.abs() + 0.1 if name in POSITIVE else ONE
        predictions = Z[..., 0].numpy()
    elif WATCHED[name].kinds == ("binary",):
        Z, y = ONE, SIDES
        predictions = torch.cat([1 - ONE.sigmoid(), ONE.sigmoid()], -1).numpy()
    elif WATCHED[name].kinds == ("labels",):
        Z, y, predictions = LOGITS, (LOGITS[0] + LOGITS[1] > 0).float(), LOGITS.sigmoid().numpy()
    else:
        Z, y, predictions = LOGITS, CLASSES, LOGITS.softmax(-1).numpy()
    w = None if weights is None else weights.numpy()
    result = WATCHED[name].of_outputs(Z, y, weights)
    if name == "error rate":
        expected = [1 - ORACLES["accuracy"](y.numpy(), p, w) for p in predictions]
    else:
        expected = [ORACLES[name](y.numpy(), p, w) for p in predictions]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-10)


def test_one_output_stands_for_two_classes() -> None:
    expected = sk.accuracy_score(SIDES.numpy(), (ONE[0, :, 0] > 0).long().numpy())
    assert METRICS["accuracy"].of_outputs(ONE, SIDES)[0].item() == pytest.approx(expected)


def test_several_values_a_row_count_alike() -> None:
    y = torch.stack([VALUES, 1e3 + 5 * WEIGHTS], 1)
    Z = (y + torch.randn(N, 2, generator=torch_generator(1, "metrics"), dtype=torch.float64))[None]
    both = y.numpy(), Z[0].numpy()
    for name, expected in (
        ("r2", sk.r2_score(*both, multioutput="variance_weighted")),
        ("mae", sk.mean_absolute_error(*both)),
        ("rmse", sk.mean_squared_error(*both) ** 0.5),
    ):
        assert METRICS[name].of_outputs(Z, y).item() == pytest.approx(expected, rel=1e-10)


def test_metrics_are_known_by_other_names_and_with_other_numbers() -> None:
    assert {spelled(name) for name in SPELLINGS} <= set(METRICS)
    scorers = {one for one in sk.get_scorer_names() if spelled(one) in METRICS}
    assert len(scorers) > 20
    y, p = np.array([1.0, 2.0, 4.0]), np.array([2.0, 1.0, 4.5])
    given = torch.from_numpy(y), torch.from_numpy(p)[None], torch.ones(1, 3).double(), 1
    expected = sk.mean_pinball_loss(y, p, alpha=0.9)
    assert metric_named("pinball-0.9").value(*given).item() == pytest.approx(expected, rel=1e-12)
    chances = torch.tensor([[[0.5, 0.3, 0.2]] * 3]).double()
    taken = metric_named("top-2-accuracy").value(torch.tensor([0, 1, 2]), chances, torch.ones(1, 3).double(), 1)
    assert taken.item() == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        metric_named("pinball 1.5")
    with pytest.raises(ConfigError, match="did you mean"):
        metric_named("rmsee")
