"""Greedy ensembles of bags on made outputs: noise stays out, and what is said of them holds on new rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from luthier.statistics.bags import converged, ensemble, greedy_weights
from luthier.statistics.row_losses import row_losses

FOLDS = 5


def made(rng: np.random.Generator, rows: int, noise: np.ndarray) -> tuple[Tensor, Tensor]:
    """Values and the predictions of P bags, each with errors of its own size."""
    y = rng.normal(size=rows)
    outputs = 0.8 * y + 0.3 * rng.normal(size=rows) + noise[:, None] * rng.normal(size=(len(noise), rows))
    return torch.from_numpy(outputs)[..., None], torch.from_numpy(y)


def folds_of(rows: int) -> np.ndarray:
    return np.arange(rows) % FOLDS


def slow_greedy(outputs: Tensor, y: Tensor, kind: str, most: int, rounds: int = 25) -> np.ndarray:
    """The definition, word by word: each round the allowed component that lowers the loss of the mean most."""
    counts = np.zeros(len(outputs))
    for _ in range(rounds):
        losses = []
        for p in range(len(outputs)):
            tried = counts + (np.arange(len(outputs)) == p)
            mean = torch.einsum("p,pnc->nc", torch.from_numpy(tried / tried.sum()), outputs)
            allowed = (tried > 0).sum() <= most
            losses.append(float(row_losses(mean, y, kind).mean()) if allowed else np.inf)
        counts[int(np.argmin(losses))] += 1
    return counts / rounds


@pytest.mark.parametrize("most", [1, 2, 3, 8])
@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_weights_are_those_of_the_definition(kind: str, most: int) -> None:
    g = torch.Generator().manual_seed(most)
    if kind == "regression":
        outputs, y = made(np.random.default_rng(most), 60, np.full(6, 0.5))
    else:
        y = torch.randint(0, 4, (60,), generator=g)
        seen = torch.nn.functional.one_hot(y, 4) + torch.randn(6, 60, 4, generator=g, dtype=torch.float64)
        outputs = torch.softmax(seen, -1)
    weights = greedy_weights(outputs, y, kind, most=most)
    np.testing.assert_allclose(weights, slow_greedy(outputs, y, kind, most))
    assert (weights > 0).sum() <= most


def test_noise_stays_out() -> None:
    """Twenty bags of noise beside three good ones: none gets a weight."""
    noise = np.array([0.3, 0.3, 0.3] + [3.0] * 20)
    for seed in range(10):
        found = ensemble(*made(np.random.default_rng(seed), 300, noise), "regression", folds_of(300))
        assert set(found.chosen) <= {0, 1, 2}
        assert found.weights.sum() == pytest.approx(1)


def test_fewer_bags_are_delivered_where_more_gain_nothing_clear() -> None:
    fewer = 0
    for seed in range(20):
        one, y = made(np.random.default_rng(seed), 400, np.array([0.0]))
        alike = one + 0.1 * torch.from_numpy(np.random.default_rng(100 + seed).normal(size=(5, 400, 1)))
        found = ensemble(alike, y, "regression", folds_of(400))
        best = min(found.curve, key=lambda point: point[1])
        as_good = next(bags for bags, loss, error in found.curve if loss <= best[1] + error / 2)
        assert len(found.chosen) <= as_good
        fewer += as_good < best[0]
    assert fewer > 0
    outputs, y = made(np.random.default_rng(0), 4000, np.full(6, 0.6))
    assert len(ensemble(outputs, y, "regression", folds_of(4000)).chosen) >= 5  # each halves what is left of the noise


def test_the_loss_is_that_of_new_rows_and_the_loss_of_the_choice_is_lower() -> None:
    """Twenty bags that are alike, 60 rows: choosing among them looks better than it is, cross-fitting does not.

    100 draws; "no difference" is within two standard errors.
    """
    rng, noise = np.random.default_rng(0), np.full(20, 0.6)
    said, seen, true = [], [], []
    for _ in range(100):
        outputs, y = made(rng, 60, noise)
        found = ensemble(outputs, y, "regression", folds_of(60), most=4)
        weights = torch.from_numpy(found.weights)
        new, new_y = made(rng, 4000, noise)
        said.append(found.rows.mean())
        seen.append(float(row_losses(torch.einsum("p,pnc->nc", weights, outputs), y, "regression").mean()))
        true.append(float(row_losses(torch.einsum("p,pnc->nc", weights, new), new_y, "regression").mean()))
    optimism = np.subtract(true, seen)
    assert optimism.mean() > 6 * optimism.std(ddof=1) / 10
    off = np.subtract(true, said)
    assert abs(off.mean()) < 2 * off.std(ddof=1) / 10


def test_rows_count_by_their_weights() -> None:
    """Doubled weights are doubled rows."""
    outputs, y = made(np.random.default_rng(1), 60, np.full(5, 0.5))
    counts = torch.from_numpy(np.random.default_rng(2).integers(1, 3, 60))
    weighed = ensemble(outputs, y, "regression", folds_of(60), weights=counts.double())
    rows = torch.repeat_interleave(torch.arange(60), counts)
    copied = ensemble(outputs[:, rows], y[rows], "regression", folds_of(60)[rows.numpy()])
    for one, other in zip(weighed.curve, copied.curve, strict=True):
        assert one[:2] == pytest.approx(other[:2])


def test_a_bag_that_diverged_has_no_weight() -> None:
    outputs, y = made(np.random.default_rng(0), 100, np.full(3, 0.5))
    outputs[0, 7] = torch.nan
    found, others = (ensemble(some, y, "regression", folds_of(100)) for some in (outputs, outputs[1:]))
    np.testing.assert_array_equal(found.weights, [0, *others.weights])
    np.testing.assert_array_equal(found.rows, others.rows)
    with pytest.raises(ValueError, match="no bag"):
        ensemble(outputs[:1], y, "regression", folds_of(100))


def test_two_rows_judge_as_far_as_they_can() -> None:
    """Chosen by one row, whose luck is not known, and scored on the other."""
    outputs = torch.tensor([[0.2, 1.1], [3.0, -3.0]])[..., None].double()
    found = ensemble(outputs, torch.tensor([0.0, 1.0]), "regression", np.array([0, 1]))
    assert found.chosen == (0,)
    assert found.rows == pytest.approx([0.04, 0.01])


def test_one_fold_judges_nothing() -> None:
    with pytest.raises(ValueError, match="only one fold"):
        ensemble(*made(np.random.default_rng(0), 20, np.ones(2)), "regression", np.zeros(20))


@pytest.mark.parametrize(
    ("gains", "ended"),
    [((0.1, 0.0), False), ((0.0, 0.1), False), ((0.001, 0.001), True), ((0.003, 0.001), False), ((-0.01, 0.0), True)],
)
def test_two_rounds_of_next_to_nothing_end_the_search(gains: tuple[float, float], ended: bool) -> None:
    rows = [np.random.default_rng(0).exponential(size=2000)]
    for gain in gains:
        rows.append(rows[-1] * (1 - gain))
    assert converged(rows) is ended
    assert not converged(rows[:2])


def test_a_round_that_may_have_gained_much_does_not_end_the_search() -> None:
    """No gain in the mean, but its interval reaches beyond 0.5 %."""
    rng = np.random.default_rng(0)
    rows = rng.exponential(size=200)
    changed = rng.normal(size=200)
    changed -= changed.mean()
    assert not converged([rows, rows, rows + 0.1 * changed])
    assert converged([rows, rows, rows + 0.001 * changed])
