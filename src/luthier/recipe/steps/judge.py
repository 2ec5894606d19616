"""Step 5: five seeds, one frozen deliverable, one look at the sealed test set."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from luthier import storage
from luthier.assess import (
    METRICS,
    Costs,
    at_threshold,
    open_test,
    reliability,
    score,
    seen_before,
    tempered,
)
from luthier.data import Dataset
from luthier.nets import DenseSpec
from luthier.recipe.evidence import in_words, interval, summary
from luthier.recipe.ladder import Setting, seeded
from luthier.recipe.plan import Stage
from luthier.recipe.runner import AT_LEAST, Runner, TrainedPopulation
from luthier.recipe.steps.beside_constant import beside_constant
from luthier.recipe.steps.calibrated import as_model, predict_part, weights_of
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

LINEAR_STEPS, FEWEST_STEPS = 200, 10  # of the one network that is trained whatever the clock says


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
    if seeds is None and not runner.trained:
        seeds = _at_least(runner, setting)
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
    deliverable = Predictions(_on_validation(runner, model, choice), predictions, model.threshold)
    scores = scores_of(
        runner,
        deliverable=deliverable,
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
    nothing = beside_constant(runner, setting.method, deliverable, test)
    if nothing is not None:
        runner.ledger.find(nothing, step=5)
    scores["no_better_than_constant"] = None if nothing is None else nothing.to_json()
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


def _at_least(runner: Runner, setting: Setting) -> TrainedPopulation | None:
    """One network where the time ran out before any was trained: of a table a linear one, which learns at once."""
    spec, member, steps = setting.member.spec, setting.member, FEWEST_STEPS
    if isinstance(spec, DenseSpec):
        spec = DenseSpec(spec.inputs, (), spec.outputs, embeddings=spec.embeddings)
        member, steps = replace(member, spec=spec, dropout=()), LINEAR_STEPS
    sentence = f"the time ran out before any network was trained; one is trained for {steps} steps all the same"
    runner.ledger.add("note", {"step": 5, "sentence": sentence})
    members = seeded(replace(setting, member=member), [derive(runner.seed, "final", 0)], steps)
    return runner.train(AT_LEAST, "seeds", Stage(steps=steps), setting.method, setting.rule, members)


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
    p, weights = _on_validation(runner, model, choice)[:, positive], weights_of(runner, folded=False)
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
    y, w = own_scale(task, runner.data.validation), weights_of(runner, folded=False)
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


def _calibration(model: Model, test: Dataset, told: np.ndarray) -> dict[str, Any]:
    assert test.targets is not None
    targets, weights = test.targets.numpy(), None if test.weights is None else test.weights.numpy()
    if model.task.kind == "regression":
        modelled = model.averaged(test.numbers, test.codes)[:, 0] * model.target_std + model.target_mean
        covered = float(np.average(np.abs(targets - modelled) <= model.half_width, weights=weights))
        return {"coverage": covered, "nominal": 0.9, "half_width": model.half_width}
    after = reliability(told, targets, weights)
    before = reliability(model.averaged(test.numbers, test.codes), targets, weights)
    return {**after, "before": before["ece"], "temperature": model.temperature}
