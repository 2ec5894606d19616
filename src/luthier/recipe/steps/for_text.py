"""What the recipe tries where rows hold text: a bag of words first, then the rungs of steps 3 and 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from luthier.nets import TextSpec
from luthier.optimise import Schedule
from luthier.recipe.decisions.starting_network import TextNetworkEvidence
from luthier.recipe.ladder import Ladder
from luthier.recipe.media import MEDIA
from luthier.recipe.options import penalty_options, rule_options
from luthier.recipe.problem import embedding_width
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting

FACTORS = (1.0, 0.3)  # times the rate of the range test
WIDTH = 32
UNITS = 64
DROPOUTS, WORD_DROPOUTS = (0.25, 0.5), (0.1, 0.3)
PENALTIES, DECAYS = (1e-5, 1e-4), (0.1, 0.5)


def network_in_words(spec: TextSpec) -> str:
    """A network on one line."""
    beside = " beside sentence vectors" if spec.reads_words and spec.vectors_read else ""
    if not spec.reads_words:
        return "sentence vectors alone" + "".join(f", {count} ReLU units" for count in spec.layers_of_units)
    if spec.reader != "bag":
        return f"an LSTM over {spec.width}-dimensional word embeddings, with {spec.pool} pooling{beside}"
    units = "".join(f", {count} ReLU units" for count in spec.layers_of_units)
    weighted = ", weighted by log-ratios" if spec.weighted else ""
    return f"a bag of words and pairs, {spec.width}-dimensional embeddings{weighted}{units}{beside}"


def first_network(runner: Runner) -> TextSpec:
    """The first architecture: the sum of what words and pairs say, beside the other columns."""
    problem = runner.problem
    fitted, _, _ = problem.prepared(MEDIA["text"].method)
    encoder = problem.data.encoder
    words = encoder.texts[0]
    return TextSpec(
        numbers=fitted.width - encoder.vector_width - encoder.words,
        vectors=encoder.vector_width,
        pieces=words.pieces,
        length=words.length,
        outputs=problem.outputs,
        width=WIDTH,
        pairs=len(words.pairs),
        embeddings=tuple((levels, embedding_width(levels)) for levels in encoder.category_sizes),
        weighted=True,
    )


def choose_network(runner: Runner) -> str:
    """Write the first architecture; returns how numbers enter it."""
    spec = first_network(runner)
    runner.ledger.decide(2, TextNetworkEvidence(spec.width, spec.vectors))
    return MEDIA["text"].method


def training_options(name: str, now: Setting, rates: dict[str, float], runner: Runner) -> Iterator[Setting]:
    """What a rung of step 3 tries, from the setting that stands now."""
    member, spec = now.member, now.member.text
    if name in ("rate", "Adam"):
        yield from rule_options(name, now, rates, FACTORS)
    elif name == "decay":
        yield replace(now, member=replace(member, schedule=Schedule("cosine")), label="cosine")
    elif name == "units":
        for changed in (replace(spec, layers_of_units=(UNITS,)), replace(spec, width=spec.width // 4)):
            yield replace(now, member=replace(member, spec=changed), label=network_in_words(changed))
    elif name == "order" and spec.reads_words:
        changed = replace(spec, reader="lstm", pairs=0, layers_of_units=(), weighted=False)
        yield replace(now, member=replace(member, spec=changed), label=network_in_words(changed))


def climb_validation(runner: Runner, ladder: Ladder) -> None:
    """The rungs of step 4, from the setting that stands."""
    for name in runner.plan.validation_rungs:
        if name not in ("start", "together", "more rows") and ladder.standing is not None:
            ladder.climb(name, list(_validation_options(name, ladder.standing.setting, runner)))


def _validation_options(name: str, now: Setting, runner: Runner) -> Iterator[Setting]:
    member, spec = now.member, now.member.text
    if name == "L2":
        yield from penalty_options(now, len(runner.problem.data.training), PENALTIES, DECAYS)
    elif name == "sentence vectors":
        for reads in ("words", "vectors") if spec.vectors else ():
            changed = replace(spec, reads=reads)
            label = f"{reads} alone"
            yield replace(now, member=replace(member, spec=changed), label=label)
    elif name == "words alike":
        if spec.weighted and spec.reads_words:
            changed = replace(spec, weighted=False)
            yield replace(now, member=replace(member, spec=changed), label=network_in_words(changed))
    elif name == "dropout of words":
        for p in WORD_DROPOUTS if spec.reads_words else ():
            changed = replace(spec, word_dropout=p)
            yield replace(now, member=replace(member, spec=changed), label=f"word dropout {p:g}")
    else:
        for p in DROPOUTS:
            changed = replace(spec, dropout=p)
            yield replace(now, member=replace(member, spec=changed), label=f"dropout {p:g} in the last layer")
