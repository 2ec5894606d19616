"""Runs and models on disk: folders, and one file a model, with no code in it."""

from __future__ import annotations

from luthier.saved.blend import Blend, activate
from luthier.saved.bundle import Bundle, read_bundle, write_bundle
from luthier.saved.explanation import Explanation
from luthier.saved.model import Model
from luthier.saved.predict import AskedColumns, load, predict_file
from luthier.saved.replacing import create_run, discard, put_back_if_refused, replaces, settle
from luthier.saved.run_files import read_checks, read_drift, read_histories, read_judged, read_scores, read_study
from luthier.saved.run_folder import (
    SEARCH,
    SEVERAL,
    RunFolder,
    finished_in,
    machine_facts,
    open_fit,
    open_one,
    open_run,
    runs_in,
    timestamp,
)

__all__ = [
    "SEARCH",
    "SEVERAL",
    "AskedColumns",
    "Blend",
    "Bundle",
    "Explanation",
    "Model",
    "RunFolder",
    "activate",
    "create_run",
    "discard",
    "finished_in",
    "load",
    "machine_facts",
    "open_fit",
    "open_one",
    "open_run",
    "predict_file",
    "put_back_if_refused",
    "read_bundle",
    "read_checks",
    "read_drift",
    "read_histories",
    "read_judged",
    "read_scores",
    "read_study",
    "replaces",
    "runs_in",
    "settle",
    "timestamp",
    "write_bundle",
]
