"""Where the metric asks for a median or a quantile, the loss is a question, and one yardstick compares all settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.recipe.asking import questions_kept

import luthier
from luthier.recipe.decisions import follows, wording_of
from luthier.recipe.delivery.deliver_bags import compared, ensemble_of
from luthier.recipe.experiment.fold_bags import Bag, BagPlan, choosing_folds, train_bags
from luthier.recipe.experiment.questions import Question
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.records import result_and_entries
from luthier.runs.screen import SilentScreen

Asked = tuple[luthier.Result, Runner, Setting, list[Question]]


def table(rows: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2))
    y = np.exp(2 + x[:, 0] + rng.exponential(size=rows) - 0.5 * x[:, 1])  # the mean lies far above the median
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y})


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A run with a metric that asks for the median, and what it asked of its runner about which setting."""
    run = tmp_path_factory.mktemp("runs") / "run"
    with questions_kept() as known:
        result = luthier.fit(table(), target="y", metric="mae", budget="600steps", run=run, screen=SilentScreen())
    assert result is not None
    return result, *known[0]


@pytest.fixture(scope="module")
def bags(asked: Asked) -> dict[str, Bag]:
    _, runner, now, _ = asked
    found = {}
    for loss in ("mae", "mse"):
        trial = BagPlan("questions", share=1.0, kept=1)
        said = train_bags(runner, f"learn-{loss}", [replace(now, loss=loss)], trial)
        (found[loss],), _ = result_and_entries(said)
    return found


def by_hand(runner: Runner, bag: Bag) -> float:
    """The mean absolute error where each row's answer is its prediction moved by the other folds' median residual."""
    problem = runner.problem
    rows, folds = problem.judged(bag.setting.method), choosing_folds(problem).numpy()
    # float64 of the networks' own outputs; targets are standardised logarithms
    logs = bag.outputs("regression")[:, 0].numpy() * problem.target.std + problem.target.mean
    targets = rows.targets.double().numpy() * problem.target.std + problem.target.mean
    moved = logs.copy()
    for fold in np.unique(folds):
        moved[folds == fold] += np.log(np.median(np.exp(targets - logs)[folds != fold]))
    return float(np.abs(np.exp(moved) - np.exp(targets)).mean())


def test_the_run_says_what_it_asks_and_in_what_terms(asked: Asked) -> None:
    ledger = asked[0].ledger
    (loss,) = [r for r in ledger if r["kind"] == "decision" and r["code"] == "loss"]
    assert loss["evidence"]["asked"] == ["mae", "mse"]
    experiments = [r for r in ledger if r["kind"] == "decision" and r["code"] == "experiment"]
    assert [record["evidence"]["yardstick"] for record in experiments] == ["mae", "mae"]
    assert "loss" in experiments[0]["evidence"]["shaped"]
    for record in (loss, *experiments):
        assert follows(record)
        assert all(wording_of(record, language).sentence() for language in ("en", "zh"))


def test_a_bag_counts_by_the_error_of_its_answers_whatever_it_learnt(asked: Asked, bags: dict[str, Bag]) -> None:
    for loss, bag in bags.items():
        assert bag.population.members[0].label
        assert bag.loss == pytest.approx(by_hand(asked[1], bag), rel=1e-6), loss  # targets are kept in float32
        assert bag.own_rows(asked[1].problem).mean() == pytest.approx(bag.own_loss, rel=1e-4)
    assert bags["mae"].own_loss != pytest.approx(bags["mse"].own_loss, rel=1e-3)  # they do not learn alike


def test_the_ensemble_is_chosen_by_the_same_yardstick(asked: Asked, bags: dict[str, Bag]) -> None:
    runner, both = asked[1], list(bags.values())
    found = ensemble_of(runner, both)
    best = min(bag.loss for bag in both)
    assert found.curve[0][1] == pytest.approx(best, rel=0.05)  # of one bag, that chosen on the other folds
    raw = both[0].outputs("regression").unsqueeze(0)
    assert not np.allclose(compared(runner.problem, both[:1], raw), raw)


def test_the_loss_is_a_question_beside_the_others(asked: Asked) -> None:
    _, _, now, known = asked
    (one,) = [question for question in known if question.name == "loss"]
    assert {now.loss, one.other.loss} == {"mae", "mse"}
    assert one.used is (now.loss == "mae")


def test_delivered_settings_are_refitted_by_their_own_loss(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.recipe import refitted

    seen = []
    train = refitted.train

    def noted(members: Any, training: Any, validation: Any, settings: Any) -> Any:
        seen.append(settings.loss)
        return train(members, training, validation, settings)

    monkeypatch.setattr(refitted, "train", noted)
    luthier.refit(asked[0].path)
    (record,) = [r for r in asked[0].ledger if r["kind"] == "decision" and r["code"] == "bags"]
    assert len(seen) == record["choice"]
    assert set(seen) <= {"mae", "mse"}
