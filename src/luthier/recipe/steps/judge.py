"""Step 5: five seeds, one frozen deliverable, one look at the sealed test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from luthier import storage
from luthier.assess import (
    METRICS,
    NOMINAL,
    PREDICTION,
    Costs,
    Familiarity,
    Profile,
    at_threshold,
    best_threshold,
    fit_temperature,
    half_width,
    of_second,
    open_test,
    reliability,
    score,
    seen_before,
    set_threshold,
    tempered,
)
from luthier.data import Dataset
from luthier.nets import Net, licences_of
from luthier.recipe.evidence import in_words, interval, summary
from luthier.recipe.ladder import Setting, seeded
from luthier.recipe.runner import Runner, TrainedPopulation
from luthier.recipe.steps.deliverable import FOLDED, Component, Deliverable, choose_deliverable
from luthier.recipe.steps.distil import distil
from luthier.recipe.steps.error_analysis import error_analysis
from luthier.recipe.steps.folds import train_folds
from luthier.recipe.steps.image_grids import image_grids
from luthier.recipe.steps.look_inside import look_inside
from luthier.recipe.steps.opening import history_at_opening
from luthier.recipe.steps.run_baselines import Baselines, own_scale
from luthier.recipe.steps.scores import Predictions, next_step, scores_of
from luthier.recipe.steps.stored_predictions import write_stored_predictions
from luthier.recipe.steps.warm_start import Earlier, forgotten
from luthier.records import Decision, Option
from luthier.saved import Model
from luthier.seeds import derive

PROFILED = 10_000  # rows that stand for all training rows when new ones are compared with them


@dataclass(frozen=True)
class Verdict:
    """The delivered model and its scores."""

    model: Model
    scores: dict[str, Any]


def judge(
    runner: Runner,
    setting: Setting,
    baselines: Baselines,
    *,
    started: TrainedPopulation | None = None,
    earlier: Earlier | None = None,
) -> Verdict:
    """Retrain, choose and calibrate on validation alone, freeze, then open the test set once.

    The networks of a warm start, `started`, are not trained again.
    """
    seeds = _five_seeds(runner, setting) if started is None else started
    inside = look_inside(runner, seeds)
    folds = train_folds(runner, setting) if started is None else None
    choice = choose_deliverable(runner, seeds, setting.method, folds)
    _explain_choice(runner, seeds if started is None else None, choice)
    if runner.recipe.asked.distil:
        choice = distil(runner, setting, choice)
    nets = [component.trained.net(component.member) for component in choice.components]
    model = as_model(
        runner,
        nets,
        [c.weight for c in choice.components],
        setting.method,
        choice.held_out,
        choice.targets,
        None if earlier is None else earlier.model,
    )
    _explain_calibration(runner, choice, model)
    model.save(runner.folder.bundle)  # frozen: nothing below changes it but the scores written beside it
    history = history_at_opening(runner)
    test = open_test(runner.data.sealed, runner.ledger.add, purpose="to evaluate the frozen model, once")
    predictions = predict_part(model, test)
    singles = {
        label: Predictions(predict_part(one, runner.data.validation), predict_part(one, test), model.threshold)
        for label, one in _singles(runner, seeds, choice, model)
    }
    scores = scores_of(
        runner,
        deliverable=Predictions(_on_validation(runner, model, choice), predictions, model.threshold),
        seeds=list(singles.items()),
        baselines={
            name: Predictions(baselines.validation[name], result) for name, result in baselines.test(test).items()
        },
        test=test,
        failed=baselines.failed,
    )
    scores["calibration"] = _calibration(model, test, predictions)
    scores |= error_analysis(runner, model, test, predictions)
    scores["forgotten"] = None if earlier is None else forgotten(runner, model, earlier)
    scores["inside"] = inside
    scores["sheets"] = image_grids(runner, setting, model, test.numbers, scores["worst"])
    write_stored_predictions(runner.folder.judged, test, runner.data.test_rows, predictions, runner.data.task)
    scores["seal"], scores["openings"] = history.to_json(), history.readings
    if (finding := seen_before(history)) is not None:
        runner.ledger.find(finding, step=5)
    scores["next_step"] = next_step(runner, scores)
    judgement = {name: scores[name] for name in ("headline", "sentence", "next_step")}
    runner.ledger.add("judgement", {"step": 5, **judgement})
    storage.write_json(runner.folder.scores, scores)
    model = replace(model, metrics={"headline": scores["headline"], "metrics": scores["metrics"]})
    model.save(runner.folder.bundle)
    runner.folder.update_facts(next_step=scores["next_step"], licences=[asdict(licence) for licence in model.licences])
    return Verdict(model, scores)


def _five_seeds(runner: Runner, setting: Setting) -> TrainedPopulation | None:
    """The winner again from five seeds of its own, to the planned end."""
    planned = runner.plan.final.for_batches(setting.batch_size, runner.plan.batch_size)
    members = seeded(setting, [derive(runner.seed, "final", k) for k in range(runner.plan.final_seeds)], planned.steps)
    batch = setting.batch_size
    parts = runner.full_training_rows(setting.method)
    return runner.train("seeds", "seeds", planned, setting.method, setting.rule, members, batch_size=batch, parts=parts)


def as_model(
    runner: Runner,
    nets: Sequence[Net],
    weights: Sequence[float],
    method: str,
    held_out: Tensor | None = None,
    known: Tensor | None = None,
    earlier: Model | None = None,
) -> Model:
    """Networks as a model for raw rows; temperature, smearing and interval come from rows not learnt from.

    These are the validation rows, unless `held_out` outputs [N, C] and their targets as the networks see them
    are given. What the `earlier` model of a warm start had seen stays within bounds.
    """
    task, validation = runner.data.task, runner.data.validation
    lowest, highest = _bounds(runner)
    if earlier is not None:
        lowest, highest = min(lowest, earlier.lowest), max(highest, earlier.highest)
    model = Model(
        task=task,
        encoder=runner.data.encoder,
        preprocess=runner.prepared(method)[0],
        lowest=lowest,
        highest=highest,
        nets=tuple(nets),
        weights=tuple(weights),
        target_mean=runner.target_mean,
        target_std=runner.target_std,
        licences=licences_of(runner.recipe.asked.backbone, runner.recipe.asked.weights),
    )
    if held_out is None or known is None:
        averaged = model.averaged(validation.numbers, validation.codes)
        assert validation.targets is not None
        targets = validation.targets.numpy()
    else:
        averaged, targets = held_out.numpy(), known.double().numpy() if task.kind == "regression" else known.numpy()
        if task.kind == "regression":
            averaged = averaged.clip(lowest, highest)
            targets = targets * runner.target_std + runner.target_mean
    if task.kind == "regression":
        residuals = targets - (averaged[:, 0] * runner.target_std + runner.target_mean)
        smear = float(np.exp(residuals).mean()) if task.log_scale else 1.0
        model = replace(model, smear=smear, half_width=half_width(residuals))
    else:
        model = replace(model, temperature=fit_temperature(averaged, targets))
        p = tempered(averaged, model.temperature)
        model = replace(model, set_threshold=set_threshold(p, targets, NOMINAL))
        model = replace(model, threshold=_threshold(runner, targets, p, _weights_of(runner, held_out is not None)))
    numbers = runner.data.training.numbers, validation.numbers
    if numbers[0].shape[1]:
        learnt, others = (model.features(some) for some in numbers)
        model = replace(model, familiarity=Familiarity.fit(learnt, others))
    return replace(model, profile=_profile(runner, model))


def _weights_of(runner: Runner, folded: bool) -> np.ndarray | None:
    """How much the rows count that calibrate: the validation rows, or all open rows where folds have left them out."""
    parts = (runner.data.training, runner.data.validation) if folded else (runner.data.validation,)
    known = [part.weights.numpy() for part in parts if part.weights is not None]
    return np.concatenate(known) if known else None


def _threshold(runner: Runner, targets: np.ndarray, p: np.ndarray, weights: np.ndarray | None) -> float:
    """From which probability of the second class on it is predicted: by costs, or by the metric that was asked for."""
    asked, task = runner.recipe.asked, runner.data.task
    if asked.costs:
        positive = task.positive_index
        return of_second(Costs.parse(asked.costs).best(p[:, positive], targets == positive, weights)[0], positive)
    if asked.metric and task.kind == "binary":
        return best_threshold(asked.metric, targets, p, weights, task=task)
    return 0.5


def _bounds(runner: Runner) -> tuple[float, float]:
    """The range of standardised training targets, a twentieth wider at both ends."""
    targets = runner.data.training.targets
    if targets is None or runner.data.task.classes:
        return -np.inf, np.inf
    standardised = (targets.double() - runner.target_mean) / runner.target_std
    low, high = float(standardised.min()), float(standardised.max())
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _profile(runner: Runner, model: Model) -> Profile:
    """What training rows and the model's predictions for them looked like."""
    some = slice(PROFILED) if len(runner.data.training) > PROFILED else slice(None)
    training = runner.data.training
    numbers, codes, sizes = columns_of(model, training.numbers[some], training.codes[some])
    return Profile.of(numbers, codes, sizes)


def columns_of(
    model: Model, numbers: Tensor, codes: Tensor
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
    """Columns by name, the prediction among them: numbers, codes, and how many codes each has."""
    encoder = model.encoder
    by_name, coded = encoder.described(numbers, codes)
    sizes = dict(zip(encoder.category_names, encoder.category_sizes, strict=True))
    if model.task.kind == "regression":
        by_name[PREDICTION] = model.values(numbers, codes)
    else:
        coded[PREDICTION] = model.profiled_classes(numbers, codes)
        sizes[PREDICTION] = len(model.task.classes)
    return by_name, coded, sizes


def _explain_choice(runner: Runner, seeds: TrainedPopulation | None, choice: Deliverable) -> None:
    if seeds is not None:
        losses = [float(loss) for loss in seeds.validation_loss]
        runner.ledger.decide(
            Decision(
                step=5,
                topic="final seeds",
                chosen=f"validation loss {summary(losses)['mean']:.4f}",
                reason=f"a single seed can be lucky; {len(losses)} seeds show the spread",
                evidence={**summary(losses), "values": losses},
                rule="mean of the values",
            )
        )
    gain = interval(choice.gain)
    reason = f"it has the best {choice.by} on the validation rows" if choice.by else "it has the lowest validation loss"
    if runner.recipe.asked.metric and not choice.by:
        reason += f" ({runner.recipe.asked.metric} is not defined on the validation rows)"
    if choice.name == FOLDED:
        reason = (
            "it is trained on all training and validation rows, and by its out-of-fold predictions it is not clearly "
            "worse than the best alternative"
        )
    if choice.name != "one network":
        reason += f"; gain over one network, paired by row: {in_words(gain)}"
    runner.ledger.decide(
        Decision(
            step=5,
            topic="deliverable",
            chosen=choice.name + (f" ({len(choice.components)} networks)" if len(choice.components) > 1 else ""),
            reason=reason,
            options=tuple(
                Option(name, {"validation loss": loss, **({choice.by: choice.measured[name]} if choice.by else {})})
                for name, loss in choice.losses.items()
            ),
            evidence={
                "components": [[c.label, round(c.weight, 4)] for c in choice.components],
                "allowed": choice.allowed,
                "credit": choice.credit,
                "by": choice.by or "validation loss",
                "larger is better": bool(choice.by) and METRICS[choice.by].larger_is_better,
            },
            override="--metric",
            rule="all open rows" if choice.name == FOLDED else "best of the options",
        )
    )


def _explain_calibration(runner: Runner, choice: Deliverable, model: Model) -> None:
    rows = "the validation rows" if choice.held_out is None else "the out-of-fold predictions"
    if runner.data.task.kind == "regression":
        chosen = f"90 % interval of ± {model.half_width:.3g} on the scale of the model"
        calibration, evidence = f"it is split-conformal on {rows}", {"half_width": model.half_width}
    else:
        chosen = f"temperature {model.temperature:.3f}"
        calibration = f"it gives the lowest log loss on {rows}"
        evidence = {"temperature": model.temperature}
    runner.ledger.decide(Decision(5, "calibration", chosen, calibration, evidence=evidence, rule="as measured"))
    if runner.recipe.asked.costs:
        _explain_threshold(runner, model, choice)
    elif model.threshold != 0.5:
        _explain_threshold_by_metric(runner, model, choice)


def _explain_threshold(runner: Runner, model: Model, choice: Deliverable) -> None:
    """The threshold by cost, beside one half and beside what calibrated probabilities ask for."""
    task, validation, costs = runner.data.task, runner.data.validation, Costs.parse(runner.recipe.asked.costs)
    positive, chosen = task.positive_index, model.positive_threshold
    p, weights = _on_validation(runner, model, choice)[:, positive], _weights_of(runner, folded=False)
    y = own_scale(task, validation) == positive
    options = {"0.5": 0.5, f"{costs.threshold:.4g}": costs.threshold, f"{chosen:.4g}": chosen}
    runner.ledger.decide(
        Decision(
            step=5,
            topic="threshold",
            chosen=f"{chosen:.4g}",
            reason=f"from this probability of '{task.positive_name}' (the positive class) on a row is called so; it "
            f"costs least on the validation rows, with exact probabilities it would be {costs.threshold:.3g}",
            options=tuple(Option(name, {"cost": costs.of(p, y, at, weights)}) for name, at in options.items()),
            evidence={"costs": runner.recipe.asked.costs, "positive": task.positive_name},
            override="--cost",
            rule="lowest cost",
        )
    )


def _explain_threshold_by_metric(runner: Runner, model: Model, choice: Deliverable) -> None:
    task, metric, p = runner.data.task, runner.metric, _on_validation(runner, model, choice)
    y, w = own_scale(task, runner.data.validation), _weights_of(runner, folded=False)
    sign = -1.0 if METRICS[metric].larger_is_better else 1.0
    options = {"0.5": 0.5, f"{model.positive_threshold:.4g}": model.threshold}
    runner.ledger.decide(
        Decision(
            step=5,
            topic="threshold",
            chosen=f"{model.positive_threshold:.4g}",
            reason=f"from this probability of '{task.positive_name}' (the positive class) on a row is called so; it "
            f"has the best {metric} on the rows that calibrate",
            options=tuple(
                Option(name, {"cost": sign * score(metric, y, at_threshold(p, at), w, task=task)})
                for name, at in options.items()
            ),
            evidence={
                "metric": metric,
                "cost": f"{metric}, smaller is better" if sign > 0 else f"minus {metric}",
                "positive": task.positive_name,
            },
            override="--cost",
            rule="lowest cost",
        )
    )


def _singles(
    runner: Runner, seeds: TrainedPopulation | None, choice: Deliverable, model: Model
) -> list[tuple[str, Model]]:
    """Each seed as a model of its own; without them the deliverable's first network."""
    components = (
        [Component(seeds, i) for i in seeds.usable() if i in seeds.weights] if seeds else list(choice.components[:1])
    )
    components.sort(key=lambda component: component.member)
    return [
        (c.trained.members[c.member].label, replace(model, nets=(c.trained.net(c.member),), weights=(1.0,)))
        for c in components
    ]


def _on_validation(runner: Runner, model: Model, choice: Deliverable) -> np.ndarray:
    """What the deliverable says of validation rows; where it learnt from them, what the networks said that had not."""
    if choice.held_out is None:
        return predict_part(model, runner.data.validation)
    outputs = choice.held_out[-len(runner.data.validation) :].numpy()
    if model.task.kind == "regression":
        return model.to_own_scale(outputs[:, 0].clip(model.lowest, model.highest))
    return tempered(outputs, model.temperature)


def predict_part(model: Model, part: Dataset) -> np.ndarray:
    """A model's probabilities, or values on the target's own scale, for the rows of a part."""
    if model.task.kind == "regression":
        return model.values(part.numbers, part.codes)
    return model.probabilities(part.numbers, part.codes)


def _calibration(model: Model, test: Dataset, told: np.ndarray) -> dict[str, Any]:
    assert test.targets is not None
    targets = test.targets.numpy()
    if model.task.kind == "regression":
        modelled = model.averaged(test.numbers, test.codes)[:, 0] * model.target_std + model.target_mean
        covered = float((np.abs(targets - modelled) <= model.half_width).mean())
        return {"coverage": covered, "nominal": 0.9, "half_width": model.half_width}
    after = reliability(told, targets)
    before = reliability(model.averaged(test.numbers, test.codes), targets)
    return {**after, "before": before["ece"], "temperature": model.temperature}
