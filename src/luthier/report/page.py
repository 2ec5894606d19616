"""One run as one HTML file that opens offline: the verdict first, then how it came about."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.assess import Coverage, Reliability, Scores
from luthier.citations import cited_in_words
from luthier.drawing import RangeCurves, draw_range
from luthier.errors import language_named
from luthier.messages import Message, language, speaking, spoken, tr
from luthier.recipe import checklist, evidence_of, wording_of
from luthier.recipe.decisions.data_need import MoreRowsEvidence
from luthier.recipe.decisions.experiment import ExperimentEvidence
from luthier.recipe.decisions.question_answers import AnswerEvidence
from luthier.records import Wording, figure
from luthier.report import figures
from luthier.report.analysis import error_analysis
from luthier.report.answers import answers
from luthier.report.contents import Contents, read_contents
from luthier.report.experiment_figures import answer_rows, draw_intervals, effect_rows
from luthier.report.html import named_values, paragraph, plot, serious, table, whole_page
from luthier.report.picture_figures import augmented
from luthier.report.real_world import real_world
from luthier.report.score_tables import label_table, quantile_table
from luthier.report.terminal import STEPS, WORDS
from luthier.saved import RunFolder


def write_report(run: Path, lang: str = "") -> Path:
    """Write `report.html` into a run's folder, in the language that is spoken, and return its path; in another language
    `report.zh.html`."""
    path = RunFolder(Path(run)).report
    lang = language_named(lang or language())
    path = path if lang == language() else path.with_suffix(f".{lang}.html")
    with speaking(lang):
        storage.write_text(path, build_report(Path(run)))
    return path


def build_report(run: Path) -> str:
    """The whole page as text. A run that is not finished gets a page of what there is."""
    contents = read_contents(run)
    lines = [
        *_verdict(contents),
        *_four_questions(contents),
        *_judgement(contents),
        *(line for step in range(len(STEPS)) for line in _step(contents, step)),
        *real_world(contents),
        *_checklist(contents),
        *_facts(contents),
    ]
    return whole_page(f"{contents.facts['name']} · Luthier", "\n".join(lines))


def _verdict(run: Contents) -> Iterator[str]:
    source, facts = run.facts["source"], run.facts
    targets = ", ".join(run.shared_by) or facts["target"]
    yield f"<header><p class=eyebrow>{escape(source['name'])} → {escape(targets)}</p>"
    yield f"<h1>{escape(run.headline)}</h1>"
    if facts["status"] == "cut":
        yield f"<p class=warning>{tr('The run was stopped early; this is the best model so far.')}</p>"
    yield "</header>"
    yield from serious(run.findings())


def _four_questions(run: Contents) -> Iterator[str]:
    """One screen: is it good, is it better than a simple method, can the number be trusted, what next."""
    if not run.scores:
        return
    yield "<dl class=questions>"
    for question, answer in answers(run, run.scores):
        yield f"<div><dt>{escape(question)}</dt><dd>{escape(answer)}</dd></div>"
    yield "</dl>"


def _judgement(run: Contents) -> Iterator[str]:
    scores = run.scores
    if not scores:
        return
    history = scores.history
    yield f"<section><h2>{tr('Test result')}</h2>"
    estimated = scores.estimate
    said = tr("Test rows: {history}. Intervals are 95 %.", history=history.in_words)
    yield paragraph(said, "warning" if history.readings > 1 or estimated else "")
    yield from table(
        (tr("out of fold") if estimated else tr("on the test set"), tr("score"), tr("95 % interval")),
        [(m.title.spoken(), figure(m.value), m.interval) for m in scores.metrics],
    )
    for reading in scores.readings:
        yield paragraph(tr("Read again {when}: {score}.", when=reading.when, score=reading.headline.figures), "small")
    known = {"metric": tr(scores.metric), "value": scores.headline.validation.figures}
    message = tr("On the validation rows among them the {metric} is {value}.", **known)
    if not estimated:
        template = "On the validation set the {metric} is {value}; test minus validation is {difference}."
        message = tr(template, **known, difference=scores.difference_to_validation.figures)
    yield f"<p>{escape(message)}{_seeds(scores)}</p>"
    if scores.baselines:
        yield f"<h3>{tr('Comparison with the baselines')}</h3>"
        yield from plot("baselines", figures.draw_baselines(scores), tr("Test scores of the network and the baselines"))
        score = tr("{metric}, validation" if estimated else "{metric}, test", metric=tr(scores.metric))
        rows = [
            (tr(row.name), row.test.figures, row.difference.figures, tr(WORDS[row.verdict])) for row in scores.baselines
        ]
        yield from table((tr("baseline"), score, tr("gain of the network"), tr("the network is")), rows)
    for name, why in scores.failed_baselines.items():
        yield paragraph(tr("{name} could not be fitted: {why}.", name=Message(name), why=why), "small")
    if scores.confusion:
        yield f"<h3>{tr('Confusion matrix')}</h3>"
        if scores.confusion.weighted:
            yield f"<p class=small>{tr('Each row counts by its weight; weights have a mean of 1.')}</p>"
        if (classes := len(scores.confusion.labels)) > figures.MOST_LABELS:
            template = "{count} of {classes} classes are drawn: those with the most mistakes."
            yield paragraph(tr(template, count=figures.MOST_LABELS, classes=classes), "small")
        yield from plot("confusion", figures.draw_confusion(scores.confusion), tr("Confusion matrix of the test rows"))
    if scores.predicted:
        yield f"<h3>{tr('Predicted and true values')}</h3>"
        yield from plot("predicted", figures.draw_predicted(scores.predicted), tr("Predicted and true values"))
    yield from label_table(scores.labels)
    yield from _calibration(scores.calibration)
    yield from quantile_table(scores.quantiles)
    yield from error_analysis(scores)
    yield "</section>"


def _seeds(scores: Scores) -> str:
    values = [row.value for row in scores.seeds if row.value == row.value]
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return " " + tr("A single network reaches {mean:.4g}.", mean=mean)
    known = {"count": len(values), "mean": mean, "low": min(values), "high": max(values)}
    return " " + tr("Single networks ({count} seeds) reach {mean:.4g}, from {low:.4g} to {high:.4g}.", **known)


def _calibration(calibration: Reliability | Coverage | None) -> Iterator[str]:
    if isinstance(calibration, Reliability):
        yield f"<h3>{tr('Are the probabilities calibrated?')}</h3>"
        template = (
            "Expected calibration error {ece:.3f} after temperature scaling, {before:.3f} before. Larger markers stand "
            "for more rows."
        )
        yield paragraph(tr(template, ece=calibration.ece, before=calibration.before))
        yield from plot("calibration", figures.draw_calibration(calibration), tr("Accuracy by predicted confidence"))
    elif calibration is not None:
        known = {"nominal": f"{calibration.nominal:.0%}", "coverage": f"{calibration.coverage:.1%}"}
        yield paragraph(tr("The {nominal} intervals contain {coverage} of the test values.", **known))
        if thirds := calibration.thirds:
            names = tr("narrowest third"), tr("middle third"), tr("widest third")
            rows = [
                (name, f"{one.rows:,}", f"{one.mean_width:.4g}", f"{one.coverage:.1%}")
                for name, one in zip(names, thirds, strict=False)
            ]
            yield from table((tr("intervals"), tr("test rows"), tr("mean width"), tr("values inside")), rows)


def _step(run: Contents, step: int) -> Iterator[str]:
    decisions = run.wording(step)
    if not decisions:
        return
    title = tr("Step {step}: {title}", step=step, title=tr(STEPS[step])) if step else tr("Before step 1: the data")
    yield f"<section><h2>{escape(title)}</h2>"
    columns = [(record, words) for record, words in decisions if record["code"] == "column"]
    if columns:
        yield f"<details><summary>{tr('{count} columns: the type of each, and why', count=len(columns))}</summary>"
        yield from table(
            (tr("column"), tr("type"), tr("reason")),
            [(f"`{record['of']}`", words.chosen, words.reason) for record, words in columns],
        )
        yield "</details>"
    yield "<dl>"
    for record, words in decisions:
        if record["code"] != "column":
            said = f"<strong>{escape(words.chosen)}</strong>{tr('; ')}{escape(words.reason)}{tr('.')}"
            yield f"<dt>{escape(words.topic)}</dt><dd>{said}{_options(words)}</dd>"
    yield "</dl>"
    notes = [r for r in run.findings() if r.get("step") == step and r["severity"] == "note"]
    if notes:
        yield f"<details><summary>{tr('{count} notes', count=len(notes))}</summary><ul>"
        yield from (f"<li>{escape(record['sentence'])}</li>" for record in notes)
        yield "</ul></details>"
    yield from _step_figures(run, step)
    yield "</section>"


def _ablation(run: Contents, step: int) -> Iterator[str]:
    """Each rung as a row: the loss before it, the best of what it tried, its gain, and whether it stayed."""
    rungs: list[Any] = [(evidence_of(r), r["choice"]) for r in run.decisions(step) if r["code"] == "remedy"]
    rows = [row for one in rungs if (row := figures.rung_row(*one)) is not None]
    if not rows:
        return
    yield f"<h3>{tr('The remedies, one per row')}</h3>"
    yield f"<p class=small>{tr('Validation loss; gains are paired over seeds and rows, with 95 % half widths.')}</p>"
    said = tr("Gain of each remedy of step {step} with its interval", step=step)
    yield from plot(f"ladder-{step}", figures.draw_ladder(rows), said)
    cells = [
        (r.remedy, r.option, f"{r.before:.4g}", f"{r.after:.4g}", f"{r.gain:+.4g} ± {r.half_width:.2g}", r.verdict)
        for r in rows
    ]
    yield from table(tuple(map(tr, ("remedy", "best variant", "loss before", "with it", "gain", "kept?"))), cells)


def _experiment(run: Contents, step: int) -> Iterator[str]:
    """The effects of a step's factors, and what the questions about the adopted setting came to."""
    for record in run.decisions(step):
        if record["code"] == ExperimentEvidence.code:
            evidence: Any = evidence_of(record)
            yield f"<h3>{tr('What each factor does to the loss')}</h3>"
            said = tr("From its low to its high end, with two standard errors; below 0 the loss falls.")
            yield paragraph(said, "small")
            drawn = draw_intervals(effect_rows(evidence), tr("change of the loss, %"))
            said = tr("Effects of the factors of step {step} with their intervals", step=step)
            yield from plot(f"effects-{step}", drawn, said)
    asked = [record for record in run.decisions(step) if record["code"] == AnswerEvidence.code]
    known: list[Any] = [(evidence_of(record), record["choice"], wording_of(record).chosen) for record in asked]
    if known:
        yield f"<h3>{tr('Questions about the adopted setting')}</h3>"
        said = tr(
            "By how much of the loss each thing lowers it, with 95 % intervals; in the band it makes no difference."
        )
        yield paragraph(said, "small")
        drawn = draw_intervals(answer_rows(known), tr("gain, % of the loss"), known[0][0].margin)
        yield from plot("answers", drawn, tr("Gain of each thing with its interval"))


def _more_rows(run: Contents) -> Iterator[str]:
    result = next((r for r in run.decisions(4) if r["code"] == "more-rows"), None)
    evidence = None if result is None else evidence_of(result)
    if isinstance(evidence, MoreRowsEvidence):
        yield f"<h3>{tr('Would more rows help?')}</h3>"
        yield from plot("rows", figures.draw_more_rows(evidence), tr("Validation loss against training rows"))


def _checklist(run: Contents) -> Iterator[str]:
    yield f"<section><h2>{tr('The recipe, item by item')}</h2><table class=checklist>"
    for one in checklist(run.records, scores=run.scores, drift=run.drift):
        mark = {"done": "✓", "open": "○"}.get(one.status, "–")
        message = one.said or ("" if one.status in ("done", "open") else tr(one.status))
        yield (
            f"<tr><td>{one.item.step}</td><td>{mark}</td><td>{escape(tr(one.item.what))}</td>"
            f"<td>{escape(message)}</td><td class=small>{escape(cited_in_words(one.item.source))}</td></tr>"
        )
    yield "</table></section>"


def _options(words: Wording) -> str:
    options = [option for option in words.options if option.evidence]
    if not options:
        return ""
    names = list(dict.fromkeys(key for option in options for key in option.evidence))
    rows = [
        (option.name + (" ✓" if option.taken else ""), *(_cell(option.evidence.get(name)) for name in names))
        for option in options
    ]
    caption = f"<p class=small>{escape(words.measured)}</p>" if words.measured else ""
    body = "".join(table((tr("option"), *map(tr, names)), rows))
    return f"<details><summary>{tr('evidence')}</summary>{body}{caption}</details>"


def _cell(value: Any) -> str:
    if isinstance(value, dict) and {"gain", "half_width", "clear"} <= set(value):
        if value["gain"] is None:
            return "–"
        half = "" if value["half_width"] is None else f" ± {value['half_width']:.4f}"
        return f"{value['gain']:+.4f}{half}" + (" ✓" if value["clear"] else "")
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def _step_figures(run: Contents, step: int) -> Iterator[str]:
    if step == 3:
        for test in run.scores.range_tests if run.scores else ():
            name = tr(figures.RULE_NAMES.get(test.rule, test.rule))
            yield f"<h3>{escape(tr('Range test, {rule}', rule=name))}</h3>"
            shown = RangeCurves(test.rates, test.losses, test.low, test.high, test.rules)
            alt = tr("Loss against learning rate, {rule}", rule=name)
            yield from plot(f"range-{test.rule}", draw_range(shown, test.confirmed_rate), alt)
    yield from _ablation(run, step)
    yield from _experiment(run, step)
    if step == 5 and run.scores and (inside := run.scores.inside):
        yield f"<h3>{tr('Optimisation, six questions')}</h3>"
        head = ("", tr("best of {count} final networks", count=inside.networks))
        yield from table(head, [tuple(map(tr, q)) for q in inside.questions])
    if step == 4:
        yield from augmented(run.scores) if run.scores else ()
        yield from _more_rows(run)
    stage = {3: "fit training", 4: "fit validation"}.get(step)
    known = run.scores.trials if run.scores else []
    trials = [trial for trial in known if trial.stage == stage]
    designed = any(record["code"] == ExperimentEvidence.code for record in run.decisions(step))
    if trials:
        every = tr("All {count} settings of this step", count=len(trials)) if designed else ""
        yield f"<h3>{every or tr('All {count} networks of this step', count=len(trials))}</h3>"
        marks = tr("Circles: constant rate; diamonds: cosine; squares: exponential; crosses: restarts.")
        yield paragraph(marks, "small")
        said = tr("Every network: training against validation loss")
        yield from plot(f"trials-{step}", figures.draw_trials(trials), said)
    prefix = {3: "train-", 4: "validate-", 5: "seeds"}.get(step)
    curves = {
        name: figures.learning_curves(history, complete=designed)
        for name, history in run.histories.items()
        if prefix and name.startswith(prefix) and history["validation_loss"].is_finite().any()
    }
    if curves:
        name = min(curves, key=lambda name: curves[name].kept)
        yield f"<h3>{escape(tr('Learning curves of the best network: {name}', name=name))}</h3>"
        figure = figures.draw_curves(curves[name])
        yield from plot(f"curves-{step}", figure, tr("Training and validation loss against the step"))


def _facts(run: Contents) -> Iterator[str]:
    facts, openings = run.facts, [r for r in run.records if r["kind"] == "opening"]
    asked, read = facts["asked"], len(openings)
    steps = asked["budget"].removesuffix("steps")
    budget = asked["budget"] if steps == asked["budget"] else Message("{count} steps", count=steps)
    if run.scores and run.scores.openings is not None:
        read = run.scores.openings
    source = {**facts["source"], "origin": Message(facts["source"]["origin"])}
    template = (
        "{networks} networks trained on all {rows:,} rows, {disagreement:.3g} from the judged model, two of whose "
        "networks lie {spread:.3g} apart; the sealed rows are open since"
    )
    rows: list[tuple[str, ...]] = [
        (tr("data"), tr("{origin}, {rows} rows, {columns} columns", **source)),
        (tr("fingerprint"), facts["source"]["fingerprint"][:16]),
        (tr("budget"), tr("{budget}, used {seconds} s", budget=budget, seconds=facts.get("elapsed_s", "–"))),
        (tr("seed"), str(facts["seed"])),
        (tr("readings of the test set"), str(read)),
        *([("refitted.luthier", tr(template, **facts["refitted"]))] if facts.get("refitted") else []),
        (tr("versions"), named_values(facts["versions"])),
        (tr("machine"), named_values(facts["machine"])),
        (tr("repeat exactly"), f"luthier rerun {run.path / 'recipe.toml'}"),
    ]
    yield f"<section><h2>{tr('The run')}</h2>"
    yield from table(("", ""), rows)
    yield from (paragraph(r["sentence"], "small") for r in run.records if r["kind"] == "plan")
    for cut in (record for record in run.records if record["kind"] == "cut"):
        known = {"work": cut["work"], "step": cut["step"], "reason": spoken(cut["reason"])}
        yield paragraph(tr("Stopped early: {work} at step {step}; {reason}.", **known), "small")
    yield "</section>"
