"""Runs as users have them: fit, resume, predict, check, and the result of each."""

from __future__ import annotations

from luthier.runs.check import check_run
from luthier.runs.fitting import fit, resume
from luthier.runs.predict import load, predict_file
from luthier.runs.result import Result

__all__ = ["Result", "check_run", "fit", "load", "predict_file", "resume"]
