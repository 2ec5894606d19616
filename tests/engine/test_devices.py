"""Devices by name, what does not go with them, and populations that a device's memory is too small for."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import luthier
from luthier.engine import Member, Settings, feed, placing, timing
from luthier.engine.members import devices
from luthier.engine.members.batches import CarriedBatches
from luthier.engine.members.devices import CPU, home_of, resolve, within_memory
from luthier.engine.placing import candidates, carried
from luthier.errors import InputError, LuthierError
from luthier.nets import DenseSpec
from luthier.objective import Criterion
from luthier.rows import Inputs, Rows

GPUS = ["cpu", "cuda:0", "cuda:1"]
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(90, 4, generator=GENERATOR)
ROWS = X, (X[:, 0] > 0).long()


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two, the second of which PyTorch is set to."""
    monkeypatch.setattr(devices, "available", lambda: GPUS)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cpu", "cpu"),
        ("cpu:0", "cpu"),
        ("cuda", "cuda:1"),
        ("cuda:0", "cuda:0"),
        (torch.device("cuda"), "cuda:1"),
        ("auto", "cuda:0"),
    ],
)
def test_names(name: str | torch.device, found: str) -> None:
    assert resolve(name) == torch.device(found)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["cuda:2", "gpu", "", "CPU", "mps", "cuda:-1", None, 3])
def test_what_is_not_there_is_named_with_what_is(name: Any) -> None:
    with pytest.raises(InputError, match=f"'{name}' is not there\n.*auto, cpu, cuda:0, cuda:1"):
        resolve(name)


@pytest.mark.usefixtures("two_gpus")
def test_where_networks_may_train() -> None:
    there, second = torch.device("cuda:0"), torch.device("cuda:1")
    assert candidates("auto", CPU, processes=1) == [there, CPU]
    assert candidates("auto", second, processes=1) == [second]
    assert candidates("auto", CPU, processes=2) == [CPU]
    assert candidates("cuda:1", CPU, processes=1) == [second]
    with pytest.raises(InputError, match="processes cannot share an accelerator"):
        candidates("cuda", CPU, processes=2)


def test_a_module_on_two_devices_is_refused() -> None:
    tensors = [SimpleNamespace(device=torch.device(name)) for name in ("cpu", "cuda:0", "cpu")]
    module: Any = SimpleNamespace(parameters=lambda: tensors[:2], buffers=lambda: tensors[2:])
    with pytest.raises(InputError, match=re.escape('received: cpu, cuda:0\n  try: module.to("cuda:0")')):
        home_of(module)
    assert home_of(nn.Linear(2, 1)) == home_of(nn.ReLU()) == CPU


def test_memory_that_ends_is_said() -> None:
    with pytest.raises(LuthierError, match="memory is exceeded\n  received: CUDA out of memory"), within_memory():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity")


def test_networks_that_do_not_fit_train_in_turns_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"learning_rate": [0.01, 0.02, 0.03], "epochs": 2, "seeds": 2, "validation": ROWS}
    together = luthier.train(DenseSpec(4, (8,), 2), ROWS, **asked)
    monkeypatch.setattr(placing, "free_memory", lambda device: 20_000)
    apart = luthier.train(DenseSpec(4, (8,), 2), ROWS, **asked)
    (said,) = [finding for finding in apart.findings if finding.code == "turns"]
    assert said.evidence["turns"] > 1
    assert "6 networks train in" in said.sentence
    torch.testing.assert_close(apart.parameters, together.parameters)
    assert [row[:3] for row in apart.history.rows] == [row[:3] for row in together.history.rows]
    monkeypatch.setattr(placing, "free_memory", lambda device: 100)
    with pytest.raises(LuthierError, match="one network does not fit into the memory of cpu"):
        luthier.train(DenseSpec(4, (8,), 2), ROWS, **asked)


def test_rows_that_do_not_fit_are_carried_there(monkeypatch: pytest.MonkeyPatch) -> None:
    known = luthier.train(DenseSpec(4, (8,), 2), ROWS, epochs=2)
    made = list[CarriedBatches]()

    class Seen(CarriedBatches):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(feed, "fits", lambda nbytes, device: False)
    monkeypatch.setattr(feed, "CarriedBatches", Seen)
    found = luthier.train(DenseSpec(4, (8,), 2), ROWS, epochs=2)
    assert len(made) == 1
    assert torch.equal(found.parameters, known.parameters)


def test_auto_takes_what_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.engine.api.candidates", lambda *given, **options: [CPU, CPU])
    found = luthier.train(DenseSpec(4, (8,), 2), ROWS, epochs=1)
    (said,) = [finding for finding in found.findings if finding.code == "device"]
    assert said.evidence["device"] == "cpu"
    assert "the networks train on cpu: a step takes" in said.sentence


def test_what_does_not_fit_is_timed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[int]()

    def steps(population: Any, training: Any) -> float:
        taken.append(len(population.members))
        if len(population.members) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return 1.0

    monkeypatch.setattr(timing, "_steps", steps)
    members = [Member(DenseSpec(4, (8,), 2), seed, 0.01) for seed in range(6)]
    part = Rows(Inputs(numbers=X), ROWS[1])
    found = timing.seconds_by_device(members, part, Settings("softmax", "adam", 8, 1, 1), [CPU])
    assert taken == [6, 3, 2]
    assert found == {"cpu": 3.0}


def test_a_loss_with_tensors_goes_along() -> None:
    weighted = Criterion(nn.CrossEntropyLoss(weight=torch.ones(2)))
    moved = carried(weighted, torch.device("meta"))
    assert isinstance(moved, Criterion)
    assert moved.function.weight.is_meta  # type: ignore[attr-defined]
    assert not weighted.function.weight.is_meta  # type: ignore[attr-defined]
    assert carried("softmax", torch.device("meta")) == "softmax"


@pytest.mark.parametrize(("outputs", "rows"), [(2, 4096), (1000, 2**22 // 2000)])
def test_an_evaluation_is_timed_on_few_rows(outputs: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 160,000 rows took most of a run's minute."""
    seen, original = list[int](), timing.measured

    def measured(population: Any, held_out: Any, losses: Any) -> Any:
        seen.append(sum(map(len, held_out.values())))
        return original(population, held_out, losses)

    monkeypatch.setattr(timing, "measured", measured)
    part = Rows(Inputs(numbers=torch.zeros(9000, 3)), torch.arange(9000) % 2)
    members = [Member(DenseSpec(3, (4,), outputs), seed, 0.1) for seed in range(2)]
    step, evaluation = timing.step_time(members, part, part, loss="softmax", rule="sgd", batch_size=10)
    assert seen == [rows]
    assert min(step, evaluation) > 0
