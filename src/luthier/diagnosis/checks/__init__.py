"""Checks: pure rules from what was seen to findings, each with a threshold that has a source or a measured reason."""

from __future__ import annotations

from luthier.diagnosis.checks.base import Check, look
from luthier.diagnosis.checks.curves import CURVES
from luthier.diagnosis.checks.data_rows import ROWS, check_rows
from luthier.diagnosis.checks.layers import LAYERS
from luthier.diagnosis.checks.structure import STRUCTURE

CHECKS: tuple[Check, ...] = (*LAYERS, *CURVES, *STRUCTURE)

__all__ = ["CHECKS", "CURVES", "LAYERS", "ROWS", "STRUCTURE", "Check", "check_rows", "look"]
