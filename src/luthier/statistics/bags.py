"""Greedy ensembles of bags, judged by rows that neither their networks nor their weights were chosen on.

A bag is one setting and one seed in all K folds: it has an out-of-fold prediction for every open row. P bags (or other
components), N rows, C classes or outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.statistics.paired import interval
from luthier.statistics.row_losses import Yardstick, of_target, row_losses

ROUNDS = 25
BLOCK = 2**16  # outputs that are looked at together: they stay in the processor's cache
AS_GOOD = 0.5  # standard errors from the best within which fewer bags are as good
GAINED, AT_MOST = 0.002, 0.005  # of the loss: a round's gain, and the upper end of its interval, that end the search


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A weighted mean of bags, and what each number of bags is worth on rows that it was not chosen on."""

    weights: np.ndarray  # [P], summing to 1
    curve: tuple[
        tuple[int, float, float], ...
    ]  # bags, loss, standard error of its difference to the best; cross-fitted
    rows: np.ndarray  # [N]: cross-fitted loss of each row; the size, too, was chosen on other folds

    @property
    def chosen(self) -> tuple[int, ...]:
        """The bags that have a weight, the heaviest first."""
        return tuple(int(p) for p in np.argsort(-self.weights, kind="stable") if self.weights[p] > 0)


def greedy_weights(
    outputs: Tensor,
    targets: Tensor,
    kind: Yardstick,
    rounds: int = ROUNDS,
    weights: Tensor | None = None,
    most: int | None = None,
) -> np.ndarray:
    """Weights [P] of a greedy ensemble with replacement (Caruana and others, 2004) of at most so many components.

    Each round adds the component that lowers the mean loss of the running average most; rows [N] count by `weights`. Of
    classes it looks at the target's alone, which is all that the loss depends on.

    >>> greedy_weights(torch.tensor([[[0.0], [1.0]], [[1.0], [0.0]]]), torch.tensor([0.0, 1.0]), "regression")
    array([1., 0.])
    """
    return np.asarray(_greedy(*of_loss(outputs, targets), kind, most or len(outputs), weights, rounds)[-1])


def mixed_by_other_folds(
    outputs: Tensor,
    known: Tensor,
    targets: Tensor,
    kind: Yardstick,
    folds: np.ndarray,
    weights: Tensor | None = None,
    most: int | None = None,
) -> Tensor:
    """Outputs [N, C] of greedy ensembles of components with `outputs` [P, N, C]: each row by weights that the rows of
    the other folds [N] chose, by what is `known` [P, N, C] of them."""
    mixed = torch.empty_like(outputs[0])
    for fold in np.unique(folds):
        own, rest = torch.as_tensor(folds == fold), torch.as_tensor(folds != fold)
        some = None if weights is None else weights[rest]
        shares = greedy_weights(known[:, rest], targets[rest], kind, weights=some, most=most)
        mixed[own] = torch.einsum("p,pnc->nc", torch.as_tensor(shares), outputs[:, own])
    return mixed


def ensemble(
    outputs: Tensor | np.ndarray,
    targets: Tensor | np.ndarray,
    kind: Yardstick,
    folds: np.ndarray,
    weights: Tensor | None = None,
    most: int = 8,
) -> Ensemble:
    """The smallest greedy ensemble of bags within half a standard error of the best one, of 1 to `most` bags.

    Bags have `outputs` [P, N, C] (probabilities, or values) for rows that their networks did not learn from. Each size
    is judged by weights that were chosen without the rows of a fold [N] and scored on those; the weights that are
    delivered are chosen on all rows. Bags with outputs that are not finite stay out. ValueError where all rows are in
    one fold, or no bag is left.

    >>> outputs = torch.tensor([[0.1, 0.9, 0.1, 0.9], [0.9, 0.1, 0.9, 0.1]])[..., None].double()
    >>> ensemble(outputs, torch.tensor([0.0, 1, 0, 1]), "regression", np.array([0, 0, 1, 1])).chosen
    (0,)
    """
    outputs, targets = torch.as_tensor(outputs), torch.as_tensor(targets)
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("an ensemble is judged on folds that it was not chosen on: there is only one fold")
    known, places = of_loss(outputs, targets)
    usable = torch.isfinite(known).flatten(1).all(1)
    if not usable.any():
        raise ValueError("no bag has finite outputs for all rows")
    known = known if usable.all() else known[usable]
    sizes = min(most, len(known))
    losses = np.zeros((sizes, outputs.shape[1]))
    for number in numbers:
        held_out, rest = (torch.as_tensor(np.flatnonzero(one)) for one in (folds == number, folds != number))
        some = None if weights is None else weights[rest]
        paths = torch.as_tensor(_greedy(known[:, rest], places[rest], kind, sizes, some))
        mixed = torch.einsum("sp,pnc->snc", paths.to(known.dtype), known[:, held_out])
        losses[:, held_out.numpy()] = row_losses(mixed, places[held_out], kind)
    if weights is not None:
        losses *= (weights / weights.mean()).double().numpy()
    means, errors, size = _smallest(losses)
    rows = np.zeros(losses.shape[1])
    for number in numbers:
        rows[folds == number] = losses[_smallest(losses[:, folds != number])[2], folds == number]
    curve = tuple((k + 1, float(means[k]), float(errors[k])) for k in range(sizes))
    shares = np.zeros(len(outputs))
    shares[usable.numpy()] = greedy_weights(known, places, kind, weights=weights, most=size + 1)
    return Ensemble(shares, curve, rows)


def _smallest(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Means of losses [sizes, N], their paired standard errors to the best, the first that is as good as that:
    by one row alone, whose luck is not known, the best itself."""
    means, count = losses.mean(1), losses.shape[1]
    behind = losses - losses[means.argmin()]
    errors = behind.std(1, ddof=1) / count**0.5 if count > 1 else np.zeros(len(means))
    return means, errors, int(np.flatnonzero(means <= means.min() + AS_GOOD * errors)[0])


def converged(rounds: Sequence[np.ndarray]) -> bool:
    """Whether two rounds running gained next to nothing: cross-fitted row losses [N] of the ensemble after each.

    A gain is next to nothing below 0.2 % of the loss, with the upper end of its paired 95 % interval below 0.5 %.

    >>> rows = np.random.default_rng(0).exponential(size=1000)
    >>> converged([rows, 0.9 * rows, 0.9 * rows]), converged([rows, 0.9 * rows, 0.9 * rows, 0.9 * rows])
    (False, True)
    """
    return len(rounds) > 2 and all(_gained_nothing(*pair) for pair in zip(rounds[-3:-1], rounds[-2:], strict=True))


def _gained_nothing(before: np.ndarray, after: np.ndarray) -> bool:
    gain, loss = interval(before - after), float(before.mean())
    mean = float((before - after).mean())
    return gain.half_width is not None and mean <= GAINED * loss and mean + gain.half_width <= AT_MOST * loss


def of_loss(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What a loss depends on, of outputs [P, N, C]: the target's probability [P, N, 1], as class 0's; or values.

    Of several targets [N, T] it is all of them.
    """
    as_they_are = outputs.shape[-1] == 1 or targets.ndim == 2  # numbers, and several targets
    return (outputs, targets) if as_they_are else (of_target(outputs, targets), torch.zeros_like(targets))


def _greedy(
    outputs: Tensor, targets: Tensor, kind: Yardstick, most: int, weights: Tensor | None, rounds: int = ROUNDS
) -> np.ndarray:
    """Weights [most, P] of greedy ensembles of at most 1, 2, ... components.

    They are one path up to the round in which the larger one takes another component; the smaller one goes on with what
    it has.
    """
    counts, total = np.zeros(len(outputs)), torch.zeros_like(outputs[0])
    sizes: list[np.ndarray] = []
    for done in range(rounds):
        best = _best(outputs, total, done, targets, kind, weights)
        inside = np.flatnonzero(counts)
        if counts[best] == 0 and len(inside) > len(sizes):
            sizes.append(counts.copy())
            own, sum_so_far = outputs[torch.as_tensor(inside)], total
            for later in range(done, rounds):
                place = _best(own, sum_so_far, later, targets, kind, weights)
                sizes[-1][inside[place]] += 1
                sum_so_far = sum_so_far + own[place]
            if len(sizes) == most:
                break
        counts[best] += 1
        total = total + outputs[best]
    sizes += [counts] * (most - len(sizes))
    return np.stack(sizes) / rounds


def _best(outputs: Tensor, total: Tensor, done: int, targets: Tensor, kind: Yardstick, weights: Tensor | None) -> int:
    """The component [P, N, C] that the sum [N, C] of so many gains most from; one without a loss never."""
    blocks = torch.split(outputs, max(1, BLOCK // max(1, total.numel())))
    losses = [row_losses((total + some) / (done + 1), targets, kind, weights).mean(-1) for some in blocks]
    return int(torch.cat(losses).nan_to_num(nan=torch.inf).argmin())
