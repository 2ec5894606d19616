"""Data as people have it: every type of number, every kind of loader; and what of it is refused, in words of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import luthier
from luthier.engine.plain_loop import Loop
from luthier.engine.populations.loaders import endless, part_of
from luthier.errors import InputError
from luthier.seeds import torch_generator

g = torch_generator(0, "loaders")
WHOLE = torch.randint(0, 2, (40, 6), generator=g)
Y = torch.randn(40, 1, generator=g)
TYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + self.inner(x).relu())


def trained(net: nn.Module, X: Any, y: Any = Y) -> dict[str, Tensor]:
    return luthier.train(net, (X, y), steps=4, batch_size=16, learning_rate=0.01).state_dict()


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("chain", [True, False])
def test_inputs_of_every_type_train_as_numbers_do(kind: torch.dtype, chain: bool) -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)) if chain else Residual()
    wanted = trained(net, WHOLE.float())
    for X in (WHOLE.to(kind), *([] if kind == torch.bfloat16 else [WHOLE.to(kind).numpy()])):
        torch.testing.assert_close(trained(net, X), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64, np.longdouble, np.dtype(">f8"), np.dtype(">i4")])
def test_numbers_that_torch_does_not_have_are_read(kind: Any) -> None:
    array = WHOLE.numpy().astype(kind)
    for X in (array, np.asfortranarray(array), array[::-1][::-1], array.tolist()):
        torch.testing.assert_close(part_of((X, Y)).numbers.float(), WHOLE.float())
    fixed = array.copy()
    fixed.setflags(write=False)
    torch.testing.assert_close(part_of((fixed, Y)).numbers.float(), WHOLE.float())


class Bytes(nn.Module):
    """Divides bytes by 255 itself, and leaves numbers as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.float() / 255 if x.dtype == torch.uint8 else x)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(2, 3), nn.Linear(18, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.table(x).flatten(1))


def test_a_module_that_takes_whole_numbers_gets_them() -> None:
    pictures, net = (WHOLE * 200).to(torch.uint8), Bytes()
    torch.testing.assert_close(trained(net, pictures), trained(net, pictures.float() / 255), rtol=0, atol=1e-7)
    words = Words()
    wanted = trained(words, WHOLE)
    for kind in (torch.int8, torch.int32):
        torch.testing.assert_close(trained(words, WHOLE.to(kind)), wanted, rtol=0, atol=0)
    result = Loop(words, (WHOLE, Y), None, 16, name="x")
    assert result.suited(next(result.batches(0))).x.dtype == torch.int64
    luthier.diagnose(words, (WHOLE, Y), steps=4)
    luthier.tune(
        lambda h: Words(), (WHOLE, Y), {"learning_rate": (1e-3, 1e-1)}, trials=2, epochs=1, workers=1, confirm=0
    )


class Rows(Dataset):  # type: ignore[type-arg]
    def __init__(self, row: Callable[[int], Any]) -> None:
        self.row = row

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> Any:
        return self.row(i)


def endlessly() -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield WHOLE.float().repeat(1000, 1000), Y.repeat(1000, 1)


def loaded(row: Callable[[int], Any], **options: Any) -> DataLoader[Any]:
    return DataLoader(Rows(row), **{"batch_size": 16, **options})


X = WHOLE.float()
REFUSED: dict[str, tuple[Any, str]] = {
    "a number": (3, "is not understood"),
    "text": ("data.csv", "is not understood"),
    "inputs alone": (X, "is not understood"),
    "one column of a tuple": ((X,), "is not understood"),
    "four": ((X, Y, Y, Y), "is not understood"),
    "a dictionary": ({"X": X, "y": Y}, "is not understood"),
    "no batches": ([], "no batches"),
    "too few targets": ((X, Y[:7]), "40 of X, 7 of y"),
    "no rows": ((X[:0], Y[:0]), "at least one"),
    "a number as target": ((X, torch.tensor(3.0)), "differ in length"),
    "no columns": ((X[:, 0], Y), "has no columns"),
    "not finite": ((X.where(X > 0, torch.nan), Y), "values that are not finite"),
    "targets not finite": ((X, Y / 0), "y of data has values that are not finite"),
    "words in an array": ((np.array([["a"] * 6] * 40), Y), "is not all numbers"),
    "words in a frame": ((pl.DataFrame({"a": ["x"] * 40}), Y), "is not all numbers"),
    "objects": ((np.array([object()] * 40)[:, None], Y), "is not all numbers"),
    "dates": ((np.full((40, 2), np.datetime64("2020-01-01")), Y), "is not all numbers"),
    "ragged": (([[1.0], [1.0, 2.0]] * 20, Y), "cannot be read"),
    "masked": ((np.ma.masked_greater(WHOLE.numpy(), 0), Y), "masked values"),
    "negative weights": ((X, Y, -torch.ones(40)), "weights of data cannot be used"),
    "weights of nothing": ((X, Y, torch.zeros(40)), "weights of data cannot be used"),
    "weights of two columns": ((X, Y, torch.ones(40, 2)), "weights of data cannot be used"),
    "dictionaries": (loaded(lambda i: {"x": X[i], "y": Y[i]}), "a dictionary of 'x', 'y'"),
    "batches of one": (loaded(lambda i: (X[i],)), "a batch of data is not understood"),
    "batches of inputs": (loaded(lambda i: X[i]), "a batch of data is not understood"),
    "several inputs": (loaded(lambda i: ((X[i], X[i]), Y[i])), "inputs of several tensors"),
    "single rows": (loaded(lambda i: (X[i], Y[i, 0]), batch_size=None), "gives single rows"),
    "a loader that fails": (loaded(lambda i: (X[i], 1 / 0)), "data cannot be read"),
    "batches of two shapes": ([(X, Y), (X[:, :5], Y)], "differ in shape"),
    "complex targets": ((X, Y + 1j), "complex"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_not_data_is_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        luthier.train(Residual(), data, steps=2)
    with pytest.raises(luthier.LuthierError):
        luthier.find_lr(Residual(), data, steps=10)
    if name != "not finite":  # which is what a diagnosis finds
        with pytest.raises(InputError):
            luthier.diagnose(Residual(), data, steps=10)


def test_a_loader_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.engine.populations.loaders.default_memory", lambda: 1 << 30)
    with pytest.raises(InputError, match="does not end"):
        part_of(endlessly())


def test_validation_rows_must_be_of_the_same_kind() -> None:
    for other, message in (
        ((X[:, :5], Y), "differ in shape"),
        ((X, Y.long()), "differ in type"),
        ((X, X), "differ in"),
    ):
        with pytest.raises(InputError, match=message):
            luthier.train(Residual(), (X, Y), validation=other, steps=2)


def test_batches_follow_from_the_seed_and_leave_single_rows_out() -> None:
    part = part_of((torch.arange(33.0).view(-1, 1), torch.arange(33)))
    result = endless(part, 16, 3, name="x", least=2)
    rows = [next(result) for _ in range(4)]
    assert [len(batch.y) for batch in rows] == [16, 16, 16, 16]
    assert torch.equal(rows[0].x[:, 0].long(), rows[0].y)
    again = next(endless(part, 16, 3, name="x", least=2))
    assert torch.equal(again.y, rows[0].y)
    whole = DataLoader(TensorDataset(torch.zeros(5, 1), torch.zeros(5)), batch_size=1)
    with pytest.raises(InputError, match="no batches"):
        next(endless(whole, 1, 0, name="x", least=2))
