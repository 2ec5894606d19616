"""Tables in the recipe: networks behind several ways of preprocessing, and what the experiments vary of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from luthier.engine import ModuleSpec
from luthier.machine import default_memory
from luthier.messages import Message
from luthier.nets import AnyEmbedding, DenseSpec, NumberEmbedding, Spec, TargetEncoding, many_levelled
from luthier.objective import shared_outputs
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.experiment import FirstSettingEvidence
from luthier.recipe.decisions.starting_network import WidthEvidence, first_width
from luthier.recipe.experiment.factor_space import (
    LENGTH,
    LOSS,
    RATE_AGAIN,
    TRAINING_FACTORS,
    FactorSpace,
    Shape,
    batch_sizes,
    first_levels,
    first_regularisers,
    first_training,
    losses_first,
    regularised,
    regularisers,
    trained_by,
)
from luthier.recipe.experiment.first_setting import EMBEDDED, METHOD, TableShape, first_setting
from luthier.recipe.experiment.fold_bags import learnt_rows
from luthier.recipe.experiment.questions import (
    DROPPED,
    Question,
    changed,
    of_batches,
    of_clipping,
    of_penalties,
    of_rates,
    respecified,
)
from luthier.recipe.modality.modality import WholeTraining
from luthier.recipe.planning.plan import CODED, ENCODINGS, MOST_CODED, WIDEST, Method, PlanSize
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem, input_count
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.statistics.designs import Factor, ShapeFactor

FEWEST_UNITS = 4
CATEGORIES = "categories"  # how they enter
PLENTY = 150.0  # seconds of training
LAYER_COST = 40.0  # products that the calls around a layer's products cost beside them, a row and unit
AUGMENTATIONS = {"none": (0.0, 0.0), "noise": (0.1, 0.0), "mix-up": (0.0, 0.2)}  # noise, and mix-up
NORMS = {"none": (False, False), "batch norm": (True, False), "layer norm": (False, True)}


class TableModality:
    """Cells of a table in dense networks. (A modality; see there.)"""

    method: Method = "standardise"
    crossed, need_all_cores, longer, whole = True, False, 1.3, WholeTraining(20.0, 40.0, 400)

    def size(self, problem: Problem, seconds: float | None) -> PlanSize:
        """The width by both heuristics; of very many columns, such as pixels, each is not given sixteen inputs.

        Periodic codes gain seldom, and are tried where there is time.
        """
        rows, numbers = len(problem.data.training), problem.data.training.numbers.shape[1]
        width = first_width(rows, input_count(problem.data.encoder, numbers), problem.outputs)
        full = problem.data.full_training_rows
        plenty = seconds is not None and seconds >= PLENTY
        coded: tuple[Method, ...] = ("standardise", "quantile", "piecewise", *(("periodic",) if plenty else ()))
        methods = ("standardise", "common") if numbers > MOST_CODED else coded
        return PlanSize(rows, width, methods, 0 if full is None else len(full) - rows)

    def first_setting(self, problem: Problem) -> Setting:
        """Two hidden layers behind scaled inputs (see `first_setting`)."""
        training = problem.data.training
        numbers = training.numbers.shape[1]
        flags = problem.prepared(METHOD)[1].numbers.shape[1] - numbers
        rows, sizes = learnt_rows(problem), problem.data.encoder.category_sizes
        constant = shared_outputs(problem.loss, problem.outputs)
        shape = TableShape(problem.task.family, rows, numbers, sizes, problem.outputs, flags, constant)
        return first_setting(shape).setting

    def bare_network(self, problem: Problem, method: str, width: int) -> Spec:
        """One hidden layer."""
        return problem.spec(method, (width,))

    def choose_network(self, runner: Runner) -> Said[None]:
        """Say both heuristics of the width, and the strong setting that the experiments start from."""
        problem, space = runner.problem, self.training_space(runner)
        numbers, categories = problem.data.training.numbers.shape[1], len(problem.data.encoder.category_sizes)
        inputs = input_count(problem.data.encoder, numbers)
        yield from decided(2, WidthEvidence(inputs, problem.outputs, len(problem.data.training)))
        label = space.setting(space.first_shape, space.first_point).label
        yield from decided(2, FirstSettingEvidence(label, learnt_rows(problem), numbers, categories))

    def work(self, spec: Spec | ModuleSpec, batch_size: int) -> float:
        """Products, and what comes with each layer's."""
        assert isinstance(spec, DenseSpec)
        sizes = (spec.fan_in(0), *spec.hidden, spec.outputs)
        products = sum(a * b for a, b in pairwise(sizes))
        waves = 0 if spec.number_embedding is None else spec.number_embedding.inner
        return float((products + LAYER_COST * (sum(sizes[1:]) + waves)) * batch_size)

    def training_space(self, runner: Runner) -> FactorSpace:
        """How numbers enter, units, layers, activation, batch size; how the network learns."""
        problem, start = runner.problem, self.first_setting(runner.problem)
        inputs = encodings(problem, runner.plan.methods)
        choices = (
            ShapeFactor("input encoding", tuple(inputs)),
            ShapeFactor("units", (1.0, 0.5, 2.0)),
            ShapeFactor("layers", (0, -1, 1)),
            ShapeFactor("activation", ("selu", "relu")),
            batch_sizes(problem, start.batch_size),
            *losses_first(problem),
        )

        def build(shape: Shape, values: Mapping[str, float]) -> Setting:
            shaped = with_hidden(start, reshaped(start.member.spec.hidden, shape["units"], shape["layers"]))
            encoded = with_inputs(problem, shaped, inputs[shape["input encoding"]])
            member = replace(
                trained_by(encoded.member, start.member, values),
                spec=replace(encoded.member.dense, activation=shape["activation"]),
            )
            length, loss = shape.get(LENGTH, 1.0), shape.get(LOSS, "")
            sized = replace(encoded, member=member, batch_size=shape["batch size"], length=length)
            return learning_by(problem, sized, loss)

        values = first_training(start.member)
        return FactorSpace(choices, first_levels(choices), TRAINING_FACTORS, values, build, network_in_words)

    def validation_space(self, runner: Runner, now: Setting) -> FactorSpace:
        """How numbers and categories enter, norms, units, layers, noise and mix-up; what regularises."""
        problem, member, spec = runner.problem, now.member, now.member.dense
        inputs = encodings(problem, runner.plan.methods)
        known = next((name for name, one in inputs.items() if one == (now.method, spec.number_embedding)), now.method)
        inputs = {known: (now.method, spec.number_embedding), **inputs}
        choices = (
            ShapeFactor("input encoding", tuple(inputs)),
            ShapeFactor("batch norm", tuple(NORMS)),
            ShapeFactor("units", (1.0, 0.5, 2.0)),
            ShapeFactor("architecture", (0, 1, -1) if len(spec.hidden) > 1 else (0, 1)),
            ShapeFactor("augmentation", tuple(name for name in AUGMENTATIONS if problem.mixes or name != "mix-up")),
            *of_categories(problem, spec),
            *losses_first(problem, now),
        )
        factors = (
            RATE_AGAIN,
            Factor("dropout, last layer", 0.0, 0.6, least=0.0, most=0.9),
            Factor("dropout, other layers", 0.0, 0.6, least=0.0, most=0.9),
            *regularisers(problem),
        )
        rows = learnt_rows(problem)

        def build(shape: Shape, values: Mapping[str, float]) -> Setting:
            batch_norm, layer_norm = NORMS[shape["batch norm"]]
            hidden = reshaped(spec.hidden, shape["units"], shape["architecture"])
            shaped = with_inputs(problem, with_hidden(now, hidden), inputs[shape["input encoding"]])
            last, others = values["dropout, last layer"], values["dropout, other layers"]
            noise, mixup = AUGMENTATIONS[shape["augmentation"]]
            changed_member = replace(
                regularised(shaped.member, member, values, rows),
                spec=replace(
                    shaped.member.dense,
                    batch_norm=batch_norm,
                    layer_norm=layer_norm,
                    target_encoding=shape.get(CATEGORIES, spec.target_encoding),
                ),
                dropout=(others,) * (len(hidden) - 1) + (last,) if max(last, others) > 0 else (),
                noise=noise,
                mixup=mixup,
            )
            length = now.length * shape.get(LENGTH, 1.0)
            loss = shape.get(LOSS, now.loss)
            changed_setting = replace(shaped, member=changed_member, length=length, averaging=values["averaging"])
            return learning_by(problem, changed_setting, loss)

        norm = next(name for name, norms in NORMS.items() if norms == (spec.batch_norm, spec.layer_norm))
        start = {
            **first_regularisers(now, rows),
            "dropout, last layer": member.drop_rates[-1],
            "dropout, other layers": max(member.drop_rates[:-1], default=0.0),
        }
        return FactorSpace(
            choices, {**first_levels(choices), "batch norm": norm}, factors, start, build, network_in_words
        )

    def questions(self, runner: Runner, now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
        """All sixteen, and the loss where the metric makes it a question."""
        hidden, deeper = now.member.spec.hidden, len(now.member.spec.hidden) > 1
        yield from of_rates(now, rates)
        yield Question("units", True, with_hidden(now, reshaped(hidden, 0.5, 0)))
        yield of_batches(now)
        yield Question("layers", deeper, with_hidden(now, reshaped(hidden, 1.0, -1 if deeper else 1)))
        yield from _of_validation(runner, now)
        yield from of_losses(runner.problem, now)


def _of_validation(runner: Runner, now: Setting) -> Iterator[Question]:
    member, spec, numbers = now.member, now.member.dense, runner.problem.data.training.numbers.shape[1]
    last, others = member.drop_rates[-1], max(member.drop_rates[:-1], default=0.0)
    rates = (*member.drop_rates[:-1], 0.0 if last else DROPPED)
    yield Question("dropout, last layer", last > 0, changed(now, dropout=rates), f"{0.0 if last else DROPPED:g}")
    p = 0.0 if last and others else DROPPED
    yield Question("dropout, all layers", p == 0, changed(now, dropout=(p,) * len(spec.hidden)), f"{p:g}")
    yield of_penalties(now, learnt_rows(runner.problem))
    if numbers:
        used = now.method != "standardise"
        method = "standardise" if used else "robust"
        yield Question("input normalisation", used, with_inputs(runner.problem, now, (method, None)), method)
    used = spec.normalised
    yield Question("batch norm", used, respecified(now, batch_norm=not used, layer_norm=False))
    used = bool(member.noise or member.mixup)
    name = "none" if used else "noise" if spec.inputs else "mix-up"
    noise, mixup = AUGMENTATIONS[name]
    yield Question("augmentation", used, changed(now, noise=noise, mixup=mixup), "" if used else name)
    yield of_clipping(now)
    used = spec.initialiser == "he"
    yield Question("initialisation", used, respecified(now, initialiser="xavier" if used else "he"))
    alike = spec.hidden if len(spec.hidden) > 1 else spec.hidden * 2  # one layer has nothing to skip
    yield Question("architecture", spec.residual, with_hidden(now, alike, residual=not spec.residual))


def of_losses(problem: Problem, now: Setting) -> Iterator[Question]:
    """What networks learn by, where that is a question."""
    if problem.asks_losses:
        used = now.loss == problem.losses[0]
        other = problem.losses[1] if used else problem.losses[0]
        yield Question("loss", used, learning_by(problem, now, other), other)


def learning_by(problem: Problem, now: Setting, loss: str) -> Setting:
    """The setting with networks that learn by a loss, and have the outputs that it takes."""
    if not loss:
        return now
    outputs = problem.outputs_for(loss)
    return replace(respecified(now, outputs=outputs, constant_outputs=shared_outputs(loss, outputs)), loss=loss)


def encodings(problem: Problem, methods: Sequence[str]) -> dict[str, tuple[str, AnyEmbedding | None]]:
    """How numbers may enter, by name: a way of preprocessing, and learned functions of them beside one of these."""
    numbers = problem.data.training.numbers.shape[1]
    if not numbers:
        return {METHOD: (METHOD, None)}
    embedded = {"embedded": (METHOD, NumberEmbedding(numbers))} if numbers <= EMBEDDED else {}
    others = [method for method in methods if method not in ("standardise", METHOD) and _is_light(problem, method)]
    return {**embedded, **{method: (method, None) for method in (METHOD, *others)}}


def of_categories(problem: Problem, spec: DenseSpec) -> list[ShapeFactor]:
    """Whether means of the target enter beside the embeddings, where a category has many levels."""
    if not isinstance(problem.loss, str) or problem.data.training.targets.ndim > 1:
        return []  # of several targets each level would have several means
    known = many_levelled(problem.data.encoder.category_sizes, problem.outputs, problem.loss)
    ways: dict[TargetEncoding | None, None] = dict.fromkeys((spec.target_encoding, None, known))
    return [ShapeFactor(CATEGORIES, tuple(ways))] if known is not None else []


def _is_light(problem: Problem, method: str) -> bool:
    """Whether the rows behind a way of preprocessing take no more than their part of the memory."""
    rows = len(problem.data.training) + len(problem.data.validation)
    inputs = problem.data.training.numbers.shape[1] * (CODED if method in ("piecewise", "periodic") else 1)
    return 4 * rows * inputs * ENCODINGS <= problem.data.memory_beside(problem.asked.memory or default_memory()) / 4


def with_hidden(now: Setting, hidden: tuple[int, ...], *, residual: bool | None = None) -> Setting:
    """The setting with other hidden layers; each drops as the one in its place did."""
    rates, spec = now.member.dropout, now.member.dense
    if rates and len(rates) != len(hidden):
        rates = (rates[0] if len(rates) > 1 else 0.0,) * (len(hidden) - 1) + (rates[-1],)
    skips = spec.residual if residual is None else residual
    return changed(now, spec=replace(spec, hidden=hidden, residual=skips), dropout=rates)


def with_inputs(problem: Problem, now: Setting, encoding: tuple[str, AnyEmbedding | None]) -> Setting:
    """The setting behind another way of preprocessing, with or without learned functions of numbers."""
    method, embedding = encoding
    inputs = problem.prepared(method)[1].numbers.shape[1]
    return replace(respecified(now, inputs=inputs, number_embedding=embedding), method=method)


def reshaped(hidden: tuple[int, ...], times: float, more: int) -> tuple[int, ...]:
    """Hidden layers with so many times the units, and some more or fewer of them.

    >>> reshaped((64, 64), 0.5, 1), reshaped((64, 64), 1.0, -1)
    ((32, 32, 32), (64,))
    """
    result = tuple(min(WIDEST, max(FEWEST_UNITS, round(units * times))) for units in hidden)
    return result + result[-1:] * more if more >= 0 else result[:more]


def network_in_words(setting: Setting) -> list[str]:
    """A setting's network, and how numbers enter it, in parts."""
    spec, method = setting.member.dense, Message(setting.method)
    parts: list[str] = ["x".join(map(str, spec.hidden)) or Message("linear")]
    parts.append(Message("{method} with learned functions", method=method) if spec.number_embedding else method)
    parts += [Message("means of the target")] if spec.target_encoding else []
    norm = Message("batch norm") if spec.batch_norm else Message("layer norm") if spec.layer_norm else ""
    return [*parts, *([norm] if norm else [])]
