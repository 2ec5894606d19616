"""Remedies are tried in their order, and every decision follows from the evidence that is stored with it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import luthier
from luthier.engine import Member
from luthier.nets import DenseSpec
from luthier.recipe.deciding import RULES, work_out
from luthier.recipe.ladder import Setting, _changed_alike
from luthier.recipe.plan import TRAINING_RUNGS, VALIDATION_RUNGS
from luthier.recipe.steps.fit_validation import PROBABILITIES, dropout_rates
from luthier.runs.screen import SilentScreen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    folder = tmp_path_factory.mktemp("runs") / "wine"
    result = luthier.fit("wine", budget="8000steps", run=folder, screen=SilentScreen(), replace=True)
    assert result is not None
    return result


def decisions(run: luthier.Result) -> list[dict[str, Any]]:
    return [record for record in run.ledger if record["kind"] == "decision"]


def test_every_decision_follows_from_its_stored_evidence(run: luthier.Result) -> None:
    result = decisions(run)
    assert len(result) > 20
    for decision in result:
        assert work_out(decision) == decision["chosen"], decision["topic"]


# rule -> a change of the stored evidence that must change what is decided
def _set(key: str, value: Any) -> Any:
    return lambda decision: decision["evidence"].__setitem__(key, value)


def _raise_first(key: str) -> Any:
    """Make the option that won lose."""

    def change(decision: dict[str, Any]) -> None:
        won = min((o for o in decision["options"] if key in o["evidence"]), key=lambda o: o["evidence"][key])
        won["evidence"][key] += 1e6

    return change


def _turn_gain(decision: dict[str, Any]) -> None:
    gain = min((o for o in decision["options"] if "gain" in o["evidence"]), key=lambda o: o["evidence"]["loss"])
    gain = gain["evidence"]["gain"]
    gain["gain"] = -1.0 if gain["gain"] > gain["half_width"] else gain["half_width"] + 1.0


CHANGES = {
    "kind of column": lambda d: d["evidence"].update(distinct=1, missing=0),
    "task of the target": lambda d: d["evidence"].update(fractions=True, numeric=True),
    "parts of the split": _set("training", 1),
    "loss of the task": _set("task", "regression"),
    "wider heuristic": _set("training rows", 10**6),
    "lowest mean": _raise_first("mean"),
    "best of the options": _raise_first("validation loss"),
    "lowest of the short runs": lambda d: [
        run.update(loss=1e9) for run in d["evidence"]["confirmed"] if f"{run['rate']:.3g}" == d["chosen"]
    ],
    "gain clears its interval": _turn_gain,
    "training below validation": lambda d: d["evidence"].update(
        lowest_training_loss=d["evidence"]["best_validation_loss"] + (d["chosen"] == "yes") - (d["chosen"] == "no")
    ),
    "gap within noise": lambda d: d["evidence"].update(
        training=d["evidence"]["validation"] + (d["chosen"] == "no") - 10 * (d["chosen"] == "yes")
    ),
    "check of start": _set("loss", 1e9),
    "check of overfit": _set("loss", 1e9),
    "check of gradients": _set("worst", 1.0),
    "mean of the values": _set("mean", 99.0),
    "as measured": _set("temperature", 3.25),
    "all that were ready": lambda d: d["options"].pop(),
}


def test_other_evidence_is_another_decision(run: luthier.Result) -> None:
    met = set()
    for decision in decisions(run):
        rule = decision["rule"]
        if rule not in CHANGES:
            continue
        altered = copy.deepcopy(decision)
        CHANGES[rule](altered)
        assert work_out(altered) != decision["chosen"], decision["topic"]
        met.add(rule)
    assert met | {"best of the options"} >= set(CHANGES)
    rest = {"as asked", "as you said", "nothing to compare"}  # nothing was weighed there
    assert set(RULES) - set(CHANGES) - rest == {
        "lowest cost",
        "positive class",
        "would gain clear of nothing",
        "all open rows",
        "lowest loss",
        "sides halved to three",
        "pieces of the text",
        "an earlier end gains",
        "averages anew gain",
        "deeper while it gains",
    }


def test_rules_that_not_every_run_needs() -> None:
    options = [{"name": name, "evidence": {"cost": cost}} for name, cost in (("0.5", 0.4), ("0.2", 0.3))]
    assert work_out({"rule": "lowest cost", "options": options, "evidence": {}}) == "0.2"
    options[1]["evidence"]["cost"] = 0.5
    assert work_out({"rule": "lowest cost", "options": options, "evidence": {}}) == "0.5"
    options = [{"name": name, "evidence": {"loss": loss}} for name, loss in (("slow", 0.4), ("fast", 0.3))]
    assert work_out({"rule": "lowest loss", "options": options, "evidence": {}}) == "fast"
    name = "5-fold ensemble, trained on all training and validation rows"
    options = [{"name": n, "evidence": {"validation loss": x}} for n, x in (("one network", 0.30), (name, 0.31))]
    for allowed, answer in ((0.02, f"{name} (2 networks)"), (0.005, "one network (2 networks)")):
        evidence = {"components": [["a", 0.5], ["b", 0.5]], "allowed": allowed, "credit": 0.0}
        evidence |= {"by": "validation loss", "larger is better": False}
        assert work_out({"rule": "all open rows", "options": options, "evidence": evidence}) == answer
    for low, answer in ((0.1, "yes"), (0.001, "not clearly")):
        evidence = {"low": low, "now": 1.0}
        assert work_out({"rule": "would gain clear of nothing", "options": [], "evidence": evidence}) == answer


def test_the_remedies_are_climbed_in_their_order(run: luthier.Result) -> None:
    for step, rungs in ((3, TRAINING_RUNGS), (4, VALIDATION_RUNGS)):
        order = [rung.name for rung in rungs]
        topics = [d["topic"] for d in decisions(run) if d["evidence"].get("rung") and d["step"] == step]
        indices = [order.index(topic) for topic in topics]
        assert len(indices) >= 2
        assert indices == sorted(set(indices))


def test_dropout_is_placed_as_the_documents_say() -> None:
    """At the last hidden layer from a quarter towards a half, then in the earlier ones; never at the output (S4-24)."""
    assert PROBABILITIES[0] == 0.25
    assert PROBABILITIES[-1] == 0.5
    assert sorted(PROBABILITIES) == list(PROBABILITIES)
    assert dropout_rates("last", 0.25, 3) == (0.0, 0.0, 0.25)
    assert dropout_rates("all", 0.35, 3) == (0.35, 0.35, 0.35)


def test_small_changes_are_put_together() -> None:
    spec = DenseSpec(8, (16,), 2)
    start = Setting("standardise", "sgd", 32, Member(spec, 0, 0.1))
    deeper = Setting("standardise", "sgd", 32, Member(DenseSpec(8, (16, 16), 2, residual=True), 0, 0.1))
    dropped = Setting("standardise", "sgd", 32, Member(spec, 0, 0.1, dropout=(0.25,)))
    adam = Setting("standardise", "adam", 64, Member(spec, 0, 0.003))
    faster = Setting("standardise", "sgd", 32, Member(spec, 0, 0.2))
    twice = _changed_alike(_changed_alike(start, start, adam), start, faster)
    assert (twice.rule, twice.member.learning_rate) == ("adam", 0.006)  # Adam's rate doubled, not SGD's taken over
    both = start
    for changed in (deeper, dropped, adam):
        both = _changed_alike(both, start, changed)
    assert (both.rule, both.batch_size, both.member.learning_rate) == ("adam", 64, 0.003)
    assert both.member.dense.hidden == (16, 16)
    assert both.member.drop_rates == (0.0, 0.25)


def test_the_ablation_is_in_the_ledger(run: luthier.Result, tmp_path: Path) -> None:
    rungs = [d for d in decisions(run) if d["evidence"].get("rung") and d["step"] == 4]
    assert rungs
    for rung in rungs:
        names = [option["name"] for option in rung["options"]]
        assert rung["chosen"] in names
        assert names[0] == "not adopted"
    json.dumps(rungs, allow_nan=False)
