"""What is minimised and what is watched: one value per member."""

from __future__ import annotations

from luthier.objective.losses import (
    LOSSES,
    Criterion,
    Loss,
    check_classes,
    class_weights,
    contrastive,
    custom_loss,
    focal,
    label_smoothing,
    loss_named,
    mean_gradient,
    mean_loss,
    one_hot,
    triplet,
)
from luthier.objective.metrics import METRICS, Metric

__all__ = [
    "LOSSES",
    "METRICS",
    "Criterion",
    "Loss",
    "Metric",
    "check_classes",
    "class_weights",
    "contrastive",
    "custom_loss",
    "focal",
    "label_smoothing",
    "loss_named",
    "mean_gradient",
    "mean_loss",
    "one_hot",
    "triplet",
]
