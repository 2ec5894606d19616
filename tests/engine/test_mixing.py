"""Rows changed by chance: mix-up is what its formula says, noise has its deviation, and a run may keep either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import luthier
from luthier.engine import Member, Population, Settings, train
from luthier.engine.feed import batches_for
from luthier.errors import InputError
from luthier.nets import ConvSpec, DenseSpec, TextSpec
from luthier.rows import Inputs, Rows
from luthier.seeds import derive, torch_generator

SETTINGS = Settings("softmax", "sgd", 20, 40, 20, batch_seed=3)


def part(rows: int = 100) -> Rows:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(rows, 4, generator=generator)
    return Rows(Inputs(numbers=X), (X[:, 0] > 0).long() + (X[:, 1] > 0).long())


def population(**changes: float) -> Population:
    member = Member(DenseSpec(inputs=4, hidden=(5,), outputs=3), 0, 0.1, **changes)
    return Population.of([member], SETTINGS, 100)


def test_mixed_rows_and_targets_are_the_formulas() -> None:
    plain, mixed = batches_for(population(), part()).at(7), batches_for(population(mixup=0.4), part()).at(7)
    share = float(np.random.default_rng(derive(3, "mix", 7)).beta(0.4, 0.4))
    share = max(share, 1 - share)
    other = torch.randperm(20, generator=torch_generator(3, "changes", 7))
    torch.testing.assert_close(
        mixed.inputs.numbers, share * plain.inputs.numbers + (1 - share) * plain.inputs.numbers[other]
    )
    soft = F.one_hot(plain.targets, 3).float()
    torch.testing.assert_close(mixed.targets, share * soft + (1 - share) * soft[other])
    assert mixed.inputs.numbers[:, -1].eq(1).all()  # the input of the biases


def test_the_loss_of_mixed_targets_is_the_mix_of_losses() -> None:
    """Cross-entropy is linear in its targets, so both ways of writing mix-up are one."""
    torch.manual_seed(0)
    Z, a, b = torch.randn(6, 3), torch.randint(3, (6,)), torch.randint(3, (6,))
    soft = 0.7 * F.one_hot(a, 3) + 0.3 * F.one_hot(b, 3)
    torch.testing.assert_close(F.cross_entropy(Z, soft), 0.7 * F.cross_entropy(Z, a) + 0.3 * F.cross_entropy(Z, b))


def test_noise_has_its_deviation_and_is_new_at_each_step() -> None:
    plain, noisy = batches_for(population(), part()), batches_for(population(noise=0.3), part())
    added = [noisy.at(step).inputs.numbers[:, :-1] - plain.at(step).inputs.numbers[:, :-1] for step in range(50)]
    assert float(torch.cat(added).std()) == pytest.approx(0.3, rel=0.05)
    assert not added[0].equal(added[5])
    assert noisy.at(3).inputs.numbers.equal(batches_for(population(noise=0.3), part()).at(3).inputs.numbers)


def test_bytes_are_mixed_as_numbers_between_0_and_1() -> None:
    X = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    rows = Rows(Inputs(numbers=X), torch.arange(40) % 3)
    member = Member(ConvSpec((1, 8, 8), (4,), 3), 0, 0.1, mixup=0.2)
    batch = batches_for(Population.of([member], SETTINGS, 40), rows).at(0)
    assert 0 <= float(batch.inputs.numbers.min()) <= float(batch.inputs.numbers.max()) <= 1
    assert np.isfinite(train([member], rows, rows, SETTINGS).best_validation_loss).all()


def test_networks_learn_from_changed_rows() -> None:
    rows = part(400)
    settings = Settings("softmax", "adam", 20, 300, 100)
    members = [Member(DenseSpec(inputs=4, hidden=(16,), outputs=3), s, 0.01, noise=0.1, mixup=0.2) for s in (0, 1)]
    assert train(members, rows, rows, settings).best_validation_loss.max() < 0.5


def test_networks_of_several_strengths_are_those_of_each_alone(tmp_path: Path) -> None:
    rows, noises, mixed = part(200), [0.0, 0.2, 0.0, 0.2], [0.0, 0.0, 0.3, 0.0]
    spec = DenseSpec(inputs=4, hidden=(6,), outputs=3)
    usual = {"validation": part(60), "epochs": 3, "seeds": [1, 2], "batch_size": 20, "every_step": True}
    kept = tmp_path / "kept"
    result = luthier.train(spec, rows, noise=noises, mixup=mixed, checkpoint=kept, **usual)
    for place, (noise, mixup) in enumerate(zip(noises, mixed, strict=True)):
        alone = luthier.train(spec, rows, noise=noise, mixup=mixup, **usual)
        both = slice(2 * place, 2 * place + 2)
        torch.testing.assert_close(result.parameters[both], alone.parameters)
        assert result.best_validation_loss[both] == pytest.approx(alone.best_validation_loss)
        assert result.history.steps[0][:, both] == pytest.approx(np.concatenate(alone.history.steps), rel=1e-5)
    assert [(member.noise, member.mixup, member.seed) for member in result.members] == [
        (noise, mixup, seed) for noise, mixup in zip(noises, mixed, strict=True) for seed in (1, 2)
    ]
    again = luthier.train(spec, rows, noise=noises, mixup=mixed, checkpoint=kept, **usual)
    assert again.parameters.equal(result.parameters)


def test_what_cannot_be_mixed_is_refused() -> None:
    with pytest.raises(InputError, match="same noise and mixup"):
        Population.of(
            [Member(DenseSpec(inputs=4, hidden=(), outputs=3), 0, 0.1, noise=n) for n in (0.0, 0.1)], SETTINGS, 9
        )
    spec = TextSpec(numbers=0, pieces=9, length=4, outputs=3)
    with pytest.raises(InputError, match="noise and mixup cannot be used with text"):
        batches_for(Population.of([Member(spec, 0, 0.1, mixup=0.2)], SETTINGS, 9), part())
