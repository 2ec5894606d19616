"""What the recipe tries where rows hold text: a bag of words first, then the rungs of steps 3 and 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from luthier.nets import TextSpec
from luthier.optimise import Schedule
from luthier.recipe.ladder import Ladder, Setting
from luthier.recipe.media import MEDIA
from luthier.recipe.options import penalty_options, rule_options
from luthier.recipe.runner import Runner, embedding_width
from luthier.records import Decision

FACTORS = (1.0, 0.3)  # times the rate of the range test
WIDTH = 32
UNITS = 64
DROPOUTS, WORD_DROPOUTS = (0.25, 0.5), (0.1, 0.3)
PENALTIES, DECAYS = (1e-5, 1e-4), (0.1, 0.5)

WHY_TRAINING = {
    "rate": "the learning rate is the most important hyper-parameter, so it is tuned first",
    "Adam": "the next remedy for a training set that is not fitted is Adam",
    "decay": "then the rate is made to decay",
    "units": "then a hidden layer reads what the words add up to, or each word says more",
    "order": "then the words are read in their order, by an LSTM",
}
WHY_VALIDATION = {
    "words alike": "each word counts by how much it tells of the target; they may do better alike",
    "dropout, last layer": "dropout starts at the last layer with a quarter, raised towards a half",
    "dropout of words": "then whole words are left out by chance",
    "L2": "then large weights are made costly, by L2 or decoupled decay",
}


def network_in_words(spec: TextSpec) -> str:
    """A network on one line."""
    if spec.reader != "bag":
        return f"an LSTM over words of {spec.width} numbers, the {spec.pool} of its states"
    units = "".join(f", {count} ReLU units" for count in spec.layers_of_units)
    weighted = ", by how much they tell" if spec.weighted else ""
    return f"a bag of words and pairs, {spec.width} numbers each{weighted}{units}"


def first_network(runner: Runner) -> TextSpec:
    """The first architecture: the sum of what words and pairs say, beside the other columns."""
    fitted, _, _ = runner.prepared(MEDIA["text"].method)
    encoder = runner.data.encoder
    words = encoder.texts[0]
    return TextSpec(
        numbers=fitted.width - encoder.words,
        pieces=words.pieces,
        length=words.length,
        outputs=runner.outputs,
        width=WIDTH,
        pairs=len(words.pairs),
        embeddings=tuple((levels, embedding_width(levels)) for levels in encoder.category_sizes),
        weighted=True,
    )


def choose_network(runner: Runner) -> str:
    """Write the first architecture; returns how numbers enter it."""
    runner.ledger.decide(
        Decision(
            step=2,
            topic="first architecture",
            chosen=network_in_words(first_network(runner)),
            reason="what words and pairs of words say, added up, is hard to beat on rows of a few sentences, more so "
            "where those that tell classes apart count for more (Wang and Manning 2012); step 3 tries hidden units and "
            "the order of the words, step 4 words that count alike",
            rule="nothing to compare",
        )
    )
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
    elif name == "order":
        changed = replace(spec, reader="lstm", pairs=0, layers_of_units=(), weighted=False)
        yield replace(now, member=replace(member, spec=changed), label=network_in_words(changed))


def climb_validation(runner: Runner, ladder: Ladder) -> None:
    """The rungs of step 4, from the setting that stands."""
    for name in runner.plan.validation_rungs:
        if name in WHY_VALIDATION and ladder.standing is not None:
            ladder.climb(name, WHY_VALIDATION[name], list(_validation_options(name, ladder.standing.setting, runner)))


def _validation_options(name: str, now: Setting, runner: Runner) -> Iterator[Setting]:
    member, spec = now.member, now.member.text
    if name == "L2":
        yield from penalty_options(now, len(runner.data.training), PENALTIES, DECAYS)
    elif name == "words alike":
        if spec.weighted:
            changed = replace(spec, weighted=False)
            yield replace(now, member=replace(member, spec=changed), label=network_in_words(changed))
    elif name == "dropout of words":
        for p in WORD_DROPOUTS:
            changed = replace(spec, word_dropout=p)
            yield replace(now, member=replace(member, spec=changed), label=f"{p:g} of the words left out")
    else:
        for p in DROPOUTS:
            changed = replace(spec, dropout=p)
            yield replace(now, member=replace(member, spec=changed), label=f"dropout {p:g} in the last layer")
