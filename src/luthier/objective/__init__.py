"""What is minimised and what is watched: one value per member."""

from __future__ import annotations

from luthier.objective.losses import (
    LOSSES,
    Loss,
    class_weights,
    custom_loss,
    focal,
    label_smoothing,
    loss_named,
    mean_gradient,
    mean_loss,
    one_hot,
)

__all__ = [
    "LOSSES",
    "Loss",
    "class_weights",
    "custom_loss",
    "focal",
    "label_smoothing",
    "loss_named",
    "mean_gradient",
    "mean_loss",
    "one_hot",
]
