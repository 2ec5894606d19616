"""Judging: metrics with intervals, baselines, the sealed test set, calibration, drift."""

from __future__ import annotations

from luthier.assess.baselines import BaselineRun
from luthier.assess.calibration import (
    NOMINAL,
    ConfidenceBin,
    Reliability,
    fit_temperature,
    half_width,
    reliability,
    smearing,
    tempered,
)
from luthier.assess.conformal import (
    Familiarity,
    SetFigures,
    figures_of_sets,
    prediction_sets,
    set_threshold,
    spread_rows,
)
from luthier.assess.dependence import partial_dependence
from luthier.assess.distribution_shift import ToldApart, told_apart
from luthier.assess.drift import PREDICTION, DriftRow, Profile, drift
from luthier.assess.importance import ColumnImportance, permutation_importance
from luthier.assess.intervals import (
    PRIMARY,
    Scoring,
    measure,
    optimism_of_best,
    paired_difference,
    score,
    scores_by,
    within_noise,
)
from luthier.assess.jackknife import Units
from luthier.assess.judgement import (
    Comparison,
    Confusion,
    Dependence,
    DependenceRow,
    Headline,
    Inside,
    JudgedBaseline,
    PictureSheet,
    PictureSheets,
    PredictedPoints,
    QuantileScore,
    Reading,
    Scores,
    SeedScore,
    StoredRangeTest,
    StoredScores,
    ThresholdCost,
    TrialFacts,
    UnlikeRows,
)
from luthier.assess.label_scores import LabelScore, label_scores
from luthier.assess.learning_curve import fit_power_law, more_rows
from luthier.assess.register import Register, SealHistory
from luthier.assess.row_intervals import Coverage, RowIntervals, ThirdCoverage
from luthier.assess.row_quantiles import RowQuantiles
from luthier.assess.run_check import Level, PastCheck, RunCheck, ScoreChange, StoredCheck
from luthier.assess.seal import SealedTest, open_test, seen_before
from luthier.assess.subgroups import SubgroupScore, WorstCase, subgroup_scores, worst_cases
from luthier.assess.thresholds import Costs, Decision, at_threshold, best_threshold, of_second, seen_by

__all__ = [
    "NOMINAL",
    "PREDICTION",
    "PRIMARY",
    "BaselineRun",
    "ColumnImportance",
    "Comparison",
    "ConfidenceBin",
    "Confusion",
    "Costs",
    "Coverage",
    "Decision",
    "Dependence",
    "DependenceRow",
    "DriftRow",
    "Familiarity",
    "Headline",
    "Inside",
    "JudgedBaseline",
    "LabelScore",
    "Level",
    "PastCheck",
    "PictureSheet",
    "PictureSheets",
    "PredictedPoints",
    "Profile",
    "QuantileScore",
    "Reading",
    "Register",
    "Reliability",
    "RowIntervals",
    "RowQuantiles",
    "RunCheck",
    "ScoreChange",
    "Scores",
    "Scoring",
    "SealHistory",
    "SealedTest",
    "SeedScore",
    "SetFigures",
    "StoredCheck",
    "StoredRangeTest",
    "StoredScores",
    "SubgroupScore",
    "ThirdCoverage",
    "ThresholdCost",
    "ToldApart",
    "TrialFacts",
    "Units",
    "UnlikeRows",
    "WorstCase",
    "at_threshold",
    "best_threshold",
    "drift",
    "figures_of_sets",
    "fit_power_law",
    "fit_temperature",
    "half_width",
    "label_scores",
    "measure",
    "more_rows",
    "of_second",
    "open_test",
    "optimism_of_best",
    "paired_difference",
    "partial_dependence",
    "permutation_importance",
    "prediction_sets",
    "reliability",
    "score",
    "scores_by",
    "seen_before",
    "seen_by",
    "set_threshold",
    "smearing",
    "spread_rows",
    "subgroup_scores",
    "tempered",
    "told_apart",
    "within_noise",
    "worst_cases",
]
