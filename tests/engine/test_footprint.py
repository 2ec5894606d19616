"""What a population takes is foretold, and members that do not fit together take turns."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from luthier.engine import Member, ModuleSpec, Settings, footprint, in_memory_groups, train
from luthier.engine.dense.dense_rows import row_length
from luthier.engine.populations.footprint import COPIES
from luthier.errors import LuthierError
from luthier.nets import ConvSpec, DenseSpec
from luthier.rows import Inputs, Rows


def part(inputs: int = 20, rows: int = 64) -> Rows:
    draw = torch.Generator().manual_seed(0)
    X = torch.randn(rows, inputs, generator=draw)
    return Rows(Inputs(numbers=X), (X[:, 0] > 0).long())


def settings(rule: str = "adam", batch: int = 16) -> Settings:
    return Settings("softmax", rule, batch, steps=20, evaluate_every=10)


def members(count: int, **options: int) -> list[Member]:
    return [Member(DenseSpec(inputs=20, hidden=(30,), outputs=2, **options), seed, 1e-3) for seed in range(count)]


@pytest.mark.parametrize(("rule", "state"), [("sgd", 1), ("rmsprop", 1), ("adam", 2)])
def test_weights_are_counted_with_what_goes_with_them(rule: str, state: int) -> None:
    result = footprint(members(3), settings(rule), part())
    assert result.weights == 4 * row_length(members(1)[0].spec) * (COPIES + state)  # type: ignore[arg-type]
    assert result.together


def test_activations_grow_with_the_batch_and_belong_to_one_network_where_they_are_looped_over() -> None:
    small, large = (footprint(members(2), settings(batch=batch), part()) for batch in (16, 32))
    assert large.activations == 2 * small.activations > 0
    assert large.of(5) == 5 * (large.weights + large.activations)
    pictures = Rows(Inputs(numbers=torch.zeros(9, 1, 8, 8, dtype=torch.uint8)), torch.arange(9) % 2)
    looped = footprint([Member(ConvSpec((1, 8, 8), (4,), 2), 0, 1e-3)], settings(), pictures)
    assert not looped.together
    assert looped.of(5) == 5 * looped.weights + looped.activations


def test_categories_are_embedded_in_the_pass_that_is_counted() -> None:
    spec = DenseSpec(inputs=20, hidden=(8,), outputs=2, embeddings=((3, 2),))
    rows = Rows(Inputs(numbers=torch.zeros(4, 20), codes=torch.zeros(4, 1, dtype=torch.int64)), torch.zeros(4).long())
    plain = footprint(members(1), settings(), part())
    assert footprint([Member(spec, 0, 1e-3)], settings(), rows).weights < plain.weights


def test_groups_fit_and_are_even() -> None:
    taken = footprint(members(1), settings(), part())
    groups, same, message = in_memory_groups(members(10), settings(), part(), taken.of(4))
    assert [len(group) for group in groups] == [4, 4, 2]
    assert same == settings()
    assert message.startswith("10 networks train in 3 turns of up to 4: together they would need about ")
    groups, _, message = in_memory_groups(members(10), settings(), part(), taken.of(10))
    assert ([len(group) for group in groups], message) == ([10], "")


def test_in_turns_they_come_to_the_same_numbers() -> None:
    whole = train(members(5), part(), part(), settings())
    taken = footprint(members(1), settings(), part())
    groups, _, _ = in_memory_groups(members(5), settings(), part(), taken.of(2))
    result = torch.cat([train(list(group), part(), part(), settings()).parameters for group in groups])
    torch.testing.assert_close(result, whole.parameters, rtol=1e-6, atol=1e-7)


def test_where_one_network_is_too_large_its_batches_go_through_in_pieces() -> None:
    taken = footprint(members(1), settings(batch=64), part())
    groups, smaller, message = in_memory_groups(
        members(2), settings(batch=64), part(), taken.weights + taken.activations // 3
    )
    assert [len(group) for group in groups] == [1, 1]
    assert (smaller.batch_size, smaller.accumulate) == (16, 4)
    assert "batches of 64 rows are processed in 4 parts" in message
    whole = train(members(1), part(), part(), settings(batch=64))
    result = train(members(1), part(), part(), smaller)
    torch.testing.assert_close(result.parameters, whole.parameters, rtol=1e-4, atol=1e-5)
    with pytest.raises(LuthierError, match="does not fit into the memory"):
        in_memory_groups(members(2), settings(), part(), 100)


def _perceptron() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(20, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize(
    "spec",
    [
        DenseSpec(inputs=20, hidden=(30, 30), outputs=2),
        DenseSpec(inputs=20, hidden=(30, 30), outputs=2, batch_norm=True),
        DenseSpec(inputs=20, hidden=(1024, 1024), outputs=2),
        ModuleSpec(_perceptron, layout="looped"),
        ModuleSpec(_perceptron, layout="stacked"),
    ],
    ids=["small", "normalised", "wide", "looped", "stacked"],
)
def test_a_population_is_freed_as_soon_as_it_is_done_with(spec: DenseSpec | ModuleSpec, ema_decay: float) -> None:
    """No tensor waits for the collector in a cycle: the next turn would need the memory."""
    group = [Member(spec, seed, 1e-3, ema_decay=ema_decay) for seed in range(2)]
    train(group, part(), part(), settings())
    gc.collect()
    gc.freeze()  # what other tests left need not be looked through again
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        train(group, part(), part(), settings())
        gc.collect()
        kept = [tuple(result.shape) for result in gc.garbage if isinstance(result, torch.Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()
    assert not kept


PEAKS = r"""
import re, torch
from luthier.nets import DenseSpec
from luthier.engine import Inputs, Member, Rows, Settings, in_memory_groups, train
from luthier.engine import footprint
torch.set_num_threads(1)
X = torch.randn(256, 64)
part = Rows(Inputs(numbers=X), (X[:, 0] > 0).long())
settings = Settings("softmax", "adam", 64, steps=4, evaluate_every=2)
narrow, wide = ([Member(DenseSpec(64, (width, width), 2), seed, 1e-3) for seed in range(12)] for width in (8, 1024))
foretold = footprint(wide, settings, part).of(12)
for members, memory in ((narrow, 1 << 40), (wide, foretold // 4), (wide, 1 << 40)):  # each takes more than the last
    for group in in_memory_groups(members, settings, part, memory)[0]:
        train(list(group), part, part, settings)
    peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]
    print(int(peak) * 1024)
print(foretold)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a system that tells a process's peak")
def test_the_process_stays_about_as_small_as_was_foretold() -> None:
    """Twelve wide networks, in turns and all at once: the peak of a process of its own, less what tiny ones take."""
    # What is freed goes back to the system at once: else the C library keeps some of it, now more and now less.
    given_back = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", PEAKS], capture_output=True, text=True, timeout=300, check=True, env=given_back
    )
    base, bounded, whole, foretold = map(int, done.stdout.split())
    assert 0.8 * foretold < whole - base < 1.25 * foretold
    assert bounded - base < 0.35 * (whole - base)
