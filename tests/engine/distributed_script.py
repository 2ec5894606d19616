"""What `test_distributed` runs in several processes: trainings of one network each, their losses written down."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

import torch
from torch import distributed, nn

import luthier
from luthier.engine import FileCheckpoint, Member, Outcome, Schedule, Settings, Snapshot, train
from luthier.engine.populations.distributed import run_distributed
from luthier.errors import LuthierError
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows

STEPS, ROWS, BATCH = 50, 203, 37


class StoppedError(Exception):
    pass


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(ROWS, 1, 6, 6, generator=generator, dtype=torch.float64)
    return X, (X.mean((1, 2, 3)) > 0).long()


def convolutional() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 2)
    ).double()


def module(**options: object) -> Outcome:
    X, y = pictures()
    return luthier.train(
        convolutional(),
        (X, y),
        validation=(X[:50], y[:50]),
        rule="sgd",
        momentum=0.9,
        learning_rate=0.05,
        steps=STEPS,
        batch_size=BATCH,
        evaluate_every=10,
        every_step=True,
        **options,
    )


def dense(checkpoint: Path | None = None, stop_at: int = STEPS + 1) -> Outcome:
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(ROWS, 5, generator=generator, dtype=torch.float64)
    codes = torch.randint(4, (ROWS, 1), generator=generator)
    weights = torch.rand(ROWS, generator=generator, dtype=torch.float64)
    part = Rows(Inputs(numbers=X, codes=codes), (X[:, 0] + codes[:, 0] > 1).long(), weights)
    spec = DenseSpec(inputs=5, hidden=(8, 8), outputs=3, batch_norm=True, embeddings=((4, 2),))
    members = [Member(spec, seed, 0.01, schedule=Schedule("constant"), dropout=(0.2, 0.2), l2=0.1) for seed in (0, 1)]
    settings = Settings("softmax", "adam", BATCH, STEPS, 10, dtype=torch.float64, every_step=True, accumulate=2)
    kept = None if checkpoint is None else FileCheckpoint(checkpoint, seconds=0)

    def watch(evaluation: object) -> None:
        if evaluation.step >= stop_at:  # type: ignore[attr-defined]
            raise StoppedError

    return run_distributed(
        (spec, settings), partial(train, members, part, part, settings, checkpoint=kept, on_evaluation=watch)
    )


def by_members(folder: Path | None = None, stop_after: int = STEPS + 1) -> Outcome:
    X, y = pictures()
    network = nn.Sequential(nn.Linear(36, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2)).double()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.copy_(torch.linspace(-0.3, 0.4, parameter.numel()).sin().view_as(parameter) * (1 + number))
    saved = FileCheckpoint.save

    def save(checkpoint: FileCheckpoint, snapshot: Snapshot) -> None:
        saved(checkpoint, snapshot)
        if snapshot.facts["done"] >= stop_after:
            raise LuthierError("stopped")

    FileCheckpoint.due, FileCheckpoint.save = (lambda checkpoint: True), save  # type: ignore[method-assign]
    return luthier.train(
        network,
        (X.flatten(1), y),
        validation=(X[:50].flatten(1), y[:50]),
        learning_rate=[1e-3, 2e-3, 4e-3, 8e-3, 16e-3],
        seeds=2,
        steps=STEPS,
        batch_size=BATCH,
        evaluate_every=10,
        every_step=True,
        shared="members",
        checkpoint=None if folder is None else folder / "members",
    )


def main() -> None:
    work, folder = sys.argv[1], Path(sys.argv[2])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo")
    if work == "interrupted":
        try:
            dense(folder / "state", stop_at=30)
        except (StoppedError, LuthierError):
            return
    if work == "members interrupted":
        try:
            by_members(folder, stop_after=30)
        except LuthierError:
            return
    if work.startswith("members"):
        outcome = by_members(folder if work == "members resumed" else None)
    else:
        outcome = module() if work == "module" else dense(folder / "state" if work == "resumed" else None)
    name = f"{work}-{os.environ.get('WORLD_SIZE', '1')}-{os.environ.get('RANK', '0')}.json"
    losses = [row for piece in outcome.history.steps for row in piece.tolist()]
    (folder / name).write_text(
        json.dumps(
            {
                "losses": losses,
                "final": outcome.parameters.sum(1).tolist(),
                "validation": outcome.best_validation_loss.tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
    if distributed.is_initialized():
        distributed.destroy_process_group()
