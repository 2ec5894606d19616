"""Step 2, second half: the first architecture, by the two width heuristics."""

from __future__ import annotations

from luthier.data import Encoder
from luthier.nets import Spec
from luthier.recipe.decisions.starting_network import WidthEvidence
from luthier.recipe.problem import embedding_width
from luthier.recipe.runner import Runner
from luthier.recipe.steps import for_pictures, for_text


def input_count(encoder: Encoder, numbers: int) -> int:
    """Ni: numeric columns plus the widths of the categories' embeddings."""
    return max(1, numbers + sum(embedding_width(levels) for levels in encoder.category_sizes))


def choose_architecture(runner: Runner) -> None:
    """Write both heuristics and the width they lead to."""
    problem = runner.problem
    inputs = input_count(problem.data.encoder, problem.data.training.numbers.shape[1])
    runner.ledger.decide(2, WidthEvidence(inputs, problem.outputs, len(problem.data.training)))


def first_spec(runner: Runner, method: str, width: int | None = None) -> Spec:
    """The first architecture, for a table, for pictures or for text."""
    problem = runner.problem
    if problem.medium == "pictures":
        return for_pictures.first_network(runner)
    if problem.medium == "text":
        return for_text.first_network(runner)
    return problem.spec(method, (runner.plan.width if width is None else width,))
