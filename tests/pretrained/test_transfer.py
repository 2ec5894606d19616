"""Transfer: what is frozen is frozen to the bit, a related task gains from it, and how far to unfreeze is measured."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import luthier
from luthier.errors import InputError
from luthier.nets.blocks import freeze_all_but
from luthier.pretrained.transfer import transfer


def digits(wanted: range, rows: int | None = None, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [N, 1, 8, 8] of some digits, their labels counted from 0."""
    result = load_digits()
    X, y = torch.tensor(result.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(result.target)
    these = torch.isin(y, torch.tensor(list(wanted)))
    X, y = X[these], y[these] - wanted.start
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:rows]
    return X[order], y[order]


def network(outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(96, outputs),
    )


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    """Knows the ten digits, from other pictures than the tests'."""
    X, y = digits(range(10))
    result = luthier.train(
        network(10), (X[700:], y[700:]), validation=(X[500:700], y[500:700]), epochs=10, learning_rate=3e-3
    )
    assert float(result.best_validation_loss[0]) < 0.2
    return result.module()


def test_what_is_frozen_stays_bit_for_bit() -> None:
    X, y = digits(range(5, 10), 120)
    net = network(5)
    before = copy.deepcopy(net.state_dict())
    result = luthier.train(freeze_all_but(net, ["3"]), (X, y), epochs=3, learning_rate=1e-2).module()
    after = result.state_dict()
    changed = [name for name, value in before.items() if not value.equal(after[name])]
    assert changed == ["3.weight", "3.bias"]  # the running averages of batch norm stayed too


def test_no_depth_is_begun_after_enough(backbone: nn.Module) -> None:
    X, y = digits(range(10), 160)
    parts, asked = ((X[:80], y[:80]), (X[80:], y[80:])), iter([False, True, False])
    result = transfer(backbone, parts[0], validation=parts[1], epochs=1, seeds=1, enough=lambda: next(asked, True))
    assert [option["unfrozen"] for option in result.options] == [0, 1]


def test_a_related_task_gains_from_it(backbone: nn.Module) -> None:
    """Odd or even, from forty pictures: what tells digits apart lowers the error of a network from scratch."""
    X, y = digits(range(10))
    X, y = X[:500], y[:500] % 2
    training, validation, test = (X[:40], y[:40]), (X[40:140], y[40:140]), (X[140:], y[140:])
    kept = copy.deepcopy(backbone.state_dict())
    result = transfer(backbone, training, validation=validation, epochs=20, batch_size=10)
    assert all(value.equal(backbone.state_dict()[name]) for name, value in kept.items())
    counts = [option["unfrozen"] for option in result.options if not option.get("whole")]
    assert counts[:2] == [0, 1]
    assert counts == sorted(set(counts))
    assert "blocks unfrozen below the head" in str(result)
    scratch = luthier.train(
        network(2), training, validation=validation, epochs=40, batch_size=10, learning_rate=[1e-3, 3e-3, 1e-2]
    ).module()

    def error(net: nn.Module) -> float:
        with torch.no_grad():
            return 1 - float((net(test[0]).argmax(1) == test[1]).double().mean())

    assert error(result.module) < 0.85 * error(scratch)


def test_a_backbone_that_says_too_little_is_unfrozen() -> None:
    """Three random numbers of a picture tell few digits apart: what makes them has to learn, and gains clearly."""
    torch.manual_seed(0)
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 10))
    X, y = digits(range(10), 700)
    result = transfer(narrow, (X[:450], y[:450]), validation=(X[450:], y[450:]), epochs=40)
    assert result.unfrozen >= 1
    chosen = result.options[result.taken]
    assert chosen["gain"]["clear"]
    assert chosen["loss"] < result.options[0]["loss"]


def test_the_whole_network_is_tried_against_one_that_was_cut() -> None:
    """The last block says nothing and the first much, so the network ends there; unless the whole of it learns more."""
    torch.manual_seed(0)
    deep = nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(64, 32), nn.ReLU()),
        nn.Sequential(nn.Linear(32, 2), nn.Tanh()),
        nn.Linear(2, 10),
    )
    X, y = digits(range(10), 500)
    result = transfer(deep, (X[:350], y[:350]), validation=(X[350:], y[350:]), epochs=10)
    whole = result.options[-1]
    assert whole["whole"]
    assert whole["unfrozen"] == 2
    if result.ends_at:  # it stays cut, for the whole of it does not gain clearly
        assert not (whole["gain"]["clear"] and whole["gain"]["gain"] > 0)
        assert whole["gain"]["gain"] == pytest.approx(result.options[result.taken]["loss"] - whole["loss"], abs=1e-5)
        assert result.taken < len(result.options) - 1
        assert "of the whole network" in str(result)
    else:
        assert result.taken == len(result.options) - 1


@pytest.fixture(scope="module")
def advised(backbone: nn.Module) -> dict[tuple[str, int], dict[str, Any]]:
    """What the rule of thumb says, two by two: digits, which the backbone knows, or labels that pixels say nothing of;
    40 pictures or 240 of two classes."""
    X, y = digits(range(10), 480)
    chance = torch.randint(2, (480,), generator=torch.Generator().manual_seed(0))
    result = {}
    for kind, targets in (("similar", (y >= 5).long()), ("different", chance)):
        for rows in (40, 240):
            training, validation = (X[:rows], targets[:rows]), (X[300:], targets[300:])
            found = transfer(backbone, training, validation=validation, epochs=1, most_unfrozen=1)
            result[kind, rows] = found.advice
    return result


def test_the_rule_of_thumb_goes_by_how_many_pictures_and_how_alike(
    advised: dict[tuple[str, int], dict[str, Any]],
) -> None:
    found = {name: (advice["few"], advice["similar"]) for name, advice in advised.items()}
    assert found == {
        ("similar", 40): (True, True),
        ("similar", 240): (False, True),
        ("different", 40): (True, False),
        ("different", 240): (False, False),
    }


def test_the_more_pictures_and_the_less_alike_the_more_blocks_learn(
    advised: dict[tuple[str, int], dict[str, Any]],
) -> None:
    assert [advised[name]["blocks"] for name in (("similar", 40), ("similar", 240), ("different", 240))] == [0, 1, 4]
    assert advised["different", 40]["blocks"] == 1


def test_a_module_without_a_head_is_refused() -> None:
    X, y = digits(range(5), 30)
    with pytest.raises(InputError, match="no linear layer"):
        transfer(nn.Sequential(nn.Conv2d(1, 5, 8), nn.Flatten()), (X, y), validation=(X, y))


class HeadFirst(nn.Module):
    """Makes its head first, another one last, and uses neither in that order."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 10)
        self.late, self.early, self.side = nn.Linear(32, 16), nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = torch.relu(self.early(x.flatten(1)))
        result = self.head(torch.relu(self.late(below)))
        self.side(below)  # computed for a loss of its own, and not handed back
        return result


@pytest.fixture(scope="module")
def some() -> tuple[torch.Tensor, torch.Tensor]:
    return digits(range(4), 80)


@pytest.mark.parametrize("kind", ["plain", "DataParallel", "half", "bfloat16", "double"])
def test_the_head_is_the_layer_that_computes_the_outputs(kind: str, some: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    net: nn.Module = HeadFirst()
    net = {"half": net.half, "bfloat16": net.bfloat16, "double": net.double}.get(kind, lambda: net)()
    net = nn.DataParallel(net) if kind == "DataParallel" else net
    before = copy.deepcopy(net.state_dict())
    result = luthier.transfer(net, some, validation=some, epochs=1, seeds=1)
    names = [one["block"] for one in result.cut]
    assert names == ["early", "late"]
    assert all(value.equal(net.state_dict()[name]) for name, value in before.items())
    assert result.module(some[0]).shape == (80, 4)
    assert result.module(some[0]).dtype == torch.float32
    inside = dict(result.module.named_modules())
    if not result.ends_at:
        assert (inside["head"].out_features, inside["side"].out_features) == (4, 10)


def test_targets_of_every_shape_get_a_head_of_their_own(some: tuple[torch.Tensor, torch.Tensor]) -> None:
    X, y = some
    flat = X.flatten(1)
    cases = {
        "classes": (y, None, 4),
        "a column of classes": (y[:, None], None, 4),
        "numbers": (flat[:, 20], None, 1),
        "a column": (flat[:, 20:21], None, 1),
        "three": (flat[:, 20:23], None, 3),
        "yes or no": ((y > 1).long(), "binary", 1),
        "labels": ((flat[:, 20:23] > 0.3).float(), "binary", 3),
        "PyTorch's": (y, nn.CrossEntropyLoss(), 4),
    }
    for name, (targets, loss, outputs) in cases.items():
        result = luthier.transfer(
            HeadFirst(), (X, targets), validation=(X, targets), loss=loss, epochs=1, seeds=1, most_unfrozen=0
        )
        assert result.module(X).shape == (80, outputs), name


class Odd(HeadFirst):
    def __init__(self, of: object) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.of(super().forward(x))  # type: ignore[operator]


class Twice(nn.Module):
    """Uses a layer twice: the first, or with `last` the one that computes the outputs."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.first, self.head, self.last = nn.Linear(64, 64), nn.Linear(64, 64), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = self.first(x.flatten(1)).relu()
        return self.head((self.head(below) if self.last else self.first(below)).relu())


def test_a_layer_that_is_used_twice_learns_and_one_that_makes_the_outputs_is_refused(
    some: tuple[torch.Tensor, torch.Tensor],
) -> None:
    options: dict[str, Any] = {"validation": some, "epochs": 1, "seeds": 1, "most_unfrozen": 1}
    assert luthier.transfer(Twice(last=False), some, **options).module(some[0]).shape == (80, 4)
    with pytest.raises(InputError, match="`head`, which computes the outputs, is used elsewhere"):
        luthier.transfer(Twice(last=True), some, **options)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda o: o.softmax(1), "after softmax"),
        (lambda o: (o, o), "cannot be learnt from"),
        (lambda o: o.view(-1, 2, 5), "not those of a linear layer"),
        (lambda o: o.half() @ torch.ones(10, 10), "fails on the data"),
    ],
)
def test_outputs_of_no_linear_layer_are_refused(
    of: object, message: str, some: tuple[torch.Tensor, torch.Tensor]
) -> None:
    with pytest.raises(InputError, match=message):
        luthier.transfer(Odd(of), some, validation=some, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "softmx"}, "did you mean 'softmax'"),
        ({"loss": lambda o, t: o.mean()}, "a loss of single rows"),
        ({"outputs": 2}, "labels from 0 to 3"),
        ({"epochs": "ten"}, "epochs is a number above 0"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_meant_is_said(
    options: dict[str, object], message: str, some: tuple[torch.Tensor, torch.Tensor]
) -> None:
    with pytest.raises(InputError, match=message):
        luthier.transfer(HeadFirst(), some, **{"validation": some, "epochs": 1, **options})  # type: ignore[arg-type]


class Counted(nn.Linear):
    """A layer that counts the rows that pass it, over all of its copies."""

    rows = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counted.rows += len(x)
        return super().forward(x)


def test_frozen_blocks_are_worked_out_once_for_all_steps_above() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Counted(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    X = torch.randn(200, 6)
    y = (X[:, 0] * X[:, 1] > 0).long()
    parts, counts = ((X[:100], y[:100]), (X[100:], y[100:])), []
    for most in (1, 2):
        Counted.rows = 0
        result = luthier.transfer(net, parts[0], validation=parts[1], epochs=20, most_unfrozen=most)
        assert len(result.options) == 1 + most
        counts.append(Counted.rows)
    assert counts[0] < 20 * 100  # an epoch of each of its trainings, two seeds' and a range test's, would be more
    assert counts[1] - counts[0] >= 2 * 20 * 100  # a block that learns itself is run at every step
