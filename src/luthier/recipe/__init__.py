"""The recipe: six steps, each answered by an experiment, within a budget, resumable."""

from __future__ import annotations

from luthier.recipe.checklist import checklist, in_lines
from luthier.recipe.decisions import evidence_of, follows, worded, wording_of
from luthier.recipe.decisions.starting_network import first_width
from luthier.recipe.judging.calibrated import as_model, columns_of, predict_part
from luthier.recipe.planning.branching import check_way_back, copy_memory, openings
from luthier.recipe.planning.budget import Budget, BudgetClock, Clock, WallClock
from luthier.recipe.planning.config import Recipe, read_recipe, recipe_from, write_recipe
from luthier.recipe.planning.ledger import Ledger, Record, read_ledger
from luthier.recipe.preparing.problem import Problem, input_count
from luthier.recipe.rows.option_table import kept_for
from luthier.recipe.rows.reading import LoadedData, read_as_asked, read_where_kept
from luthier.recipe.rows.run_data import asked_of, read_unchanged, reread, source_of
from luthier.recipe.run import Run
from luthier.recipe.running.interrupted import Interrupted
from luthier.recipe.steps.plan_budget import in_words as plan_in_words

__all__ = [
    "Budget",
    "BudgetClock",
    "Clock",
    "Interrupted",
    "Ledger",
    "LoadedData",
    "Problem",
    "Recipe",
    "Record",
    "Run",
    "WallClock",
    "as_model",
    "asked_of",
    "check_way_back",
    "checklist",
    "columns_of",
    "copy_memory",
    "evidence_of",
    "first_width",
    "follows",
    "in_lines",
    "input_count",
    "kept_for",
    "openings",
    "plan_in_words",
    "predict_part",
    "read_as_asked",
    "read_ledger",
    "read_recipe",
    "read_unchanged",
    "read_where_kept",
    "recipe_from",
    "reread",
    "source_of",
    "worded",
    "wording_of",
    "write_recipe",
]
