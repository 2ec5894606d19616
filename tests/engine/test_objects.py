"""Rules, schedules, metrics and optimisers of PyTorch's as objects beside names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import luthier
from luthier.engine import FileCheckpoint, Member, ModuleSpec, Settings
from luthier.engine import train as loop
from luthier.errors import ConfigError, InputError, LuthierError
from luthier.identity import identity, name_of
from luthier.objective import METRICS, Metric
from luthier.optimise import RULES, Rule, Schedule, hyper_parameters_of
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

g = torch_generator(0, "objects")
X, LABELS = torch.randn(60, 5, generator=g, dtype=torch.float64), torch.randint(0, 3, (60,), generator=g)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def trained(**options: Any) -> luthier.engine.Outcome:
    return luthier.train(
        net, (X, LABELS), **{"steps": 9, "batch_size": 20, "learning_rate": 0.05, "seeds": 2, **options}
    )


def descent(P: Tensor, G: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor], step: int) -> None:
    P.sub_(hyper["rate"] * G)


PLAIN = Rule(lambda P: {}, descent, name="plain")


@pytest.mark.parametrize("layout", ["stacked", "vmapped", "looped"])
def test_a_rule_of_ones_own_trains_in_every_layout(layout: str) -> None:
    ours, known = trained(rule=PLAIN, layout=layout), trained(rule="sgd", momentum=0.0, layout=layout)
    torch.testing.assert_close(ours.parameters, known.parameters, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", ["adam", "lion"])
def test_a_known_rule_as_an_object_is_that_rule(rule: str) -> None:
    assert torch.equal(trained(rule=RULES[rule]).parameters, trained(rule=rule).parameters)


OPTIMISERS = (
    torch.optim.SGD,
    partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01),
    torch.optim.Adam,
    partial(torch.optim.AdamW, amsgrad=True),
    torch.optim.RAdam,
    torch.optim.NAdam,
    torch.optim.Rprop,
    torch.optim.ASGD,
    torch.optim.Adadelta,
    partial(torch.optim.Adagrad, initial_accumulator_value=0.1),
    torch.optim.Adafactor,
)


@pytest.mark.parametrize("make", OPTIMISERS, ids=name_of)
def test_an_optimiser_takes_its_own_steps(make: Callable[..., torch.optim.Optimizer]) -> None:
    """A plain loop's, member by member, bit for bit: the same code on the same numbers."""
    module = net()
    result = luthier.train(
        module, (X, LABELS), rule=make, learning_rate=[0.05, 0.01], schedule="cosine", steps=9, batch_size=60
    )
    assert result.layout == "looped"
    for member, rate in enumerate((0.05, 0.01)):
        copy = net()
        copy.load_state_dict(module.state_dict())
        optimiser = make(copy.parameters(), lr=rate)
        for step in range(9):
            rows = torch.randperm(60, generator=torch_generator(0, "order", step))
            for group in optimiser.param_groups:
                group["lr"] = rate * Schedule("cosine").factor(step, 9)
            optimiser.zero_grad()
            F.cross_entropy(copy(X[rows]), LABELS[rows]).backward()
            optimiser.step()
        for name, value in copy.state_dict().items():
            # The loss is summed in another order than `cross_entropy` does.
            torch.testing.assert_close(result.state_dict(member)[name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("make", OPTIMISERS[1:4], ids=name_of)
@pytest.mark.parametrize("step", [1, 5])
def test_a_training_by_an_optimiser_resumes_exactly(make: Any, step: int, tmp_path: Path) -> None:
    """Its moments are in the checkpoint; members that were cut at a rung are not."""
    spec = ModuleSpec(net)
    members = [Member(spec, seed=k, learning_rate=0.05) for k in range(3)]
    part = Rows(Inputs(numbers=X), LABELS)
    settings = Settings("softmax", make, 20, 9, 2, rungs=((4, 2),), dtype=torch.float64)
    whole, saved = loop(members, part, part, settings), FileCheckpoint(tmp_path / "state", seconds=0.0)
    loop(members, part, part, settings, checkpoint=saved, stop=lambda done: done >= step)
    resumed = loop(members, part, part, settings, checkpoint=saved)
    assert torch.equal(whole.parameters, resumed.parameters)
    assert whole.history.rows == resumed.history.rows


def test_rates_by_layer_become_an_optimisers_groups() -> None:
    factors = (0.1, 1.0)
    result = trained(rule=torch.optim.SGD, layer_rates=factors, layout="looped")
    plain = trained(rule="sgd", momentum=0.0, layer_rates=factors, layout="looped")
    torch.testing.assert_close(result.parameters, plain.parameters, rtol=1e-12, atol=1e-12)


def test_a_module_in_half_precision_is_moved_in_single() -> None:
    result = luthier.train(
        lambda: net().bfloat16(), (X.bfloat16(), LABELS), rule=torch.optim.Adam, steps=6, batch_size=20, layout="looped"
    )
    known = luthier.train(lambda: net().bfloat16(), (X.bfloat16(), LABELS), steps=6, batch_size=20, layout="looped")
    torch.testing.assert_close(result.parameters, known.parameters)


class Listing(torch.optim.SGD):
    def step(self, closure: None = None) -> None:
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["past"] = [1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "adamm"}, "did you mean 'adam'"),
        ({"rule": 3}, "a class of torch.optim, not int"),
        ({"rule": nn.Linear}, "a class of torch.optim, not type"),
        ({"rule": torch.optim.Adam([torch.zeros(1, requires_grad=True)])}, "the class of an optimiser"),
        ({"rule": torch.optim.LBFGS}, "takes many passes of its own"),
        ({"rule": partial(torch.optim.SGD, lr=0.1)}, "learning_rate, not by lr"),
        ({"rule": partial(torch.optim.SGD, speed=0.1)}, "cannot be built"),
        ({"rule": torch.optim.SparseAdam}, "SparseAdam"),
        ({"rule": torch.optim.Muon}, "cannot be built"),
        ({"rule": Listing}, "keeps cannot be saved"),
        ({"rule": torch.optim.SGD, "momentum": 0.5}, "takes its own options"),
        ({"rule": torch.optim.SGD, "layout": "stacked"}, "does not train stacked networks"),
        ({"rule": torch.optim.SGD, "layout": "vmapped"}, "does not train vmapped networks"),
        ({"rule": torch.optim.SGD, "frozen_until": (3, 0)}, "frozen_until"),
        ({"rule": PLAIN._replace(update=lambda P, G, state, hyper, step: 1 / 0)}, "plain cannot make a step"),
        ({"rule": PLAIN._replace(init=lambda: 1)}, "plain cannot make a state"),
        ({"metrics": [min]}, "or a Metric"),
        ({"metrics": METRICS["accuracy"]}, "a list"),
        ({"schedule": 3}, "schedule is a name"),
        ({"schedule": lambda step, total: -1}, "no multiplier of the rate at step 0"),
        ({"schedule": lambda step: 1.0}, "the schedule cannot be computed"),
    ],
)
def test_what_is_not_one_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, ConfigError), match=message):
        trained(**options)


def test_a_dense_spec_refuses_an_optimiser() -> None:
    spec = luthier.DenseSpec(inputs=5, hidden=(4,), outputs=3)
    with pytest.raises(LuthierError, match=r"SGD of torch\.optim"):
        luthier.train(spec, (X, LABELS), rule=torch.optim.SGD, steps=2)


def test_schedules_and_metrics_of_ones_own() -> None:
    right = METRICS["accuracy"].value
    half = Metric(lambda *given: right(*given) / 2, True, ("multiclass",), name="half")
    result = trained(schedule=lambda step, total: 1 - step / total, metrics=["accuracy", half], validation=(X, LABELS))
    known = trained(schedule="linear", validation=(X, LABELS))
    torch.testing.assert_close(result.parameters, known.parameters, rtol=1e-12, atol=1e-12)
    frame = result.history.to_frame()
    torch.testing.assert_close(torch.tensor(frame["half"]) * 2, torch.tensor(frame["accuracy"]))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("rule", PLAIN, PLAIN._replace(update=lambda P, G, s, h, t: P.sub_(2 * h["rate"] * G))),
        ("rule", torch.optim.SGD, partial(torch.optim.SGD, momentum=0.5)),
        ("loss", lambda o, y: F.cross_entropy(o, y), lambda o, y: 2 * F.cross_entropy(o, y)),
        ("schedule", lambda step, total: 0.5, lambda step, total: 0.4),
    ],
)
def test_a_checkpoint_of_other_objects_is_refused(
    name: str, one: Any, other: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileCheckpoint, "due", lambda self: True)
    path = tmp_path / "state"
    first = trained(**{name: one}, checkpoint=path, layout="looped")
    again = trained(**{name: one}, checkpoint=path, layout="looped")
    assert torch.equal(first.parameters, again.parameters)
    with pytest.raises(InputError, match="belongs to another training"):
        trained(**{name: other}, checkpoint=path, layout="looped")


def test_which_hyper_parameters_a_rule_reads() -> None:
    assert hyper_parameters_of(PLAIN) == set()
    assert hyper_parameters_of("sgd") == {"momentum"}
    assert hyper_parameters_of("rmsprop") == {"rho", "epsilon"}


def test_identities_follow_what_is_enclosed() -> None:
    def made(factor: float) -> Any:
        return lambda step, total: factor

    assert identity(made(1.0)) == identity(made(1.0)) != identity(made(2.0))
    assert identity(torch.optim.SGD) != identity(torch.optim.Adam)
    weights = (torch.ones(3), 2 * torch.ones(3))
    assert identity(nn.CrossEntropyLoss(weights[0])) != identity(nn.CrossEntropyLoss(weights[1]))
