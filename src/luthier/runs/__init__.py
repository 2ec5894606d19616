"""Runs as users have them: fit, resume, predict, check, and the result of each."""

from __future__ import annotations

from luthier.runs.check import check_run
from luthier.runs.fitting import fit, resume
from luthier.runs.predict import load, predict_file
from luthier.runs.result import Result
from luthier.runs.study_result import Study
from luthier.runs.tuning import tune
from luthier.runs.tuning_tables import resume_search, tune_table

__all__ = [
    "Result",
    "Study",
    "check_run",
    "fit",
    "load",
    "predict_file",
    "resume",
    "resume_search",
    "tune",
    "tune_table",
]
