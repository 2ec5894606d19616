"""The contract of a device: the numbers of the processor, in every rule, loss, layout and layer; nothing waits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.gpu.cases import CASES, GRAPHED, difference
from benchmarks.gpu.resuming import Kept, interrupted

from luthier import train
from luthier.engine import Outcome, Population
from luthier.engine.feed import batches_for
from luthier.engine.members.devices import CPU
from luthier.engine.members.masks import Drop, mask, mask_keys, mask_seeds
from luthier.nets import DenseSpec

STEPS = 20
DOUBLE, SINGLE = 1e-9, 1e-4  # relative: sums are in another order, and Adam divides by their square root


def same(ours: Outcome, theirs: Outcome, name: str) -> None:
    assert difference(ours, theirs) <= (SINGLE if CASES[name].single else DOUBLE)
    assert ours.status == theirs.status
    assert ours.parameters.device == CPU


@pytest.mark.parametrize("name", CASES)
def test_a_history_is_the_processors(name: str, device: torch.device) -> None:
    if "augmented" in name:
        pytest.importorskip("kornia")
    same(CASES[name].train(device, steps=STEPS), CASES[name].train(CPU, steps=STEPS), name)


@pytest.mark.parametrize("name", GRAPHED)
def test_a_history_is_the_same_where_steps_are_replayed(name: str, device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("graphs are CUDA's")
    steps = 200  # enough for the longest recording, more than once
    replayed = CASES[name].train(device, steps=steps, cuda_graphs=True)
    same(replayed, CASES[name].train(device, steps=steps), name)


@pytest.mark.parametrize("name", ["rule adam", "dropout", "convolution, vmapped", "LSTM, looped", "folds"])
@pytest.mark.parametrize("there_first", [True, False])
def test_a_training_goes_on_elsewhere(name: str, there_first: bool, device: torch.device) -> None:
    places = (device, CPU) if there_first else (CPU, device)
    same(interrupted(CASES[name], places, steps=STEPS), CASES[name].train(CPU, steps=STEPS), name)


@pytest.mark.parametrize("name", ["rule adam", "dropout", "batch norm, looped"])
def test_a_checkpoint_lies_on_the_processor(name: str, device: torch.device) -> None:
    kept = Kept()
    interrupted(CASES[name], (device, device), steps=STEPS, kept=kept)
    assert {tensor.device for tensor in kept.snapshot.tensors.values()} == {CPU}


@pytest.mark.parametrize(
    "name", ["rule sgd", "rule adam", "dropout", "batch norm", "embeddings", "clipping", "convolution, vmapped"]
)
def test_a_step_does_not_wait_for_the_device(name: str, device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("only CUDA says where a program waits")
    members, (part, _), settings = CASES[name].asked(device, steps=4)
    population = Population.of(members, settings, len(part))
    batches = batches_for(population, part)
    for step in range(3):  # the first steps may look at shapes and read what never changes
        population.step([batches.at(step)], step + 1, population.rates.at(step))
    batch, rates = batches.at(3), population.rates.at(3)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        population.step([batch], 4, rates)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_masks_have_the_same_bits(device: torch.device) -> None:
    def bits(place: torch.device) -> torch.Tensor:
        keys = mask_keys(mask_seeds([0, 7], place), 2, 3)
        return mask(keys[1], Drop.of([0.3, 0.5], torch.float32, place), 33, 17).cpu()

    assert torch.equal(bits(device), bits(CPU))


def test_what_comes_back_lies_on_the_processor(device: torch.device) -> None:
    rows = torch.randn(64, 3), torch.arange(64) % 2
    found = train(DenseSpec(3, (8,), 2), rows, validation=rows, epochs=2, device=str(device))
    assert {value.device for value in found.state_dict().values()} == {CPU}
    outputs = found.module()(rows[0])
    np.testing.assert_allclose(
        torch.nn.functional.cross_entropy(outputs, rows[1]).item(), found.best_validation_loss[0], rtol=1e-5
    )
