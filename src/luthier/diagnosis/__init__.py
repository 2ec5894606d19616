"""Why a network does or does not learn, and what to do."""

from __future__ import annotations

from luthier.diagnosis.before_training import check_gradients, expected_loss, loss_at_start, overfit_batch
from luthier.diagnosis.checks import CHECKS, ROWS, Check, check_rows, look
from luthier.diagnosis.checks.curves import gap_gate, onsets
from luthier.diagnosis.checks.trace import Birth, Evaluated, LayerSeen, NormSeen, Trace, WeightsSeen
from luthier.diagnosis.controls import optimism
from luthier.diagnosis.findings import Diagnosis, diagnosis_of
from luthier.diagnosis.in_training import diagnose
from luthier.diagnosis.stacks import stack_traces
from luthier.diagnosis.training_monitor import TrainingMonitor

__all__ = [
    "CHECKS",
    "ROWS",
    "Birth",
    "Check",
    "Diagnosis",
    "Evaluated",
    "LayerSeen",
    "NormSeen",
    "Trace",
    "TrainingMonitor",
    "WeightsSeen",
    "check_gradients",
    "check_rows",
    "diagnose",
    "diagnosis_of",
    "expected_loss",
    "gap_gate",
    "look",
    "loss_at_start",
    "onsets",
    "optimism",
    "overfit_batch",
    "stack_traces",
]
