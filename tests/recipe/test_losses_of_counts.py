"""Counts that vary more than by Poisson's law: the loss is a question, and Poisson's deviance compares the settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.recipe.asking import questions_kept

import luthier
from luthier.kinds import KINDS
from luthier.objective import loss_by_name
from luthier.recipe.decisions import follows, wording_of
from luthier.recipe.experiment.questions import Question
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.runs.screen import SilentScreen

Asked = tuple[luthier.Result, Runner, Setting, list[Question]]


def table(rows: int = 300, dispersion: float = 0.6) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(rows, 2))
    mean = np.exp(0.5 + 1.2 * x[:, 0] + 0.5 * x[:, 1])
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": rng.poisson(rng.gamma(1 / dispersion, dispersion * mean))})


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    run = tmp_path_factory.mktemp("runs") / "run"
    with questions_kept() as known:
        result = luthier.fit(table(), target="y", task="count", budget="600steps", run=run, screen=SilentScreen())
    assert result is not None
    return result, *known[0]


def test_which_counts_vary_more() -> None:
    other = KINDS["count"].other_loss
    assert other is not None
    rng = np.random.default_rng(1)
    assert other(rng.poisson(3.0, 5000).astype(float), None) == ""  # variance over mean is 1 +- 0.02
    y = rng.poisson(rng.gamma(2.0, 1.5, 5000)).astype(float)  # variance 3 + 4.5
    name, _, dispersion = other(y, None).rpartition(" ")
    assert name == "negative binomial"
    assert float(dispersion) == pytest.approx((y.var() - y.mean()) / y.mean() ** 2, rel=0.005)
    weights = rng.integers(0, 3, len(y)).astype(float)
    assert other(y, weights) == other(np.repeat(y, weights.astype(int)), None)
    assert other(np.zeros(9), None) == ""


def test_the_run_says_what_it_asks_and_why(asked: Asked) -> None:
    ledger = asked[0].ledger
    (loss,) = [r for r in ledger if r["kind"] == "decision" and r["code"] == "loss"]
    assert loss["evidence"]["asked"] == list(asked[1].problem.losses)
    assert follows(loss)
    assert "varies more than by Poisson's law" in wording_of(loss, "en").sentence()
    assert wording_of(loss, "zh").sentence()
    experiments = [r for r in ledger if r["kind"] == "decision" and r["code"] == "experiment"]
    assert "loss" in experiments[0]["evidence"]["shaped"]
    assert {record["evidence"]["yardstick"] for record in experiments} == {""}  # the loss itself


def test_the_loss_is_a_question_of_one_output_each(asked: Asked) -> None:
    _, runner, now, known = asked
    (one,) = [question for question in known if question.name == "loss"]
    assert {now.loss, one.other.loss} == set(runner.problem.losses)
    assert {now.member.dense.outputs, one.other.member.dense.outputs} == {1}


def test_settings_are_compared_by_the_deviance_whatever_they_learnt_by(asked: Asked) -> None:
    from luthier.recipe.experiment.fold_bags import BagPlan, train_bags
    from luthier.recipe.modality.tables import learning_by
    from luthier.records import result_and_entries

    _, runner, now, _ = asked
    poisson, learnt = loss_by_name("poisson"), {}
    for place, loss in enumerate(runner.problem.losses):
        setting = learning_by(runner.problem, now, loss)
        trial = BagPlan("questions", share=1.0, kept=1)
        (bag,), _ = result_and_entries(train_bags(runner, f"learn-{place}", [setting], trial))
        y = runner.problem.judged(setting.method).targets.double()
        by_hand: Any = poisson.rows(bag.outputs("count").unsqueeze(0), y).mean()
        assert bag.loss == pytest.approx(float(by_hand), rel=1e-9)
        learnt[loss] = bag.loss - bag.own_loss
    assert learnt["poisson"] == pytest.approx(0, abs=1e-6)  # float32 of the training, float64 here
    assert abs(learnt[runner.problem.losses[1]]) > 1e-3


def test_the_metric_that_decides_leaves_the_yardstick_alone() -> None:
    with questions_kept() as known:
        luthier.fit(table(), target="y", task="count", metric="mae", budget="400steps", screen=SilentScreen())
    for runner, *_ in known:
        assert runner.problem.asks_losses
        assert not runner.problem.is_judged_by_answers
