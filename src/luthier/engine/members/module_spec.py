"""A module of the user's own as the architecture of a population."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from luthier.engine.members.devices import CPU, home_of
from luthier.engine.members.dropout import DROPOUTS, OwnDropout
from luthier.errors import InputError, users_code
from luthier.nets import chain
from luthier.seeds import derive

NUMBERS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
STACKED = (torch.float32, torch.float64)  # the dense path's arithmetic would round in shorter numbers


class ModuleSpec:
    """A module of the user's own as the architecture of a population.

    `start` is a module whose present weights every member begins with, or a function without
    arguments that builds one: it is called once for each member, after PyTorch's generator was seeded
    with the member's seed. The layout `looped` trains one member after another; `vmapped` all in one
    program, by `torch.func.vmap`; `stacked` is the dense path, for chains of dense layers. `variants` are
    functions of single members, by seed, whose modules have the same shapes but other dropout or first weights.
    A module is called with the one tensor of the inputs, or with those that its attribute `takes` names, in that order:
    `takes = ("numbers", "tokens")`. Its own method `from_training_rows`, called with the same and the targets, is asked
    once, before the first step, for what its buffers of those names hold: frequencies, prototypes, whatever is counted
    rather than learnt.
    `built_by(seed=...)` builds a member's module in place of `start`. `groups` are names of submodules that may have
    rates of their own (else the module's children do).
    """

    # What `layouts.examine` finds out by running the module once.
    draws = True  # whether the module draws random numbers by itself
    changes_inputs = True  # whether it writes into its inputs, which then are copies
    least_rows = 1  # of a batch: batch norm cannot be trained on a single row

    def __init__(
        self,
        start: nn.Module | Callable[[], nn.Module],
        *,
        layout: str = "looped",
        variants: Mapping[int, Callable[[], nn.Module]] | None = None,
        built_by: Callable[..., nn.Module] | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        start = bare(start)
        self.start, self.layout, self.variants, self._built_by = start, layout, variants or {}, built_by
        self.home = CPU  # the device that the module lies on
        self._named_groups = tuple(groups)
        self.module = self.built(0)
        trainable = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        self.dtype = _type_of(self.module, trainable)
        self.chain = chain(self._started(0)) if self.dtype in STACKED else None
        self.shapes = {name: tuple(p.shape) for name, p in trainable.items()}
        fixed = {name: p for name, p in self.module.named_parameters() if name not in trainable}
        self.fixed = {name: (tuple(t.shape), t.dtype) for name, t in (*fixed.items(), *self.module.named_buffers())}
        layers = self.module.named_modules()
        self.dropouts = [f"{name}.p" for name, layer in layers if isinstance(layer, OwnDropout)]

    def built(self, seed: int) -> nn.Module:
        """A fresh module for a member on the processor, its dropout layers drawing from the member's own generator."""
        with users_code(
            "the module cannot be copied or built",
            remedy="detach tensors that it keeps from earlier passes, or give a function that builds it",
        ):
            module = self._started(seed)
        if not isinstance(module, nn.Module):
            raise InputError("the network is not a module", expected="an nn.Module", received=type(module).__name__)
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError("the module is compiled", expected="an nn.Module in Python", received="a ScriptModule")
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.modules.dropout._DropoutNd) and type(child) in DROPOUTS:
                    setattr(parent, name, OwnDropout(child.p, spread=DROPOUTS[type(child)]))
        self.home = home_of(module)
        return (module if self.home == CPU else module.cpu()).train()

    def _started(self, seed: int) -> Any:
        if self._built_by is not None:
            return self._built_by(seed=seed)
        if isinstance(self.start, nn.Module):
            return copy.deepcopy(self.start)
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "module"))
            return bare(self.variants.get(seed, self.start)())

    def with_layout(self, layout: str) -> ModuleSpec:
        """The same spec in another layout."""
        result = ModuleSpec(
            self.start, layout=layout, variants=self.variants, built_by=self._built_by, groups=self._named_groups
        )
        return result.like(self)

    def like(self, other: ModuleSpec) -> ModuleSpec:
        """This spec, with what was found out about another one whose modules are of its kind."""
        self.draws, self.changes_inputs, self.least_rows = other.draws, other.changes_inputs, other.least_rows
        return self

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden layers whose dropout a member sets: those of the stacked layout; elsewhere it is the module's own."""
        return self.chain.spec.hidden if self.chain is not None and self.layout == "stacked" else ()

    @property
    def layers(self) -> int:
        """How many groups `layer_rates` and `frozen_until` tell apart: children that learn, first to last."""
        return len(self._groups())

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(self.group(name) for name in self.shapes))

    def group(self, parameter: str) -> str:
        """The group that a parameter belongs to: the longest of the named ones, else its first name."""
        result = [one for one in self._named_groups if parameter.startswith(f"{one}.")]
        return max(result, key=len) if result else parameter.split(".")[0]

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


def bare(module: Any) -> Any:
    """What `nn.DataParallel` wraps: it shares a batch among several devices, which a copy for each member cannot."""
    return module.module if isinstance(module, nn.DataParallel) else module


def _type_of(module: nn.Module, trainable: Mapping[str, nn.Parameter]) -> torch.dtype:
    """The one type of all parameters that learn. InputError where there is none, or where they cannot be trained."""
    lazy = [name for name, tensor in (*module.named_parameters(), *module.named_buffers()) if is_lazy(tensor)]
    if lazy:
        raise InputError(
            "the module has layers without a shape",
            expected="a module that has seen a batch",
            received=f"lazy {', '.join(lazy[:3])}",
            remedy="call module(x) on one batch before",
        )
    if not any(parameter.numel() for parameter in trainable.values()):
        raise InputError(
            "the module has no parameters to train",
            expected="at least one parameter that requires a gradient",
            received=f"{sum(1 for _ in module.parameters())} parameters, all frozen or none",
            remedy="unfreeze a layer: parameter.requires_grad_(True)",
        )
    types = {p.dtype for p in trainable.values()}
    if len(types) > 1 or not types <= set(NUMBERS):
        raise InputError(
            "the module's parameters cannot be trained together",
            expected="real numbers of one type",
            received=", ".join(sorted(str(kind).removeprefix("torch.") for kind in types)),
            remedy="module.float()",
        )
    return next(iter(types))
