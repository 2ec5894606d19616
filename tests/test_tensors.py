"""Whatever holds numbers becomes a tensor of these numbers, without a word from PyTorch (pytest makes it an error)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch import nn

import luthier
from luthier.errors import InputError
from luthier.tensors import tensor_of

WHOLE = np.arange(6, dtype=np.int64)


@pytest.mark.parametrize(
    "values",
    [
        np.frombuffer(WHOLE.tobytes(), np.int64),  # must not be written to
        WHOLE[::-1].copy()[::-1],
        WHOLE.astype(">i8"),
        pd.Series(WHOLE, index=WHOLE[::-1]),
        pl.Series(WHOLE),
        WHOLE.tolist(),
        torch.arange(6),
    ],
)
def test_numbers_are_kept_in_their_order(values: object) -> None:
    assert tensor_of(values).tolist() == [0, 1, 2, 3, 4, 5]


def test_memory_is_shared_where_it_may_be_and_never_where_it_must_not() -> None:
    free, frozen = WHOLE.copy(), WHOLE.copy()
    frozen.setflags(write=False)
    tensor_of(free)[0] = 9
    tensor_of(frozen)[0] = 9
    assert free[0] == 9
    assert frozen[0] == 0


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([{}]), [[1], [1, 2]], "text"])
def test_what_does_not_hold_numbers_is_refused(values: object) -> None:
    with pytest.raises(InputError, match="the table has values that are not numbers"):
        tensor_of(values, "the table")


def test_networks_learn_the_same_from_arrays_that_must_not_be_written_to() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)).astype(np.float32), np.zeros(400, dtype=np.int64)
    y[X[:, 0] > 0] = 1
    expected = luthier.train(lambda: nn.Linear(3, 2), (X, y), steps=5).parameters
    X.setflags(write=False)
    y.setflags(write=False)
    assert torch.equal(luthier.train(lambda: nn.Linear(3, 2), (X, y), steps=5).parameters, expected)
    luthier.find_lr(nn.Linear(3, 2), (X, y))
