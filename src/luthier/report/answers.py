"""Four questions about a judged run, each answered from its numbers."""

from __future__ import annotations

from typing import Any

from luthier.report.contents import Contents
from luthier.report.terminal import number


def answers(run: Contents) -> list[tuple[str, str]]:
    """Question and answer, in the order in which a reader asks them."""
    scores = run.scores
    return [
        ("Is it good?", _good(scores)),
        ("Is it better than a simple method?", _better(scores)),
        ("Can I trust the number?", _trusted(run)),
        ("What next?", f"{scores['next_step'][0].upper()}{scores['next_step'][1:]}."),
    ]


def _good(scores: dict[str, Any]) -> str:
    trivial = next((row for row in scores["baselines"] if row["name"] in ("mean", "majority class")), None)
    said = f"{scores['metric']} {number(scores['headline'])} on {scores['headline']['n']} rows nobody had seen"
    if trivial is None:
        return f"{said}."
    word = {"better": "clearly better than", "worse": "worse than", "within noise": "no better than"}[
        trivial["verdict"]
    ]
    return f"{said}: {word} knowing nothing, which gives {trivial['test']['value']:.4g}."


def _better(scores: dict[str, Any]) -> str:
    rows = [row for row in scores["baselines"] if row["name"] not in ("mean", "majority class")]
    if not rows:
        return "No simple method was ready in time to compare."
    worse = [row["name"] for row in rows if row["verdict"] == "worse"]
    same = [row["name"] for row in rows if row["verdict"] == "within noise"]
    if worse:
        return f"No: {', '.join(worse)} did better on the same rows. Use that."
    if same:
        return f"Not beyond the noise: {', '.join(same)} cannot be told from it on these rows."
    return f"Yes: better than {', '.join(row['name'] for row in rows)}, beyond the noise."


def _trusted(run: Contents) -> str:
    scores, gap = run.scores, run.scores["difference_to_validation"]
    often = scores.get("openings", 1)
    if often > 1:
        return f"Less than usual: the test rows were read {often} times."
    width = (scores["headline"]["high"] or 0.0) - (scores["headline"]["low"] or 0.0)
    said = f"It was read once; its 95 % interval is {width:.3g} wide."
    if gap["low"] > 0 or gap["high"] < 0:
        return f"{said} But validation gave another figure, by {gap['value']:+.3g}: see how the rows were collected."
    serious = [r for r in run.findings() if r["severity"] != "note"]
    if serious:
        return f"{said} It agrees with validation; mind the {len(serious)} warnings below."
    return f"{said} It agrees with validation, and no warning stands against it."
