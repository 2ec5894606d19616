"""Convolutional networks and augmentation: against plain PyTorch, member by member, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from luthier.engine import Member, ModuleSpec, Settings, train
from luthier.errors import ConfigError
from luthier.nets import AUGMENTATIONS, Augment, ConvSpec, build, spec_from_json
from luthier.rows import Inputs, Rows

SPEC = ConvSpec((2, 8, 8), (4, 6), 3, convolutions=2, residual=True, mean=(0.4, 0.5), std=(0.2, 0.3))


def pictures(rows: int = 40, channels: int = 2, side: int = 8, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randint(0, 256, (rows, channels, side, side), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 3, (rows,), generator=generator)
    return Rows(Inputs(numbers=X), y)


def test_a_spec_comes_back() -> None:
    spec = ConvSpec((1, 28, 28), (16, 32, 64), 10, dropout=0.25, augment=(("shift", 0.1), ("rotation", 10.0)))
    assert spec_from_json(spec.to_json()) == spec
    assert spec.sides == (3, 3)


def test_a_member_trains_as_plain_pytorch_does() -> None:
    """Adam over eight steps in float64, batch norm's averages included, to 1e-9."""
    part = pictures()
    settings = Settings(loss="softmax", rule="adam", batch_size=40, steps=8, evaluate_every=8, dtype=torch.float64)
    spec = ModuleSpec(build(SPEC, seed=0).double(), built_by=lambda seed: build(SPEC, seed=seed).double())
    members = [Member(spec, seed, 0.01) for seed in (3, 4)]
    result = train(members, part, None, settings)
    for place, member in enumerate(members):
        net = build(SPEC, seed=member.seed).double().train()
        optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(8):
            optimiser.zero_grad()
            F.cross_entropy(net(part.numbers), part.targets).backward()
            optimiser.step()
        state = result.state_dict(place)
        for name, value in net.state_dict().items():
            torch.testing.assert_close(state[name].to(value.dtype), value, rtol=1e-9, atol=1e-9, msg=name)


def test_a_members_augmentation_is_its_own() -> None:
    """What a member is shown comes from its own generator: alone or in company, it learns the same."""
    spec = ConvSpec((1, 8, 8), (4,), 3, augment=(("shift", 0.1), ("noise", 0.05)))
    part = pictures(channels=1)
    settings = Settings(loss="softmax", rule="sgd", batch_size=16, steps=6, evaluate_every=6)
    members = [Member(spec, seed, 0.05) for seed in (1, 2, 3)]
    together, alone = train(members, part, None, settings), train(members[1:2], part, None, settings)
    for name, value in alone.state_dict(0).items():
        assert value.equal(together.state_dict(1)[name]), name


def test_gradients_agree_with_finite_differences() -> None:
    from luthier.diagnosis import check_gradients

    result = check_gradients(SPEC, pictures(), "softmax", seed=0)
    assert result["passed"], result
    assert result["evidence"]["worst"] < 1e-6


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_each_change_is_for_training_alone(name: str) -> None:
    X = torch.rand(12, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    augment = Augment(((name, AUGMENTATIONS[name].strengths[0]),))
    assert augment.eval()(X).equal(X)
    torch.manual_seed(0)
    changed = augment.train()(X)
    assert changed.shape == X.shape
    assert changed.isfinite().all()
    assert not changed.equal(X)
    torch.manual_seed(0)
    assert augment(X).equal(changed)  # all that is drawn comes from PyTorch's generator


def test_what_each_change_does() -> None:
    spot = torch.zeros(64, 1, 29, 29)
    spot[:, :, 14, 20] = 1.0

    def centres(name: str, strength: float) -> np.ndarray:
        torch.manual_seed(0)
        changed = Augment(((name, strength),)).train()(spot)[:, 0]
        total = changed.sum((1, 2)).clamp_min(1e-9)
        indices = torch.arange(29.0)
        x, y = (changed.sum(1) @ indices) / total, (changed.sum(2) @ indices) / total
        return torch.stack([x - 14, y - 14], 1).numpy()

    moved = centres("shift", 0.1)
    assert np.abs(moved - [6, 0]).max() <= 2.9 + 0.6
    assert np.abs(moved - [6, 0]).max() > 1.5
    turned = centres("rotation", 30.0)
    angles = np.degrees(np.arctan2(turned[:, 1], turned[:, 0]))
    assert 15 < np.abs(angles).max() <= 31
    assert np.hypot(*turned.T) == pytest.approx(6, abs=0.5)
    scaled = np.hypot(*centres("scale", 0.2).T)
    assert 4.5 < scaled.min() < 5.7 < 6.3 < scaled.max() < 7.6
    flipped = centres("flip", 0.5)[:, 0]
    assert 0.25 < (flipped < 0).mean() < 0.75
    assert np.abs(flipped) == pytest.approx(6, abs=0.1)


def test_elastic_shifts_are_those_of_simard_and_others() -> None:
    side, rows = 28, 2000
    torch.manual_seed(0)
    ramp = (torch.arange(side) / side).expand(rows, 1, side, side)
    shifts = side * (Augment((("elastic", 1.4),)).train()(ramp) - ramp)[:, 0].numpy()
    uniform = np.random.default_rng(0).uniform(-1, 1, (rows, side, side))
    printed = 34 * np.stack([gaussian_filter(field, 4.0, mode="wrap") for field in uniform])
    middle, beside = (slice(None), 14, 14), (slice(None), 14, 18)
    for field in (shifts, printed):  # bounds are four standard errors of 2,000 fields
        assert field[middle].std() == pytest.approx(1.4, rel=0.06)
        assert np.corrcoef(field[middle], field[beside])[0, 1] == pytest.approx(np.exp(-0.25), abs=0.04)
    large = (torch.arange(4 * side) / side / 4).expand(rows // 4, 1, 4 * side, 4 * side)
    shifts = 4 * side * (Augment((("elastic", 1.4),)).train()(large) - large)[:, 0].numpy()
    assert shifts[:, 56, 56].std() == pytest.approx(4 * 1.4, rel=0.1)


def test_what_cannot_be_a_network() -> None:
    with pytest.raises(ConfigError, match="too many for 8 x 8 pixels: at most 3"):
        ConvSpec((1, 8, 8), (4, 8, 16, 32), 2)
    with pytest.raises(ConfigError, match="'shft' is not an augmentation"):
        ConvSpec((1, 8, 8), (4,), 2, augment=(("shft", 0.1),))
    with pytest.raises(ConfigError, match="mean has 2 numbers for 1 channels"):
        ConvSpec((1, 8, 8), (4,), 2, mean=(0.1, 0.2))
    with pytest.raises(ConfigError, match="flip: at most 1"):
        Augment((("flip", 2.0),))
