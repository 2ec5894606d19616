"""Step 2, second half: the first architecture, by the two width heuristics."""

from __future__ import annotations

from luthier.citations import cited
from luthier.data import Encoder
from luthier.nets import Spec
from luthier.recipe.runner import Runner, embedding_width
from luthier.recipe.steps import for_pictures, for_text
from luthier.records import Decision, Option

NARROWEST, WIDEST = 32, 128  # the range in which a stack of members is cheap and a table is learnt


def midpoint_width(inputs: int, outputs: int) -> int:
    """Halfway between the numbers of inputs and outputs.

    >>> midpoint_width(784, 10)
    397
    """
    return (inputs + outputs) // 2


def sample_width(samples: int, inputs: int, outputs: int, alpha: float) -> float:
    """As many units as the training rows can determine: Ns / (alpha (Ni + No)), alpha from 2 to 10.

    >>> round(sample_width(50_000, 784, 10, 2), 1), round(sample_width(50_000, 784, 10, 10), 1)
    (31.5, 6.3)
    """
    return samples / (alpha * (inputs + outputs))


def input_count(encoder: Encoder, numbers: int) -> int:
    """Ni: numeric columns plus the widths of the categories' embeddings."""
    return max(1, numbers + sum(embedding_width(levels) for levels in encoder.category_sizes))


def first_width(samples: int, inputs: int, outputs: int) -> int:
    """The larger of both heuristics, within the range in which a stack is cheap.

    >>> first_width(1078, 64, 10), first_width(32_000, 26, 1)
    (37, 128)
    """
    wanted = max(midpoint_width(inputs, outputs), round(sample_width(samples, inputs, outputs, 2)))
    return max(NARROWEST, min(WIDEST, wanted))


def architecture_in_words(width: int) -> str:
    """The first architecture."""
    return f"one hidden layer of {width} ReLU units, He initialisation"


def choose_architecture(runner: Runner, width: int) -> None:
    """Write both heuristics and the width they lead to."""
    samples, inputs = (
        len(runner.data.training),
        input_count(runner.data.encoder, runner.data.training.numbers.shape[1]),
    )
    offered = {
        "midpoint of inputs and outputs": {"units": midpoint_width(inputs, runner.outputs), "source": cited("S4-05")},
        "rows over 2 (inputs + outputs)": {
            "units": round(sample_width(samples, inputs, runner.outputs, 2), 1),
            "source": cited("S4-06"),
        },
        "rows over 10 (inputs + outputs)": {
            "units": round(sample_width(samples, inputs, runner.outputs, 10), 1),
            "source": cited("S4-06"),
        },
    }
    runner.ledger.decide(
        Decision(
            step=2,
            topic="first architecture",
            chosen=architecture_in_words(width),
            reason="step 3 must fit the training set and step 4 can shrink the network, so the wider heuristic is "
            f"used, between {NARROWEST} and {WIDEST} units",
            options=tuple(Option(name, evidence) for name, evidence in offered.items()),
            evidence={"inputs": inputs, "outputs": runner.outputs, "training rows": samples},
            rule="wider heuristic",
        )
    )


def first_spec(runner: Runner, method: str, width: int | None = None) -> Spec:
    """The first architecture, for a table, for pictures or for text."""
    if runner.medium == "pictures":
        return for_pictures.first_network(runner)
    if runner.medium == "text":
        return for_text.first_network(runner)
    return runner.spec(method, (runner.plan.width if width is None else width,))
