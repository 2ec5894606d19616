"""The questions about an adopted setting: their order is the recipe's, and each undoes or does one thing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from luthier.engine import Member
from luthier.nets import DenseSpec
from luthier.recipe.decisions.question_answers import compared_with
from luthier.recipe.experiment.questions import USUAL_RATES, Question
from luthier.recipe.modality.tables import TableModality
from luthier.recipe.planning.setting import Setting
from luthier.rows import Inputs, Rows

FOR_TRAINING = ("rate", "Adam", "decay", "restarts", "units", "batch size", "layers")
FOR_VALIDATION = (
    *("dropout, last layer", "dropout, all layers", "L2", "input normalisation", "batch norm", "augmentation"),
    *("clipping", "initialisation", "architecture"),
)
RATES = {"adam": 0.01, "sgd": 0.1}


class Hundred(SimpleNamespace):
    """A hundred encoded rows of three numbers."""

    numbers = torch.zeros(100, 3)

    def __len__(self) -> int:
        return 100


@pytest.fixture
def runner() -> Any:
    """All that a question needs to know of a problem."""
    part = Rows(Inputs(numbers=torch.zeros(100, 3)), torch.zeros(100))
    data = SimpleNamespace(training=Hundred(), validation=Hundred())
    return SimpleNamespace(
        problem=SimpleNamespace(data=data, crossed=False, asks_losses=False, prepared=lambda method: (None, part, part))
    )


@pytest.fixture
def now() -> Setting:
    member = Member(DenseSpec(3, (64, 32), 2), 0, 0.01, dropout=())
    return Setting("standardise", "adam", 32, member)


def asked(runner: Any, now: Setting) -> dict[str, Question]:
    return {one.name: one for one in TableModality().questions(runner, now, RATES)}


def test_what_fits_the_training_set_is_asked_in_the_order_of_the_recipe(runner: Any, now: Setting) -> None:
    assert [one.name for one in TableModality().questions(runner, now, RATES)][:7] == list(FOR_TRAINING)


def test_what_closes_the_gap_is_asked_in_the_order_of_the_recipe(runner: Any, now: Setting) -> None:
    assert [one.name for one in TableModality().questions(runner, now, RATES)][7:] == list(FOR_VALIDATION)


def test_adam_stands_beside_descent_at_its_own_rate(runner: Any, now: Setting) -> None:
    other = asked(runner, now)["Adam"].other
    assert (other.rule, other.member.learning_rate) == ("sgd", 0.1)


def test_a_rate_that_was_not_measured_is_said(runner: Any, now: Setting) -> None:
    said = {0.07: "SGD with momentum", USUAL_RATES["sgd"]: "SGD with momentum at a usual rate"}
    for rate, words in said.items():
        (one,) = [q for q in TableModality().questions(runner, now, {"sgd": rate}) if q.name == "Adam"]
        assert one.other.member.learning_rate == rate
        assert compared_with("Adam", one.value, used=True) == words


def test_units_batch_size_and_layers_are_other_ones(runner: Any, now: Setting) -> None:
    by_name = asked(runner, now)
    assert by_name["units"].other.member.dense.hidden == (32, 16)
    assert by_name["batch size"].other.batch_size == 64
    assert by_name["layers"].other.member.dense.hidden == (64,)
    single = replace(now, member=replace(now.member, spec=DenseSpec(3, (64,), 2)))
    assert asked(runner, single)["layers"].other.member.dense.hidden == (64, 64)


def test_dropout_begins_at_the_last_hidden_layer_with_a_quarter(runner: Any, now: Setting) -> None:
    by_name = asked(runner, now)
    assert by_name["dropout, last layer"].other.member.drop_rates == (0.0, 0.25)
    assert by_name["dropout, all layers"].other.member.drop_rates == (0.25, 0.25)


def test_another_architecture_is_one_with_skips_and_back(runner: Any, now: Setting) -> None:
    question = asked(runner, now)["architecture"]
    assert not question.used
    assert question.other.member.dense.residual
    back = asked(runner, question.other)["architecture"]
    assert back.used
    assert not back.other.member.dense.residual
