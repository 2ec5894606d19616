"""Every network of a run as a trial of an Optuna study, so that `optuna-dashboard` reads it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, get_args

from luthier.assess import TrialFacts
from luthier.optimise import RULES
from luthier.optimise.schedules import KINDS
from luthier.recipe.planning.plan import Method
from luthier.report import Contents, read_contents
from luthier.saved import RunFolder
from luthier.search.optuna_file import write_study_file

MOST_POINTS = 20  # of each trial's learning curve; the whole curve lies in history/
_PARAMETERS = (
    *("rule", "schedule", "learning_rate", "width", "depth", "norm", "l2", "weight_decay", "clip_norm", "batch_size"),
    "inputs",
)


def write_study(folder: RunFolder) -> Path | None:
    """Write `study.db` into a judged run's folder; None where Optuna (extra `search`) is not installed.

    The objective is the validation loss. A trial that lost at a rung is pruned, one whose loss was
    not finite has failed; population, label, seed and status are attributes of the trial.
    """
    if importlib.util.find_spec("optuna") is None:
        return None
    run = read_contents(folder.path)
    trials = run.scores.trials if run.scores else ()
    write_study_file(folder.study, run.facts["name"], [_trial(run, trial) for trial in trials])
    return folder.study


def _trial(run: Contents, trial: TrialFacts) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState, create_trial

    parameters = {name: getattr(trial, name) for name in _PARAMETERS}
    dropout = {f"dropout_{layer}": rate for layer, rate in enumerate(trial.dropout, start=1)}
    unit, positive = FloatDistribution(0.0, 1.0), FloatDistribution(1e-30, 1e30, log=True)
    penalty = FloatDistribution(0.0, 1e30)
    choices: dict[str, list[bool | int | float | str | None]] = {
        "rule": list(RULES),
        "schedule": list(KINDS),
        "norm": ["none", "batch", "layer"],
        "inputs": list(get_args(Method)),
    }
    distributions = {
        "learning_rate": positive,
        "l2": penalty,
        "weight_decay": penalty,
        "clip_norm": FloatDistribution(0.0, 1e9),
        "batch_size": IntDistribution(1, 1_000_000),
        "width": IntDistribution(0, 1_000_000),
        "depth": IntDistribution(0, 1_000),
        **{name: CategoricalDistribution(values) for name, values in choices.items()},
        **dict.fromkeys(dropout, unit),
    }
    curve = _curve(run, trial)
    loss = None if trial.validation_loss != trial.validation_loss else trial.validation_loss
    state = TrialState.FAIL if loss is None else TrialState.COMPLETE
    if trial.status == "cut at rung" and curve:
        state = TrialState.PRUNED
    return create_trial(
        state=state,
        value=loss,
        params={**parameters, **dropout},
        distributions=distributions,
        user_attrs={name: getattr(trial, name) for name in ("population", "label", "stage", "seed", "status")},
        intermediate_values=curve,
    )


def _curve(run: Contents, trial: TrialFacts) -> dict[int, float]:
    history = run.histories.get(trial.population)
    if history is None:
        return {}
    rows = history.filter(history["member"] == trial.member).drop_nulls("validation_loss")
    thinned = rows[:: max(1, -(-rows.height // MOST_POINTS))]
    return dict(zip(thinned["step"].to_list(), thinned["validation_loss"].to_list(), strict=True))
