"""Modules of the user's own as trials: what `build` makes of a setting, and which of them train together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from luthier.engine import Batch, Member, ModuleSpec, Settings
from luthier.engine.api import suited
from luthier.engine.members.dropout import OwnDropout
from luthier.engine.populations.layouts import choose, learn_about
from luthier.engine.populations.loaders import loss_taken, types_taken
from luthier.errors import ConfigError, InputError, in_a_line, nearest
from luthier.objective import AnyLoss, Criterion, Loss
from luthier.records import Finding
from luthier.rows import Inputs, Rows
from luthier.search.network_jobs import Job, Networks, TrainedJob, hyper_parameters
from luthier.search.spaces.registry import REGISTRY
from luthier.search.spaces.space import Space, Values
from luthier.search.spaces.trials import Trial
from luthier.tensors import tensor_of

MOST_NAMED = 3  # settings of a population that an error names


class ObservedSetting(dict[str, Any]):
    """A setting that notes which of its names were looked up."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()
        self.missed: str | None = None

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        self.missed = None if name in self else name
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        self.read.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self.read |= set(self.keys())
        return super().__iter__()


class BuiltNetworks(Networks):
    """Modules of the user's own: `build(h)` makes one for a setting, which it may read like a dictionary."""

    def __init__(
        self,
        training: Rows,
        validation: Rows,
        loss: str | Loss | Criterion,
        build: Callable[[Mapping[str, Any]], nn.Module],
        *,
        wanted_layout: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(training, validation, loss, **options)
        self.build, self.wanted_layout = build, wanted_layout
        self._architectures: dict[str, str] = {}
        self._known: dict[str, ModuleSpec] = {}  # of each architecture: what was found out about its modules

    @classmethod
    def on(
        cls,
        training: Rows,
        validation: Rows,
        loss: AnyLoss | None,
        build: Callable[[Mapping[str, Any]], nn.Module],
        space: Space,
        **options: Any,
    ) -> BuiltNetworks:
        """Such networks on these rows, which are turned into what the module of the default setting takes.

        Raises ConfigError where the space names what neither the engine nor `build` takes.
        """
        function: Any = build
        if not callable(function):
            expected = "a function from a setting to an nn.Module, or a DenseSpec"
            raise InputError("the network cannot be built", expected=expected, received=type(function).__name__)
        result = cls(training, validation, "mse", build, **options)
        result.check(space)
        default = space.default()
        with result._of([default]):
            spec = ModuleSpec(result._builder(default))
            kinds = dict.fromkeys(training.inputs, spec.dtype)
            if spec.chain is None:
                kinds = types_taken(spec.module, training.inputs, spec.dtype)
            result.loss = chosen = loss_taken(spec.module, training.inputs.cast(kinds), training.targets, loss)
        both = training, validation
        result.training, result.validation = (suited(part, kinds, chosen, spec.dtype) for part in both)
        return result

    @contextmanager
    def _of(self, settings: Sequence[Values]) -> Iterator[None]:
        """What goes wrong inside is said of a setting, or of several that train together."""
        try:
            yield
        except InputError as error:
            words = "; or ".join(in_words(values) for values in settings[:MOST_NAMED])
            more = f"; or {len(settings) - MOST_NAMED} others" if len(settings) > MOST_NAMED else ""
            named = error.problem.startswith("build ")
            raise (error if named else error.about(f"with {words}{more}")) from error.__cause__

    def built(self, values: Values) -> tuple[nn.Module, set[str]]:
        """The module of a setting, and the names that `build` looked up."""
        asked = ObservedSetting(values)
        try:
            with torch.random.fork_rng():
                module: Any = self.build(asked)
        except Exception as error:  # code of the user's own
            if isinstance(error, KeyError) and error.args[:1] == (asked.missed,):
                raise InputError(
                    f"build reads {error}, which the setting {in_words(values)} does not have",
                    expected=f"names of the space: {', '.join(values)}",
                    remedy=f"add {error} to the space, or read it with h.get({error}, default)",
                ) from error
            raise InputError(
                f"build fails for the setting {in_words(values)}",
                received=f"{type(error).__name__}: {in_a_line(error)}",
                remedy="call build with these values yourself; narrow the space to what it can build",
            ) from error
        if not isinstance(module, nn.Module):
            received = type(module).__name__
            problem = f"build does not return a module for the setting {in_words(values)}"
            raise InputError(problem, expected="an nn.Module", received=received)
        return module, asked.read

    def check(self, space: Space) -> None:
        """Raise ConfigError where the space names what neither the engine nor `build` takes."""
        engine = {name for name, hyper in REGISTRY.items() if hyper.use != "architecture" and name != "dropout"}
        read: set[str] = set()
        middle = dict.fromkeys(space.dimensions, 0.5)
        tried = [space.default(), *(space.values(middle | {name: u}) for name in space.dimensions for u in (0.0, 1.0))]
        for values in tried:
            read |= self.built(values)[1]
        known = sorted(engine | read)
        mistakes = [
            f"'{name}' is used neither by the engine nor by build; {nearest(name, known)}".rstrip("; ")
            for name in [*space.dimensions, *space.fixed]
            if name not in known
        ]
        if mistakes:
            raise ConfigError(mistakes, remedy=f"build reads {', '.join(sorted(read)) or 'nothing'}")

    def architecture(self, values: Values) -> str:
        """What modules have in common that can train together; see `signature`."""
        key = repr(sorted(values.items()))
        if key not in self._architectures:
            with torch.random.fork_rng():
                module, read = self.built(values)
            text, opaque = signature(module)
            self._architectures[key] = text + (repr(sorted((k, values.get(k)) for k in read)) if opaque else "")
        return self._architectures[key]

    def layout(self, trials: Sequence[Trial]) -> tuple[str | None, list[Finding]]:
        """The layout that was asked for, or the fastest of those that are possible for these modules, timed."""
        job = Job("layout", tuple(trials), 1)
        with self._of([trial.values for trial in trials]):
            spec, findings = choose(
                self._spec(job, "looped"), len(trials), self.training, self.settings(job), self.wanted_layout
            )
        return spec.layout, findings

    def train(self, job: Job, checkpoint: Path | None, stop: Callable[[], bool]) -> TrainedJob:
        """Train a job's population; an error names its settings."""
        with self._of([trial.values for trial in job.trials]):
            return super().train(job, checkpoint, stop)

    def settings(self, job: Job) -> Settings:
        """How a job's population trains, in its modules' own type."""
        return replace(super().settings(job), dtype=self._like(job.trials[0].values).dtype)

    def least_rows(self, values: Values) -> int:
        """How many rows a batch has at least: batch norm cannot be trained on one."""
        return self._like(values).least_rows

    def _like(self, values: Values) -> ModuleSpec:
        """A spec of modules as this setting's, which have been run once."""
        text = self.architecture(values)
        if text not in self._known:
            spec, part = ModuleSpec(self._builder(values)), self.training.rows(torch.arange(min(8, len(self.training))))
            learn_about(spec, Batch(part.inputs, part.targets), self.loss, rest=1)
            self._known[text] = spec
        return self._known[text]

    def _spec(self, job: Job, layout: str) -> ModuleSpec:
        first = job.trials[0].values
        variants = {trial.seed: self._builder(trial.values) for trial in job.trials}
        return ModuleSpec(self._builder(first), layout=layout, variants=variants).like(self._like(first))

    def _builder(self, values: Values) -> Callable[[], nn.Module]:
        return lambda: self.built(values)[0]

    def members(self, job: Job) -> list[Member]:
        """The members of a job."""
        spec, steps = self._spec(job, job.layout or "looped"), self.settings(job).steps
        members = []
        for trial in job.trials:
            result = hyper_parameters(self.meant(trial.values), steps)
            if spec.hidden:
                own = ModuleSpec(self._builder(trial.values)).chain
                result["dropout"] = own.dropout if own is not None else ()
            members.append(Member(spec=spec, seed=trial.seed, label=str(trial.number), **result))
        return members

    def flat(self, part: Rows, members: Sequence[Member]) -> Rows:
        """A part as these members take it: rows of numbers where they are dense chains."""
        spec = members[0].spec if members else None
        if not isinstance(spec, ModuleSpec) or spec.layout != "stacked":
            return part
        return replace(part, inputs=Inputs(numbers=part.inputs.only.flatten(1)))

    def module(self, values: Values, seed: int, state: Mapping[str, np.ndarray]) -> nn.Module:
        """One network with its weights, as an ordinary module in evaluation mode."""
        module = self.built(values)[0]
        module.load_state_dict({name: tensor_of(value) for name, value in state.items()})
        return module.eval()


def in_words(values: Values) -> str:
    """A setting as people read it.

    >>> in_words({"learning_rate": 0.0123456, "units": 8})
    'learning_rate=0.01235, units=8'
    """
    shown = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items())
    return ", ".join(shown)


def signature(module: nn.Module) -> tuple[str, bool]:
    """What modules of one population share, as text: types, shapes and plain attributes, dropout's p aside.

    The second value says whether something in it cannot be compared so (a class or a function made
    inside of another, an object): then settings must agree in everything that `build` reads.
    """
    lines, opaque = [], False
    for name, child in module.named_modules():
        kind = type(child)
        opaque = opaque or "<locals>" in kind.__qualname__
        plain = []
        for key, value in sorted(vars(child).items()):
            dropped = key == "p" and isinstance(child, nn.modules.dropout._DropoutNd | OwnDropout)
            if key.startswith("_") or key == "training" or dropped:
                continue
            if _plain(value):
                plain.append(f"{key}={value}")
            elif callable(value) and "<locals>" not in getattr(value, "__qualname__", "<locals>"):
                plain.append(f"{key}={value.__module__}.{value.__qualname__}")
            else:
                opaque = True
        lines.append(f"{name}:{kind.__module__}.{kind.__qualname__}({', '.join(plain)})")
    tensors = (*module.named_parameters(), *module.named_buffers())
    lines += [f"{name}{list(t.shape)}{t.dtype}{t.requires_grad}" for name, t in tensors]
    return "; ".join(lines), opaque


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)
