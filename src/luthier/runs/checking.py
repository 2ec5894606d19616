"""Step 6, `luthier check`: a finished run against rows from the real world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from luthier import storage
from luthier.assess import (
    PREDICTION,
    PRIMARY,
    DriftRow,
    Level,
    RunCheck,
    ScoreChange,
    Scores,
    Scoring,
    ToldApart,
    Units,
    drift,
    measure,
    told_apart,
)
from luthier.data import Source, Unread, encode_target, read_source, target_values, with_values
from luthier.data.copies import CopyRule
from luthier.data.split import group_numbers
from luthier.data.typed_columns.task import is_known_class
from luthier.errors import InputError
from luthier.messages import Message, as_message, joined, spoken, tr
from luthier.objective import metric_named
from luthier.recipe import asked_of, columns_of, reread
from luthier.recipe.rows.parts import Parts, parts_of
from luthier.recipe.rows.sample_weights import CountedRows, require_weights, varied
from luthier.records import Finding, JsonObject, Measure
from luthier.request import RunRequest
from luthier.rows import Inputs
from luthier.runs.belonging import require_metric
from luthier.runs.check_history import in_lines, nothing_new, remember, since_earlier
from luthier.runs.newer_rows import LAST, as_times, newer
from luthier.saved import SEARCH, Model, RunFolder, open_one, read_checks, read_scores
from luthier.saved.profiled import profiled_names

ALIKE = 0.1  # of the rows may be the run's own before it is said
COARSE = 0.98  # of the validation rows equal training rows: other rows may hold all of them
FALSE_ALARMS = 0.05  # of checks of rows like the training rows: half for the columns, half for the score
NORMAL = NormalDist()
APART, FAR_APART = 0.6, 0.9  # areas under the curve of trees that tell new rows from training rows


def check_run(
    run: str | Path, source: Any, *, since: str = "", time: str = "", false_alarms: float = FALSE_ALARMS
) -> JsonObject:
    """Drift of every column and of the prediction, and the score where the target is among the columns.

    `run` is a run's folder, `source` new rows, as for `luthier.fit`. Of a table that grows only the rows `since` a
    moment (or since the `last` check) of the column `time`, the run's own by default, are looked at. Where the run's
    own data can still be read, boosted trees also try to separate new from training rows by all columns at once.
    `false_alarms` is the share of checks of rows like the training rows that may say that they are not. Returns plain
    values, also written to the run's `drift.json`, and in short to its `checks.jsonl`; `lines` are sentences.
    InputError for a folder that is not a run, for rows without a column of the model, and for a share that is not
    between 0 and 0.5.
    """
    if not 0 < false_alarms <= 0.5:
        raise InputError(
            Message("false alarms of {false_alarms:g} cannot be", false_alarms=false_alarms),
            expected="a share above 0, at most 0.5",
        )
    folder = open_one(run)
    model = Model.load(folder.bundle)
    if model.profile is None:
        raise InputError(
            Message("the model of '{run}' has no profile of the training rows", run=run), remedy="fit it again"
        )
    asked = asked_of(folder) if "asked" in folder.trained_facts() else RunRequest(source="")
    earlier = read_checks(folder)
    column, given = time or asked.time, asked.columns.get(time or asked.time, "").partition(":")[2]
    last = next((one.until for one in reversed(earlier) if one.until), "")
    found, until = newer(read_source(source, styles=model.styles), column, since, last, given)
    if not found.frame.height:
        return nothing_new(found.name, last if since == LAST else since)
    counted, note = _counted(found, asked.sample_weight)
    frame, weights = counted.frame, counted.weights
    unread = Unread()
    inputs = model.encode(frame, unread=unread)
    moved = _moved_by_time(model, column)
    by_name, coded = (
        {name: values for name, values in one.items() if name not in moved.names}
        for one in columns_of(model, inputs)[:2]
    )
    labels = {PREDICTION: profiled_names(model.task)} if model.task.classes else None
    rows = drift(model.profile, by_name, coded, labels, weights, level=false_alarms / 2)
    columns = [row for row in rows if row.column != PREDICTION]
    prediction = next((row for row in rows if row.column == PREDICTION), None)
    stored = read_scores(folder)
    metric = PRIMARY[model.task.kind] if stored is None else stored.metric
    require_metric(metric, model.task)
    own, rule = _own_rows(folder)
    score, unscored = _score(model, frame, inputs, metric, _units(frame, asked, model, rule), weights)
    change = _change(score, stored, false_alarms)
    known = 0 if own is None else known_rows(own, inputs)
    apart = None if own is None or known else _told_apart(own, model, inputs, weights, moved)
    level, verdict = judge_population(columns, apart, change)
    rows_alone = judge_population(columns, apart, None)[0]
    finding = poor_in_use(stored, change, level_of_rows=rows_alone)
    if known:
        template = "{count} of them are rows that this run learnt from or chose by, and say little of new ones"
        verdict = joined([Message(template, count=known), verdict])
    result = RunCheck(
        source=found.name,
        rows=frame.height,
        until=until,
        columns=columns,
        prediction=prediction,
        told_apart=apart,
        unread=[*note, *unread.sentences(), *moved.notes],
        unlike=float(np.average(model.unlike_training(inputs).to_numpy(), weights=weights)),
        known=known,
        score=score,
        unscored=unscored,
        change=change,
        finding=finding,
        level=level,
        verdict=verdict,
    )
    storage.write_json(folder.drift, result.to_json())
    remember(folder, earlier, result)
    return in_lines(result, [*_lines(result), *since_earlier(earlier)])


def poor_in_use(stored: Scores | None, change: ScoreChange | None, *, level_of_rows: str) -> Finding | None:
    """What it means that a model was good on all sets of its run and is clearly worse on new rows; None where it is not
    worse, or was not good. `level_of_rows` says how the new rows themselves look: "fine" is as those of training.

    >>> poor_in_use(None, ScoreChange(-0.1, -0.15, -0.05, 0.9), level_of_rows="fine").code
    'poor-in-use'
    """
    gap = None if stored is None else stored.difference_to_validation
    agrees = gap is None or gap.low is None or gap.high is None or gap.low <= 0 <= gap.high
    useless = stored is not None and stored.no_better_than_constant is not None
    if change is None or change.high >= 0 or useless or not agrees:
        return None
    if level_of_rows == "fine":
        sentence = Message(
            "good on all sets, poor in use: these rows look like the training rows, so the loss may not measure what "
            "counts in use"
        )
        remedy = "another loss: luthier branch RUN --step 1 --metric METRIC --new-test FILE"
    else:
        sentence = Message("good on all sets, poor in use: the validation and test rows are not like those in use")
        remedy = (
            "change both: add some of these rows to the table, and judge on others: luthier fit TABLE --test FILE; "
            "with the table as it is: luthier branch RUN --step 1 --new-test FILE"
        )
    return Finding("poor-in-use", "warning", sentence, {"change": change.value}, remedy)


def judge_population(
    columns: Sequence[DriftRow], apart: ToldApart | None, change: ScoreChange | None
) -> tuple[Level, str]:
    """ "fine", "watch" or "act", and the verdict in words: a score that fell counts more than any drift.

    >>> judge_population([], None, ScoreChange(-0.1, -0.15, -0.05, 0.9))[0]
    'act'
    """
    drifted = list(dict.fromkeys(row.column for row in columns if row.drifted))
    count = len({row.column for row in columns})
    template = "{count} of {columns} columns have drifted: {names}"
    moved = Message(template, count=len(drifted), columns=count, names=", ".join(drifted))
    if change is not None and change.high < 0:
        tail = moved if drifted else Message("no single column has drifted: check how the target was measured")
        message = Message("the score is clearly worse than {where}; {tail}", where=as_message(change.where), tail=tail)
        return "act", message
    if apart is not None and apart.low > FAR_APART:
        template = "new and training rows are almost fully separable (AUC {auc:.2f}); {moved}"
        return "act", Message(template, auc=apart.auc, moved=moved)
    if drifted:
        return "watch", moved
    if apart is not None and apart.low > APART:
        template = (
            "no single column has drifted, but all columns together separate new from training rows (AUC {auc:.2f})"
        )
        return "watch", Message(template, auc=apart.auc)
    return "fine", Message("the new rows look like the training rows")


def _own_rows(folder: RunFolder) -> tuple[Parts | None, CopyRule | None]:
    """The run's own rows, read again, and when two of them are copies, unless a coarse table has these by nature.

    None where they are gone or have changed.
    """
    if folder.kind == SEARCH:
        return None, None
    try:
        asked, read = reread(folder, "check")
        compared = read.pictures is None and not read.copies.coarse
        return parts_of(read, asked, folder), read.copy_rule if compared else None
    except InputError:
        return None, None


def _counted(found: Source, weight: str) -> tuple[CountedRows, tuple[str, ...]]:
    """The rows that count, where the run was fitted with weights, and what is to be said of them."""
    result = CountedRows.of(found.frame, weight, found.decimal)
    if weight and not result.weight:
        why = Message("there is no column `{weight}` of sample weights: all rows count alike", weight=weight)
        return result, (why,)
    if weight:
        require_weights(result.frame, weight)
    return replace(result, weight=varied(result.frame, weight)), result.notes


class _MovedByTime(NamedTuple):
    """What a column of times became: names, and the places among numbers and codes. New rows lie beyond it always."""

    names: frozenset[str] = frozenset()
    numbers: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def hidden(self, inputs: Inputs) -> Inputs:
        """Encoded rows in which all have the same time."""
        if not self.names:
            return inputs
        numbers, codes = inputs.numbers.clone(), inputs.codes.clone()
        numbers[:, list(self.numbers)], codes[:, list(self.codes)] = 0, 0
        return inputs.replaced(numbers=numbers, codes=codes)


def _moved_by_time(model: Model, column: str) -> _MovedByTime:
    encoder = model.encoder
    if column not in encoder.places():
        return _MovedByTime()
    place = encoder.places()[column]
    numbers, codes = place.get("numbers", []), place.get("codes", [])
    names = frozenset([encoder.number_names[place] for place in numbers] + [encoder.category_names[k] for k in codes])
    note = tr("`{column}` says when a row came, so that new rows have other values: it is not compared", column=column)
    return _MovedByTime(names, tuple(numbers), tuple(codes), (note,))


def _told_apart(
    own: Parts, model: Model, rows: Inputs, weights: np.ndarray | None, moved: _MovedByTime
) -> ToldApart | None:
    pair = moved.hidden(own.training.inputs), moved.hidden(rows)
    if model.encoder.dense:
        before, now = (np.concatenate([one.numbers.numpy(), one.codes.numpy()], 1) for one in pair)
    else:
        before, now = (np.concatenate([model.features(one), one.codes.numpy()], 1) for one in pair)
    known = own.training.weights_array
    return told_apart(before, now, seed=0, weights=(known, weights))


def known_rows(own: Parts, inputs: Inputs) -> int:
    """How many of the rows equal rows that the run has learnt from or chosen by, each of those once.

    0 where as many may be equal by chance: of a share f of own rows, f + (1 - f) c are equal, where c is the share of
    the validation rows that equal training rows. Where every row of the run is there, chance is ruled out.
    """
    training, validation, new = (
        Counter(_as_bytes(rows)) for rows in (own.training.inputs, own.validation.inputs, inputs)
    )
    chance = (training & validation).total() / max(1, validation.total())
    equal = (new & (training + validation)).total()
    if equal == training.total() + validation.total() and chance < COARSE:
        return equal
    error = 2 * (chance * (1 - chance) / max(1, validation.total())) ** 0.5
    return equal if equal / new.total() - chance > ALIKE * (1 - chance) + error else 0


def _as_bytes(inputs: Inputs) -> list[bytes]:
    rows = zip(*(value.flatten(1).numpy() for value in inputs.values()), strict=True)
    return [b"".join(one.tobytes() for one in row) for row in rows]


def _score(
    model: Model, frame: pl.DataFrame, inputs: Inputs, metric: str, units: Units, weights: np.ndarray | None
) -> tuple[Measure | None, str]:
    """The score on the rows whose target came along, and what is to be said of the others."""
    task = model.task
    if task.target not in frame.columns:
        return None, Message("the target is not among the columns")
    target = frame[task.target]
    if not task.is_classes:
        values = target_values(target, task)
        scored, what = values.is_finite().fill_null(False), Message("a target that is not a number")
    else:
        scored, what = is_known_class(target, task), Message("a class that training did not have")
    left = int((target.is_not_null() & ~scored).sum())
    note = Message("{left} rows have {what}, and are left out of the score", left=left, what=what) if left else ""
    if not scored.any():
        return None, note
    index, some = np.flatnonzero(scored.to_numpy()), frame.filter(scored)
    rows = inputs.map(lambda value: value[index])
    scoring = Scoring(None if weights is None else weights[index], task, units.kept(index))
    if not task.is_classes:
        y, prediction = values.filter(scored).to_numpy(), model.seen_by(metric, model.values(rows))
    else:
        y = encode_target(some[task.target], task).numpy()
        prediction = model.seen_by(metric, model.probabilities(rows))
    return measure(metric, y, prediction, scoring), note


def _units(frame: pl.DataFrame, asked: RunRequest, model: Model, rule: CopyRule | None) -> Units:
    """What new data would bring anew, as on the test set: groups, stretches of time, else a row and its copies."""
    group, time = asked.group, asked.time
    if group in frame.columns:
        return Units("groups", group_numbers(frame[group]))
    if time in frame.columns and (order := _in_time(frame[time], asked.columns.get(time, ""))) is not None:
        return Units("blocks", order)
    if rule is None or not set(rule.names) <= set(frame.columns):
        return Units()
    copies = rule.copies(with_values(frame.select(rule.names), model.encoder.columns)).groups
    return Units("rows", copies) if len(np.unique(copies)) < len(copies) else Units()


def _in_time(cells: pl.Series, override: str) -> np.ndarray | None:
    """The order of the rows by time [N]; None where it cannot be known."""
    try:
        return as_times(cells, override.partition(":")[2])[1].rank("ordinal").to_numpy()
    except InputError:
        return None


def _change(score: Measure | None, stored: Scores | None, false_alarms: float) -> ScoreChange | None:
    """New score minus test score, turned so that more is better; both parts' 95 % intervals make its own, which an
    unchanged score leaves downwards in half of the `false_alarms`."""
    ends = [] if score is None or stored is None else [score.low, score.high, stored.headline.low, stored.headline.high]
    known = [end for end in ends if end is not None]
    if score is None or stored is None or len(known) < 4:
        return None
    headline = stored.headline
    value = metric_named(score.name).sign * (score.value - headline.value)
    half = float(np.hypot((known[1] - known[0]) / 2, (known[3] - known[2]) / 2))
    half *= NORMAL.inv_cdf(1 - false_alarms / 2) / NORMAL.inv_cdf(0.975)
    where = Message("by the run's own estimate" if stored.estimate else "on the test set")
    return ScoreChange(value, value - half, value + half, headline.value, where)


def _lines(result: RunCheck) -> list[str]:
    known: Any = {"rows": result.rows, "source": result.source, "verdict": result.verdict}
    lines = [tr("{rows} rows of {source}: {verdict}", **known)]
    lines += [
        tr("  {sentence} (stability index {index:.2f})", sentence=row.sentence, index=row.index)
        for row in result.columns
        if row.drifted
    ]
    lines += [f"  {spoken(sentence)}" for sentence in result.unread]
    if result.prediction:
        lines.append(f"  {spoken(result.prediction.sentence)}")
    if apart := result.told_apart:
        template = (
            "  a tree classifier separates new from training rows with an AUC of {auc:.3f} [{low:.3f}, {high:.3f}]; "
            "0.5 means not at all"
        )
        lines.append(tr(template, auc=apart.auc, low=apart.low, high=apart.high))
    if result.unlike > 0.02:
        lines.append(tr("  {share:.1%} of the rows are unlike the training rows", share=result.unlike))
    if result.score:
        lines.append(tr("  {score} on these rows", score=result.score.in_words))
        lines += [f"  {spoken(result.unscored)}"] * bool(result.unscored)
    else:
        lines.append(tr("  no score: {why}", why=result.unscored))
    if result.change:
        lines.append(_change_in_words(result.change))
    if finding := result.finding:
        lines += [f"  {spoken(finding.sentence)}", tr("  try: {text}", text=finding.remedy)]
    elif result.level == "act":
        remedy = tr(
            "luthier branch RUN --step 4 --new-test FILE with rows like these, or start a new fit that includes them"
        )
        lines.append(tr("  try: {text}", text=remedy))
    return lines


def _change_in_words(change: ScoreChange) -> str:
    word = "worse" if change.high < 0 else "better" if change.low > 0 else "no different beyond the noise"
    known: Any = {"where": spoken(change.where), "before": change.before, "word": tr(word)}
    return tr("  {where} it was {before:.4g}; the new score is {word}", **known)
