"""Gradients clipped by value and by norm."""

from __future__ import annotations

import pytest
import torch

from luthier.optimise import clip_by_norm, clip_by_value


def test_clipping() -> None:
    G = torch.tensor([[3.0, -4.0], [0.3, 0.4], [torch.inf, 1.0]])
    by_value = G.clone()
    clip_by_value(by_value, torch.tensor([[1.0], [1.0], [2.0]]))
    assert by_value.tolist() == [[1.0, -1.0], [pytest.approx(0.3), pytest.approx(0.4)], [2.0, 1.0]]
    by_norm = G[:2].clone()
    clip_by_norm(by_norm, torch.tensor([[1.0], [1.0]]))
    torch.testing.assert_close(by_norm, torch.tensor([[0.6, -0.8], [0.3, 0.4]]))
