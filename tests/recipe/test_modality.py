"""What pictures and text bring to the recipe: every question changes something, and each factor has words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from luthier.engine import Member
from luthier.nets import ConvSpec, DenseSpec, TargetEncoding, TextSpec
from luthier.recipe.checklist import ITEMS
from luthier.recipe.decisions.experiment import factor_name
from luthier.recipe.decisions.question_answers import compared_with
from luthier.recipe.modality import MODALITIES
from luthier.recipe.modality.picture_networks import CHANGES
from luthier.recipe.modality.tables import of_categories
from luthier.recipe.planning.setting import Setting

CONV = ConvSpec((1, 8, 8), (8, 16), 10)
TEXT = TextSpec(numbers=1, pieces=20, length=4, outputs=3, pairs=5, vectors=2, weighted=True)
ADOPTED = {
    "pictures": [CONV, replace(CONV, augment=CHANGES["mirrored"], dropout=0.5, convolutions=2, residual=True)],
    "text": [TEXT, replace(TEXT, layers_of_units=(8,), dropout=0.5, word_dropout=0.1), replace(TEXT, reads="words")],
}
DATA = SimpleNamespace(training=[0], validation=[])
RUNNER: Any = SimpleNamespace(problem=SimpleNamespace(crossed=False, mixes=True, data=DATA))


@pytest.mark.parametrize("medium", ADOPTED)
def test_each_question_undoes_or_does_one_thing(medium: str) -> None:
    modality, named = MODALITIES[medium], {rung for item in ITEMS for rung in item.rungs}
    for spec in ADOPTED[medium]:
        now = Setting(modality.method, "adam", 16, Member(spec, 0, 0.01))
        asked = list(modality.questions(RUNNER, now, {"sgd": 0.1}))
        assert len({one.name for one in asked}) == len(asked) >= 11
        for one in asked:
            assert replace(one.other, label="") != now, one.name
            assert compared_with(one.name, one.value, used=one.used), one.name
            assert one.name in named | {"sentence vectors", "words alike"}, one.name
            back = {again.name: again for again in modality.questions(RUNNER, one.other, {"sgd": 0.1})}
            if one.name in back and one.name not in ("rate", "Adam", "units", "batch size", "sentence vectors"):
                assert back[one.name].used is not one.used, one.name


@pytest.mark.parametrize("medium", ADOPTED)
def test_dearer_networks_cost_more(medium: str) -> None:
    first, *others = ADOPTED[medium]
    work = MODALITIES[medium].work
    assert work(first, 16) < work(first, 64)
    assert work(first, 16) < work(others[0], 16)


def test_factors_have_words() -> None:
    assert factor_name("mirrored") == "mirrored pictures"
    assert factor_name("order") == "LSTM over the words"


def test_means_of_the_target_are_a_choice_where_a_category_has_many_levels() -> None:
    spec = DenseSpec(2, (4,), 3, embeddings=((4, 2), (52, 6)))
    problem: Any = SimpleNamespace(
        outputs=3,
        loss="softmax",
        data=SimpleNamespace(
            encoder=SimpleNamespace(category_sizes=(4, 52)), training=SimpleNamespace(targets=np.zeros(3))
        ),
    )
    (choice,) = of_categories(problem, spec)
    assert choice.levels == (None, TargetEncoding((1,), (52,), 3))
    adopted = replace(spec, target_encoding=choice.levels[1])
    assert of_categories(problem, adopted)[0].levels[0] == adopted.target_encoding  # where the step starts
    problem.data.training.targets = np.zeros((3, 2))
    assert of_categories(problem, spec) == []
    problem.data.training.targets = np.zeros(3)
    problem.data.encoder.category_sizes = (4, 9)
    assert of_categories(problem, spec) == []
    assert factor_name("categories") == "how categories enter"
