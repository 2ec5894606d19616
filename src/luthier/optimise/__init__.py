"""How parameters move: update rules, schedules, clipping, and the chain of what happens at a step."""

from __future__ import annotations

from luthier.optimise.choosing import (
    AnyRule,
    OptimiserClass,
    hyper_parameters_of,
    is_optimiser,
    rule_mistakes,
    rule_named,
)
from luthier.optimise.muon import muon
from luthier.optimise.rules import RULES, Rule, State, clip_by_norm, clip_by_value
from luthier.optimise.schedules import AnySchedule, CustomSchedule, Schedule, schedule_for
from luthier.optimise.updates import (
    Step,
    Update,
    averaged,
    by_rule,
    chain,
    clipped,
    decayed,
    frozen,
    l1,
    l2,
    with_factors,
)

__all__ = [
    "RULES",
    "AnyRule",
    "AnySchedule",
    "CustomSchedule",
    "OptimiserClass",
    "Rule",
    "Schedule",
    "State",
    "Step",
    "Update",
    "averaged",
    "by_rule",
    "chain",
    "clip_by_norm",
    "clip_by_value",
    "clipped",
    "decayed",
    "frozen",
    "hyper_parameters_of",
    "is_optimiser",
    "l1",
    "l2",
    "muon",
    "rule_mistakes",
    "rule_named",
    "schedule_for",
    "with_factors",
]
