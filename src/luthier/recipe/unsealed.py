"""Runs without sealed rows, from the beginning or after a refit: what they are refused for."""

from __future__ import annotations

from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe.experiment.rounds import can_be_crossed
from luthier.recipe.planning.plan import Plan
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.rows.known_rows import has_learnt
from luthier.recipe.rows.run_data import asked_of
from luthier.saved import RunFolder

OTHERWISE = "judge on rows of your own with --test FILE, or seal fewer rows with --test-share 0.1"


def require_estimate(problem: Problem, plan: Plan) -> None:
    """InputError where nothing is sealed, and no row is predicted by networks that have left it out."""
    if problem.asked.seals:
        return
    if problem.asked.distil:
        raise InputError(
            "--test none and --distil exclude each other: each row has taught the one network", remedy=OTHERWISE
        )
    if plan.design is None or plan.design.folds == 1:
        short = can_be_crossed(problem)
        raise InputError(
            "--test none needs rows that are learnt from in folds, so that each is predicted by networks without it",
            expected="more time"
            if short
            else "a table of 60,000 rows at most, without --time, --warm-start, pictures or text",
            received="too little time for five folds" if short else "rows that are not",
            remedy=Message("give more with --budget, or {otherwise}", otherwise=OTHERWISE) if short else OTHERWISE,
        )


def require_sealed(folder: RunFolder) -> None:
    """InputError for a run without sealed rows to be read once more."""
    remedy = Message("judge it on new rows: luthier branch {path} --step 5 --new-test FILE", path=folder.path)
    if not asked_of(folder).seals:
        template = "'{path}' has sealed nothing (--test none): its score is an estimate by rows that also chose"
        raise InputError(Message(template, path=folder.path), expected="a run with sealed rows", remedy=remedy)


def require_unlearnt(folder: RunFolder) -> None:
    """InputError for a run whose sealed rows its refitted model has learnt from."""
    if has_learnt(folder):
        raise InputError(
            Message(
                "the rows that '{path}' had sealed are open: refitted.luthier has learnt from them", path=folder.path
            ),
            expected="unseen rows to be judged on",
            remedy=Message("luthier branch {path} --step 5 --new-test FILE", path=folder.path),
        )
