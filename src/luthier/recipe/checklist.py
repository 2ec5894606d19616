"""The recipe as a checklist: six steps with their items, and what a run did about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.assess import RunCheck, Scores
from luthier.data import CELLS_BESIDE, TEXT_BESIDE
from luthier.messages import tr
from luthier.recipe.decisions import evidence_of, wording_of
from luthier.recipe.decisions.backbone_use import BackboneEvidence, UnfrozenEvidence
from luthier.recipe.decisions.experiment import ExperimentEvidence
from luthier.recipe.decisions.gates import FittedEvidence, GapEvidence
from luthier.recipe.decisions.machinery_checks import GradientsEvidence, OverfitEvidence, StartEvidence
from luthier.recipe.decisions.question_answers import AnswerEvidence
from luthier.recipe.decisions.remedy import RemedyEvidence

STEP_NAMES = {
    1: "choose the loss",
    2: "choose a first architecture",
    3: "fit the training set",
    4: "fit the validation set",
    5: "evaluate once, on the test set",
    6: "check on data from the real world",
}
OPEN, DONE, TRIED, ELSEWHERE, UNNEEDED = "open", "done", "tried, not kept", "not for this data", "not needed"
CHECKS = (StartEvidence.code, OverfitEvidence.code, GradientsEvidence.code)
TRIALS = (RemedyEvidence.code, AnswerEvidence.code)  # of what an item names: a rung, or a question
UNKNOWN = "unknown"
GATES = (FittedEvidence.code, GapEvidence.code)
TABLE, PICTURES, TEXT = ("table", CELLS_BESIDE), ("pictures",), ("text", TEXT_BESIDE)
UNFROZEN = (*PICTURES, "text")  # where they are the only input


@dataclass(frozen=True)
class Item:
    """One item of the recipe: the step, what to do, its row in the documents, and what decides on it:
    codes of decisions, and questions or factors of an experiment, or rungs of earlier runs, by their names."""

    step: int
    what: str
    source: str
    codes: tuple[str, ...] = ()
    rungs: tuple[str, ...] = ()
    media: tuple[str, ...] = ()  # kinds of rows that it is for; empty: for all


# The two ways back of the documents.
AFTER_TEST = Item(5, "after a poor test: back to an earlier step, judged by fresh rows", "S4-46")
AFTER_USE = Item(6, "good on all parts and poor in use: back to an earlier step", "S4-49")
ITEMS = (
    Item(1, "squared error for numbers, cross-entropy for classes, binary cross-entropy for two", "S4-03", ("loss",)),
    Item(
        2,
        "one hidden layer, its width between the numbers of inputs and outputs",
        "S4-05, S4-06",
        ("first-width",),
        media=TABLE,
    ),
    Item(
        2,
        "input encoding: numbers standardised by the training rows alone",
        "S4-28 to S4-30",
        ("inputs", "first-setting"),
        media=TABLE,
    ),
    Item(
        2, "a proven architecture for pictures, such as ResNet", "S4-07", ("first-convnet", "backbone"), media=PICTURES
    ),
    Item(2, "initial loss, overfitting one batch, gradient check", "S2-07", CHECKS),
    Item(3, "learning-rate finder", "S4-09, S4-10", ("learning-rate",)),
    Item(3, "the learning rate, tuned first", "S4-08", rungs=("rate",)),
    Item(3, "Adam instead of SGD", "S4-11", rungs=("Adam",)),
    Item(3, "learning-rate decay", "S4-12 to S4-16", rungs=("decay",)),
    Item(3, "restarts", "S4-17", rungs=("restarts",)),
    Item(
        3,
        "transfer learning: unfreezing, differential learning rates",
        "S4-18",
        (UnfrozenEvidence.code,),
        media=UNFROZEN,
    ),
    Item(3, "hidden units, batch size, hidden layers", "S4-19", rungs=("units", "batch size", "layers")),
    Item(3, "LSTM for sequences", "S4-39", rungs=("order",), media=TEXT),
    Item(3, "the training set is fitted", "S4-20, S4-21", (FittedEvidence.code,)),
    Item(4, "dropout, last layer first", "S4-23 to S4-25", rungs=("dropout, last layer", "dropout, all layers")),
    Item(4, "weight decay", "S4-26, S4-27", rungs=("L2",)),
    Item(4, "input normalisation", "S4-28 to S4-30", rungs=("input normalisation",), media=TABLE),
    Item(4, "batch normalisation", "S4-31", rungs=("batch norm",), media=TABLE + PICTURES),
    Item(
        4,
        "more training rows, or data augmentation",
        "S4-32 to S4-34",
        ("more-rows",),
        ("augmentation", "augmentations together", "mix-up", "mirrored", "dropout of words"),
    ),
    Item(
        4,
        "He initialisation, clipping against exploding gradients",
        "S4-35 to S4-41",
        rungs=("clipping", "initialisation"),
    ),
    Item(4, "the architecture reconsidered", "S4-42, S4-43", rungs=("architecture",), media=TABLE + TEXT),
    Item(4, "the gap to the validation set is closed", "S4-22", (GapEvidence.code,)),
    Item(5, "the test set, read once and compared with validation", "S4-45 to S4-47"),
    AFTER_TEST,
    Item(6, "data from real use: drift, and the score where labels are known", "S4-48, S4-49"),
    AFTER_USE,
)


@dataclass(frozen=True)
class Ticked:
    """An item with what a run did about it."""

    item: Item
    status: str
    said: str = ""


def checklist(
    records: Iterable[Mapping[str, Any]] = (), *, scores: Scores | None = None, drift: RunCheck | None = None
) -> list[Ticked]:
    """Every item with its status, by a run's ledger, its `scores` and its last check (`drift`); without records the
    recipe as it is before a run.

    >>> [one.status for one in checklist()][:4]
    ['open', 'open', 'open', 'not for this data']
    """
    result = list(records)
    plans = [record["plan"] for record in result if record["kind"] == "plan"]
    medium = str(plans[-1].get("medium", "table")) if plans else "table"
    back = {AFTER_TEST: _after_test(result, scores), AFTER_USE: _after_use(drift)}
    return [back.get(item) or _ticked(item, result, drift, medium) for item in ITEMS]


def _after_test(records: list[Mapping[str, Any]], scores: Scores | None) -> Ticked:
    """Needed where the test says less than validation did, or no more than a constant; done by a run that came back."""
    if scores is None or not scores.openings:
        return Ticked(AFTER_TEST, OPEN)
    low, high = scores.difference_to_validation.low, scores.difference_to_validation.high
    differs = low is not None and high is not None and not low <= 0 <= high
    if differs or scores.no_better_than_constant:
        if any(record.get("code") == BackboneEvidence.code for record in records):  # learns in one go, without steps
            return Ticked(AFTER_TEST, OPEN, tr("the test is poor: luthier fit with other options and --test FILE"))
        return Ticked(AFTER_TEST, OPEN, tr("the test is poor: luthier branch RUN --step 4 --new-test FILE"))
    taken = [record for record in records if record.get("taken_over")]
    if not taken:
        return Ticked(AFTER_TEST, UNNEEDED)
    step, run = 1 + max(record.get("step", 0) for record in taken), taken[-1]["taken_over"]
    return Ticked(AFTER_TEST, DONE, tr("back to step {step} of {run}", step=step, run=run))


def _after_use(drift: RunCheck | None) -> Ticked:
    """Needed where a check found the model good on all parts of its run and poor on rows from real use."""
    if not drift:
        return Ticked(AFTER_USE, OPEN)
    return Ticked(AFTER_USE, OPEN, drift.finding.remedy) if drift.finding else Ticked(AFTER_USE, UNNEEDED)


def _ticked(item: Item, records: list[Mapping[str, Any]], drift: RunCheck | None, medium: str) -> Ticked:
    if item.media and medium not in item.media:
        return Ticked(item, ELSEWHERE)
    if item.step == 6:
        return Ticked(item, DONE, drift.verdict) if drift else Ticked(item, OPEN)
    if item.step == 5:
        openings = [record for record in records if record["kind"] == "opening"]
        judged = [record["sentence"] for record in records if record["kind"] == "judgement"]
        return Ticked(item, DONE, judged[-1]) if openings and judged else Ticked(item, OPEN)
    decisions = [r for r in records if r["kind"] == "decision" and _is_on(item, r)]
    if not decisions:
        return Ticked(item, OPEN)
    if decisions[-1]["code"] == UnfrozenEvidence.code and "wording" not in decisions[-1]:
        return _unfrozen(item, decisions[-1])
    words = [wording_of(r) for r in decisions]
    if decisions[-1]["code"] in GATES and not decisions[-1]["choice"]:
        return Ticked(item, OPEN, words[-1].chosen)
    several = len(item.codes) + len(item.rungs) > 1
    chosen = [tr("{topic}: {chosen}", topic=w.topic, chosen=w.chosen) if several else w.chosen for w in words]
    kept = [message for message, r in zip(chosen, decisions, strict=True) if r["choice"] not in (None, UNKNOWN)]
    return Ticked(item, DONE, tr("; ").join(kept)) if kept else Ticked(item, TRIED)


def _unfrozen(item: Item, record: Mapping[str, Any]) -> Ticked:
    """Done where a depth is used, open where the time was for heads alone."""
    evidence = evidence_of(record)
    assert isinstance(evidence, UnfrozenEvidence)
    status = OPEN if evidence.nothing_tried else DONE if record["choice"] else TRIED
    return Ticked(item, status, evidence.in_short)


def _is_on(item: Item, record: Mapping[str, Any]) -> bool:
    if record["code"] == UnfrozenEvidence.code:  # decided by validation rows, beside how well each depth fits
        return record["code"] in item.codes
    if record["step"] != item.step:
        return False
    if record["code"] == ExperimentEvidence.code:  # all factors of a step at once
        experiment = evidence_of(record)
        assert isinstance(experiment, ExperimentEvidence)
        return any(name in item.rungs for name in experiment.varied)
    return record["code"] in item.codes or (record["code"] in TRIALS and record["of"] in item.rungs)


def in_lines(ticked: Iterable[Ticked]) -> list[str]:
    """The checklist as text: [x] done, [-] tried or not for this data, [ ] open."""
    lines: list[str] = []
    step = 0
    for one in ticked:
        if one.item.step != step:
            step = one.item.step
            lines += ["", tr("Step {step}: {title}", step=step, title=tr(STEP_NAMES[step]))]
        mark = {DONE: "x", OPEN: " "}.get(one.status, "-")
        line = what = tr(one.item.what)
        if one.said:
            line = tr("{what}: {said}", what=what, said=one.said)
        elif one.status not in (OPEN, DONE):
            line = tr("{what} ({status})", what=what, status=tr(one.status))
        lines.append(f"  [{mark}] {line}")
    return lines[1:]
