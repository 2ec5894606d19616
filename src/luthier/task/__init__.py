"""What a target asks for: metrics, and the answer that each of them wants."""

from __future__ import annotations

from luthier.task.best_answers import ANSWERS, answer_for, answer_named, baseline_loss
from luthier.task.class_answers import ClassAnswer, fitted_classes, fitted_decision, likeliest, of_costs, of_cuts
from luthier.task.metrics_asked import asked_metrics, deciding_metric, reported_metrics, require_metrics
from luthier.task.number_answers import answer_from, law_around, residual_atoms, with_answer

__all__ = [
    "ANSWERS",
    "ClassAnswer",
    "answer_for",
    "answer_from",
    "answer_named",
    "asked_metrics",
    "baseline_loss",
    "deciding_metric",
    "fitted_classes",
    "fitted_decision",
    "law_around",
    "likeliest",
    "of_costs",
    "of_cuts",
    "reported_metrics",
    "require_metrics",
    "residual_atoms",
    "with_answer",
]
