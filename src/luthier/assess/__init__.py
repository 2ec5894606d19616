"""Judging: metrics with intervals, baselines, the sealed test set, calibration, drift."""

from __future__ import annotations

from luthier.assess.baselines import BaselineRun
from luthier.assess.calibration import NOMINAL, fit_temperature, half_width, reliability, tempered
from luthier.assess.drift import DriftRow, Profile, drift
from luthier.assess.metrics import METRICS, PRIMARY, measure, paired_difference, within_noise
from luthier.assess.seal import SealedTest, open_test, read_before

__all__ = [
    "METRICS",
    "NOMINAL",
    "PRIMARY",
    "BaselineRun",
    "DriftRow",
    "Profile",
    "SealedTest",
    "drift",
    "fit_temperature",
    "half_width",
    "measure",
    "open_test",
    "paired_difference",
    "read_before",
    "reliability",
    "tempered",
    "within_noise",
]
