"""How parameters move: update rules, schedules, clipping."""

from __future__ import annotations

from luthier.optimise.rules import RULES, Rule, State, clip_by_norm, clip_by_value
from luthier.optimise.schedules import Schedule

__all__ = ["RULES", "Rule", "Schedule", "State", "clip_by_norm", "clip_by_value"]
