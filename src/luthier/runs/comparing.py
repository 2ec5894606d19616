"""`luthier compare`: runs side by side, on the sealed rows that all of them were judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from luthier.assess import Scoring, measure, optimism_of_best, paired_difference, within_noise
from luthier.console import columns, padded
from luthier.errors import InputError, LuthierError
from luthier.messages import Message, tr
from luthier.recipe import read_ledger, wording_of
from luthier.recipe.unsealed import require_sealed
from luthier.records import JsonObject, Measure, signed
from luthier.runs.belonging import require_metric
from luthier.runs.result import Result
from luthier.saved import RunFolder, open_fit, read_judged
from luthier.saved.schemas import FitFacts

FEWEST = 10  # rows in common, for a comparison in pairs
MOST_SHOWN = 60  # characters of a decision


@dataclass(frozen=True)
class Compared:
    """One run: its score on the common rows, what it gains over the first run there, and what it took."""

    name: str
    score: Measure
    gain: Measure | None
    seconds: float
    parameters: int
    decisions: dict[str, str]


@dataclass(frozen=True)
class Comparison:
    """Runs in the order given. `rows` is how many test rows they share; 0 where their test rows differ.

    Gains are over the first run, positive is better, in intervals of 95 % for all of them together (Bonferroni).
    `kindness` is the optimism of the best of these scores: its selection bias.
    """

    metric: str
    rows: int
    runs: tuple[Compared, ...]
    kindness: float

    def differing(self) -> dict[str, list[str]]:
        """Decisions that differ between the runs, by topic; empty text where a run has none."""
        topics = dict.fromkeys(topic for run in self.runs for topic in run.decisions)
        table = {topic: [run.decisions.get(topic, "") for run in self.runs] for topic in topics}
        return {topic: row for topic, row in table.items() if len(set(row)) > 1}

    def to_frame(self) -> pl.DataFrame:
        """One row a run."""
        return pl.DataFrame(
            [
                {
                    "run": run.name,
                    self.metric: run.score.value,
                    "low": run.score.low,
                    "high": run.score.high,
                    "gain": run.gain and run.gain.value,
                    "gain_low": run.gain and run.gain.low,
                    "gain_high": run.gain and run.gain.high,
                    "parameters": run.parameters,
                    "seconds": run.seconds,
                }
                for run in self.runs
            ],
            schema_overrides=dict.fromkeys(("gain", "gain_low", "gain_high"), pl.Float64),
        )

    def lines(self) -> list[str]:
        """The comparison in words."""
        wide = max(columns(run.name) for run in self.runs)
        metric, template = Message(self.metric), "{metric} on the {rows:,} test rows that all runs share"
        if not self.rows:
            template = "{metric}, each on its own test rows: the test rows differ, so the comparison is not paired"
        lines = [tr(template, metric=metric, rows=self.rows) if self.rows else tr(template, metric=metric)]
        lines += [f"  {padded(run.name, wide)}  {_measured(run)}" for run in self.runs]
        if self.rows:
            template = "  The best of these scores is optimistic by about {kindness:.2g} (selection bias):"
            lines += [tr(template, kindness=self.kindness), tr("  evaluate that run on fresh rows (luthier check).")]
        differing = self.differing()
        lines += ["", tr("decisions that differ:")] if differing else []
        for topic, row in differing.items():
            lines += [f"  {topic}"]
            lines += [f"    {padded(run.name, wide)}  {_cut(text)}" for run, text in zip(self.runs, row, strict=True)]
        return lines

    def to_json(self) -> JsonObject:
        """The comparison as plain values."""
        return {
            "metric": self.metric,
            "rows": self.rows,
            "kindness": self.kindness,
            "runs": self.to_frame().to_dicts(),
            "differing": self.differing(),
        }

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def _measured(run: Compared) -> str:
    template = "{score}  {count:,} parameters, {seconds:.0f} s"
    score = Message(template, score=run.score.in_words, count=run.parameters, seconds=run.seconds)
    if run.gain is None:
        return score.spoken()
    verdict = Message("better") if run.gain.value > 0 else Message("worse")
    verdict = Message("inside the noise") if within_noise(run.gain) else verdict
    template = "{score}; {gain} against the first: {verdict}"
    return tr(template, score=score, gain=signed(run.gain), verdict=verdict)


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compare finished `runs` of one target, paired, on the test rows that all of them share.

    No test row is read again: the predictions of step 5 are stored. InputError for fewer than two
    runs, for runs of different targets or metrics, and for runs without a test score.
    """
    if len(runs) < 2:
        raise InputError("a comparison needs at least two runs", expected="two runs or more", received=str(len(runs)))
    folders = [open_fit(run) for run in runs]
    results = [Result(folder) for folder in folders]
    facts = [folder.fit_facts() for folder in folders]
    for name, values in (
        (Message("targets"), {f["target"] for f in facts}),
        (Message("classes"), {str(f["task"]["classes"]) for f in facts}),
        (Message("metrics"), {r.judgement.metric for r in results}),
        (Message("positive classes"), {f["task"].get("positive", "") for f in facts}),
    ):
        if len(values) > 1:
            received = ", ".join(sorted(values))[:200]
            raise InputError(Message("the runs have different {names}", names=name), received=received)
    metric = results[0].judgement.metric
    for result in results:
        require_metric(metric, result.model.task)
    tables = [_judged(result) for result in results]
    common = _common(facts, tables)
    if common is None:
        scores: list[Measure] = [r.judgement.headline for r in results]
        gains: list[Measure | None] = [None] * len(runs)
        kindness = 0.0
    else:
        tables = [table.join(common, on="row", how="semi").sort("row") for table in tables]
        y = _truth(tables[0], results[0])
        weights = tables[0]["weight"].to_numpy() if "weight" in tables[0].columns else None
        seen = [_seen(table, metric, result) for table, result in zip(tables, results, strict=True)]
        scoring = Scoring(weights, results[0].model.task)
        scores = [measure(metric, y, one, scoring) for one in seen]
        level = 1 - 0.05 / max(1, len(runs) - 1)
        gains = [None, *(paired_difference(metric, y, one, seen[0], scoring, level=level) for one in seen[1:])]
        kindness = optimism_of_best(metric, y, seen, scoring)
    names = [folder.path.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder.path) for folder in folders]
    compared = tuple(
        Compared(name, score, gain, float(fact.get("elapsed_s", 0.0)), _parameters(result), _decisions(folder))
        for name, score, gain, fact, result, folder in zip(names, scores, gains, facts, results, folders, strict=True)
    )
    return Comparison(metric, 0 if common is None else common.height, compared, kindness)


def _judged(run: Result) -> pl.DataFrame:
    """The stored predictions of a run, of the form that its model gives. InputError for others."""
    require_sealed(run.folder)
    result = read_judged(run.folder)
    remedy = Message("luthier test {run} --again stores them, and records the second reading", run=run.path)
    if result is None:
        raise LuthierError(Message("no stored test predictions for run '{run}'", run=run.path), remedy=remedy)
    classes, told = len(run.model.task.classes), result.select(pl.col("^told_.*$"))
    true, labels = _truth(result, run), run.model.task.traits.is_labels
    fits = told.width == max(1, classes) and bool(np.isfinite(true).all() and np.isfinite(told.to_numpy()).all())
    if fits and classes:
        fits = bool(np.isin(true, np.arange(2 if labels else classes)).all())
        fits &= not labels or true.shape[1] == classes
    if fits and "weight" in result.columns:
        weights = result["weight"].to_numpy()
        fits = bool(np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0)
    if not fits:
        message = Message("'{file}' does not hold predictions of the run's model", file=run.folder.judged)
        raise InputError(message, remedy=remedy)
    return result.with_columns(pl.col("true").cast(pl.Int64)) if classes else result


def _truth(table: pl.DataFrame, run: Result) -> np.ndarray:
    """The classes or values of stored rows [N], or their labels [N, K]."""
    labels = run.model.task.traits.is_labels
    return table.select(pl.col(r"^true_\d+$")).to_numpy() if labels else table["true"].to_numpy()


def _common(facts: Sequence[FitFacts], tables: Sequence[pl.DataFrame]) -> pl.DataFrame | None:
    """The rows that all runs kept sealed; None where the data differ, or too few are shared."""
    read = [f["source"].get("contents") or f["source"]["fingerprint"] for f in facts]
    origins = {(one, f["source"].get("new_test", "")) for one, f in zip(read, facts, strict=True)}
    if len(origins) > 1:
        return None
    rows = tables[0].select("row")
    for table in tables[1:]:
        rows = rows.join(table, on="row", how="semi")
    return rows if rows.height >= FEWEST else None


def _seen(table: pl.DataFrame, metric: str, result: Result) -> np.ndarray:
    told = table.select(pl.col("^told_.*$")).to_numpy()
    return result.model.seen_by(metric, told if result.model.task.classes else told[:, 0])


def _parameters(result: Result) -> int:
    return sum(value.numel() for net in result.model.nets for value in net.parameters())


def _decisions(folder: RunFolder) -> dict[str, str]:
    records = [record for record in read_ledger(folder.ledger) if record["kind"] == "decision"]
    return {words.topic: words.chosen for words in map(wording_of, records)}


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
