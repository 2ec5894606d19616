"""How members stand: who is alive, what was best, how long each has waited. N members, M of them alive.

Members of one group (the folds of one setting and seed) stand and leave as one: what counts is the mean of their
losses over all rows that they were evaluated on. A member that has no rows of its own is a group by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.engine.members.devices import sent
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.populations.population import Population

EARLY, RUNG, DIVERGED = "early stopped", "cut at rung", "diverged: the loss was not finite"


class Figures(NamedTuple):
    """What an evaluation measured, [M] each; `rows` are how many it was measured on, or their weight."""

    train_loss: Tensor
    loss: Tensor
    score: Tensor
    metrics: Sequence[Tensor]
    rows: Tensor


class Standing(NamedTuple):
    """All that evaluations decide by, as tensors: on the processor, but for the weights that are kept.

    `alive` [M] are the places of those in the population among all N. `best` [4, N] holds validation loss, score,
    training loss and step of the weights that are kept, `parameters` and `buffers`; `lowest_of_group` [N] is the
    loss that chose them. `reference` [N] is the loss that early stopping must improve on, `waited` [N] the
    evaluations since. Of "plateau" schedules: the `lowest` loss, the evaluations `stalled` since, and what the rates
    have been multiplied with, `drops`.
    """

    done: int
    alive: Tensor
    best: Tensor
    lowest_of_group: Tensor
    reference: Tensor
    waited: Tensor
    lowest: Tensor
    stalled: Tensor
    drops: Tensor
    parameters: Tensor
    buffers: Tensor

    @classmethod
    def first(cls, population: Population) -> Standing:
        """Before the first step."""
        count, state = len(population.members), population.state
        best = torch.full((4, count), torch.nan, dtype=torch.float64)
        best[0], best[3] = torch.inf, 0
        never = torch.full((count,), torch.inf, dtype=torch.float64)
        none = torch.zeros(count, dtype=torch.int64)
        ones = torch.ones(count, dtype=torch.float64)
        kept = state.parameters.clone(), state.buffers.clone()
        return cls(0, torch.arange(count), best, never.clone(), never, none, never.clone(), none.clone(), ones, *kept)

    def rates(self, population: Population, steps: Iterable[int]) -> list[Tensor]:
        """The rates [M, 1] of each step, counted from 0."""
        rates = [population.rates.at(step) for step in steps]
        if not population.rates.may_drop or not rates:
            return rates
        dropped = sent(self.drops[self.alive].to(rates[0].dtype).unsqueeze(1), rates[0].device)
        return [rate * dropped for rate in rates]


def groups_of(members: Sequence[Member], folds: Tensor | None) -> Tensor:
    """Which group each member belongs to [N]: one with all members that differ from it in fold and label alone."""
    if folds is None:
        return torch.arange(len(members))
    first: dict[Member, int] = {}
    return torch.tensor([first.setdefault(member.without_fold, place) for place, member in enumerate(members)])


def judged(
    standing: Standing, population: Population, figures: Figures, groups: Tensor, settings: Settings, *, validated: bool
) -> tuple[Standing, dict[int, str]]:
    """How members stand after an evaluation, and which of them leave now, by place, with the reason."""
    alive = standing.alive
    loss = _of_groups(figures.loss, figures.rows, groups[alive])
    finite = (loss + _of_groups(figures.train_loss, figures.rows, groups[alive])).isfinite()
    standing = _best_kept(standing, population, loss, figures, settings, validated=validated)
    standing = _dropped(standing, population, loss)
    leaving = dict.fromkeys(torch.nonzero(~finite).flatten().tolist(), DIVERGED)
    if settings.patience and standing.done < settings.steps:
        waited = finite & (standing.waited[alive] >= settings.patience)
        leaving |= dict.fromkeys(torch.nonzero(waited).flatten().tolist(), EARLY)
    kept = next((kept for step, kept in settings.rungs if _passed(step, standing.done, settings)), None)
    if kept is not None:
        own = groups[alive].tolist()
        stay = [place for place in range(len(alive)) if place not in leaving]
        stay.sort(key=lambda place: (float(standing.lowest_of_group[alive[place]]), own[place], place))
        staying = {own[place] for place in stay[:kept]}
        leaving |= {place: RUNG for place in stay if own[place] not in staying}
    return standing, leaving


def kept(population: Population, standing: Standing, leaving: Sequence[int]) -> tuple[Population, Standing]:
    """The population and the standing without the members at these places."""
    gone = set(leaving)
    places = [place for place in range(len(standing.alive)) if place not in gone]
    if gone and places:
        population = population.keep(places)
    return population, standing._replace(alive=standing.alive[places])


def _of_groups(values: Tensor, rows: Tensor, groups: Tensor) -> Tensor:
    """The mean of each member's group [M], over all rows of its members."""
    alone, place = torch.unique(groups, return_inverse=True)
    if len(alone) == len(groups):
        return values
    sums = torch.zeros(2, len(alone), dtype=values.dtype).index_add_(1, place, torch.stack([values * rows, rows]))
    return (sums[0] / sums[1])[place]


def _best_kept(
    standing: Standing, population: Population, loss: Tensor, figures: Figures, settings: Settings, *, validated: bool
) -> Standing:
    """The standing with the weights and figures of those members that improved; tensors of weights are written into."""
    alive, best = standing.alive, standing.best.clone()
    lowest = standing.lowest_of_group.clone()
    better = loss.isfinite() & ((loss < lowest[alive]) | (not validated or settings.keep_last))
    improved = loss.isfinite() & (loss < standing.reference[alive] - settings.tolerance)
    reference, waited = standing.reference.clone(), standing.waited.clone()
    reference[alive[improved]] = loss[improved]
    waited[alive] = torch.where(improved, 0, waited[alive] + 1)
    if better.any():
        step = torch.full_like(loss, standing.done)
        best[:, alive[better]] = torch.stack([figures.loss, figures.score, figures.train_loss, step])[:, better]
        lowest[alive[better]] = loss[better]
        device = standing.parameters.device
        source, target = torch.nonzero(better).flatten().to(device), alive[better].to(device)
        standing.parameters[target] = population.state.weights[source].to(standing.parameters.dtype)
        standing.buffers[target] = population.state.buffers[source]
    return standing._replace(best=best, lowest_of_group=lowest, reference=reference, waited=waited)


def _dropped(standing: Standing, population: Population, loss: Tensor) -> Standing:
    """The standing with lower rates for members whose loss has not fallen for a period of their schedule."""
    if not population.rates.may_drop:
        return standing
    alive, schedules = standing.alive, [member.schedule for member in population.members]
    lowest, stalled, drops = standing.lowest.clone(), standing.stalled.clone(), standing.drops.clone()
    lower = loss < lowest[alive]
    lowest[alive] = torch.where(lower, loss, lowest[alive])
    stalled[alive] = torch.where(lower, 0, stalled[alive] + 1)
    waits = torch.tensor([s.period if s.kind == "plateau" else 1 << 62 for s in schedules])
    full = stalled[alive] == waits
    drops[alive] *= torch.where(full, torch.tensor([s.decay for s in schedules], dtype=drops.dtype), 1.0)
    stalled[alive[full]] = 0
    return standing._replace(lowest=lowest, stalled=stalled, drops=drops)


def _passed(rung: int, done: int, settings: Settings) -> bool:
    """Whether this is the first evaluation at or after a rung."""
    return rung <= done < rung + settings.evaluate_every
