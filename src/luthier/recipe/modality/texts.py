"""Text in the recipe: a bag of words and pairs first, beside sentence vectors and other columns; then an LSTM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from luthier.engine import Member, ModuleSpec
from luthier.messages import Message
from luthier.nets import Spec, TextSpec
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.starting_network import TextNetworkEvidence
from luthier.recipe.experiment.factor_space import FactorSpace, Shape, batch_sizes, training_space, validation_space
from luthier.recipe.experiment.fold_bags import learnt_rows
from luthier.recipe.experiment.questions import (
    Question,
    of_batches,
    of_clipping,
    of_dropout,
    of_penalties,
    of_rates,
    respecified,
)
from luthier.recipe.modality.modality import OneByOne, WholeTraining
from luthier.recipe.planning.plan import Method
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem, embeddings_of
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.statistics.designs import ShapeFactor

WIDTH, UNITS = 32, 64
DROPOUTS, WORD_DROPOUTS = (0.0, 0.25, 0.5), (0.0, 0.1, 0.3)
# Nanoseconds: of the calls of a step, of a number in a pass over weights, of a number looked up, of a product forth and
# back, of an LSTM's step by its width squared; the share of the length that rows fill; times as long where pieces drop.
CALLS, PASS, LOOK_UP, PRODUCT, LSTM_STEP = 450_000.0, 0.9, 0.8, 0.15, 2.4
FILLED, DRAWN = 1 / 3, 1.5


class TextModality(OneByOne):
    """A column of text, perhaps beside others. (A modality; see there.)"""

    method: Method = "standardise"
    most_batch, rate, betas = 64, 0.02, (0.9, 0.99)
    crossed, need_all_cores, longer, whole = False, False, 1.8, WholeTraining(5.0, 8.0, 150)

    def bare_network(self, problem: Problem, method: str, width: int) -> TextSpec:
        """The sum of what words and pairs say, weighted by what they say of the target, beside the other columns."""
        return TextSpec(**self._columns(problem, method))

    def _columns(self, problem: Problem, method: str) -> dict[str, Any]:
        """What the rows' columns make of a spec; they may be without words."""
        fitted, _, _ = problem.prepared(method)
        encoder = problem.data.encoder
        words = encoder.texts[0] if encoder.texts else None
        return {
            "numbers": fitted.width - encoder.vector_width,
            "vectors": encoder.vector_width,
            "outputs": problem.outputs,
            "width": WIDTH,
            "embeddings": embeddings_of(encoder.category_sizes),
            "weighted": words is not None,
            "pieces": 0 if words is None else words.pieces,
            "length": 0 if words is None else words.length,
            "pairs": 0 if words is None else len(words.pairs),
        }

    def choose_network(self, runner: Runner) -> Said[None]:
        """Say the first architecture."""
        spec = self.bare_network(runner.problem, self.method, WIDTH)
        yield from decided(2, TextNetworkEvidence(spec.width, spec.vectors))

    def work(self, spec: Spec | ModuleSpec, batch_size: int) -> float:
        """About nanoseconds of a core: words looked up or read one after another, a rule's pass over all embeddings."""
        assert isinstance(spec, TextSpec)
        wide, inputs, once = spec.width, spec.numbers + spec.vectors_read, 0.0
        a_row = 0.0
        if spec.reads_words:
            inputs, once = inputs + wide, PASS * wide * (spec.pieces + spec.pairs)
            a_row = LOOK_UP * wide * spec.length * (2 if spec.pairs else 1)
        if spec.reads_words and spec.reader != "bag":
            a_row = LSTM_STEP * wide**2 * spec.length * FILLED
        a_row += PRODUCT * inputs * (spec.layers_of_units or (spec.outputs,))[0]
        return (CALLS + once + a_row * batch_size) * (DRAWN if spec.word_dropout else 1.0)

    def training_space(self, runner: Runner) -> FactorSpace:
        """How words are read, width of embeddings, units, batch size; how the network learns."""
        start = self.first_setting(runner.problem)
        spec = start.member.text
        choices = (
            ShapeFactor("order", ("pairs", "words", "LSTM")),
            ShapeFactor("units", ((), (UNITS,))),
            ShapeFactor("width", (1.0, 0.25)),
            batch_sizes(runner.problem, start.batch_size),
        )

        def network(shape: Shape) -> Spec:
            width = max(1, round(spec.width * shape["width"]))
            return replace(reading(spec, shape["order"]), width=width, layers_of_units=shape["units"])

        return training_space(start, choices, network, network_in_words)

    def validation_space(self, runner: Runner, now: Setting) -> FactorSpace:
        """Sentence vectors, weights of words, dropout, units; what regularises."""
        spec = now.member.text
        choices = (
            *([ShapeFactor("sentence vectors", ("both", "words", "vectors"))] if spec.vectors else []),
            *([ShapeFactor("words alike", (False, True))] if spec.reader == "bag" else []),
            ShapeFactor("dropout, last layer", DROPOUTS),
            ShapeFactor("dropout of words", WORD_DROPOUTS),
            ShapeFactor("architecture", tuple(dict.fromkeys((spec.layers_of_units, (), (UNITS,))))),
        )

        def changed(shape: Shape) -> Member:
            network = replace(
                spec,
                reads=shape.get("sentence vectors", spec.reads),
                weighted=spec.reader == "bag" and not shape["words alike"],
                dropout=shape["dropout, last layer"],
                word_dropout=shape["dropout of words"],
                layers_of_units=shape["architecture"],
            )
            return replace(now.member, spec=network)

        return validation_space(runner.problem, now, choices, changed, network_in_words)

    def questions(self, runner: Runner, now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
        """Twelve, or those that the table and the adopted network leave."""
        spec = now.member.text
        yield from of_rates(now, rates)
        used = bool(spec.layers_of_units)
        yield Question("layers", used, respecified(now, layers_of_units=() if used else (UNITS,)))
        yield of_batches(now)
        if spec.reads_words and spec.reader != "bag":  # without need an LSTM takes the time of five bags
            first = self.bare_network(runner.problem, now.method, WIDTH)
            yield Question("order", True, respecified(now, reader="bag", pairs=first.pairs))
        if spec.vectors_read and spec.reads_words:
            yield Question("sentence vectors", True, respecified(now, reads="words"))
        elif spec.vectors and spec.reads_words:
            yield Question("sentence vectors", False, respecified(now, reads="both"))
        if spec.reads_words and spec.reader == "bag":
            yield Question("words alike", not spec.weighted, respecified(now, weighted=not spec.weighted))
        yield of_dropout(now, "dropout, last layer", "dropout", DROPOUTS[1])
        if spec.reads_words:
            yield of_dropout(now, "dropout of words", "word_dropout", WORD_DROPOUTS[1])
        yield of_penalties(now, learnt_rows(runner.problem))
        yield of_clipping(now)


class BackboneTextModality(TextModality):
    """Text before a sentence transformer whose blocks are unfrozen. (A modality; see there.)"""

    need_all_cores = True


def reading(spec: TextSpec, order: str) -> TextSpec:
    """The network that reads words alone, words and pairs, or the words in their order."""
    if order == "LSTM":
        return replace(spec, reader="lstm", pairs=0, weighted=False)
    return spec if order == "pairs" else replace(spec, pairs=0)


def network_in_words(setting: Setting) -> list[str]:
    """A setting's network, in parts."""
    spec = setting.member.text
    units = [Message("{count} ReLU units", count=count) for count in spec.layers_of_units]
    dropped = [Message("dropout {share:g}", share=spec.dropout)] if spec.dropout else []
    if not spec.reads_words:
        return [Message("sentence vectors alone"), *units, *dropped]
    if spec.reader != "bag":
        template = "an LSTM over {width}-dimensional word embeddings"
        read = [Message(template, width=spec.width), Message("with {pool} pooling", pool=spec.pool)]
    else:
        words = Message("a bag of words and pairs") if spec.pairs else Message("a bag of words")
        read = [words, Message("{width}-dimensional embeddings", width=spec.width)]
        read += [Message("weighted by log-ratios")] if spec.weighted else []
    beside = [Message("beside sentence vectors")] if spec.vectors_read else []
    dropped += [Message("word dropout {share:g}", share=spec.word_dropout)] if spec.word_dropout else []
    return [*read, *units, *beside, *dropped]
