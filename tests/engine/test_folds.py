"""Members with rows of their own: folds in one stack are those of trainings on each fold's rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from luthier.engine import FileCheckpoint, Member, ModuleSpec, Outcome, Settings, train
from luthier.errors import InputError
from luthier.nets import DenseSpec
from luthier.objective import Criterion
from luthier.rows import Inputs, Rows

ROWS, FOLDS, BATCH = 60, 3, 8  # a batch divides the 40 rows that each fold learns from
FOLD_OF = torch.arange(ROWS) % FOLDS


def data(*, weighted: bool = False, loss: str = "softmax") -> Rows:
    g = torch.Generator().manual_seed(3)
    X = torch.randn(ROWS, 5, generator=g, dtype=torch.float64)
    codes = torch.randint(0, 4, (ROWS, 2), generator=g)
    weights = torch.rand(ROWS, generator=g, dtype=torch.float64) + 0.1 if weighted else None
    score = X[:, 0] + X[:, 1] * X[:, 2] + codes[:, 0]
    return Rows(
        Inputs(numbers=X, codes=codes), score if loss == "mse" else (score > 1).long() + (score > 2).long(), weights
    )


def members(spec: Any, **changes: Any) -> list[Member]:
    """Two settings, each in every fold."""
    return [
        Member(spec, seed=4, learning_rate=rate, fold=fold, label=f"fold {fold}", **changes)
        for rate in (0.01, 0.02)
        for fold in range(FOLDS)
    ]


def settings(loss: Any = "softmax", **changes: Any) -> Settings:
    return replace(Settings(loss, "adam", BATCH, 30, 5, dtype=torch.float64), **changes)


def convnet() -> Any:
    torch.manual_seed(0)
    layers = nn.Linear(5, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Dropout(0.3), nn.Linear(9, 3)
    net: Any = nn.Sequential(*layers).double()
    net.takes = ("numbers",)
    return net


DENSE = DenseSpec(5, (7, 6), 3, embeddings=((4, 2), (4, 3)))
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "adam": (DENSE, {}, {}),
    "penalties": (DENSE, {"l2": 0.7, "l1": 0.1}, {"rule": "sgd"}),
    "plain descent": (replace(DENSE, embeddings=()), {"momentum": 0.0, "l2": 0.5}, {"rule": "sgd"}),
    "wide first layer": (replace(DENSE, embeddings=(), hidden=(9,)), {}, {}),
    "batch norm and dropout": (replace(DENSE, batch_norm=True), {"dropout": (0.2, 0.4)}, {}),
    "noise": (DENSE, {"noise": 0.3}, {}),
    "mix-up": (DENSE, {"mixup": 0.4}, {}),
    "several batches a step": (DENSE, {"ema_decay": 0.9}, {"accumulate": 2}),
    "looped": (ModuleSpec(convnet, layout="looped"), {}, {}),
    "vmapped": (ModuleSpec(convnet, layout="vmapped"), {}, {}),
    "a loss of one's own": (ModuleSpec(convnet), {}, {"loss": Criterion(nn.functional.cross_entropy)}),
}


def one_by_one(member: Member, part: Rows, chosen: Settings) -> Outcome:
    fold = member.fold
    return train([replace(member, fold=None)], part.rows(fold != FOLD_OF), part.rows(fold == FOLD_OF), chosen)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_folds_in_one_stack_are_trainings_on_their_rows(case: str, weighted: bool) -> None:
    spec, changes, more = CASES[case]
    if weighted and isinstance(more.get("loss"), Criterion):
        pytest.skip("a loss of one's own takes no weights")
    part, everyone, chosen = data(weighted=weighted), members(spec, **changes), settings(**more)
    together = train(everyone, part, None, chosen, folds=FOLD_OF)
    table = together.history.to_frame()
    for place, member in enumerate(everyone):
        alone = one_by_one(member, part, chosen).history.to_frame()
        rows = table.filter(member=place)
        for name in ("train_loss", "validation_loss", "validation_score"):
            np.testing.assert_allclose(rows[name], alone[name], rtol=1e-9, atol=1e-12)


def test_a_member_of_a_fold_does_not_depend_on_its_company() -> None:
    part, fold_of = data(), torch.arange(ROWS) % 7 % FOLDS  # of unequal sizes, which no batch divides
    everyone, chosen = members(DENSE, dropout=(0.2, 0.2)), settings(rungs=((10, 3),))
    together = train(everyone, part, None, chosen, folds=fold_of)
    kept = [place for place, status in enumerate(together.status) if status == "finished"]
    assert kept in ([0, 1, 2], [3, 4, 5])  # the folds of a setting stay together
    alone = train([everyone[place] for place in kept[::-1]], part, None, settings(), folds=fold_of)
    torch.testing.assert_close(alone.parameters.flip(0), together.parameters[kept], rtol=1e-9, atol=1e-12)


def test_a_setting_keeps_its_best_weights_and_stops_as_one() -> None:
    part = data()
    chosen = settings(steps=400, patience=2)
    outcome = train(members(DENSE), part, None, chosen, folds=FOLD_OF)
    table = outcome.history.to_frame()
    for setting in range(2):
        places = range(setting * FOLDS, (setting + 1) * FOLDS)
        assert len({outcome.status[place] for place in places}) == 1
        assert outcome.status[places[0]] == "early stopped"
        losses = np.stack([table.filter(member=place)["validation_loss"] for place in places])
        steps = table.filter(member=places[0])["step"].to_numpy()
        best = losses.mean(0).argmin()  # folds of equal size
        assert [outcome.best_step[place] for place in places] == [steps[best]] * FOLDS
        np.testing.assert_allclose(outcome.best_validation_loss[list(places)], losses[:, best])


def test_the_last_weights_are_kept_where_held_out_rows_are_to_choose_nothing() -> None:
    part, everyone = data(), members(DENSE)
    best, last = (
        train(everyone, part, None, settings(steps=200, keep_last=kept), folds=FOLD_OF) for kept in (False, True)
    )
    assert max(best.best_step) < 200 == min(last.best_step)
    final = last.history.to_frame().filter(step=200).sort("member")["validation_loss"]
    np.testing.assert_array_equal(last.best_validation_loss, final)


def test_a_fold_that_diverges_takes_its_setting_along_and_no_other() -> None:
    part, everyone = data(loss="mse"), members(replace(DENSE, outputs=1))
    chosen = settings("mse", rule="sgd")
    bad = [replace(member, learning_rate=1e200) if member.learning_rate == 0.02 else member for member in everyone]
    result, healthy = (train(some, part, None, chosen, folds=FOLD_OF) for some in (bad, everyone[:FOLDS]))
    assert [status.split(":")[0] for status in result.status] == ["finished"] * FOLDS + ["diverged"] * FOLDS
    torch.testing.assert_close(result.parameters[:FOLDS], healthy.parameters, rtol=1e-9, atol=1e-12)


def test_folds_go_on_bit_for_bit(tmp_path: Any) -> None:
    part, everyone, chosen = data(), members(DENSE, dropout=(0.2, 0.2)), settings(patience=30)
    whole = train(everyone, part, None, chosen, folds=FOLD_OF)

    def interrupt(evaluation: Any) -> None:
        if evaluation.step >= 15:
            raise KeyboardInterrupt

    for watch in (interrupt, None):
        kept = FileCheckpoint(tmp_path / "state", seconds=0)
        arguments = {"folds": FOLD_OF, "checkpoint": kept, "on_evaluation": watch}
        if watch is not None:
            with pytest.raises(KeyboardInterrupt):
                train(everyone, part, None, chosen, **arguments)
    resumed = train(everyone, part, None, chosen, folds=FOLD_OF, checkpoint=FileCheckpoint(tmp_path / "state"))
    assert torch.equal(resumed.parameters, whole.parameters)
    assert resumed.history.rows == whole.history.rows


@pytest.mark.parametrize(
    ("folds", "fold", "validated"),
    [(None, 0, False), (FOLD_OF, None, False), (FOLD_OF, 3, False), (FOLD_OF[:-1], 0, False), (FOLD_OF, 0, True)],
)
def test_folds_that_do_not_go_with_members_and_rows(folds: Any, fold: Any, validated: bool) -> None:
    part = data()
    with pytest.raises(InputError, match="folds do not go with the members"):
        train([Member(DENSE, 0, 0.1, fold=fold)], part, part if validated else None, settings(), folds=folds)


def test_what_cannot_be_combined_with_folds() -> None:
    with pytest.raises(InputError, match="a loss over pairs of rows cannot be combined with folds"):
        train([Member(DENSE, 0, 0.1, fold=0)], data(), None, settings("triplet"), folds=FOLD_OF)
