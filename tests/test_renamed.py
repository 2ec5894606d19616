"""Names of yesterday still work, each with one line that gives today's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import luthier
from luthier.renamed import HYPER_PARAMETERS, PUBLIC
from luthier.search.spaces.described import space_from


@pytest.mark.parametrize("old", sorted(PUBLIC))
def test_an_old_public_name_is_the_new_one(old: str) -> None:
    with pytest.warns(FutureWarning, match=f"{old} is now {PUBLIC[old]}"):
        assert getattr(luthier, old) is getattr(luthier, PUBLIC[old])
    assert old not in luthier.__all__


def test_old_hyper_parameters_are_those_of_today() -> None:
    X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    net = nn.Linear(3, 1)
    with pytest.warns(FutureWarning, match="average is now ema_decay"):
        old = luthier.train(net, (X, X.sum(1)), average=0.9, epochs=2)
    new = luthier.train(net, (X, X.sum(1)), ema_decay=0.9, epochs=2)
    assert old.best_validation_loss.tolist() == new.best_validation_loss.tolist()
    with pytest.warns(FutureWarning, match="smoothing is now rho"):
        assert list(space_from({"rule": "rmsprop", "smoothing": (0.9, 0.99)}).dimensions) == ["rho"]
    assert set(HYPER_PARAMETERS.values()) == {"ema_decay", "rho"}
