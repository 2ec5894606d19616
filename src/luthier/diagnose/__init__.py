"""Why a network does or does not learn."""

from __future__ import annotations

from luthier.diagnose.before_training import check_gradients, expected_loss, loss_at_start, overfit_batch

__all__ = ["check_gradients", "expected_loss", "loss_at_start", "overfit_batch"]
