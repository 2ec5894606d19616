"""A dense network as plain, frozen, serialisable data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from luthier.errors import ConfigError, nearest
from luthier.nets.activations import ACTIVATIONS, Activation, mixed
from luthier.nets.initialise import INITIALISERS, initial_parameters
from luthier.nets.numbers import SCALE, AnyEmbedding, embedding_from_json
from luthier.nets.target_means import TargetEncoding
from luthier.records import JsonObject
from luthier.seeds import torch_generator

Shape = tuple[int, ...]
FIRST_SUMS = "ensemble.0.sums"


@dataclass(frozen=True)
class DenseSpec:
    """A fully connected network: numbers [B, F] and category codes [B, K] in, logits [B, C] out.

    There are `inputs` numbers and `outputs` logits. `embeddings` holds (levels, width) of each of the K code columns;
    `hidden` the units of each hidden layer (none gives a linear model), `activation` its function: one name for all, or
    one for each. `initialiser` draws the weights; `deviation` is what "normal" scales by. `batch_norm` (over the batch)
    or `layer_norm` (over a row's units) sits before the activation, and a layer that has it has no bias. With
    `residual` a hidden layer as wide as the one below adds that one's output to its own. `neurons` are (hidden layer,
    unit, activation) of single neurons that differ from their layer. With a `number_embedding` learned functions of the
    first numbers enter beside them. With an `input_scale` each value that enters the first layer is multiplied by a
    factor of its own, learnt from 1 on. `constant_outputs` are numbers of outputs that are the same for all rows, a
    bias each: cuts between ordered levels, a dispersion. With `parametric` activations each hidden unit learns how
    much of its function it takes, z + a (f(z) - z) with a from 1 on (as in RealMLP). With a
    `target_encoding` means of the target by level enter beside the embeddings. With `biases_from_data` the first biases
    follow from the rows that are learnt from: the last layer's are the best constant answer, and each hidden unit bends
    among the rows (see `DenseNet.write_biases`).

    With an `ensemble` of k it is k networks that share their weights (Wen, Tran and Ba 2020, "BatchEnsemble"): each has
    factors of its own for a hidden unit's sum and for its output, so the matrices between hidden layers are W times a
    matrix of rank one. In training the row at place b of a batch teaches the network b mod k, which costs no product
    more; the answer is the mean of all k networks' logits, which takes k times as long. The factors of the first
    layer's sums begin as random signs, all others as 1 (as in TabM, Gorishniy and others 2025).

    >>> DenseSpec(inputs=784, hidden=(30,), outputs=10).parameter_count()
    23860
    >>> DenseSpec(inputs=784, hidden=(30,), outputs=10, ensemble=4).parameter_count()  # 2 x 4 x 30 more
    24100
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str | tuple[str, ...] = "relu"
    batch_norm: bool = False
    layer_norm: bool = False
    residual: bool = False
    embeddings: tuple[tuple[int, int], ...] = ()
    initialiser: str = "he"
    deviation: float = 0.01
    neurons: tuple[tuple[int, int, str], ...] = ()
    number_embedding: AnyEmbedding | None = None
    input_scale: bool = False
    constant_outputs: tuple[int, ...] = ()
    parametric: bool = False
    target_encoding: TargetEncoding | None = None
    biases_from_data: bool = False
    ensemble: int = 0

    def __post_init__(self) -> None:
        mistakes = []
        if self.inputs < 0 or self.outputs < 1 or any(units < 1 for units in self.hidden):
            mistakes.append(
                f"sizes must be positive: inputs {self.inputs}, hidden {self.hidden}, outputs {self.outputs}"
            )
        if self.inputs + self.embedding_width < 1:
            mistakes.append("a network needs at least one input")
        if self.target_encoding is not None:
            mistakes += self._mistakes_of_means(self.target_encoding)
        if self.number_embedding is not None and self.number_embedding.columns > self.inputs:
            mistakes.append(f"{self.number_embedding.columns} numbers to embed; the network has {self.inputs} inputs")
        if any(not 0 <= place < self.outputs for place in self.constant_outputs):
            mistakes.append(f"there are {self.outputs} outputs; constant are to be {self.constant_outputs}")
        if self.batch_norm and self.layer_norm:
            mistakes.append("a layer can have batch norm or layer norm, not both")
        if self.ensemble and (self.ensemble < 2 or not self.hidden or self.batch_norm):
            mistakes.append(
                "an ensemble in one network is of 2 networks or more, with hidden layers and without batch norm, whose "
                f"means would mix them; not {self.ensemble} networks, hidden {self.hidden}"
                + (", batch norm" if self.batch_norm else "")
            )
        if not isinstance(self.activation, str) and len(self.activation) != len(self.hidden):
            mistakes.append(f"{len(self.activation)} activations for {len(self.hidden)} hidden layers")
        named = (self.activation,) if isinstance(self.activation, str) else self.activation
        named = (*named, *(name for _, _, name in self.neurons))
        for layer, unit, _ in self.neurons:
            if not (0 <= layer < len(self.hidden) and 0 <= unit < self.hidden[layer]):
                mistakes.append(f"there is no unit {unit} in hidden layer {layer} of {self.hidden}")
        choices: list[tuple[str, Collection[str]]] = [(name, ACTIVATIONS) for name in named]
        for name, known in (*choices, (self.initialiser, INITIALISERS)):
            if name not in known:
                mistakes.append(f"'{name}' is not one of {', '.join(known)}; {nearest(name, known)}".rstrip("; "))
        if mistakes:
            raise ConfigError(mistakes)

    def _mistakes_of_means(self, encoding: TargetEncoding) -> list[str]:
        known = dict(enumerate(levels for levels, _ in self.embeddings))
        pairs = zip(encoding.columns, encoding.levels, strict=True)
        return [
            f"column {column} of the codes has {known[column]} levels, not {levels}, of which the target has means"
            for column, levels in pairs
            if known.get(column, levels) != levels
        ]

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        return (self.activation,) * len(self.hidden) if isinstance(self.activation, str) else self.activation

    @property
    def functions(self) -> tuple[Activation, ...]:
        """The activation of each hidden layer with its derivative, single neurons' own ones included."""
        result = []
        for i, name in enumerate(self.activations):
            own = {unit: ACTIVATIONS[other] for layer, unit, other in self.neurons if layer == i}
            result.append(mixed(ACTIVATIONS[name], own) if own else ACTIVATIONS[name])
        return tuple(result)

    @property
    def gains(self) -> tuple[float, ...]:
        """What scales the first weights of each layer; the output layer takes the gain below it."""
        gains = [ACTIVATIONS[name].gain for name in self.activations] or [1.0]
        return (*gains[: len(self.hidden)], gains[-1])

    def fresh_parameters(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters by name, in float64."""
        learned = {} if self.number_embedding is None else self.number_embedding.fresh_parameters(seed)
        shapes = {name: shape for name, shape in self.shapes().items() if name not in learned}
        fresh = initial_parameters(
            shapes, initialiser=self.initialiser, gains=self.gains, seed=seed, deviation=self.deviation
        )
        fresh[f"layers.{len(self.hidden)}.weight"][list(self.constant_outputs)] = 0
        ones = (name for name in fresh if name == SCALE or name.startswith(("activations.", "ensemble.")))
        result = {**fresh, **learned, **{name: torch.ones_like(fresh[name]) for name in ones}}
        if self.ensemble:
            drawn, shape = torch_generator(seed, "weights", FIRST_SUMS), result[FIRST_SUMS].shape
            result[FIRST_SUMS] = 2 * torch.randint(2, shape, generator=drawn, dtype=torch.float64) - 1
        return result

    @property
    def layers(self) -> int:
        """Hidden layers and the output's."""
        return len(self.hidden) + 1

    @property
    def embedding_width(self) -> int:
        """Width of all embeddings side by side."""
        return sum(width for _, width in self.embeddings)

    @property
    def learned_width(self) -> int:
        """Width of all that stands beside the inputs: embeddings, means of the target, functions of numbers."""
        more = (self.target_encoding, self.number_embedding)
        return self.embedding_width + sum(one.features for one in more if one is not None)

    @property
    def coded_columns(self) -> list[int]:
        """Which column of the codes each table is looked up by: those of embeddings, then of means of the target."""
        means = () if self.target_encoding is None else self.target_encoding.columns
        return [*range(len(self.embeddings)), *means]

    @property
    def plain_inputs(self) -> bool:
        """Whether the first layer sees the inputs as they are."""
        return not (self.learned_width or self.input_scale)

    @property
    def normalised(self) -> bool:
        """Whether hidden layers have a norm, and so no bias."""
        return self.batch_norm or self.layer_norm

    def biased(self, layer: int) -> bool:
        """Whether a layer (the output's is the last) has a bias."""
        return not self.normalised or layer == len(self.hidden)

    def fan_in(self, layer: int) -> int:
        """How many values a layer's weights multiply.

        The first takes embeddings, means of the target, functions of numbers, numbers.
        """
        return self.hidden[layer - 1] if layer else self.inputs + self.learned_width

    def columns(self, layer: int) -> int:
        """Columns of a layer's matrix: a bias is the weight of an input that is always one."""
        return self.fan_in(layer) + self.biased(layer)

    def skips(self, layer: int) -> bool:
        """Whether a hidden layer adds the output of the one below to its own."""
        return self.residual and layer > 0 and self.hidden[layer] == self.hidden[layer - 1]

    def shapes(self) -> dict[str, Shape]:
        """Name and shape of every parameter."""
        shapes: dict[str, Shape] = {}
        for k, (levels, width) in enumerate(self.embeddings):
            shapes[f"embeddings.{k}.weight"] = (levels, width)
        if self.number_embedding is not None:
            shapes |= self.number_embedding.shapes()
        if self.input_scale:
            shapes[SCALE] = (self.fan_in(0),)
        for i, units in enumerate((*self.hidden, self.outputs)):
            shapes[f"layers.{i}.weight"] = (units, self.fan_in(i))
            if self.biased(i):
                shapes[f"layers.{i}.bias"] = (units,)
            else:
                shapes[f"norms.{i}.scale"] = (units,)
                shapes[f"norms.{i}.shift"] = (units,)
            if self.parametric and i < len(self.hidden):
                shapes[f"activations.{i}.share"] = (units,)
            if self.ensemble and i < len(self.hidden):
                shapes[f"ensemble.{i}.sums"] = shapes[f"ensemble.{i}.outputs"] = (self.ensemble, units)
        return shapes

    def buffer_shapes(self) -> dict[str, Shape]:
        """Name and shape of every buffer: tables of the target's means, batch norm's moving averages."""
        layers = range(len(self.hidden)) if self.batch_norm else ()
        tables = {} if self.target_encoding is None else self.target_encoding.shapes()
        return {**tables, **{f"norms.{i}.{name}": (self.hidden[i],) for i in layers for name in ("mean", "variance")}}

    def parameter_count(self) -> int:
        """Number of learnable numbers."""
        return sum(prod(shape) for shape in self.shapes().values())

    def to_json(self) -> JsonObject:
        """The spec as plain JSON values."""
        values = asdict(self)
        # Left out where there is none, as before there were any.
        later = (
            *("number_embedding", "input_scale", "constant_outputs", "parametric", "target_encoding"),
            *("biases_from_data", "ensemble"),
        )
        return {name: value for name, value in values.items() if name not in later or value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DenseSpec:
        """The spec that `to_json` gave."""
        neurons = tuple((int(layer), int(unit), str(name)) for layer, unit, name in value.get("neurons", ()))
        embeddings = tuple((int(levels), int(width)) for levels, width in value["embeddings"])
        activation = value["activation"]
        activation = activation if isinstance(activation, str) else tuple(activation)
        own: dict[str, object] = {
            "hidden": tuple(value["hidden"]),
            "embeddings": embeddings,
            "activation": activation,
            "neurons": neurons,
            "constant_outputs": tuple(map(int, value.get("constant_outputs", ()))),
            "number_embedding": embedding_from_json(value.get("number_embedding")),
            "target_encoding": TargetEncoding.from_json(value.get("target_encoding")),
        }
        return cls(**{**value, **own})

    @classmethod
    def deferred(cls, hidden: tuple[int, ...], *, outputs: int | None = None, **options: Any) -> DeferredSpec:
        """A spec whose inputs (and outputs, unless they are given) are read off the data at training.

        >>> DenseSpec.deferred((30,)).known(inputs=784, outputs=10).parameter_count()
        23860
        """
        return DeferredSpec(hidden, outputs, options)


@dataclass(frozen=True)
class DeferredSpec:
    """A dense network that waits for its data: hidden layers, and options of DenseSpec."""

    hidden: tuple[int, ...]
    outputs: int | None
    options: Mapping[str, Any]

    def known(self, *, inputs: int, outputs: int) -> DenseSpec:
        """The spec for data with so many columns and classes (or values)."""
        return DenseSpec(inputs, self.hidden, self.outputs or outputs, **self.options)
