"""What a target asks for: metrics, and the answer that each of them wants."""

from __future__ import annotations

from luthier.task.best_answers import ANSWERS, answer_for, answer_named, baseline_loss, losses_asked
from luthier.task.class_answers import ClassAnswer, fitted_classes, fitted_decision, likeliest, of_costs, of_cuts
from luthier.task.cost_matrix import cheapest, costs_as_text, is_matrix, matrix_of
from luthier.task.label_answers import LabelAnswer, fitted_labels
from luthier.task.metrics_asked import asked_metrics, deciding_metric, reported_metrics, require_metrics
from luthier.task.number_answers import LawAround, answer_from, chosen_answer, law_around, values_around, with_answer
from luthier.task.quantile_levels import quantile_levels, require_numbers
from luthier.task.residual_law import ResidualLaw, fitted_law, residual_atoms

__all__ = [
    "ANSWERS",
    "ClassAnswer",
    "LabelAnswer",
    "LawAround",
    "ResidualLaw",
    "answer_for",
    "answer_from",
    "answer_named",
    "asked_metrics",
    "baseline_loss",
    "cheapest",
    "chosen_answer",
    "costs_as_text",
    "deciding_metric",
    "fitted_classes",
    "fitted_decision",
    "fitted_labels",
    "fitted_law",
    "is_matrix",
    "law_around",
    "likeliest",
    "losses_asked",
    "matrix_of",
    "of_costs",
    "of_cuts",
    "quantile_levels",
    "reported_metrics",
    "require_metrics",
    "require_numbers",
    "residual_atoms",
    "values_around",
    "with_answer",
]
