"""Remedies are tried in their order, and every decision follows from the evidence that is stored with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import luthier
from luthier.engine import Member
from luthier.nets import DenseSpec
from luthier.recipe import follows
from luthier.recipe.ladder import _changed_alike
from luthier.recipe.plan import TRAINING_RUNGS, VALIDATION_RUNGS
from luthier.recipe.setting import Setting
from luthier.recipe.steps.fit_validation import PROBABILITIES, dropout_rates
from luthier.runs.screen import SilentScreen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    folder = tmp_path_factory.mktemp("runs") / "wine"
    with pytest.MonkeyPatch.context() as patched:  # as where rows follow time: judged by one part
        patched.setattr("luthier.recipe.steps.plan_budget.can_be_crossed", lambda problem: False)
        result = luthier.fit("wine", budget="8000steps", run=folder, screen=SilentScreen(), replace=True)
    assert result is not None
    return result


def decisions(run: luthier.Result) -> list[dict[str, Any]]:
    return [record for record in run.ledger if record["kind"] == "decision"]


def test_every_decision_follows_from_its_stored_evidence(run: luthier.Result) -> None:
    result = decisions(run)
    assert len(result) > 20
    for decision in result:
        assert follows(decision), decision["topic"]


def test_the_remedies_are_climbed_in_their_order(run: luthier.Result) -> None:
    for step, rungs in ((3, TRAINING_RUNGS), (4, VALIDATION_RUNGS)):
        order = [rung.name for rung in rungs]
        rungs = [d["of"] for d in decisions(run) if d["code"] == "remedy" and d["step"] == step]
        indices = [order.index(rung) for rung in rungs]
        assert len(indices) >= 2
        assert indices == sorted(set(indices))


def test_remedies_stand_in_the_documents_order() -> None:
    """The rate, Adam, decay, restarts, units, batch size, layers; dropout, L2, inputs, batch norm, more rows."""
    training, validation = ([rung.name for rung in rungs] for rungs in (TRAINING_RUNGS, VALIDATION_RUNGS))
    assert training == ["rate", "Adam", "decay", "restarts", "units", "batch size", "layers", "together"]
    printed = ["dropout, last layer", "dropout, all layers", "L2", "input normalisation", "batch norm"]
    printed += ["augmentation", "clipping", "architecture"]
    assert [name for name in validation if name in printed] == printed


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
    rungs = [d for d in decisions(run) if d["code"] == "remedy" and d["step"] == 4]
    assert rungs
    for rung in rungs:
        names = [option["name"] for option in rung["options"]]
        assert rung["chosen"] in names
        assert names[0] == "not adopted"
    json.dumps(rungs, allow_nan=False)
