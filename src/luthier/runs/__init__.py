"""Runs as users have them: fit, resume, predict, check, and the result of each."""

from __future__ import annotations

from luthier.runs.check import check_run
from luthier.runs.comparing import Comparison, compare
from luthier.runs.doctoring import Checkup, doctor
from luthier.runs.fitting import fit, go_back, resume
from luthier.runs.result import Result
from luthier.runs.several import Several, fit_several, resume_several
from luthier.runs.study_result import Study
from luthier.runs.testing import read_test
from luthier.runs.tuning import tune
from luthier.runs.tuning_tables import resume_search, tune_table

__all__ = [
    "Checkup",
    "Comparison",
    "Result",
    "Several",
    "Study",
    "check_run",
    "compare",
    "doctor",
    "fit",
    "fit_several",
    "go_back",
    "read_test",
    "resume",
    "resume_search",
    "resume_several",
    "tune",
    "tune_table",
]
