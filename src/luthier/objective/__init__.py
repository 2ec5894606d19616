"""What is minimised and what is watched: one value per member."""

from __future__ import annotations

from luthier.objective.constants import best_constant, constant_loss, floors, outputs_for, shared_outputs
from luthier.objective.criterion import AnyLoss, Criterion, loss_for, loss_named, targets_for
from luthier.objective.loss_table import LOSSES, loss_by_name, loss_mistakes
from luthier.objective.losses import USUAL_LOSSES, contrastive, custom_loss, focal, label_smoothing, one_hot, triplet
from luthier.objective.metrics import METRICS, WATCHED, Metric, check_metric, metric_named, metrics_of, spelled
from luthier.objective.ordered_losses import level_cuts, level_probabilities, quantile_values, quantiles
from luthier.objective.own_metrics import own_metric
from luthier.objective.regression_losses import huber, negative_binomial, tweedie
from luthier.objective.row_loss import Loss, mean_gradient, mean_loss
from luthier.objective.several_targets import TargetHead, has_gaps, several, split
from luthier.objective.smoothing import smoothing_part, smoothings
from luthier.objective.targets import check_classes, class_weights, column

__all__ = [
    "LOSSES",
    "METRICS",
    "USUAL_LOSSES",
    "WATCHED",
    "AnyLoss",
    "Criterion",
    "Loss",
    "Metric",
    "TargetHead",
    "best_constant",
    "check_classes",
    "check_metric",
    "class_weights",
    "column",
    "constant_loss",
    "contrastive",
    "custom_loss",
    "floors",
    "focal",
    "has_gaps",
    "huber",
    "label_smoothing",
    "level_cuts",
    "level_probabilities",
    "loss_by_name",
    "loss_for",
    "loss_mistakes",
    "loss_named",
    "mean_gradient",
    "mean_loss",
    "metric_named",
    "metrics_of",
    "negative_binomial",
    "one_hot",
    "outputs_for",
    "own_metric",
    "quantile_values",
    "quantiles",
    "several",
    "shared_outputs",
    "smoothing_part",
    "smoothings",
    "spelled",
    "split",
    "targets_for",
    "triplet",
    "tweedie",
]
