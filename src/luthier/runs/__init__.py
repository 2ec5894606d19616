"""Runs as users have them: fit, resume, predict, check, and the result of each."""

from __future__ import annotations

from luthier.runs.checking import check_run
from luthier.runs.comparing import Comparison, compare
from luthier.runs.continuing import branch, resume
from luthier.runs.data_check import DataReport, doctor
from luthier.runs.fit_targets import fit
from luthier.runs.fitting import plan, rerun
from luthier.runs.multi_target import MultiTargetResult
from luthier.runs.refitting import refit
from luthier.runs.relocating import relocate
from luthier.runs.result import Result
from luthier.runs.sealed_rows import read_test
from luthier.runs.study_result import Study
from luthier.runs.tuning import tune
from luthier.runs.tuning_tables import resume_search, tune_table

__all__ = [
    "Comparison",
    "DataReport",
    "MultiTargetResult",
    "Result",
    "Study",
    "branch",
    "check_run",
    "compare",
    "doctor",
    "fit",
    "plan",
    "read_test",
    "refit",
    "relocate",
    "rerun",
    "resume",
    "resume_search",
    "tune",
    "tune_table",
]
