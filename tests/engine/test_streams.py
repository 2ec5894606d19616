"""Rows fed from where they lie: every one once an epoch, in an order that any step can be resumed at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from luthier.engine import Member, Settings, Stream, train
from luthier.engine.populations import streams as module
from luthier.engine.populations.streams import StreamedBatches
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows

ROWS = 1000


@dataclass
class Held:
    """Rows in memory that are read like those on a disk."""

    part: Rows

    def __len__(self) -> int:
        return len(self.part)

    def read(self, start: int, stop: int) -> Rows:
        return self.part.rows(torch.arange(start, stop))


def part(rows: int = ROWS) -> Rows:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(rows, 3, generator=generator)
    return Rows(Inputs(numbers=X), X.sum(1) + torch.arange(rows) * 0)


def numbered(rows: int = ROWS) -> Rows:
    place = torch.arange(rows, dtype=torch.float32)
    return Rows(Inputs(numbers=place[:, None]), place)


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(module, "WINDOW_BYTES", 64 * 8 * 3)


def batches(**options: object) -> StreamedBatches:
    return StreamedBatches(Stream(Held(numbered())), 16, 5, torch.float32, **options)  # type: ignore[arg-type]


def test_every_row_comes_once_an_epoch_and_epochs_differ() -> None:
    stream = batches()
    assert stream.epoch_steps == 63
    epochs = [torch.cat([stream.at(e * 63 + k).targets for k in range(63)]) for e in (0, 1)]
    for rows in epochs:
        assert sorted(rows.tolist()) == list(range(ROWS))
    assert not epochs[0].equal(epochs[1])


def test_any_step_can_be_resumed_at() -> None:
    whole, later = batches(), batches()
    result = {step: whole.at(step).targets.clone() for step in range(130)}
    for step in (70, 71, 5, 129):
        assert later.at(step).targets.equal(result[step])


def test_a_window_mixes_blocks_from_everywhere() -> None:
    stream = batches()
    first = torch.cat([stream.at(k).targets for k in range(stream.left(0))])
    assert len(first) == 192
    assert len(torch.unique(first // 64)) >= 3
    assert np.abs(np.diff(first.numpy())).mean() > 64


def test_windows_of_wide_rows_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of so many rows as of a narrow table would be the whole of a wide one, held twice."""
    monkeypatch.setattr(module, "BLOCK", 4096)
    monkeypatch.setattr(module, "WINDOW_BYTES", 1 << 16)
    wide = Rows(Inputs(numbers=torch.zeros(ROWS, 200)), torch.arange(ROWS).float())  # 804 bytes each
    stream = StreamedBatches(Stream(Held(wide)), 16, 5, torch.float32)
    held = [stream.at(step) for step in range(stream.left(0))]
    assert sum(batch.inputs.nbytes for batch in held) <= 1 << 16
    assert len(torch.unique(torch.cat([batch.targets for batch in held]) // 16)) >= 4  # blocks from everywhere
    seen = torch.cat([stream.at(step).targets for step in range(stream.epoch_steps)])
    assert seen.sort().values.equal(wide.targets)


def test_inputs_and_targets_stay_together() -> None:
    stream = batches(has_bias_column=True)
    batch = stream.at(3)
    assert batch.inputs.numbers[:, 0].equal(batch.targets)
    assert batch.inputs.numbers[:, 1].eq(1).all()


def test_a_network_learns_from_a_stream_as_from_memory() -> None:
    rows = part()
    settings = Settings("mse", "adam", 50, 300, 100)
    members = [Member(DenseSpec(inputs=3, hidden=(8,), outputs=1), seed, 0.01) for seed in (0, 1)]
    streamed, held = train(members, Stream(Held(rows)), rows, settings), train(members, rows, rows, settings)
    assert streamed.best_validation_loss.max() < 0.05
    assert held.best_validation_loss.max() < 0.05
