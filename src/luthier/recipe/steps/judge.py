"""Step 5: five seeds, one frozen deliverable, one look at the sealed test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Literal

import numpy as np

from luthier import storage
from luthier.assess import (
    Costs,
    Coverage,
    Inside,
    Reliability,
    Scores,
    SealHistory,
    at_threshold,
    open_test,
    reliability,
    score,
    seen_before,
)
from luthier.assess.baseline_process import of_quantile
from luthier.assess.row_intervals import interval_figures
from luthier.messages import Message, as_message
from luthier.nets import DenseSpec
from luthier.objective import metric_named
from luthier.recipe.decisions.calibrating import CalibrationEvidence, PredictionEvidence, Threshold, ThresholdEvidence
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.delivered import SeedsEvidence
from luthier.recipe.delivery.deliver_bags import candidates, deliver_bags
from luthier.recipe.delivery.deliverable import Component, Deliverable, choose_deliverable, is_offered
from luthier.recipe.delivery.delivered_bags import keep_delivered
from luthier.recipe.delivery.distil import distil
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.judging.beside_constant import beside_constant
from luthier.recipe.judging.calibrated import as_model, predict_part, weights_of
from luthier.recipe.judging.error_analysis import JudgedRows, error_analysis
from luthier.recipe.judging.estimate import answer_of, answers_alone, estimate
from luthier.recipe.judging.fit_intervals import with_row_intervals
from luthier.recipe.judging.fit_quantiles import quantile_scores, with_quantiles
from luthier.recipe.judging.image_grids import image_grids
from luthier.recipe.judging.look_inside import look_inside
from luthier.recipe.judging.opened_rows import history_at_opening, write_stored_predictions
from luthier.recipe.judging.scores import Predictions, next_step, scores_of
from luthier.recipe.planning.plan import FINAL_SEEDS, Stage
from luthier.recipe.planning.setting import Setting, seeded
from luthier.recipe.running.pieces_of_populations import TrainingPlan
from luthier.recipe.running.run_baselines import Baselines, own_scale
from luthier.recipe.running.runner import AT_LEAST, Runner, TrainedPopulation
from luthier.recipe.steps.so_far import SoFar, Verdict
from luthier.recipe.steps.warm_start import forgotten
from luthier.records import Entry, Finding, Said, found, noted
from luthier.rows import Rows
from luthier.saved import Model
from luthier.saved.bundle import write_metrics
from luthier.seeds import derive
from luthier.task import is_matrix, matrix_of

LINEAR_STEPS, FEWEST_STEPS = 200, 10  # of the one network that is trained whatever the clock says


def judge(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """Retrain, choose and calibrate on validation alone, freeze, then open the test set once.

    Networks that were `started` elsewhere are not trained again, nor bags of folds: these choose and calibrate by their
    out-of-fold predictions.
    """
    verdict = yield from _judged(runner, so_far, so_far.adopted)
    return replace(so_far, verdict=verdict)


def _judged(runner: Runner, so_far: SoFar, setting: Setting) -> Said[Verdict]:
    baselines, started, earlier = so_far.baselines, so_far.started, so_far.earlier
    problem = runner.problem
    sampled = problem.data.full_training_rows is not None  # then the final networks learn from more rows
    kept = [] if sampled else candidates(so_far.bags, setting.method)
    seeds = kept[0].alone() if kept else started
    if seeds is None:
        seeds = yield from _five_seeds(runner, setting)
    if seeds is None and not any(is_offered(one, setting.method) for one in runner.trained):
        seeds = yield from _at_least(runner, setting)
    inside = yield from look_inside(runner, seeds)
    anew = started is None and not kept
    if seeds is not None and anew:
        yield from decided(5, SeedsEvidence(tuple(finite(float(loss)) for loss in seeds.validation_loss)))
    chosen = deliver_bags(runner, kept) if kept else choose_deliverable(runner, seeds, setting.method)
    choice = yield from chosen
    if problem.asked.distil:
        choice = yield from distil(runner, setting, choice)
    keep_delivered(runner, choice, kept)
    nets = [component.trained.net(component.member) for component in choice.components]
    weights, before = [c.weight for c in choice.components], None if earlier is None else earlier.model
    model = as_model(problem, nets, weights, setting.method, choice.held_out, choice.targets, before)
    yield from _explain_calibration(runner, choice, model)
    model = yield from with_row_intervals(runner, model, choice, setting.method)
    model = yield from with_quantiles(runner, model, choice, setting.method)
    model.save(runner.folder.bundle)  # frozen: nothing below changes it but the scores written beside it
    if not problem.asked.seals:
        return (yield from _estimated(runner, setting, baselines, choice, model, kept, inside))
    history = history_at_opening(runner)
    test = yield from open_test(problem.data.sealed, purpose="to evaluate the frozen model, once")
    baselines.ask(test)
    predictions = predict_part(model, test)
    decides = model.threshold, model.decides
    deliverable = Predictions(_on_validation(runner, model, choice), predictions, *decides)
    singles = {  # networks of folds have learnt from validation rows: what others said of these stands in
        label: Predictions(
            deliverable.validation if kept and problem.crossed else predict_part(one, problem.data.validation),
            predict_part(one, test),
            *decides,
        )
        for label, one in _singles(seeds, choice, model)
    }
    bars = yield from baselines.test()
    scores = scores_of(
        runner,
        deliverable=deliverable,
        seeds=list(singles.items()),
        baselines=_compared(baselines, bars),
        test=test,
        failed=baselines.failed,
    )
    scores = error_analysis(runner, model, scores, JudgedRows(test, predictions, problem.data.test_rows))
    scores = replace(
        scores,
        calibration=_calibration(model, test, predictions),
        quantiles=quantile_scores(model, test, predictions, bars),
        forgotten=None if earlier is None else (yield from forgotten(runner, model, earlier)),
        inside=inside,
        sheets=image_grids(runner, setting, model, test.inputs, scores.worst),
        seal=history,
        openings=history.readings,
    )
    write_stored_predictions(runner.folder.judged, test, problem.data.test_rows, predictions, problem.task)
    if (finding := seen_before(history)) is not None:
        yield found(5, finding)
    nothing = beside_constant(runner, setting.method, deliverable, test)
    return (yield from _kept(runner, model, scores, nothing))


def _kept(runner: Runner, model: Model, scores: Scores, nothing: Finding | None) -> Said[Verdict]:
    """The scores written, beside the model and into it; `nothing` is the finding that a constant does as well."""
    if nothing is not None:
        yield found(5, nothing)
    scores = replace(scores, no_better_than_constant=nothing)
    scores = replace(scores, next_step=as_message(next_step(runner, scores)))
    headline = scores.headline.to_json()
    words = {"sentence": as_message(scores.sentence), "next_step": scores.next_step}
    yield Entry("judgement", {"step": 5, "headline": headline, **words})
    storage.write_json(runner.folder.scores, scores.to_json())
    estimated = {"estimate": True} if scores.estimate else {}
    metrics = {"headline": headline, "metrics": [one.to_json() for one in scores.metrics], **estimated}
    model = replace(model, metrics=metrics)
    write_metrics(runner.folder.bundle, metrics)
    runner.folder.update_facts(next_step=scores.next_step, licences=[asdict(licence) for licence in model.licences])
    return Verdict(model, scores)


def _estimated(
    runner: Runner,
    setting: Setting,
    baselines: Baselines,
    choice: Deliverable,
    model: Model,
    bags: Sequence[Bag],
    inside: Inside | None,
) -> Said[Verdict]:
    """The verdict where nothing is sealed: by open rows, each predicted by networks that had left it out."""
    problem, judged = runner.problem, estimate(runner, model, choice, bags)
    ours = judged.prediction
    taken = judged.taken if problem.task.classes else None
    deliverable = Predictions(ours[-len(problem.data.validation) :], ours, model.threshold, model.decides, taken)
    bags = [bag for bag in bags if judged.part == "open" and choice.has(bag)]
    alone = {bag.setting.label: answers_alone(runner, model, bag) for bag in bags}
    scores = scores_of(
        runner,
        deliverable=deliverable,
        seeds=[
            (label, replace(deliverable, test=one.prediction, taken=one.taken if problem.task.classes else None))
            for label, one in alone.items()
        ],
        baselines=_compared(baselines, baselines.validation),
        test=judged.rows,
        failed=baselines.failed,
        part=judged.part,
    )
    scores = error_analysis(runner, model, scores, JudgedRows(judged.rows, ours, judged.numbers), judged.sets)
    scores = replace(
        scores,
        estimate=True,
        calibration=judged.calibration,
        inside=inside,
        seal=SealHistory(0, readings=0),
        openings=0,
    )
    nothing = beside_constant(runner, setting.method, deliverable, judged.rows, judged.part)
    return (yield from _kept(runner, model, scores, nothing))


def _compared(baselines: Baselines, predictions: Mapping[str, np.ndarray]) -> dict[str, Predictions]:
    """The baselines that the deliverable is compared with, by their predictions in the place of the test rows."""
    return {
        name: Predictions(baselines.validation[name], some)
        for name, some in predictions.items()
        if not of_quantile(name)
    }


def _five_seeds(runner: Runner, setting: Setting) -> Said[TrainedPopulation | None]:
    """The winner again from five seeds of its own, to the planned end."""
    problem = runner.problem
    planned = runner.plan.final.for_batches(setting.batch_size, runner.plan.batch_size)
    members = seeded(setting, [derive(problem.seed, "final", k) for k in range(FINAL_SEEDS)], planned.steps)
    training = TrainingPlan.of("seeds", planned, setting, parts=problem.full_training_rows(setting.method))
    return (yield from runner.run("seeds", members, training))


def _at_least(runner: Runner, setting: Setting) -> Said[TrainedPopulation | None]:
    """One network where the time ran out before any was trained: of a table a linear one, which learns at once."""
    spec, member, steps = setting.member.spec, setting.member, FEWEST_STEPS
    if isinstance(spec, DenseSpec):
        spec = DenseSpec(
            spec.inputs, (), spec.outputs, embeddings=spec.embeddings, constant_outputs=spec.constant_outputs
        )
        member, steps = replace(member, spec=spec, dropout=()), LINEAR_STEPS
    sentence = Message(
        "the time ran out before any network was trained; one is trained for {steps} steps all the same", steps=steps
    )
    yield noted(5, sentence)
    members = seeded(replace(setting, member=member), [derive(runner.problem.seed, "final", 0)], steps)
    training = TrainingPlan.of("seeds", Stage(steps=steps), setting, batch_size=runner.plan.batch_size)
    return (yield from runner.run(AT_LEAST, members, training))


def _explain_calibration(runner: Runner, choice: Deliverable, model: Model) -> Said[None]:
    problem = runner.problem
    out_of_fold = choice.held_out is not None
    if not problem.task.is_classes:
        dispersion = model.transform.dispersion
        unit: Literal["deviations", "interval", "scores"] = "scores"
        if dispersion is None:
            unit = "deviations" if problem.task.traits.is_linked else "interval"
        yield from decided(5, CalibrationEvidence(unit, model.half_width, out_of_fold, dispersion or 0.0))
    else:
        yield from decided(5, CalibrationEvidence("temperature", model.temperature, out_of_fold))
    if is_matrix(problem.asked.costs):
        yield from _explain_costs(runner, model, choice)
        return
    if model.answer != "mean" or model.decision is not None or any(at != 0.5 for at in model.label_thresholds):
        yield from _explain_answer(runner, model, choice)
    if problem.asked.costs or model.threshold != 0.5:
        yield from _explain_threshold(runner, model, choice)


def _explain_answer(runner: Runner, model: Model, choice: Deliverable) -> Said[None]:
    """The answer that the metric asks for beside the usual one, on rows not learnt from."""
    problem = runner.problem
    y, w, metric = own_scale(problem.task, problem.data.validation), weights_of(problem, folded=False), problem.metric
    usual = model.answering("mean") if model.residuals is not None else replace(model, decision=None)
    answer = "classes" if model.residuals is None else model.answer
    if model.label_thresholds:
        usual, answer = replace(model, label_thresholds=(0.5,) * len(model.label_thresholds)), "labels"
    values = [
        finite(score(metric, y, one.seen_by(metric, _on_validation(runner, one, choice)), w, task=problem.task))
        for one in (usual, model)
    ]
    yield from decided(5, PredictionEvidence(metric, answer, *values))


def _explain_costs(runner: Runner, model: Model, choice: Deliverable) -> Said[None]:
    """The mean cost of a row by the likeliest class and by the least expected cost, on rows not learnt from."""
    problem = runner.problem
    costs = matrix_of(problem.asked.costs, problem.task.classes)
    y, w = own_scale(problem.task, problem.data.validation), weights_of(problem, folded=False)
    p = _on_validation(runner, model, choice)
    paid = [finite(float(np.average(costs[y, taken], weights=w))) for taken in (p.argmax(1), model.classes_of(p))]
    yield from decided(5, PredictionEvidence("cost", "classes", *paid))


def _explain_threshold(runner: Runner, model: Model, choice: Deliverable) -> Said[None]:
    """The threshold beside one half: by cost, where calibrated probabilities have one too, or by the metric."""
    problem = runner.problem
    task, asked, metric = problem.task, problem.asked.costs, problem.metric
    y, w = own_scale(task, problem.data.validation), weights_of(problem, folded=False)
    p = _on_validation(runner, model, choice)
    if asked:
        costs, positive = Costs.parse(asked), task.positive_index
        offered = dict.fromkeys((0.5, costs.threshold, model.positive_threshold))
        options = tuple(Threshold(at, costs.of(p[:, positive], y == positive, at, w)) for at in offered)
        yield from decided(5, ThresholdEvidence(task.positive_name, options, asked, costs.threshold))
        return
    sign, seconds = -metric_named(metric).sign, {0.5: 0.5, model.positive_threshold: model.threshold}
    options = tuple(  # at thresholds of the positive class, each with that of the second class
        Threshold(at, sign * score(metric, y, at_threshold(p, second), w, task=task)) for at, second in seconds.items()
    )
    yield from decided(5, ThresholdEvidence(task.positive_name, options, metric=metric))


def _singles(seeds: TrainedPopulation | None, choice: Deliverable, model: Model) -> list[tuple[str, Model]]:
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
    problem = runner.problem
    if choice.held_out is None:
        return predict_part(model, problem.data.validation)
    outputs = choice.held_out[-len(problem.data.validation) :].numpy()
    return answer_of(model, outputs)


def _calibration(model: Model, test: Rows, told: np.ndarray) -> Reliability | Coverage:
    targets, weights = test.targets.numpy(), test.weights_array
    if not model.task.is_classes:
        y, (low, high) = own_scale(model.task, test), model.intervals(told, test.inputs)
        coverage = interval_figures(y, low, high, weights)
        return replace(coverage, half_width=model.half_width, by_row=model.row_intervals is not None)
    after = reliability(told, targets, weights)
    before = reliability(model.averaged(test.inputs), targets, weights)
    return replace(after, before=before.ece, temperature=model.temperature)
