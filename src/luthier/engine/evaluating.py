"""Measuring a population: losses, scores and metrics of its members on the rows that they do not learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.engine.feed import prepared
from luthier.engine.members.outputs import as_rows
from luthier.engine.populations.population import Population
from luthier.engine.populations.streams import Stream
from luthier.engine.standing import Figures
from luthier.objective import Criterion, column, loss_named, metric_named
from luthier.rows import Rows

HeldOut = dict[int, Rows]  # prepared rows by the fold of those who are evaluated on them
EVERYONE = -1


def held_out_rows(
    population: Population, training: Rows | Stream, validation: Rows | None, folds: Tensor | None
) -> HeldOut | None:
    """The rows that members are evaluated on: each fold's own, or the validation part for everyone."""
    if folds is not None:
        assert isinstance(training, Rows)
        rows = {fold: torch.nonzero(folds == fold).flatten() for fold in set(folds.tolist())}
        return {fold: prepared(population, training.rows(own)) for fold, own in rows.items()}
    return None if validation is None else {EVERYONE: prepared(population, validation)}


def measured(population: Population, held_out: HeldOut | None, losses: Tensor) -> Figures:
    """All members alive, from the training losses [K, M] since the last evaluation and on their held-out rows."""
    train_loss, count = losses.double().mean(0).cpu(), len(population.members)
    nothing = torch.full((count,), torch.nan, dtype=torch.float64)
    names = population.settings.metrics
    if held_out is None:
        return Figures(train_loss, train_loss, nothing, [nothing for _ in names], torch.ones_like(nothing))
    if population.folds is None:
        return Figures(train_loss, *_validated(population, held_out[EVERYONE], None))
    result = nothing.repeat(3 + len(names), 1)
    for fold in set(population.folds.tolist()):
        places = torch.nonzero(population.folds == fold).flatten()
        loss, score, metrics, rows = _validated(population, held_out[fold], places)
        result[:, places] = torch.stack([loss, score, *metrics, rows])
    return Figures(train_loss, result[0], result[1], list(result[2:-1]), result[-1])


def _validated(
    population: Population, part: Rows, places: Tensor | None
) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Loss, score, each metric of the settings, and the rows that they are over, [M] each."""
    outputs, loss = population.outputs(part, places), loss_named(population.settings.loss)
    names, criterion = population.settings.metrics, isinstance(loss, Criterion)
    Z = as_rows(outputs) if names or not criterion else outputs
    metrics = [metric_named(name).of_outputs(Z, column(part.targets), part.weights).double().cpu() for name in names]
    losses = loss.mean(outputs if criterion else Z, part.targets, part.weights).double().cpu()
    rows = torch.full_like(losses, len(part) if part.weights is None else float(part.weights.sum()))
    if isinstance(loss, Criterion):
        return losses, losses, metrics, rows
    return losses, loss.mean_score(Z, part.targets, part.weights).double().cpu(), metrics, rows
