"""Whatever module comes, it trains, or is refused in words of ours: no error of PyTorch's leaves a public function.

Rows that were given stay as they were, and nothing that PyTorch would warn of inside is shown.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import luthier
from luthier.errors import LuthierError
from luthier.seeds import torch_generator

X = torch.randn(40, 6, generator=torch_generator(0, "foreign"))
DATA = {"numbers": (X, X[:, :1] * 2), "classes": (X, (X[:, 0] > 0).long())}


class Odd(nn.Module):
    """Two layers, and whatever is made of them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any] | None = None, outputs: int = 1) -> None:
        super().__init__()
        self.a, self.b, self.of = nn.Linear(6, 6), nn.Linear(6, outputs), forward

    def forward(self, x: Tensor) -> Any:
        result = self.b(self.a(x).relu())
        return result if self.of is None else self.of(result, x)


class Centring(Odd):
    """Writes into its inputs."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x.sub_(1))


class Sparse(nn.Module):
    def __init__(self, sparse: bool = True) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(10, 4, sparse=sparse), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.table(x.long().abs() % 10).flatten(1))


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 1, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(torch.complex64) @ self.weight).abs()


class Tied(Odd):
    def __init__(self) -> None:
        super().__init__(outputs=6)
        self.b.weight, self.out = self.a.weight, nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(super().forward(x))


class Remembering(Odd):
    """Keeps its last outputs, with their history."""

    def forward(self, x: Tensor) -> Tensor:
        result = super().forward(x)
        last = getattr(self, "last", None)
        self.last = result if last is None or last.shape != result.shape else result + last
        return self.last


class Uncopied(Odd):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("there is one of me")


class OnlyTraining(Odd):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise KeyError("evaluation")
        return super().forward(x)


class OtherInEvaluation(Odd):
    def forward(self, x: Tensor) -> Tensor:
        result = super().forward(x)
        return result if self.training else result.repeat(1, 2)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(x.view(-1, 2, 3))[0][:, -1])


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6).double(), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x.double()).float())


def frozen() -> nn.Module:
    return Odd().requires_grad_(False)


def partly_frozen() -> nn.Module:
    net = Odd()
    net.a.requires_grad_(False)
    return net


def normed() -> nn.Module:
    from torch.nn.utils.parametrizations import spectral_norm, weight_norm

    return nn.Sequential(spectral_norm(nn.Linear(6, 6)), weight_norm(nn.Linear(6, 1)))


WORK: dict[str, Callable[[], Any]] = {  # with numbers as targets
    "plain": Odd,
    "[B]": lambda: Odd(lambda o, x: o[:, 0]),
    "changes its inputs": Centring,
    "changes its outputs": lambda: Odd(lambda o, x: o.mul_(2)),
    "draws": lambda: Odd(lambda o, x: o + torch.randn(len(x), 1)),
    "branches": lambda: Odd(lambda o, x: o if float(x.detach().sum()) > 0 else -o),
    "partly frozen": partly_frozen,
    "sparse gradients": Sparse,
    "tied weights": Tied,
    "parametrised": normed,
    "recurrent": Recurrent,
    "half": lambda: Odd().half(),
    "bfloat16": lambda: Odd().bfloat16(),
    "double": lambda: Odd().double(),
    "DataParallel": lambda: nn.DataParallel(Odd()),
    "batch norm": lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)),
    "one layer": lambda: nn.Linear(6, 1),
}
REFUSED: dict[str, Callable[[], Any]] = {
    "a number for all": lambda: Odd(lambda o, x: o.mean()),
    "a row for all": lambda: Odd(lambda o, x: o.mean(0)),
    "two rows for each": lambda: Odd(lambda o, x: torch.cat([o, o])),
    "[B, 2, 3]": lambda: Odd(lambda o, x: x.view(-1, 2, 3) * o.sum()),
    "a tuple": lambda: Odd(lambda o, x: (o, x)),
    "a dictionary": lambda: Odd(lambda o, x: {"outputs": o}),
    "nothing": lambda: Odd(lambda o, x: None),
    "an array": lambda: Odd(lambda o, x: o.detach().numpy()),
    "whole numbers": lambda: Odd(lambda o, x: o.long()),
    "detached": lambda: Odd(lambda o, x: o.detach()),
    "complex outputs": lambda: Odd(lambda o, x: torch.complex(o, o)),
    "raises": lambda: Odd(lambda o, x: 1 / 0),
    "complex weights": Complex,
    "of several types": Mixed,
    "nothing to learn": nn.ReLU,
    "frozen": frozen,
    "lazy": lambda: nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 1)),
    "remembering": Remembering,
    "uncopied": Uncopied,
    "in training alone": OnlyTraining,
    "other in evaluation": OtherInEvaluation,
    "empty": nn.Sequential,
    "another width": lambda: nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1)),
    "compiled": lambda: torch.jit.script(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1))),
    "without numbers": lambda: nn.Linear(6, 1, device="meta"),
    "no module": lambda: 3,
    "a class": lambda: nn.Linear,
}
SPACE = {"learning_rate": (1e-3, 1e-1)}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "train": lambda net, data: luthier.train(net, data, validation=data, steps=2, batch_size=13),
    "train two": lambda net, data: luthier.train(net, data, validation=data, steps=2, seeds=2),
    "find_lr": lambda net, data: luthier.find_lr(net, data, steps=10, seeds=1, confirm=False),
    "diagnose": lambda net, data: luthier.diagnose(net, data, steps=3, controls=False),
    "tune": lambda net, data: luthier.tune(
        lambda h: copy.deepcopy(net), data, SPACE, trials=1, epochs=1, confirm=0, workers=1
    ),
    "transfer": lambda net, data: luthier.transfer(
        net, data, validation=data, epochs=1, seeds=1, most_unfrozen=0, batch_size=40
    ),
}


def outcome(call: str, net: Any, data: tuple[Tensor, Tensor]) -> str:
    """Nothing where it works, the message where it is refused; other errors are let through."""
    before = [tensor.clone() for tensor in data]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.filterwarnings("ignore", module=__name__)  # of lines of the user's own, as in a plain loop
            CALLS[call](net, data)
        message = ""
    except LuthierError as error:
        message = str(error)
        assert message.count("\n") <= 8
    for tensor, kept in zip(data, before, strict=True):
        assert torch.equal(tensor, kept)
    return message


@pytest.mark.parametrize("name", list(WORK))
def test_unusual_modules_work_everywhere(name: str) -> None:
    for call in CALLS:
        message = outcome(call, WORK[name](), DATA["numbers"])
        if call == "find_lr" and "no rate found" in message:
            continue  # of ten steps that is no wonder
        if call == "transfer" and name in ("changes its outputs", "draws", "branches"):
            continue  # their outputs are not those of a linear layer
        if call in ("find_lr", "diagnose") and "Adam does not support sparse gradients" in message:
            continue  # PyTorch's own, which a plain loop would have too
        assert not message, f"{call}: {message}"


@pytest.mark.parametrize("name", list(REFUSED))
@pytest.mark.parametrize("data", list(DATA))
@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_what_cannot_be_trained_is_refused_in_words_of_ours(name: str, data: str) -> None:
    message = {call: outcome(call, REFUSED[name](), DATA[data]) for call in CALLS}
    assert message["train"], f"{name} was trained"


def test_a_function_that_builds_modules_of_several_shapes_is_refused() -> None:
    sizes = iter(range(2, 99))
    with pytest.raises(LuthierError, match="several shapes"):
        luthier.train(lambda: nn.Sequential(nn.Linear(6, next(sizes)), nn.Flatten()), DATA["classes"], seeds=3)


def test_sparse_gradients_and_inputs_that_are_changed_train_as_others_do() -> None:
    """What is special about them changes nothing: the same weights as without it."""
    for odd, plain in ((Sparse(), Sparse(sparse=False)), (Centring(), Odd())):
        plain.load_state_dict(odd.state_dict())
        inputs = X if isinstance(odd, Sparse) else X - 1
        options = {"steps": 5, "seeds": 2, "layout": "looped", "learning_rate": 0.01}
        ours = luthier.train(odd, (X, X[:, :1]), validation=(X, X[:, :1]), **options)
        theirs = luthier.train(plain, (inputs, X[:, :1]), validation=(inputs, X[:, :1]), **options)
        torch.testing.assert_close(ours.state_dict(1), theirs.state_dict(1), rtol=1e-5, atol=1e-6)
