"""A training loop as people write it, over a module, an optimiser and data of their own. B rows of a batch."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from luthier.engine.members.devices import home_of
from luthier.engine.members.outputs import as_rows, one_tensor
from luthier.engine.placing import carried
from luthier.engine.populations.loaders import (
    Given,
    answer_of,
    bad_rows,
    endless,
    has_columns,
    loss_taken,
    part_of,
    rows_of,
    type_taken,
    types_taken,
)
from luthier.errors import InputError, users_code
from luthier.objective import AnyLoss, Criterion, Loss, has_gaps, loss_for, loss_named, targets_for
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

RUNS = "the module fails on the data"
ADDED = 1e-3  # relative: rounding of sums in single precision stays below it
REMEDY = "call module(x) and the loss on a batch yourself, and compare shapes and types"


class Loop:
    """Batches, forward pass, loss and step; what goes wrong in code of the user's ends as an InputError.

    `data` are rows, or batches in a loader's own order. Inputs are moved to the module's device and type; unless
    `finite` they may be NaN. With a `device` copies of the module run there (`moved`).
    """

    def __init__(
        self,
        module: nn.Module,
        data: Any,
        loss: AnyLoss | None,
        batch_size: int,
        *,
        name: str,
        finite: bool = True,
        device: torch.device | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise InputError("the module is not one", expected="an nn.Module", received=type(module).__name__)
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError("the module is compiled", expected="an nn.Module in Python", received="a ScriptModule")
        tensors = [*module.parameters(), *module.buffers()]
        if any(map(is_lazy, tensors)):
            raise InputError("the module has layers without a shape", remedy="call module(x) on one batch before")
        floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        home = home_of(module)
        self.device = device or home
        self.type = floats[0].dtype if floats else torch.get_default_dtype()
        columns = isinstance(data, Rows) or has_columns(data)
        self._data = data if not columns else part_of(data, gaps=has_gaps(loss)) if finite else rows_of(data)
        self.size, self._name, self._finite = batch_size, name, finite
        self._least = 2 if any(isinstance(layer, _BatchNorm) for layer in module.modules()) else 1
        self._kind: torch.dtype | None = None
        self._sums: bool | None = None
        first = next(endless(self._data, batch_size, 0, name=name, least=self._least))
        self.chosen: str | Loss | Criterion = loss_for(first.y, loss)
        if isinstance(first.x, Tensor):
            x = first.x.to(home)
            self._kind = type_taken(module, x, self.type)
            self.chosen = loss_taken(module, x.to(self._kind), first.y, loss)
        elif isinstance(first.x, Inputs):
            inputs = first.x.map(lambda value: value.to(home))
            inputs = inputs.cast(types_taken(module, inputs, self.type))
            self.chosen = loss_taken(module, inputs, first.y, loss)
        if device is not None:
            self.chosen = carried(self.chosen, device)
        self.named = loss_named(self.chosen)
        if first.weights is not None and isinstance(self.named, Criterion):
            raise InputError("a loss of your own takes no weights", remedy="use a loss by name, or custom_loss(rows)")

    def batches(self, seed: int) -> Iterator[Given]:
        """Batches without end, as module and loss take them. InputError for values that are not finite."""
        for batch in endless(self._data, self.size, seed, name=self._name, least=self._least):
            yield self.suited(batch)

    def halves(self, seed: int) -> tuple[Iterator[Given], Iterator[Given]]:
        """Batches without end of some rows, and of others; of a loader every second one, taken in turns."""
        if not isinstance(self._data, Rows):
            both = self.batches(seed)
            return both, both
        order = torch.randperm(len(self._data), generator=torch_generator(seed, self._name, "halves"))
        cut = max(1, len(order) // 3)
        parts = (self._data.rows(order[cut:]), self._data.rows(order[:cut]))
        first, second = (endless(part, self.size, seed, name=self._name, least=self._least) for part in parts)
        return map(self.suited, first), map(self.suited, second)

    def suited(self, batch: Given) -> Given:
        """A batch as module and loss take it."""
        x = batch.x
        if isinstance(x, Tensor):
            if self._finite and (bad := bad_rows(x)):
                raise InputError(
                    "inputs of a batch are not finite",
                    expected="numbers",
                    received=f"NaN or infinity in {bad} of {len(x)} rows",
                    remedy="remove or fill those rows first",
                )
            x = x.to(self.device, self._kind) if self._kind is not None else x.to(self.device)
        elif isinstance(x, Inputs):  # of columns, which were looked at
            x = x.map(lambda value: value.to(self.device, self.type if value.is_floating_point() else value.dtype))
        return Given(x, self.targets(batch.y), None if batch.weights is None else batch.weights.to(self.device))

    def targets(self, y: Tensor) -> Tensor:
        """Targets as the loss takes them."""
        result = targets_for(self.chosen, y).to(self.device)
        exact = self.type if self.type.itemsize >= 4 else torch.float32
        return result.to(exact) if result.is_floating_point() else result

    def rows(self, part: Rows) -> Rows:
        """A part as module and loss take it."""
        inputs = part.inputs if self._kind is None else part.inputs.cast(dict.fromkeys(part.inputs, self._kind))
        return replace(part, inputs=inputs, targets=self.targets(part.targets).cpu())

    @torch.no_grad()
    def outputs(self, module: nn.Module, part: Rows) -> Tensor:
        """A module's outputs for a part, a thousand rows at a time."""
        with users_code("the module does not run in evaluation mode", remedy="try module.eval()(x)"):
            pieces = torch.split(part.numbers, 1024)
            return torch.cat([one_tensor(module(x.to(self.device, copy=True)), len(x)).cpu() for x in pieces])

    def sums(self, outputs: Tensor, targets: Tensor) -> bool:
        """Whether a loss of the user's own adds rows up: of each row twice it is double."""
        if not isinstance(self.named, Criterion):
            return False
        if self._sums is None:
            once = float(self.named.value(outputs, targets))
            twice = float(self.named.value(torch.cat([outputs] * 2), torch.cat([targets] * 2)))
            self._sums = once != 0 and abs(twice / once - 2) < ADDED
        return self._sums

    def loss(self, module: nn.Module, batch: Given) -> Tensor:
        """The mean loss [] of a batch."""
        shape = list(batch.x.shape) if isinstance(batch.x, Tensor) else batch.x
        shape = shape if isinstance(shape, list | Inputs) else type(shape).__name__
        with users_code(RUNS, expected=f"a forward pass and a loss for inputs of shape {shape}", remedy=REMEDY):
            return self.measured(answer_of(module, batch.x), batch.y, batch.weights)

    def measured(self, outputs: Any, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss [] of outputs as a module gave them."""
        targets = targets.to(self.device)
        outputs = outputs.to(self.device) if isinstance(outputs, Tensor) else outputs
        weights = None if weights is None else weights.to(self.device)
        if isinstance(self.named, Criterion):
            return self.named.value(outputs, targets)
        self.check(one_tensor(outputs, len(targets)), targets)
        return self.named.mean(as_rows(outputs.unsqueeze(0)), targets, weights)[0]

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """InputError where a loss by name does not take these targets, of any rows, with a module's outputs."""
        if not isinstance(self.named, Criterion) and self.named.check is not None:
            self.named.check(as_rows(outputs.unsqueeze(0)).shape[-1], targets)

    def step(self, optimiser: Optimizer, value: Tensor) -> None:
        """One step down a loss."""
        with users_code("the module cannot be trained", expected="a loss with a derivative by its parameters"):
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def moved(self, module: nn.Module, optimiser: Optimizer) -> tuple[nn.Module, Optimizer]:
        """A copy of module and optimiser, moved in place to the loop's device."""
        if home_of(module) != self.device:
            module.to(self.device)
            optimiser.load_state_dict(optimiser.state_dict())  # it brings its state to where the parameters are
        return module, optimiser

    @staticmethod
    def copied(value: Any) -> Any:
        """A copy of a module, or of a module and its optimiser together."""
        with users_code("the module cannot be copied", remedy="detach tensors that it keeps from earlier passes"):
            return copy.deepcopy(value)


def optimiser_for(module: nn.Module, optimiser: Any) -> Optimizer:
    """The optimiser, or Adam where there is none. InputError for one that does not train this module."""
    parameters = list(module.parameters())
    if not parameters:
        raise InputError("the module has no parameters", expected="something to learn")
    if optimiser is None:
        return torch.optim.Adam(parameters)
    if not isinstance(optimiser, Optimizer):
        received = type(optimiser).__name__
        raise InputError("the optimiser is not one", expected="an optimiser of torch.optim", received=received)
    own = set(map(id, parameters))
    theirs = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    foreign = sum(id(parameter) not in own for parameter in theirs)
    if foreign:
        raise InputError(
            "the optimiser belongs to another module",
            expected="an optimiser of this module's parameters",
            received=f"{foreign} of its {len(theirs)} parameters are not the module's",
            remedy=f"torch.optim.{type(optimiser).__name__}(module.parameters(), ...)",
        )
    required = [
        name
        for name, parameter in inspect.signature(optimiser.step).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if required:
        raise InputError(
            f"a step of {type(optimiser).__name__} takes many passes of its own",
            expected="an optimiser whose step() needs nothing",
            received=f"step({', '.join(required)})",
            remedy="SGD, Adam or another that takes a step for each batch",
        )
    return optimiser
