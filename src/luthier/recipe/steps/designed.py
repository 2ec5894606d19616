"""Steps 3 and 4: an experiment each, then the questions about what they adopt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from luthier.engine import Member, Schedule
from luthier.messages import Message
from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.gates import FittedEvidence, GapEvidence
from luthier.recipe.decisions.remedy import NoRemedyEvidence
from luthier.recipe.fold_bags import Bag
from luthier.recipe.modality import modality_of
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.recipe.steps.confirm import confirm
from luthier.recipe.steps.deliver_bags import candidates, ensemble_of
from luthier.recipe.steps.explore import Experiment, Explored
from luthier.recipe.steps.find_rates import DEFAULT_RATES, rate_of
from luthier.recipe.steps.more_rows import ask_for_more_rows
from luthier.statistics.bags import converged

MOST_ROUNDS = 40  # after the second round of step 4
NOISE = 2.0  # standard errors by which training and validation loss may differ


@dataclass(frozen=True)
class Fitted:
    """What step 3 hands to step 4: a setting, and the rates of the range tests by rule."""

    setting: Setting
    rates: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"setting": self.setting.to_json(), "rates": dict(self.rates)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fitted:
        """What `to_json` gave."""
        return cls(Setting.from_json(value["setting"]), value.get("rates", {}))


@dataclass(frozen=True)
class Designed:
    """What steps 3 and 4 hand to step 5: the adopted setting, and all bags that may be delivered."""

    setting: Setting
    bags: Sequence[Bag] = ()


def first_method(runner: Runner) -> str:
    """How numbers enter at first: the experiments vary it."""
    return modality_of(runner.problem).first_setting(runner.problem).method


def bare_setting(runner: Runner, rates: Mapping[str, float]) -> Setting:
    """The documents' first architecture, trained as they begin: the reference beside all that is tried."""
    modality = modality_of(runner.problem)
    network = modality.bare_network(runner.problem, modality.method, runner.plan.width)
    member = Member(network, 0, rates["sgd"])
    return Setting(modality.method, "sgd", runner.plan.batch_size, member, "the first architecture, SGD")


def fallback(runner: Runner, method: str, rates: Mapping[str, float]) -> Setting:
    """The setting to go on with when the time was up before anything was trained."""
    network = modality_of(runner.problem).bare_network(runner.problem, method, runner.plan.width)
    member = Member(network, 0, rates.get("adam", DEFAULT_RATES["adam"]), schedule=Schedule("cosine"))
    return Setting(method, "adam", runner.plan.batch_size, member, "Adam")


def explore_training(runner: Runner, method: str, rates: Mapping[str, float]) -> tuple[Fitted, Sequence[Bag]]:
    """Step 3: the experiment on what fits the training set, and its gate."""
    experiment = Experiment(runner, 3, modality_of(runner.problem).training_space(runner))
    explored = experiment.explore(bare_setting(runner, rates))
    if explored is None:
        return Fitted(fallback(runner, method, rates), rates), ()
    experiment.adopt(explored)
    alike = [bag for bag in explored.bags if bag.setting.loss == explored.setting.loss]  # losses on one scale
    known = [(bag.training_loss, bag.own_loss) for bag in alike if np.isfinite(bag.own_loss)]
    training, held_out = (
        (min(losses, default=np.nan) for losses in zip(*known, strict=True)) if known else (np.nan, np.nan)
    )
    runner.ledger.decide(3, FittedEvidence(finite(training), finite(held_out)))
    return Fitted(explored.setting, rates), explored.bags


def explore_validation(runner: Runner, fitted: Fitted, earlier: Sequence[Bag]) -> Designed:
    """Step 4: the experiment on what closes the gap, further rounds until they gain nothing, and the questions."""
    experiment = Experiment(runner, 4, modality_of(runner.problem).validation_space(runner, fitted.setting))
    explored = experiment.explore()
    if explored is None:
        runner.ledger.decide(4, NoRemedyEvidence())
        return Designed(fitted.setting, list(earlier))
    explored = _until_converged(runner, experiment, explored, earlier)
    experiment.adopt(explored)
    _gate(runner, explored.bags[0])
    rates = {**fitted.rates, "sgd": rate_of(runner, explored.setting, "sgd")}
    ask_for_more_rows(runner, explored.setting)
    answered = confirm(runner, explored.setting, rates)
    return Designed(explored.setting, [*explored.bags, *answered, *earlier])


def _until_converged(runner: Runner, experiment: Experiment, explored: Explored, earlier: Sequence[Bag]) -> Explored:
    """Rounds near the adopted setting while there is time, until two of them running gain next to nothing."""
    curve = [_rows_of_ensemble(runner, explored, earlier)]
    for number in range(MOST_ROUNDS):
        more = experiment.further(explored, number)
        if more is None:
            return explored
        explored = more
        curve.append(_rows_of_ensemble(runner, explored, earlier))
        known = [rows for rows in curve if rows is not None]
        if converged(known):
            sentence = Message("two further rounds gained less than 0.2 % of the loss: converged")
            if runner.budget_clock.budget.seconds is not None and not runner.repeating:
                template = "two further rounds gained less than 0.2 % of the loss: converged after {seconds:.0f} s"
                sentence = Message(template, seconds=runner.budget_clock.spent())
            runner.ledger.add("note", {"step": 4, "sentence": sentence})
            return explored
    return explored


def _rows_of_ensemble(runner: Runner, explored: Explored, earlier: Sequence[Bag]) -> np.ndarray | None:
    """Row losses of the greedy ensemble so far [N], each by weights chosen on other folds."""
    bags = candidates([*explored.bags, *earlier], explored.setting.method)
    return None if not bags else ensemble_of(runner, bags).rows


def _gate(runner: Runner, bag: Bag) -> None:
    """Whether out-of-fold and training loss differ by more than noise."""
    if not bag.is_kept or not np.isfinite(bag.loss):
        return
    rows = bag.own_rows(runner.problem)
    noise = float(rows.std(ddof=1) / len(rows) ** 0.5)
    runner.ledger.decide(4, GapEvidence(finite(bag.training_loss), bag.own_loss, finite(noise), NOISE))
