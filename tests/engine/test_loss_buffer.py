"""The loss buffer of training losses: every step's, in order, whoever asks when."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from luthier.engine.members.batches import Batch
from luthier.engine.populations.loss_buffer import PUT, LossBuffer
from luthier.objective import loss_named
from luthier.rows import Inputs

BATCH = Batch(Inputs(numbers=torch.zeros(1, 1)), torch.zeros(1))


def test_known_losses_come_back_in_order_whenever_they_are_asked_for() -> None:
    steps = torch.arange(2 * PUT + 7.0).unsqueeze(1) * torch.tensor([1.0, -2.0])
    buffer = LossBuffer(loss_named("softmax"), torch.zeros(0, 2))
    for step, losses in enumerate(steps):
        reused = losses.clone()
        buffer.add(reused, BATCH)
        reused.fill_(torch.nan)  # what was handed in may change
        if step in (0, 5, PUT - 1, PUT, PUT + 3):
            assert buffer.losses().equal(steps[: step + 1])
    assert buffer.losses().equal(steps)
    buffer.restart(steps[:3])
    buffer.add(steps[3], BATCH)
    assert buffer.losses().equal(steps[:4])


def test_losses_of_logits_are_pytorchs() -> None:
    torch.manual_seed(0)
    buffer = LossBuffer(loss_named("softmax"), torch.zeros(0, 2))
    logits, targets = torch.randn(9, 2, 5, 3), torch.randint(3, (9, 5))
    for Z, y in zip(logits, targets, strict=True):
        buffer.add(Z, Batch(Inputs(numbers=torch.zeros(5, 1)), y))
    wanted = torch.stack(
        [torch.stack([F.cross_entropy(z, y) for z in Z]) for Z, y in zip(logits, targets, strict=True)]
    )
    torch.testing.assert_close(buffer.losses(), wanted)
