"""The recipe: six steps, each answered by an experiment, within a budget, resumable."""

from __future__ import annotations

from luthier.recipe.budget import Budget, Clock, Spending, WallClock
from luthier.recipe.checklist import Ticked, checklist, in_lines
from luthier.recipe.config import Asked, Cut, Script, read_script, script_from, write_script
from luthier.recipe.ledger import Ledger, Record, read_ledger
from luthier.recipe.plan import Plan, Plans
from luthier.recipe.reading import Read, default_name, read_and_infer, read_as_asked, reread, source_of
from luthier.recipe.runner import Walk
from luthier.recipe.steps.architecture import first_width, input_count
from luthier.recipe.steps.judge import Verdict, as_model, columns_of, predict_part
from luthier.recipe.steps.plan_budget import in_words as plan_in_words
from luthier.recipe.taking_over import check_way_back, copy_memory, openings
from luthier.recipe.work import Interrupted, Work

__all__ = [
    "Asked",
    "Budget",
    "Clock",
    "Cut",
    "Interrupted",
    "Ledger",
    "Plan",
    "Plans",
    "Read",
    "Record",
    "Script",
    "Spending",
    "Ticked",
    "Verdict",
    "Walk",
    "WallClock",
    "Work",
    "as_model",
    "check_way_back",
    "checklist",
    "columns_of",
    "copy_memory",
    "default_name",
    "first_width",
    "in_lines",
    "input_count",
    "openings",
    "plan_in_words",
    "predict_part",
    "read_and_infer",
    "read_as_asked",
    "read_ledger",
    "read_script",
    "reread",
    "script_from",
    "source_of",
    "write_script",
]
