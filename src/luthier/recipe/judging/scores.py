"""The final numbers: the deliverable, the seeds and the baselines on the test part, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from luthier.assess import (
    Comparison,
    Confusion,
    Costs,
    Decision,
    Headline,
    JudgedBaseline,
    LabelScore,
    PredictedPoints,
    Scores,
    Scoring,
    SeedScore,
    StoredRangeTest,
    TrialFacts,
    best_threshold,
    label_scores,
    measure,
    of_second,
    paired_difference,
    score,
    seen_by,
    within_noise,
)
from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.engine import Member
from luthier.messages import Message, joined_by_and
from luthier.nets import BackboneSpec, ConvSpec, TextBackboneSpec, TextSpec
from luthier.objective import metric_named
from luthier.objective.metrics import OWN
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.running.runner import Runner
from luthier.records import Measure
from luthier.rows import Rows
from luthier.task import (
    LabelAnswer,
    LawAround,
    answer_for,
    answer_from,
    cheapest,
    chosen_answer,
    fitted_decision,
    fitted_labels,
    fitted_law,
    is_matrix,
    reported_metrics,
)
from luthier.untrusted import read_json

ESTIMATED = Message("estimated by rows that also chose it; nothing is sealed")
WHERE = {"test": Message("on the sealed test set")}
MOST_POINTS = 2000  # of the predicted-against-true figure


@dataclass(frozen=True)
class Predictions:
    """One model's predictions for the validation and the test part, and how it decides between classes."""

    validation: np.ndarray
    test: np.ndarray
    threshold: float = 0.5
    decision: Decision | None = None
    taken: np.ndarray | None = None  # classes of the test rows where these are open ones, validation rows last

    def seen_by(self, metric: str) -> Predictions:
        """The same as a metric is to see them: the classes that are decided for, where it looks at these."""
        if self.taken is not None and metric_named(metric).of_classes:
            chosen = self.taken if self.taken.ndim == 2 else np.eye(self.test.shape[1])[self.taken]
            return Predictions(chosen[-len(self.validation) :], chosen)
        way = self.threshold, self.decision
        return Predictions(seen_by(metric, self.validation, *way), seen_by(metric, self.test, *way))


@dataclass(frozen=True)
class PartScores:
    """How predictions of one part are scored: by its targets, weights and units, and by the task's positive class."""

    y: np.ndarray
    scoring: Scoring
    seed: int

    @classmethod
    def of(cls, runner: Runner, rows: Rows, part: str) -> PartScores:
        """Of the rows of a part."""
        problem = runner.problem
        scoring = Scoring.of(rows, problem.task, problem.data.units[part])
        return cls(own_scale(problem.task, rows), scoring, problem.seed)

    def score(self, metric: str, prediction: np.ndarray) -> float:
        """A score alone."""
        return score(metric, self.y, prediction, self.scoring.weights, task=self.scoring.task)

    def measure(self, metric: str, prediction: np.ndarray) -> Measure:
        """A score with its interval."""
        return measure(metric, self.y, prediction, self.scoring, seed=self.seed)

    def gain(self, metric: str, one: np.ndarray, other: np.ndarray) -> Measure:
        """How much better one prediction is than another."""
        return paired_difference(metric, self.y, one, other, self.scoring, seed=self.seed)


def scores_of(
    runner: Runner,
    *,
    deliverable: Predictions,
    seeds: list[tuple[str, Predictions]],
    baselines: dict[str, Predictions],
    test: Rows,
    failed: Mapping[str, str],
    part: str = "test",
) -> Scores:
    """What the report and the terminal show of the deliverable, its seeds and the baselines.

    Where nothing is sealed the rows in the place of the test rows are of the `part` "open" or "validation". Baselines
    have learnt from the training rows, and are compared on the validation rows then.
    """
    problem = runner.problem
    task, metric = problem.task, problem.metric
    validating = PartScores.of(runner, problem.data.validation, "validation")
    testing = PartScores.of(runner, test, part)
    ours = deliverable.seen_by(metric)
    headline, validation = testing.measure(metric, ours.test), validating.measure(metric, ours.validation)
    rows = []
    for name, predicted in baselines.items():
        result = answered(runner, validating, predicted).seen_by(metric)
        known = validating.measure(metric, result.validation)
        if part == "test":
            gained, tested = testing.gain(metric, ours.test, result.test), testing.measure(metric, result.test)
        else:
            gained, tested = validating.gain(metric, ours.validation, result.validation), known
        rows.append(_baseline_row(name, gained, tested, known))
    family = [
        SeedScore(label, testing.score(metric, result.test), validating.score(metric, result.validation))
        for label, result in ((label, predicted.seen_by(metric)) for label, predicted in seeds)
    ]
    names = reported_metrics(problem.asked.metric, task.kind)
    range_tests = [runner.memo.folder / f"range-{rule}.json" for rule in ("sgd", "adam")]
    absent, one_of = absent_classes(task, testing.y), bool(task.classes) and not task.traits.is_labels
    return Scores(
        metric=metric,
        positive=task.positive_name,
        headline=Headline(**vars(headline), validation=validation),
        difference_to_validation=_difference(headline, validation, apart=part == "test"),
        metrics=[testing.measure(name, deliverable.seen_by(name).test) for name in names],
        seeds=family,
        baselines=rows,
        failed_baselines=dict(failed),
        absent=absent,
        sentence=_sentence(headline, rows, absent, WHERE.get(part, ESTIMATED)),
        confusion=_confusion(task.classes, testing, deliverable.seen_by("accuracy").test) if one_of else None,
        labels=_by_label(task.classes, testing, deliverable) if task.traits.is_labels else [],
        predicted=None if task.is_classes else _points(testing.y, deliverable.test),
        range_tests=[read_json(path, StoredRangeTest) for path in range_tests if path.exists()],
        trials=_trials(runner),
    )


def _by_label(classes: Sequence[str], testing: PartScores, deliverable: Predictions) -> list[LabelScore]:
    decision = deliverable.decision
    assert isinstance(decision, LabelAnswer)
    taken = deliverable.seen_by("hamming loss").test
    return label_scores(classes, testing.y, taken, testing.scoring.weights, decision.thresholds)


def absent_classes(task: Task, y: np.ndarray) -> list[str]:
    """The classes that no row of the test set has: no score says anything about them."""
    there = np.flatnonzero(y.any(0)) if task.traits.is_labels else np.unique(y)
    return [name for place, name in enumerate(task.classes) if place not in there]


def answered(runner: Runner, validating: PartScores, predicted: Predictions) -> Predictions:
    """A baseline's predictions with the answer that the network gives too: by the same metric, on the same rows."""
    problem, metric = runner.problem, runner.problem.asked_metric
    y, p, weights = validating.y, predicted.validation, validating.scoring.weights
    if problem.task.family == "binary":
        return replace(predicted, threshold=threshold_of(runner, validating, p))
    if problem.task.traits.is_labels:
        return replace(predicted, decision=fitted_labels(problem.metric, y, p, weights))
    if problem.task.classes and problem.asked.costs:
        return replace(predicted, decision=cheapest(problem.asked.costs, problem.task.classes))
    if problem.task.classes:
        return replace(predicted, decision=fitted_decision(metric, y, p, weights) if metric else None)
    of_law = bool(metric) and metric_named(metric).of_law
    if metric == "" or (answer_for(metric) == "mean" and metric not in OWN and not of_law):
        return predicted
    log, test = problem.task.log_scale, predicted.test
    if log:  # of positive targets a prediction is at least the smallest
        y, p, test = (np.log(np.maximum(values, y.min())) for values in (y, p, test))
    kind = problem.task.traits
    p, test = kind.link.output(p), kind.link.output(test)
    both = p if kind.is_linked else np.concatenate([y, p])
    identity = TargetTransform(log=log, lowest=float(both.min()), highest=float(both.max()), kind=kind)
    if of_law:
        law = LawAround(identity, fitted_law(identity.residuals(y, p), p, weights))
        return Predictions(identity.answer(p), identity.answer(test), decision=law)
    way_back = answer_from(identity, p, y, chosen_answer(metric, identity, p, y, weights), weights)
    return replace(predicted, validation=way_back.answer(p), test=way_back.answer(test))


def threshold_of(runner: Runner, validating: PartScores, p: np.ndarray) -> float:
    """Where a baseline draws the line: as the network does, by the same costs or metric on the same rows."""
    problem = runner.problem
    asked, task = problem.asked, problem.task
    if task.family != "binary" or not (asked.costs or problem.asked_metric):
        return 0.5
    if is_matrix(asked.costs):
        return cheapest(asked.costs, task.classes).threshold
    if not asked.costs:
        return best_threshold(problem.asked_metric, validating.y, p, validating.scoring.weights, task=task)
    positive = task.positive_index
    result = Costs.parse(asked.costs).best(p[:, positive], validating.y == positive, validating.scoring.weights)
    return of_second(result[0], positive)


def _baseline_row(name: str, gained: Measure, test: Measure, validation: Measure) -> JudgedBaseline:
    verdict: Comparison = "within noise" if within_noise(gained) else ("better" if gained.value > 0 else "worse")
    return JudgedBaseline(name, test, gained, verdict if gained.low is not None else "unknown", validation)


def _difference(test: Measure, validation: Measure, *, apart: bool = True) -> Measure:
    """Test minus validation, its interval from both parts' own (they share no rows), where both have one."""
    if not apart:
        note = "validation rows are among them"
        return Measure(test.name, test.value - validation.value, None, None, test.n, note=note)
    value, name = test.value - validation.value, f"{test.name}, test minus validation"
    ends = (test.low, test.high, validation.low, validation.high)
    if any(end is None for end in ends) or value != value:
        return Measure(name, value, None, None, test.n, note=test.note or validation.note)
    low, high, lower, higher = (float(end) for end in ends if end is not None)
    width = float(np.hypot(high - low, higher - lower)) / 2
    return Measure(name, value, value - width, value + width, test.n)


def _sentence(headline: Measure, baselines: list[JudgedBaseline], absent: list[str], where: str) -> str:
    message = Message("{score} {where}", score=headline.in_words, where=where)
    if absent:
        names = joined_by_and([Message(repr(name)) for name in absent])
        template = "{score} {where}, which has no row of {names}"
        message = Message(template, score=headline.in_words, where=where, names=names)
    if headline.value != headline.value or all(row.verdict == "unknown" for row in baselines):
        return message
    worse = [Message(row.name) for row in baselines if row.verdict == "worse"]
    same = [Message(row.name) for row in baselines if row.verdict == "within noise"]
    if worse:
        return Message("{message}; {names} did better", message=message, names=joined_by_and(worse))
    if same:
        return Message("{message}; no better than {names} beyond the noise", message=message, names=joined_by_and(same))
    return Message("{message}; better than every baseline", message=message) if baselines else message


def _confusion(labels: Sequence[str], testing: PartScores, probabilities: np.ndarray) -> Confusion:
    """How true and predicted classes meet: rows, or their weights, as in the scores beside it."""
    weights = testing.scoring.weights
    matrix = np.zeros((len(labels), len(labels)), dtype=int if weights is None else float)
    np.add.at(matrix, (testing.y, probabilities.argmax(1)), 1 if weights is None else weights)
    return Confusion(list(labels), matrix.tolist(), weights is not None)


def _points(y: np.ndarray, predicted: np.ndarray) -> PredictedPoints:
    indices = np.unique(np.linspace(0, len(y) - 1, min(MOST_POINTS, len(y))).astype(int))
    return PredictedPoints(y[indices].astype(float).tolist(), predicted[indices].tolist())


def _trials(runner: Runner) -> list[TrialFacts]:
    """One row for each member trained, or for each setting of an experiment, for the scatter and the tables."""
    rows = len(runner.problem.data.training)
    return [
        TrialFacts(
            stage=trained.stage,
            population=trained.name,
            member=i,
            inputs=trained.method,
            label=member.label,
            rule=trained.rule,
            schedule=member.schedule.kind,
            learning_rate=member.learning_rate,
            **_shape(member)._asdict(),
            l2=member.l2 / rows,
            weight_decay=member.weight_decay,
            clip_norm=min(member.clip_norm, 1e9),  # a billion stands for none
            batch_size=trained.batch_size,
            seed=member.seed,
            train_loss=float(trained.train_loss[members].mean()),
            validation_loss=float(trained.validation_loss[members].mean()),
            validation_score=float(trained.validation_score[members].mean()),
            status=max((trained.statuses[i] for i in members), key=lambda status: status.startswith("diverged")),
        )
        for trained in runner.trained
        for members in map(list, trained.settings)
        for i, member in [(members[0], trained.members[members[0]])]
    ]


class _Shape(NamedTuple):
    width: int
    depth: int
    dropout: list[float]
    norm: str


def _shape(member: Member) -> _Shape:
    spec = member.spec
    if isinstance(spec, ConvSpec):
        depth, norm = len(spec.channels) * spec.convolutions, "batch" if spec.batch_norm else "none"
        return _Shape(spec.channels[0], depth, [spec.dropout], norm)
    if isinstance(spec, TextSpec):
        return _Shape(spec.width, 1 + len(spec.layers_of_units), [spec.dropout, spec.word_dropout], "none")
    if isinstance(spec, BackboneSpec):
        return _Shape(spec.width, 1, [0.0], "batch")
    if isinstance(spec, TextBackboneSpec):
        return _Shape(spec.sizes.width, spec.sizes.layers, [0.0], "layer")
    hidden, dense = spec.hidden, member.dense
    norm = "batch" if dense.batch_norm else "layer" if dense.layer_norm else "none"
    return _Shape(hidden[0] if hidden else 0, len(hidden), list(member.drop_rates), norm)


def next_step(runner: Runner, scores: Scores) -> str:
    """The one thing worth doing next, by what the run showed."""
    if scores.no_better_than_constant is not None:
        return scores.no_better_than_constant.remedy
    worse = [row.name for row in scores.baselines if row.verdict == "worse"]
    if scores.estimate and not worse:
        return Message("judge it on new rows: luthier branch {path} --step 5 --new-test FILE", path=runner.folder.path)
    if runner.cuts:
        return "the time ran out before the plan was done: give more with --budget"
    final = [trained for trained in runner.trained if trained.stage == "seeds"]
    if final and float(np.median(final[0].best_step)) >= 0.95 * final[0].steps_done:
        return "the networks were still improving at the end: give more time with --budget"
    difference = scores.difference_to_validation
    if worse:
        named = Message(worse[0])
        return Message("use {worse} for this table, or collect more rows: networks profit most from them", worse=named)
    best = final[0] if final else runner.trained[-1]
    i = best.usable()[0]
    if best.train_loss[i] < 0.5 * best.validation_loss[i]:
        return "the gap between training and validation is large: more rows would help most"
    if difference.low is not None and difference.high is not None and (difference.low > 0 or difference.high < 0):
        return "the test and validation scores differ by more than the noise: check how the rows were collected"
    return Message("check it on data from real use: luthier check {path} NEW.csv", path=runner.folder.path)
