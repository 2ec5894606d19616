"""Every fault that is planted in a real training is found; healthy trainings stay silent; nothing is changed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import luthier
from luthier.diagnosis import CHECKS, ROWS, Evaluated, Trace, gap_gate, in_training, look, onsets, optimism
from luthier.errors import InputError
from luthier.labs.faults import FAULTS, planted
from luthier.labs.trainings import KNOWN, diagnosed, healthy, learns
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

X = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_found(code: str) -> None:
    result = diagnosed(planted(code, 2000))
    assert code in {finding.code for finding in result.findings}, str(result)
    finding = next(finding for finding in result.findings if finding.code == code)
    assert finding.sentence
    assert finding.evidence
    assert finding.remedy
    assert finding.source


def test_every_check_has_a_plant_or_a_test_of_its_own() -> None:
    elsewhere = {"gradients-not-cleared"}
    assert {check.code for check in (*CHECKS, *ROWS)} - elsewhere <= set(FAULTS)


def test_healthy_trainings_stay_silent() -> None:
    """One in a hundred may be wrong (docs/diagnosis.md counts 500): of thirty none or one."""
    alarms = {}
    for seed in range(3000, 3030):
        result = diagnosed(healthy(seed, KNOWN))
        if learns(result) and not result.healthy:
            alarms[seed] = [finding.code for finding in result.findings]
    assert len(alarms) <= 1, alarms


def test_nothing_of_the_users_is_changed() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    luthier.diagnose(net, (X, X[:, 0]), optimiser=optimiser, steps=40)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not net.training
    assert not optimiser.state
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


def test_loaders_and_losses_of_ones_own() -> None:
    loader = DataLoader(TensorDataset(X, X[:, 0]), batch_size=30, shuffle=True)
    net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    result = luthier.diagnose(net, loader, loss=lambda z, y: (z - y).abs().mean(), steps=40)
    assert result.trace.losses[-1] < result.trace.losses[0]
    assert result.trace.trivial is None
    assert result.to_json()["checklist"]


def test_too_few_rows_are_said() -> None:
    with pytest.raises(InputError, match="too few rows"):
        luthier.diagnose(nn.Linear(5, 1), (X[:5], X[:5, 0]))


def curve(*points: tuple[float, float], scores: tuple[float, ...] = ()) -> Trace:
    trace = Trace(trivial=1.0)
    for k, (training, validation) in enumerate(points):
        parts = tuple(validation + 0.001 * (-1) ** i for i in range(20))
        score = scores[k] if scores else None
        trace.evaluations.append(Evaluated(10 * (k + 1), training, validation, parts, None, score))
    return trace


def test_both_onsets_of_overfitting() -> None:
    """The cost says one step, the score another: both are reported (S1-80)."""
    losses = [(0.9, 0.9), (0.6, 0.7), (0.4, 0.6), (0.3, 0.65), (0.2, 0.7), (0.1, 0.8), (0.05, 0.9)]
    trace = curve(*losses, scores=(0.5, 0.6, 0.7, 0.75, 0.8, 0.82, 0.81))
    assert onsets(trace) == {"by loss": 30, "by score": 60}
    (finding,) = [f for f in look(trace, CHECKS) if f.code == "overfitting"]
    assert (finding.evidence["onset by loss"], finding.evidence["onset by score"]) == (30, 60)


def test_flat_curves_are_not_overfitting() -> None:
    """A training curve that is flat on both sets is not overfitting by itself (S1-83)."""
    trace = curve((0.9, 0.95), (0.5, 0.55), (0.31, 0.37), *[(0.3, 0.36)] * 9)
    assert [finding.code for finding in look(trace, CHECKS)] == ["both-saturate"]


def test_the_gate_weighs_the_gap_against_its_noise() -> None:
    noisy = Trace(evaluations=[Evaluated(1, 0.5, 0.6, (0.2, 1.0, 0.1, 1.1))])
    sure = Trace(evaluations=[Evaluated(1, 0.5, 0.6, (0.6, 0.601, 0.599, 0.6))])
    gates = gap_gate(noisy), gap_gate(sure)
    assert [gate["closed"] for gate in gates if gate] == [True, False]


def test_optimism_of_a_search() -> None:
    """The best of many trials against fresh seeds of the same setting (S4-45)."""
    rng = np.random.default_rng(0)
    lucky = min(rng.normal(1.0, 0.1, 200))
    finding = optimism(float(lucky), rng.normal(1.0, 0.1, 5).tolist(), 200)
    assert finding is not None
    assert finding.code == "optimism"
    assert optimism(0.99, [1.0, 1.01, 0.98, 1.02], 200) is None


@pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="needs LUTHIER_DATA")
def test_a_real_table_with_shuffled_targets() -> None:
    from luthier.labs.trainings import rows_of

    X, y = rows_of("churn", 0)
    result = luthier.diagnose(
        nn.Sequential(nn.Linear(X.shape[1], 32), nn.ReLU(), nn.Linear(32, 2)),
        (X, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]),
    )
    assert "no-signal" in {finding.code for finding in result.findings}


def test_a_batch_learnt_to_a_loss_of_nothing_has_passed() -> None:
    """Far apart rows reach a loss of exactly 0, which is the best there is."""
    from luthier.diagnosis import overfit_batch
    from luthier.nets import DenseSpec

    y = torch.arange(64) % 2
    far = Rows(
        Inputs(
            numbers=(200.0 * y - 100).unsqueeze(1) + torch.arange(64).unsqueeze(1) / 64, codes=torch.zeros(64, 0).long()
        ),
        y,
    )
    result = overfit_batch(DenseSpec(1, (32,), 2), far, "softmax", seed=0, steps=100)
    assert result["evidence"]["loss"] == 0
    assert result["passed"]


def test_noisy_labels_of_one_input_take_longer_and_are_overfitted() -> None:
    """A sound network gets there with more steps; one without hidden units does not, and is not tried for long."""
    from luthier.diagnosis import overfit_batch
    from luthier.nets import DenseSpec

    x = torch.linspace(-2, 2, 300).unsqueeze(1)
    part = Rows(Inputs(numbers=x), ((x[:, 0] > -1) ^ (x[:, 0] > 0) ^ (x[:, 0] > 1)).long())
    sound = overfit_batch(DenseSpec(1, (32,), 2), part, "softmax", seed=0, steps=60)
    assert sound["passed"]
    assert "after 60 steps" not in sound["sentence"]
    assert not overfit_batch(DenseSpec(1, (), 2), part, "softmax", seed=0, steps=60)["passed"]


def test_a_batch_is_overfitted_until_it_is_or_the_seconds_are_over() -> None:
    from luthier.diagnosis import overfit_batch
    from luthier.nets import DenseSpec

    part = Rows(Inputs(numbers=torch.randn(64, 4, generator=torch_generator(0, "batch"))), torch.arange(64) % 2)
    found = overfit_batch(DenseSpec(4, (64,), 2), part, "softmax", seed=0, steps=2000)
    assert found["passed"]
    assert found["evidence"]["steps"] < 1000
    assert found["evidence"]["loss"] <= found["evidence"]["threshold"]
    short = overfit_batch(DenseSpec(4, (64,), 2), part, "softmax", seed=0, steps=2000, seconds=0.0)
    assert short["evidence"]["cut"]
    assert short["evidence"]["steps"] <= 100
    assert short["passed"] == (short["evidence"]["loss"] < short["evidence"]["start"])


def test_equal_rows_of_several_classes_are_not_to_be_overfitted() -> None:
    from luthier.diagnosis import overfit_batch
    from luthier.nets import DenseSpec

    x = (torch.arange(120) % 3).unsqueeze(1).float()
    labels = torch.randint(0, 2, (120,), generator=torch.Generator().manual_seed(0))
    part = Rows(Inputs(numbers=x), labels)
    result = overfit_batch(DenseSpec(1, (32,), 2), part, "softmax", seed=0, steps=200)
    assert result["passed"]
    assert result["evidence"]["rows"] == 2  # 0 and 2; 1 lies close to both


def test_padding_does_not_learn_and_is_no_wrong_gradient() -> None:
    from luthier.diagnosis import check_gradients
    from luthier.nets.text import TextSpec

    spec = TextSpec(numbers=0, pieces=3, length=3, outputs=1, reader="bag", width=32, pairs=0)
    part = Rows(
        Inputs(numbers=torch.zeros(16, 0), tokens=torch.tensor([[1, 0, 0, 0, 0], [2, 1, 0, 0, 0]] * 8)),
        torch.tensor([0.0, 1.0] * 8),
    )
    for seed in range(3):
        assert check_gradients(spec, part, "binary", seed=seed)["passed"]


def test_a_diagnosis_runs_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the module and of the optimiser's moments lie on the device; the user's own stay where they are."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(X).sum().backward()
    optimiser.step()
    rows = (X, (X[:, 0] > 0).long())
    with pytest.raises(InputError, match="the device 'cuda' is not there"):
        luthier.diagnose(net, rows, device="cuda", steps=5, controls=False)
    here = luthier.diagnose(net, rows, optimiser=optimiser, steps=20, controls=False)
    there = luthier.diagnose(net, rows, optimiser=optimiser, steps=20, controls=False, device="cpu")
    assert here.to_json() == there.to_json()

    meta = torch.device("meta")
    monkeypatch.setattr(in_training, "resolve", lambda name: meta)
    copied, its = in_training._placed(net, optimiser, "cuda")
    assert its is not None
    assert {parameter.device for parameter in copied.parameters()} == {meta}
    assert {id(p) for group in its.param_groups for p in group["params"]} == set(map(id, copied.parameters()))
    assert {state["momentum_buffer"].device for state in its.state.values()} == {meta}
    assert {parameter.device for parameter in net.parameters()} == {torch.device("cpu")}


@pytest.mark.parametrize(
    "targets",
    [
        lambda y: y - 1,
        lambda y: y + 10**12,  # an array with a place for each number would be 8 TB
        lambda y: y + 0.5,
        lambda y: torch.where(torch.arange(len(y)) == 2999, 7, y),  # of a row that is not looked at
    ],
)
def test_targets_that_are_not_classes_are_refused(targets: Any) -> None:
    X = torch.randn(3000, 4, generator=torch_generator(0, "targets"))
    y = targets((X[:, 0] > 0).long())
    with pytest.raises(InputError, match="a label is not a class"):
        luthier.diagnose(nn.Linear(4, 2), (X, y), validation=(X[:50], y[:50]), loss="softmax", steps=2)


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        (nn.CrossEntropyLoss(), 3, lambda X: torch.softmax(4 * X[:, :3], 1)),  # shares of classes
        ("binary", 1, lambda X: torch.sigmoid(4 * X[:, 0])),
        ("mse", 1, lambda X: (4 * X[:, 0]).round().long()),  # whole numbers that are values
    ],
)
def test_controls_of_targets_that_are_not_labels(loss: Any, outputs: int, targets: Any) -> None:
    X = torch.randn(300, 4, generator=torch_generator(0, "shares"))
    result = luthier.diagnose(nn.Linear(4, outputs), (X, targets(X)), loss=loss, steps=1)
    assert not {finding.code for finding in result.findings} & {"no-signal", "label-noise"}
    if isinstance(loss, str):  # of a loss of one's own nothing says what a signal is
        assert result.measured["signal"]["real"] < result.measured["signal"]["shuffled"]
