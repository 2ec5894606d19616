"""What is minimised and what is watched: one value per member."""

from __future__ import annotations

from luthier.objective.losses import LOSSES, Loss, mean_gradient, mean_loss, score_rows

__all__ = ["LOSSES", "Loss", "mean_gradient", "mean_loss", "score_rows"]
