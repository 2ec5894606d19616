"""What is minimised and what is watched: one value per member."""

from __future__ import annotations

from luthier.objective.criterion import AnyLoss, Criterion, loss_for, loss_named, targets_for
from luthier.objective.losses import (
    LOSSES,
    Loss,
    contrastive,
    custom_loss,
    focal,
    label_smoothing,
    mean_gradient,
    mean_loss,
    one_hot,
    triplet,
)
from luthier.objective.metrics import METRICS, WATCHED, Metric, check_metric, metric_named, metrics_of, spelled
from luthier.objective.smoothing import smoothing_part, smoothings
from luthier.objective.targets import check_classes, class_weights, column

__all__ = [
    "LOSSES",
    "METRICS",
    "WATCHED",
    "AnyLoss",
    "Criterion",
    "Loss",
    "Metric",
    "check_classes",
    "check_metric",
    "class_weights",
    "column",
    "contrastive",
    "custom_loss",
    "focal",
    "label_smoothing",
    "loss_for",
    "loss_named",
    "mean_gradient",
    "mean_loss",
    "metric_named",
    "metrics_of",
    "one_hot",
    "smoothing_part",
    "smoothings",
    "spelled",
    "targets_for",
    "triplet",
]
