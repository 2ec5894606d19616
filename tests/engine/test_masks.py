"""Dropout masks from counters: SplitMix64 as published, whatever the company, the processes and the order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import luthier
from luthier.engine.members.masks import FIRST, SECOND, STEP, Drop, LayerMasks, mask, mask_keys, mask_seeds

WORD = 1 << 64


def split_mix(z: int) -> int:
    """SplitMix64's finaliser, in Python's own integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


def test_bits_are_those_of_the_published_hash() -> None:
    assert [value % WORD for value in (STEP, FIRST, SECOND)] == [
        0x9E3779B97F4A7C15,
        0xBF58476D1CE4E5B9,
        0x94D049BB133111EB,
    ]
    keys, rows, units = mask_keys(mask_seeds([0, 7]), 1, 3)[0], 5, 9
    result = mask(keys, Drop.of([0.3, 0.3], torch.float64), rows, units)
    for m, key in enumerate(keys.tolist()):
        for row in range(rows):
            for unit in range(units):
                word = split_mix((key + (row * 3 + unit // 4) * STEP) % WORD)
                bits = (word >> (16 * (unit % 4))) % (1 << 16)
                signed = bits - (1 << 16) if bits >= 1 << 15 else bits
                assert bool(result[m, row, unit]) == (signed >= round(0.3 * (1 << 16)) - (1 << 15))


def test_a_mask_does_not_depend_on_company_shares_or_what_was_drawn_before() -> None:
    seeds, drops = mask_seeds(range(5)), torch.tensor([[0.2, 0.5]] * 5)
    everyone = LayerMasks(seeds, drops, (8, 6), torch.float32)
    whole = everyone(number=100, rows=20)
    for m in (0, 3):
        alone = LayerMasks(seeds[m : m + 1], drops[:1], (8, 6), torch.float32)
        alone(number=3, rows=9)
        for mine, all_of_them in zip(alone(number=100, rows=20), whole, strict=True):
            assert torch.equal(mine[0], all_of_them[m])
    for part, mask_of_all in zip(everyone(number=100, rows=7, start=13), whole, strict=True):
        assert torch.equal(part, mask_of_all[:, 13:])


def test_masks_of_steps_layers_members_rows_and_units_are_unrelated() -> None:
    """Correlations of 400,000 draws: their standard error is 0.0016, and five of those are never met by chance."""
    seeds, drop = mask_seeds(range(2)), Drop.of([0.5, 0.5], torch.float64)
    keys = torch.stack([mask_keys(seeds, 2, number) for number in range(2)])  # [steps, layers, members]
    drawn = torch.stack([torch.stack([mask(layer, drop, 500, 800) for layer in step]) for step in keys])
    kept = (drawn > 0).double() - 0.5

    def related(a: Tensor, b: Tensor) -> float:
        return float((a * b).mean() / 0.25)

    pairs = {
        "steps": (kept[0], kept[1]),
        "layers": (kept[:, 0], kept[:, 1]),
        "members": (kept[:, :, 0], kept[:, :, 1]),
        "rows": (kept[..., 1:, :], kept[..., :-1, :]),
        "units": (kept[..., 1:], kept[..., :-1]),
        "words": (kept[..., 4:], kept[..., :-4]),
    }
    assert {name: abs(related(*pair)) < 0.008 for name, pair in pairs.items()} == dict.fromkeys(pairs, True)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.75, 0.999, 1.0])
def test_the_expected_mask_is_one(p: float) -> None:
    result = mask(mask_seeds([4]), Drop.of([p], torch.float64), 1000, 400)
    error = (p / max(1 - p, 1e-9) / result.numel()) ** 0.5  # of a mean of 0 or 1 / (1 - p)
    assert float(result.mean()) == pytest.approx(0.0 if p == 1 else 1.0, abs=5 * error + 1e-12)


class Twice(nn.Module):
    """One dropout layer that is called twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(40, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([self.drop(x), self.drop(x)], 1))


@pytest.mark.parametrize("layout", ["looped", "vmapped"])
def test_a_layer_that_is_called_twice_draws_twice(layout: str) -> None:
    """The gradient of a weight is 0 where its input was dropped in the only row."""
    X, y = torch.ones(1, 20), torch.ones(1, 1)
    kind = {"rule": "sgd", "learning_rate": 1.0, "momentum": 0.0, "steps": 1, "layout": layout}
    start = Twice()
    trained = luthier.train(start, (X, y), seeds=2, **kind)
    for m in range(2):
        moved = (trained.state_dict(m)["out.weight"] - start.out.weight.detach()).ne(0)[0]
        assert not torch.equal(moved[:20], moved[20:])
        assert 4 < int(moved.sum()) < 36


def test_layouts_draw_the_same_masks() -> None:
    X = torch.randn(60, 20, generator=torch.Generator().manual_seed(0))
    start = Twice()
    looped, vmapped = (
        luthier.train(start, (X, X[:, :1]), seeds=3, steps=12, batch_size=16, layout=layout)
        for layout in ("looped", "vmapped")
    )
    # Sums in another order, twelve steps long.
    np.testing.assert_allclose(looped.parameters, vmapped.parameters, rtol=0, atol=1e-5)


def test_each_layer_drops_its_own_share() -> None:
    """Of 40,000 units of a layer; the standard error of a share is at most 0.0025."""
    drops = torch.tensor([[0.1, 0.5, 0.0], [0.3, 0.0, 0.8]])
    masks = LayerMasks(mask_seeds([0, 1]), drops, (100, 100, 100), torch.float64)(0, 400)
    shares = torch.stack([(one == 0).double().mean((1, 2)) for one in masks if one is not None], 1)
    torch.testing.assert_close(shares, drops.double(), atol=0.01, rtol=0)
