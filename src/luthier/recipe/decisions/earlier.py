"""Plans without a version as today's have them, and decisions that were stored as sentences with codes: so that runs of
earlier versions can be shown and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CODES = {  # by the topic that was written, where it is another
    "positive class": "positive-class",
    "check: initial loss": "initial-loss",
    "check: overfitting one batch": "overfit-batch",
    "check: gradients": "gradients",
    "learning rate for SGD with momentum": "learning-rate",
    "learning rate for Adam": "learning-rate",
    "gate: is the training set fitted?": "training-fitted",
    "gate: is the gap to the validation set closed?": "gap-closed",
    "remedies": "no-remedy",
    "would more rows help?": "more-rows",
    "first architecture": "first-width",
    "last block of the backbone": "backbone-end",
    "batch norm of the backbone": "backbone-averages",
    "unfrozen blocks": "unfrozen-blocks",
    "final seeds": "final-seeds",
}
_YES = ("training-fitted", "gap-closed", "more-rows")
_COLUMN, _TEXT = "column `", "words of `"


def upgraded_plan(plan: Mapping[str, Any]) -> dict[str, object]:
    """A plan that was written without a version; the first runs had a narrow and a wide one."""
    return {"version": 1, **plan.get("narrow", plan)}


def upgraded(record: Mapping[str, Any]) -> dict[str, object]:
    """A decision's record of an earlier version with a code, its sentences beside it as `wording`.

    Remedies and the need for more rows get evidence too, from which figures are drawn.
    """
    topic, options, evidence = record["topic"], record["options"], record["evidence"]
    code, of = _named(topic, evidence)
    choice: Any = record["chosen"] == "yes" if code in _YES else record["chosen"]
    if code == "remedy":
        evidence, choice = _remedy(topic, record)
    elif code == "more-rows":
        evidence = {name: value for name, value in evidence.items() if name != "helps"}
    measured = evidence.get("measured", "")
    return {
        "kind": "decision",
        "step": record["step"],
        "code": code,
        "of": of,
        "choice": choice,
        "evidence": evidence,
        "wording": {
            **{name: record.get(name, "") for name in ("topic", "chosen", "reason", "override")},
            "measured": measured if isinstance(measured, str) else "",
            "options": [
                {"name": one["name"], "evidence": one["evidence"], "taken": one["name"] == record["chosen"]}
                for one in options
            ],
        },
    }


def _named(topic: str, evidence: Mapping[str, Any]) -> tuple[str, str]:
    if "rung" in evidence:
        return "remedy", topic
    for head, code in ((_COLUMN, "column"), (_TEXT, "text")):
        if topic.startswith(head):
            return code, topic.removeprefix(head).removesuffix("`")
    return _CODES.get(topic, topic), ""


def _remedy(rung: str, record: Mapping[str, Any]) -> tuple[dict[str, object], int | None]:
    options = list(record["options"])
    first = options[0]["evidence"] if options else {}
    compared = "gain" not in first and any("gain" in one["evidence"] for one in options)
    known = compared and first.get("loss") is not None
    before = {name: first.get(name) for name in ("loss", "training")} if known else None
    tried = options[1:] if compared else options
    variants = [
        {"label": one["name"], **{name: one["evidence"].get(name) for name in ("loss", "training", "gain")}}
        for one in tried
        if one["evidence"].get("loss") is not None
    ]
    names = [one["label"] for one in variants]
    choice = names.index(record["chosen"]) if record["chosen"] in names else None
    return {"rung": rung, "variants": variants, "before": before}, choice
