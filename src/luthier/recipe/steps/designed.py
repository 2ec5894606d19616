"""Steps 3 and 4: an experiment each, then the questions about what they adopt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from luthier.engine import Member, Schedule
from luthier.messages import Message
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.gates import FittedEvidence, GapEvidence
from luthier.recipe.decisions.remedy import NoRemedyEvidence
from luthier.recipe.delivery.deliver_bags import candidates, ensemble_of
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.experiment.questions import USUAL_RATES
from luthier.recipe.modality import modality_of
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.confirm import confirm
from luthier.recipe.steps.explore import Experiment, Explored
from luthier.recipe.steps.find_rates import find_rates, rate_of
from luthier.recipe.steps.more_rows import ask_for_more_rows
from luthier.recipe.steps.so_far import SoFar
from luthier.records import Said, noted
from luthier.statistics.bags import converged

MOST_ROUNDS = 40  # after the second round of step 4
NOISE = 2.0  # standard errors by which training and validation loss may differ


def bare_setting(runner: Runner, rates: Mapping[str, float]) -> Setting:
    """The documents' first architecture, trained as they begin: the reference beside all that is tried."""
    modality = modality_of(runner.problem)
    network = modality.bare_network(runner.problem, modality.method, runner.plan.width)
    member = Member(network, 0, rates["sgd"])
    return Setting(modality.method, "sgd", runner.plan.batch_size, member, Message("the first architecture, SGD"))


def fallback(runner: Runner, method: str, rates: Mapping[str, float]) -> Setting:
    """The setting to go on with when the time was up before anything was trained."""
    network = modality_of(runner.problem).bare_network(runner.problem, method, runner.plan.width)
    member = Member(network, 0, rates.get("adam", USUAL_RATES["adam"]), schedule=Schedule("cosine"))
    return Setting(method, "adam", runner.plan.batch_size, member, "Adam")


def fit_training(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """Step 3: range tests, the experiment on what fits the training set, and its gate."""
    rates = yield from find_rates(runner, so_far.method)
    experiment = Experiment(runner, 3, modality_of(runner.problem).training_space(runner))
    explored = yield from experiment.explore(bare_setting(runner, rates))
    if explored is None:
        return replace(so_far, setting=fallback(runner, so_far.method, rates), rates=rates)
    yield from experiment.adopt(explored)
    alike = [bag for bag in explored.bags if bag.setting.loss == explored.setting.loss]  # losses on one scale
    known = [(bag.training_loss, bag.own_loss) for bag in alike if np.isfinite(bag.own_loss)]
    training, held_out = (
        (min(losses, default=np.nan) for losses in zip(*known, strict=True)) if known else (np.nan, np.nan)
    )
    yield from decided(3, FittedEvidence(finite(training), finite(held_out)))
    return replace(so_far, setting=explored.setting, rates=rates, bags=explored.bags)


def fit_validation(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """Step 4: the experiment on what closes the gap, further rounds until they gain nothing, and the questions."""
    experiment = Experiment(runner, 4, modality_of(runner.problem).validation_space(runner, so_far.adopted))
    explored = yield from experiment.explore()
    if explored is None:
        yield from decided(4, NoRemedyEvidence())
        return so_far
    explored, has_converged = yield from _until_converged(runner, experiment, explored, so_far.bags)
    yield from experiment.adopt(explored)
    yield from _gate(runner, explored.bags[0])
    rates = {**so_far.rates, "sgd": rate_of(runner, explored.setting, "sgd")}
    yield from ask_for_more_rows(runner, explored.setting)
    answered = yield from confirm(runner, explored.setting, rates)
    bags, earlier = list(explored.bags), [*answered, *so_far.bags]
    if not has_converged and experiment.has_late_rounds:
        # What is left when the questions are answered may lower the ensemble's loss; what they were asked about stays.
        late, _ = yield from _until_converged(runner, experiment, explored, earlier, late=True)
        bags += [bag for bag in late.bags if all(bag is not one for one in bags)]
    return replace(so_far, setting=explored.setting, bags=[*bags, *earlier])


def _until_converged(
    runner: Runner, experiment: Experiment, explored: Explored, earlier: Sequence[Bag], *, late: bool = False
) -> Said[tuple[Explored, bool]]:
    """Rounds near the adopted setting while there is time, until two of them running gain next to nothing; whether they
    did."""
    curve = [_rows_of_ensemble(runner, explored, earlier)]
    for number in range(MOST_ROUNDS):
        more = yield from experiment.further(explored, number, late=late)
        if more is None:
            return explored, False
        explored = more
        curve.append(_rows_of_ensemble(runner, explored, earlier))
        known = [rows for rows in curve if rows is not None]
        if converged(known):
            sentence = Message("two further rounds gained less than 0.2 % of the loss: converged")
            if runner.budget_clock.budget.seconds is not None and not runner.repeating:
                template = "two further rounds gained less than 0.2 % of the loss: converged after {seconds:.0f} s"
                sentence = Message(template, seconds=runner.budget_clock.spent())
            yield noted(4, sentence)
            return explored, True
    return explored, False


def _rows_of_ensemble(runner: Runner, explored: Explored, earlier: Sequence[Bag]) -> np.ndarray | None:
    """Row losses of the greedy ensemble so far [N], each by weights chosen on other folds."""
    bags = candidates([*explored.bags, *earlier], explored.setting.method)
    return None if not bags else ensemble_of(runner, bags).rows


def _gate(runner: Runner, bag: Bag) -> Said[None]:
    """Whether out-of-fold and training loss differ by more than noise."""
    if not bag.is_kept or not np.isfinite(bag.loss):
        return
    rows = bag.own_rows(runner.problem)
    noise = float(rows.std(ddof=1) / len(rows) ** 0.5)
    yield from decided(4, GapEvidence(finite(bag.training_loss), bag.own_loss, finite(noise), NOISE))
