"""Modules of the user's own as trials: what `build` makes of a setting, and which of them train together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from luthier.engine import Member, ModuleSpec, Part
from luthier.engine.dropout import OwnDropout
from luthier.engine.layouts import choose
from luthier.errors import ConfigError, InputError, nearest
from luthier.objective import Criterion, Loss
from luthier.records import Finding
from luthier.search.network_jobs import Job, Networks, hyper_parameters
from luthier.search.registry import REGISTRY
from luthier.search.space import Space, Values
from luthier.search.trials import Trial


class ObservedSetting(dict[str, Any]):
    """A setting that notes which of its names were looked up."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
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
        training: Part,
        validation: Part,
        loss: str | Loss | Criterion,
        build: Callable[[Mapping[str, Any]], nn.Module],
        *,
        wanted_layout: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(training, validation, loss, **options)
        self.build, self.wanted_layout = build, wanted_layout
        self._architectures: dict[str, str] = {}

    def built(self, values: Values) -> tuple[nn.Module, set[str]]:
        """The module of a setting, and the names that `build` looked up."""
        asked = ObservedSetting(values)
        try:
            module = self.build(asked)
        except KeyError as error:
            raise InputError(
                f"build reads {error}, which is not in the setting",
                expected=f"names of the space: {', '.join(values)}",
                remedy=f"add {error} to the space, or read it with h.get({error}, default)",
            ) from error
        if not isinstance(module, nn.Module):
            raise InputError("build does not return a module", expected="an nn.Module", received=type(module).__name__)
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
        spec, findings = choose(
            self._spec(job, "looped"), len(trials), self.training, self.settings(job), self.wanted_layout
        )
        return spec.layout, findings

    def _spec(self, job: Job, layout: str) -> ModuleSpec:
        variants = {trial.seed: self._builder(trial.values) for trial in job.trials}
        return ModuleSpec(self._builder(job.trials[0].values), layout=layout, variants=variants)

    def _builder(self, values: Values) -> Callable[[], nn.Module]:
        return lambda: self.built(values)[0]

    def members(self, job: Job) -> list[Member]:
        """The members of a job."""
        spec, steps = self._spec(job, job.layout or "looped"), self.settings(job).steps
        members = []
        for trial in job.trials:
            result = hyper_parameters(trial.values, steps)
            if spec.hidden:
                own = ModuleSpec(self._builder(trial.values)).chain
                result["dropout"] = own.dropout if own is not None else ()
            members.append(Member(spec=spec, seed=trial.seed, label=str(trial.number), **result))
        return members

    def flat(self, part: Part, members: Sequence[Member]) -> Part:
        """A part as these members take it: rows of numbers where they are dense chains."""
        if not members or not members[0].spec.hidden:
            return part
        return replace(part, features=part.features.flatten(1))

    def module(self, values: Values, seed: int, state: Mapping[str, np.ndarray]) -> nn.Module:
        """One network with its weights, as an ordinary module in evaluation mode."""
        module = self.built(values)[0]
        module.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
        return module.eval()


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
