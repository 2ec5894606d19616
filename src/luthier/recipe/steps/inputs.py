"""Step 2, first half: how numbers enter the network, decided by validation."""

from __future__ import annotations

from luthier.engine import Member, Schedule
from luthier.recipe.decisions.input_encoding import EncodingLosses, InputsEvidence
from luthier.recipe.runner import Runner, TrainedPopulation, TrainingPlan
from luthier.seeds import derive
from luthier.statistics.paired import by_setting

RATES = (1e-3, 3e-3, 1e-2)  # around Adam's usual 3e-3; the range test comes when the inputs are known
SEEDS = 2


def choose_inputs(runner: Runner) -> str:
    """Train the first architecture behind every way of preprocessing; the best by validation stays."""
    if runner.problem.data.training.numbers.shape[1] == 0:
        return runner.ledger.decide(2, InputsEvidence(why="no numbers"))
    losses = {method: _measure(runner, method) for method in runner.plan.methods}
    measured = tuple(EncodingLosses(method, tuple(values)) for method, values in losses.items() if values)
    return runner.ledger.decide(2, InputsEvidence(measured, RATES, why="" if measured else "no time"))


def _measure(runner: Runner, method: str) -> list[float]:
    """The best validation loss over the rates, for each seed."""
    problem = runner.problem
    spec = problem.spec(method, (runner.plan.width,))
    members = [
        Member(
            spec=spec,
            seed=derive(problem.seed, "member", k),
            learning_rate=rate,
            schedule=Schedule("cosine"),
            label=f"{method}, rate {rate:g}, seed {k}",
        )
        for rate in RATES
        for k in range(SEEDS)
    ]
    training = TrainingPlan("inputs", runner.plan.inputs, method, "adam", runner.plan.batch_size)
    trained = runner.run(f"inputs-{method}", members, training)
    return [] if trained is None else _best_of_rates(trained)


def _best_of_rates(trained: TrainedPopulation) -> list[float]:
    groups = by_setting(list(trained.validation_loss), [member.seed for member in trained.members])
    return [min(loss for loss in losses if loss == loss) for losses in groups.values() if any(x == x for x in losses)]
