"""A member of a population: an architecture, its hyper-parameters and its seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any

from luthier.engine.members.flat_rows import KINDS
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.scheduled import Schedules, schedules_of
from luthier.errors import ConfigError
from luthier.nets import ConvSpec, DenseSpec, MixedSpec, Spec, TextSpec, spec_from_json
from luthier.optimise import AnySchedule, Schedule
from luthier.records import JsonObject


@dataclass(frozen=True)
class Member:
    """One network to be trained.

    `dropout` is the probability to drop, one for each hidden layer (none: no dropout). `l2` and `l1`
    are the documents' lambda, n training rows: the penalty is lambda / (2 n) times the sum of squared
    weights, or lambda / n times the sum of their sizes, with sgn(0) = 0; biases are
    left out unless `penalise_biases`. `weight_decay` is decoupled: each step also shrinks the weights
    by rate times decay (with Adam that is AdamW). `epsilon` and `rho` (RMSProp's and Adadelta's memory) are the
    rule's own where they are None. A gradient is cut by value first, then by norm.

    Layers may differ, first to last, the output's included: `layer_rates` multiply the rate of each,
    and a layer stays as it is until the step in `frozen_until` is done (gradual unfreezing); a number
    above all steps freezes it for good. With `ema_decay` above 0 what is evaluated and kept are moving
    averages of the weights with that memory (0.999 remembers about a thousand steps).

    Numbers of one kind may have rates of their own too: `rate_factors` are pairs of a kind ("weights", "biases",
    "embeddings" of categories, "numbers": learned functions of them, "scales" of inputs, "norms", "activations": how
    much of them is taken, "ensemble": factors of networks that share weights) and what multiplies the rate. A member
    that is `width_scaled` divides the rates of each layer's weights by the root of its inputs, or by its inputs where
    steps grow with the gradient (SGD): one rate then serves networks of all widths (the "NT" parametrisation of
    Holzmueller and others, 2024, in weights of the usual scale).

    With a `fold` it learns from the training rows of all other folds and is evaluated on those of this one, in
    one stack with the members of other folds (see `train`).

    `label_smoothing` s learns classes from targets (1 - s) y + s / C in place of y; what is measured is the plain loss.

    Other hyper-parameters than the rate may follow schedules: `schedules` are pairs of a name of SCHEDULED, such as
    dropout or weight_decay, and what multiplies its value at each step; `{"dropout": "flat-cosine"}` is taken too.

    `noise` and `mixup` change the rows of each batch by chance in training (see `mixing`); members of one stack share
    them.
    """

    spec: Spec | ModuleSpec
    seed: int
    learning_rate: float
    schedule: AnySchedule = field(default_factory=Schedule)
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float | None = None
    rho: float | None = None
    l2: float = 0.0
    l1: float = 0.0
    weight_decay: float = 0.0
    penalise_biases: bool = False
    layer_rates: tuple[float, ...] = ()
    frozen_until: tuple[int, ...] = ()
    rate_factors: tuple[tuple[str, float], ...] = ()
    width_scaled: bool = False
    ema_decay: float = 0.0
    label_smoothing: float = 0.0
    dropout: tuple[float, ...] = ()
    noise: float = 0.0
    mixup: float = 0.0
    schedules: Schedules = ()
    clip_norm: float = inf
    clip_value: float = inf
    label: str = ""
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.schedules:
            object.__setattr__(self, "schedules", schedules_of(self.schedules))
        layers = self.spec.layers
        mistakes = [
            f"{name} has {len(value)} entries; the network has {wanted} {what}"
            for name, value, wanted, what in (
                ("dropout", self.dropout, len(self.spec.hidden), "hidden layers"),
                ("layer_rates", self.layer_rates, layers, "layers"),
                ("frozen_until", self.frozen_until, layers, "layers"),
            )
            if value and len(value) != wanted
        ]
        shares = {"ema_decay": self.ema_decay, "label_smoothing": self.label_smoothing}
        shares |= {f"dropout of layer {i}": p for i, p in enumerate(self.dropout)}
        mistakes += [
            f"{name} must be at least 0, not {v}" for name, v in (("noise", self.noise), ("mixup", self.mixup)) if v < 0
        ]
        mistakes += [f"{name} must be at least 0 and below 1, not {p}" for name, p in shares.items() if not 0 <= p < 1]
        mistakes += [
            f"rate_factors takes {', '.join(KINDS)} with a factor of at least 0, not {kind!r}: {factor!r}"
            for kind, factor in self.rate_factors
            if kind not in KINDS or not 0 <= factor < inf
        ]
        if mistakes:
            raise ConfigError(mistakes)

    @property
    def drop_rates(self) -> tuple[float, ...]:
        """The probability to drop of each hidden layer."""
        return self.dropout or (0.0,) * len(self.spec.hidden)

    @property
    def without_fold(self) -> Member:
        """What the folds of one setting and seed have in common."""
        return replace(self, fold=None, label="")

    @property
    def dense(self) -> DenseSpec:
        """The spec of a member of a dense population."""
        assert isinstance(self.spec, DenseSpec)
        return self.spec

    @property
    def conv(self) -> ConvSpec:
        """The spec of a member of a convolutional population."""
        assert isinstance(self.spec, ConvSpec)
        return self.spec

    @property
    def mixed(self) -> MixedSpec:
        """The spec of a network for mixed rows."""
        assert isinstance(self.spec, MixedSpec)
        return self.spec

    @property
    def text(self) -> TextSpec:
        """The spec of a member of a population that reads text."""
        assert isinstance(self.spec, TextSpec)
        return self.spec

    def to_json(self) -> JsonObject:
        """The member as plain JSON values; an infinite clip becomes None."""
        assert not isinstance(self.spec, ModuleSpec), "a module of your own has no description"
        plain = {**asdict(self), "spec": self.spec.to_json()}
        return {name: None if value == inf else value for name, value in plain.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Member:
        """The member that `to_json` gave."""
        clips = {name: inf if value[name] is None else value[name] for name in ("clip_norm", "clip_value")}
        return cls(
            **{
                **value,
                "spec": spec_from_json(value["spec"]),
                "schedule": Schedule.from_json(value["schedule"]),
                "betas": tuple(value["betas"]),
                **{name: tuple(value.get(name, ())) for name in ("dropout", "layer_rates", "frozen_until")},
                "schedules": tuple((str(name), Schedule.from_json(one)) for name, one in value.get("schedules", ())),
                "rate_factors": tuple((str(kind), float(factor)) for kind, factor in value.get("rate_factors", ())),
                **clips,
            }
        )
