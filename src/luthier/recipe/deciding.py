"""Decisions worked out again from what was stored with them: the ledger is evidence, not a story.

Each decision names its rule; the rule reads options and evidence alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from luthier.data import Facts, TargetFacts, column_of, task_of
from luthier.data.columns import USED
from luthier.data.task import PositiveFacts, positive_of
from luthier.nets import ConvSpec
from luthier.recipe.ladder import AS_IT_WAS
from luthier.recipe.prepare import part_sizes_in_words, words_in_words
from luthier.recipe.steps.deliverable import FOLDED
from luthier.recipe.steps.first_architecture import architecture_in_words, first_width
from luthier.recipe.steps.for_pictures import channels_for, network_in_words
from luthier.recipe.steps.loss import LOSSES
from luthier.recipe.steps.more_rows import more_rows_in_words
from luthier.recipe.transfer import ANEW, OWN
from luthier.records import figure

Entry = Mapping[str, Any]


def work_out(decision: Entry) -> str:
    """What a decision's options and evidence lead to; KeyError for a rule that does not exist.

    >>> evidence = {"training": 0.2, "validation": 0.3, "noise": 0.01, "allowed": 2.0}
    >>> work_out({"rule": "gap within noise", "options": [], "evidence": evidence})
    'no'
    """
    return RULES[decision["rule"]](decision)


def _lowest(key: str) -> Callable[[Entry], str]:
    """The option with the lowest figure under a key."""

    def rule(decision: Entry) -> str:
        known = [option for option in decision["options"] if option["evidence"].get(key) is not None]
        return str(min(known, key=lambda option: float(option["evidence"][key]))["name"])

    return rule


def _lowest_last(key: str) -> Callable[[Entry], str]:
    """The last of the options with the lowest figure."""
    return lambda d: str(min(reversed(d["options"]), key=lambda option: float(option["evidence"][key]))["name"])


def _more_rows(decision: Entry) -> str:
    evidence = decision["evidence"]
    return more_rows_in_words(evidence["low"] > 0.01 * evidence["now"])


def _gain_clears(decision: Entry) -> str:
    tried = [option for option in decision["options"] if "gain" in option["evidence"]]
    best = min(tried, key=lambda option: float(option["evidence"]["loss"]))
    gain = best["evidence"]["gain"]
    return str(best["name"]) if gain["gain"] > gain["half_width"] else AS_IT_WAS


def _short_runs(decision: Entry) -> str:
    runs = [run for run in decision["evidence"]["confirmed"] if run["loss"] is not None]
    best = min(runs, key=lambda run: run["loss"]) if runs else decision["evidence"]["confirmed"][0]
    return f"{best['rate']:.3g}"


def _deliverable(decision: Entry) -> str:
    evidence, options = decision["evidence"], decision["options"]
    pick, by, count = max if evidence["larger is better"] else min, evidence["by"], len(evidence["components"])
    name = pick(options, key=lambda option: float(option["evidence"][by]))["name"]
    return str(name) + (f" ({count} networks)" if count > 1 else "")


def _folded(decision: Entry) -> str:
    evidence = decision["evidence"]
    sign = -1.0 if evidence["larger is better"] else 1.0
    costs = {option["name"]: sign * option["evidence"][evidence["by"]] for option in decision["options"]}
    folded, best = costs.pop(FOLDED), min(costs.values())
    if folded - evidence["credit"] - best > evidence["allowed"]:
        return _deliverable({**decision, "options": [o for o in decision["options"] if o["name"] != FOLDED]})
    return f"{FOLDED} ({len(evidence['components'])} networks)"


def _measured(decision: Entry) -> str:
    evidence = decision["evidence"]
    if "temperature" in evidence:
        return f"temperature {evidence['temperature']:.3f}"
    return f"90 % interval of ± {evidence['half_width']:.3g} on the scale of the model"


def _column(decision: Entry) -> str:
    column = column_of(Facts.from_json(decision["evidence"]))
    return column.kind if column.used else f"{column.kind}, dropped"


def _asked_column(decision: Entry) -> str:
    kind = str(decision["evidence"]["asked"])
    return kind if kind in USED else f"{kind}, dropped"


def _passed(holds: Callable[[Entry], bool]) -> Callable[[Entry], str]:
    return lambda decision: "passed" if holds(decision["evidence"]) else "failed"


def _yes(holds: Callable[[Entry], bool]) -> Callable[[Entry], str]:
    return lambda decision: "yes" if holds(decision["evidence"]) else "no"


def _baselines(decision: Entry) -> str:
    return ", ".join(f"{o['name']} {figure(o['evidence']['value'])}" for o in decision["options"]) or "none"


def _first_architecture(decision: Entry) -> str:
    evidence = decision["evidence"]
    width = first_width(evidence["training rows"], evidence["inputs"], evidence["outputs"])
    return architecture_in_words(width)


def _first_network(decision: Entry) -> str:
    height, width = decision["evidence"]["height"], decision["evidence"]["width"]
    return network_in_words(ConvSpec((1, height, width), channels_for(height, width), 1))


def _earlier_end(decision: Entry) -> str:
    first, *others = decision["options"]
    best = min(others, key=lambda o: o["evidence"]["loss"], default=first)
    gain = best["evidence"].get("gain")
    return str(best["name"] if gain and gain["clear"] and gain["gain"] > 0 else first["name"])


def _averages(decision: Entry) -> str:
    gain = decision["evidence"]
    return ANEW if gain["clear"] and gain["gain"] > 0 else OWN


def _deeper(decision: Entry) -> str:
    chosen = decision["options"][0]["name"]
    for option in decision["options"][1:]:
        gain = option["evidence"]["gain"]
        chosen = option["name"] if gain["clear"] and gain["gain"] > 0 else chosen
    return str(chosen).partition(" ")[0]


RULES: dict[str, Callable[[Entry], str]] = {
    "kind of column": _column,
    "as asked": _asked_column,
    "as you said": lambda decision: str(decision["chosen"]),
    "task of the target": lambda decision: task_of(TargetFacts(**decision["evidence"]))[0],
    "positive class": lambda decision: positive_of(PositiveFacts(**decision["evidence"]))[0],
    "pieces of the text": lambda decision: words_in_words(decision["evidence"]),
    "parts of the split": lambda decision: part_sizes_in_words(decision["evidence"]),
    "loss of the task": lambda decision: LOSSES[decision["evidence"]["task"]][0],
    "wider heuristic": _first_architecture,
    "sides halved to three": _first_network,
    "lowest mean": _lowest("mean"),
    "lowest loss": _lowest("loss"),
    "best of the options": _deliverable,
    "all open rows": _folded,
    "lowest of the short runs": _short_runs,
    "gain clears its interval": _gain_clears,
    "training below validation": _yes(lambda e: e["lowest_training_loss"] <= e["best_validation_loss"]),
    "gap within noise": _yes(lambda e: e["validation"] - e["training"] <= e["allowed"] * e["noise"]),
    "an earlier end gains": _earlier_end,
    "averages anew gain": _averages,
    "deeper while it gains": _deeper,
    "check of start": _passed(lambda e: abs(e["loss"] - e["expected"]) <= e["tolerance"] * e["expected"]),
    "check of overfit": _passed(lambda e: e["loss"] <= e["threshold"]),
    "check of gradients": _passed(lambda e: e["worst"] <= e["threshold"]),
    "lowest cost": _lowest_last("cost"),
    "would gain clear of nothing": _more_rows,
    "mean of the values": lambda decision: f"validation loss {decision['evidence']['mean']:.4f}",
    "as measured": _measured,
    "all that were ready": _baselines,
    "nothing to compare": lambda decision: str(decision["chosen"]),
}
