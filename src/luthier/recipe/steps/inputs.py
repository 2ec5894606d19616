"""Step 2, first half: how numbers enter the network, decided by validation."""

from __future__ import annotations

from luthier.engine import Member, Schedule
from luthier.recipe.evidence import by_setting, in_words, interval, summary
from luthier.recipe.runner import Runner, TrainedPopulation
from luthier.records import Decision, Option
from luthier.seeds import derive

RATES = (1e-3, 3e-3, 1e-2)  # around Adam's usual 3e-3; the range test comes when the inputs are known
SEEDS = 2
INPUTS = {
    "standardise": "standardised numbers",
    "robust": "numbers from the median in quartile ranges, softly clipped at 3",
    "quantile": "quantile transform to a normal distribution",
    "piecewise": "piecewise-linear encoding of numbers in quantile bins",
    "periodic": "periodic encoding of numbers (sines and cosines)",
    "common": "centred numbers, all divided by one standard deviation",
}


def choose_inputs(runner: Runner) -> str:
    """Train the first architecture behind every way of preprocessing; the best by validation stays."""
    if runner.data.training.numbers.shape[1] == 0:
        reason = "the table has no numeric columns"
        runner.ledger.decide(Decision(2, "inputs", "categories alone", reason, rule="nothing to compare"))
        return "standardise"
    measured = {method: _measure(runner, method) for method in runner.plan.methods}
    losses = {method: values for method, values in measured.items() if values}
    if not losses:
        reason = "the time ran out before the encodings were compared"
        runner.ledger.decide(Decision(2, "inputs", INPUTS["standardise"], reason, rule="nothing to compare"))
        return "standardise"
    best = min(losses, key=lambda method: sum(losses[method]) / len(losses[method]))
    reason = "this encoding has the lowest validation loss"
    if best != "standardise" and "standardise" in losses:
        gain = interval([a - b for a, b in zip(losses["standardise"], losses[best], strict=True)])
        reason += f" (gain over standardised numbers: {in_words(gain)})"
    runner.ledger.decide(
        Decision(
            step=2,
            topic="inputs",
            chosen=INPUTS[best],
            reason=reason,
            options=tuple(Option(INPUTS[method], summary(values)) for method, values in losses.items()),
            evidence={"measured": "validation loss, the best of three rates for each seed", "rates": RATES},
            rule="lowest mean",
        )
    )
    return best


def _measure(runner: Runner, method: str) -> list[float]:
    """The best validation loss over the rates, for each seed."""
    spec = runner.spec(method, (runner.plan.width,))
    members = [
        Member(
            spec=spec,
            seed=derive(runner.seed, "member", k),
            learning_rate=rate,
            schedule=Schedule("cosine"),
            label=f"{method}, rate {rate:g}, seed {k}",
        )
        for rate in RATES
        for k in range(SEEDS)
    ]
    trained = runner.train(f"inputs-{method}", "inputs", runner.plan.inputs, method, "adam", members)
    return [] if trained is None else _best_of_rates(trained)


def _best_of_rates(trained: TrainedPopulation) -> list[float]:
    groups = by_setting(list(trained.validation_loss), [member.seed for member in trained.members])
    return [min(loss for loss in losses if loss == loss) for losses in groups.values() if any(x == x for x in losses)]
