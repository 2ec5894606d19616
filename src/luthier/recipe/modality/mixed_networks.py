"""Mixed rows in the recipe: a small ConvNet's features beside numbers, categories and text, then a layer of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from luthier.engine import Member, ModuleSpec
from luthier.messages import Message
from luthier.nets import ConvSpec, MixedSpec, Spec
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.starting_network import MixedNetworkEvidence, channels_for
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
from luthier.recipe.modality.modality import WholeTraining
from luthier.recipe.modality.picture_networks import CHANGES, MOVED, PictureModality, centred, filtered
from luthier.recipe.modality.texts import DROPOUTS, UNITS, WIDTH, WORD_DROPOUTS, TextModality
from luthier.recipe.modality.texts import network_in_words as text_in_words
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.statistics.designs import ShapeFactor

FEATURES = 32  # of a picture
MOVES = ("none", "moved")  # a picture beside numbers may say where things lie


class MixedModality(TextModality):
    """Cells, text and one picture in one network. (A modality; see there.)"""

    need_all_cores, longer, whole = True, 1.5, WholeTraining(8.0, 25.0, 200)
    rate, betas = 5e-3, (0.9, 0.999)

    def bare_network(self, problem: Problem, method: str, width: int) -> MixedSpec:
        """What the parts say, side by side in front of one hidden layer."""
        pixels = problem.data.training.inputs["pixels"]
        mean, std = centred(pixels)
        shape: Any = tuple(pixels.shape[1:])
        picture = ConvSpec(shape, channels_for(*shape[1:]), FEATURES, mean=mean, std=std)
        return MixedSpec(**self._columns(problem, method), layers_of_units=(UNITS,), picture=picture)

    def choose_network(self, runner: Runner) -> Said[None]:
        """Say the first architecture."""
        spec = self.bare_network(runner.problem, self.method, WIDTH)
        evidence = MixedNetworkEvidence(*spec.picture.inputs[1:], spec.numbers, spec.pieces, spec.vectors, UNITS)
        yield from decided(2, evidence)

    def work(self, spec: Spec | ModuleSpec, batch_size: int) -> float:
        """That of its parts."""
        assert isinstance(spec, MixedSpec)
        return super().work(spec, batch_size) + PictureModality().work(spec.picture, batch_size)

    def training_space(self, runner: Runner) -> FactorSpace:
        """Units, filters, batch size; how the network learns."""
        start = self.first_setting(runner.problem)
        spec = start.member.mixed
        choices = (
            ShapeFactor("units", ((UNITS,), (2 * UNITS,), ())),
            ShapeFactor("layers", (1, 2)),
            batch_sizes(runner.problem, start.batch_size),
        )

        def network(shape: Shape) -> Spec:
            picture = filtered(spec.picture, float(shape["layers"]))
            return replace(spec, layers_of_units=shape["units"], picture=picture)

        return training_space(start, choices, network, network_in_words)

    def validation_space(self, runner: Runner, now: Setting) -> FactorSpace:
        """Changes of pictures, sentence vectors, weights of words, dropout; what regularises."""
        spec = now.member.mixed
        choices = (
            ShapeFactor("augmentation", MOVES),
            ShapeFactor("dropout, last layer", DROPOUTS),
            *([ShapeFactor("sentence vectors", ("both", "words", "vectors"))] if spec.vectors and spec.pieces else []),
            *([ShapeFactor("words alike", (False, True))] if spec.pieces else []),
            *([ShapeFactor("dropout of words", WORD_DROPOUTS)] if spec.pieces else []),
        )

        def changed(shape: Shape) -> Member:
            network = replace(
                spec,
                picture=replace(spec.picture, augment=CHANGES[shape["augmentation"]]),
                dropout=shape["dropout, last layer"],
                reads=shape.get("sentence vectors", spec.reads),
                weighted=bool(spec.pieces) and not shape["words alike"],
                word_dropout=shape.get("dropout of words", 0.0),
            )
            return replace(now.member, spec=network)

        return validation_space(runner.problem, now, choices, changed, network_in_words)

    def questions(self, runner: Runner, now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
        """Six and more, by what the rows have."""
        spec = now.member.mixed
        yield from of_rates(now, rates)
        used = bool(spec.layers_of_units)
        yield Question("layers", used, respecified(now, layers_of_units=() if used else (UNITS,)))
        yield Question("units", True, respecified(now, picture=filtered(spec.picture, 0.5)))
        yield of_batches(now)
        used = bool(spec.augment)
        changed = respecified(now, picture=replace(spec.picture, augment=() if used else MOVED))
        yield Question("augmentation", used, changed, "" if used else "moved")
        yield of_dropout(now, "dropout, last layer", "dropout", DROPOUTS[1])
        if spec.vectors_read and spec.reads_words:
            yield Question("sentence vectors", True, respecified(now, reads="words"))
        if spec.reads_words:
            yield Question("words alike", not spec.weighted, respecified(now, weighted=not spec.weighted))
            yield of_dropout(now, "dropout of words", "word_dropout", WORD_DROPOUTS[1])
        yield of_penalties(now, learnt_rows(runner.problem))
        yield of_clipping(now)


def network_in_words(setting: Setting) -> list[str]:
    """A setting's network, in parts."""
    spec = setting.member.mixed
    picture = Message("a ConvNet of {filters} filters", filters=" - ".join(map(str, spec.picture.channels)))
    changes = [Message("{kind} {strength:g}", kind=Message(kind), strength=strength) for kind, strength in spec.augment]
    if spec.pieces:
        return [picture, *changes, *text_in_words(setting)]
    units = [Message("{count} ReLU units", count=count) for count in spec.layers_of_units]
    dropped = [Message("dropout {share:g}", share=spec.dropout)] if spec.dropout else []
    return [picture, *changes, *units, *dropped]
