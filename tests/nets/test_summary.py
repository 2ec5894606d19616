"""A summary counts what is learnt and draws it."""

from __future__ import annotations

import torch
from torch import nn

from luthier.nets import DenseSpec, summary


def test_summaries_count_what_is_learnt_and_draw_it() -> None:
    spec = DenseSpec(5, (7, 7), 3, embeddings=((4, 2),), batch_norm=True, residual=True)
    assert summary(spec).parameters == spec.parameter_count()
    assert "plus its input" in str(summary(spec))
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    module[0].weight.requires_grad_(False)
    result = summary(module, torch.zeros(2, 1, 6, 6))
    assert (result.parameters, result.frozen) == (4 + 8 + 64 * 3 + 3, 36)
    assert [row.shape for row in result.rows] == [(4, 4, 4), (4, 4, 4), (4, 4, 4), (64,), (3,)]
    assert str(result).splitlines()[-1] == "207 parameters, 36 frozen"
    assert module.training
    assert summary(module).rows[0].shape is None
