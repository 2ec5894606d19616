"""A look inside training, in the user's own loop: what layers, gradients and updates do, step by step.

Hooks see the layers, a function mode sees activations that are called as functions; both look closely at
a few steps only. Nothing of the user's is changed: not the outputs, not the gradients, not the generators.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode, resolve_name

from luthier.diagnosis.checks.trace import Birth, Evaluated, LayerSeen, NormSeen, Trace, WeightsSeen
from luthier.diagnosis.findings import Diagnosis, diagnosis_of
from luthier.errors import InputError
from luthier.messages import Message

SATURATED = 0.01  # of the range: there a sigmoid passes on less than a twenty-fifth of its best gradient
DEAD_OVER = 5  # probed batches in which a dead unit has not answered once
EARLY = 3  # first steps that are all probed
ACTIVATIONS: dict[Any, str] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), "relu"),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_), "sigmoid"),
    **dict.fromkeys((F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_), "tanh"),
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), "softmax"),
    F.leaky_relu: "leaky relu",
    F.gelu: "gelu",
    F.silu: "silu",
    F.elu: "elu",
    F.selu: "selu",
    F.softplus: "softplus",
    F.hardtanh: "hardtanh",
    F.relu6: "relu6",
    F.mish: "mish",
    F.celu: "celu",
}
LINEAR = (nn.Linear, nn.Bilinear, nn.Embedding, nn.RNNBase, nn.modules.conv._ConvNd, _BatchNorm, nn.LayerNorm)


class TrainingMonitor:
    """Watches a `module` from its making until `close`, or inside a `with`.

    `every` is how often a step is probed in full (the first ones always are); the others are only checked for finite
    values. `optimiser` is not needed: call `step(loss)` after its step. `evaluated` takes losses that you measured;
    without validation losses overfitting cannot be detected. `loss` names the loss where it is one of the engine's.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> optimiser = torch.optim.SGD(net.parameters(), 0.01)
    >>> with TrainingMonitor(net) as watch:
    ...     for _ in range(3):
    ...         optimiser.zero_grad()
    ...         loss = net(torch.ones(2, 4)).square().mean()
    ...         loss.backward()
    ...         optimiser.step()
    ...         watch.step(loss)
    >>> len(watch.trace.losses), watch.trace.layers[0].layer
    (3, '0')
    """

    def __init__(self, module: nn.Module, *, every: int = 10, loss: str = "") -> None:
        if not isinstance(module, nn.Module) or isinstance(module, torch.jit.ScriptModule):
            received = type(module).__name__
            raise InputError("the module cannot be watched", expected="an nn.Module in Python", received=received)
        self.module, self.every = module, max(1, every)
        self.trace = Trace(loss=loss)
        self._names = {layer: name or "module" for name, layer in module.named_modules()}
        self._path: list[nn.Module] = []
        self._counts: dict[str, int] = {}
        self._silent: dict[str, deque[Tensor]] = defaultdict(lambda: deque(maxlen=DEAD_OVER))
        self._before: dict[str, Tensor] = {}
        self._version = -1
        self._ops = _Ops(self)
        self._probing = self._locating = self._inside = False
        self._ended: float | None = None
        self._began = 0.0
        self._handles: list[Any] = []
        for layer in module.modules():
            self._handles.append(layer.register_forward_pre_hook(self._enter))
            self._handles.append(layer.register_forward_hook(self._leave, always_call=True))

    def __enter__(self) -> TrainingMonitor:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching; the trace stays."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def diagnosis(self) -> Diagnosis:
        """What the checks say of everything seen so far."""
        return diagnosis_of(self.trace)

    # --- the forward pass ---------------------------------------------------------------------------------------

    def _enter(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if layer is self.module and not self._inside and not self._locating:
            if layer.training:
                self._inside = True
                self._begin(inputs)
            else:
                self._ended = None  # what lies between two steps is an evaluation, not a wait for data
        self._path.append(layer)

    def _begin(self, inputs: tuple[Any, ...]) -> None:
        now = time.perf_counter()
        if self._ended is not None:
            self.trace.waiting += now - self._ended
        self._began, self._inputs = now, inputs
        self._see_whether_cleared()
        step = self.trace.step
        self._probing = step < EARLY or step % self.every == 0
        self._counts.clear()
        if self._probing:
            self._before = {name: _real(p.detach()).clone() for name, p in self._weights()}
            first = next((x for x in inputs if isinstance(x, Tensor)), None)
            self._rows = 0 if first is None or first.ndim == 0 else len(first)
            self.trace.batch_size = max(self.trace.batch_size, self._rows)
            self._ops.__enter__()  # type: ignore[no-untyped-call]

    def _see_whether_cleared(self) -> None:
        """Whether gradients of the last update are still there: the sign of a forgotten `zero_grad`."""
        parameter = next((p for p in self.module.parameters() if p.requires_grad), None)
        if parameter is None:
            return
        updated = parameter._version != self._version and self._version >= 0
        if updated and parameter.grad is not None and bool(_real(parameter.grad).any()):
            self.trace.uncleared += 1
        self._version = parameter._version

    def _leave(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self._path:
            self._path.pop()
        if self._probing and self._inside and output is not None:
            self._see_layer(layer, inputs, output)
        if layer is self.module and self._inside and not self._path:
            if self._probing:
                self._ops.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._inside = False
            self._see_outputs(output)

    def _see_layer(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        leaf = next(layer.children(), None) is None
        if leaf and self.trace.step == 0:
            facts = {"p": p} if isinstance(p := getattr(layer, "p", None), float) else {}
            self.trace.order.append((self._names[layer], type(layer).__name__, facts))
        value = output[0] if isinstance(output, tuple) else output
        if isinstance(layer, LINEAR) and isinstance(value, Tensor) and value.is_floating_point():
            self._add(self._names[layer], type(layer).__name__, value)
        if isinstance(layer, _BatchNorm) and inputs and isinstance(x := inputs[0], Tensor):
            self._see_norm(layer, x)

    @torch.no_grad()
    def _see_norm(self, layer: _BatchNorm, x: Tensor) -> None:
        if layer.running_mean is None or layer.running_var is None:
            return
        mean = x.mean([d for d in range(x.ndim) if d != 1])
        drift = ((mean - layer.running_mean).abs() / (layer.running_var + layer.eps).sqrt()).mean()
        self.trace.norms.append(NormSeen(self.trace.step, self._names[layer], float(drift), len(x)))

    def saw(self, function: Any, output: Any) -> None:
        """An operation of the forward pass; activations are kept."""
        kind = ACTIVATIONS.get(function)
        if kind is None or not isinstance(output, Tensor) or not self._path:
            return
        layer = self._path[-1]
        leaf = next(layer.children(), None) is None and layer is not self.module
        self._add(self._names[layer] if leaf else f"{self._names[layer]}.{kind.replace(' ', '_')}", kind, output)

    @torch.no_grad()
    def _add(self, name: str, kind: str, value: Tensor) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1
        if self._counts[name] > 1:
            name = f"{name} #{self._counts[name]}"
        if not value.numel() or not value.is_floating_point():
            return  # nothing that statistics could be made of
        units = units_last(value.detach())
        dead = None
        if kind in ("relu", "relu6"):
            silent = self._silent[name]
            if silent and len(silent[0]) != units.shape[1]:
                silent.clear()
            silent.append((units == 0).all(0))
            dead = float(torch.stack(list(silent)).all(0).float().mean())
        self.trace.layers.append(seen(self.trace.step, name, kind, units, dead))

    def _see_outputs(self, output: Any) -> None:
        outputs = output[0] if isinstance(output, tuple) else output
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            return
        detached = outputs.detach()
        if self._probing and detached.ndim == 2 and detached.shape[1] > 1:
            whole = bool((detached >= 0).all()) and torch.allclose(
                detached.sum(1), detached.new_ones(len(detached)), atol=1e-4
            )
            self.trace.normalised_outputs = whole
        if self.trace.birth is None and not bool(detached.isfinite().all()):
            self.trace.birth = self._locate()

    # --- where a value that is not finite came from ----------------------------------------------------------------

    def _locate(self) -> Birth:
        step = self.trace.step
        for value in self._inputs:
            if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
                return Birth(step, "input", "", rows=_bad_rows(value))
        for name, parameter in self.module.named_parameters():
            if not bool(parameter.detach().isfinite().all()):
                return Birth(step, "weights", name.rpartition(".")[0] or name)
        return self._repeat_and_look()

    def _repeat_and_look(self) -> Birth:
        """The pass once more over copies of the buffers, every operation looked at; generators are put back."""
        locator = _Locator(self)
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        self._locating = True
        try:
            with torch.no_grad(), torch.random.fork_rng(), locator:
                functional_call(self.module, buffers, self._inputs)
        finally:
            self._locating = False
        where = locator.found or ("module", "its forward pass", ())
        return Birth(self.trace.step, "forward", where[0], where[1], where[2])

    def where(self) -> str:
        """The layer that is being computed."""
        return self._names[self._path[-1]] if self._path else "module"

    # --- the end of a step --------------------------------------------------------------------------------------

    def step(self, loss: Tensor | float) -> None:
        """Record the loss of a step, after the optimiser's step."""
        trace = self.trace
        if isinstance(loss, Tensor) and (loss.numel() != 1 or loss.is_complex()):
            shape = list(loss.shape)
            raise InputError(
                "the loss of a step is one real number",
                received=Message("shape {shape}", shape=shape),
                remedy="loss.mean()",
            )
        value = float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
        trace.losses.append(value)
        if trace.birth is None and not math.isfinite(value):
            trace.birth = Birth(trace.step, "loss", "")
        self._see_gradients()
        if self._probing:
            self._see_updates()
        trace.step += 1
        now = time.perf_counter()
        if self._began:
            trace.working += now - self._began
        self._ended = now

    def evaluated(
        self,
        training: float,
        validation: float | None = None,
        *,
        training_score: float | None = None,
        validation_score: float | None = None,
        validation_parts: tuple[float, ...] = (),
        training_parts: tuple[float, ...] = (),
        validation_rows: int = 0,
    ) -> None:
        """Record mean losses (and the share of right rows) measured now.

        `validation_parts` are mean losses of parts of the validation rows: without them the noise is unknown.
        """
        evaluation = Evaluated(
            self.trace.step,
            training,
            validation,
            validation_parts,
            training_score,
            validation_score,
            training_parts,
            validation_rows,
        )
        self.trace.evaluations.append(evaluation)
        self._ended = None

    @torch.no_grad()
    def _see_gradients(self) -> None:
        named = [(name, _real(p.grad)) for name, p in self.module.named_parameters() if p.grad is not None]
        if not named:
            return
        norms = torch.stack(torch._foreach_norm([gradient for _, gradient in named]))
        total = float(norms.norm())
        self.trace.gradient_norms.append(total)
        if self.trace.birth is None and not math.isfinite(total):
            bad = [name for (name, _), norm in zip(named, norms, strict=True) if not bool(norm.isfinite())]
            if bad:  # backward goes from the last layer to the first
                self.trace.birth = Birth(self.trace.step, "gradient", bad[-1].rpartition(".")[0] or bad[-1])

    @torch.no_grad()
    def _see_updates(self) -> None:
        gradients = dict(self.module.named_parameters())
        for name, old in self._before.items():
            parameter = gradients[name]
            norm = float(old.norm())
            gradient = 0.0 if parameter.grad is None else float(_real(parameter.grad).square().mean().sqrt())
            update = float((_real(parameter) - old).norm()) / norm if norm > 0 else None
            self.trace.weights.append(WeightsSeen(self.trace.step, _layer_of(name), norm, gradient, update))
        self._before = {}

    def _weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What multiplies: biases, scales and shifts are left out."""
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad and not is_lazy(parameter) and parameter.ndim > 1:
                yield name, parameter


def seen(step: int, name: str, kind: str, units: Tensor, dead: float | None) -> LayerSeen:
    """Statistics of activations [rows, units]."""
    value, saturated, zero = units.float(), None, None
    if kind == "sigmoid":
        saturated = float(((value < SATURATED) | (value > 1 - SATURATED)).float().mean())
    elif kind == "tanh":
        saturated = float((value.abs() > 1 - SATURATED).float().mean())
    elif kind in ("relu", "relu6"):
        zero = float((value == 0).float().mean())
    # Over rows: biases make units differ from each other even where no signal comes through.
    spread = float((value.var(0, correction=0).mean() if len(value) > 1 else value.var(correction=0)).sqrt())
    return LayerSeen(step, name, kind, float(value.mean()), spread, saturated, zero, dead, len(units))


def units_last(value: Tensor) -> Tensor:
    """Activations as [rows, units]: channels are the units of pictures, the last axis of everything else."""
    if value.ndim == 4:
        return value.movedim(1, -1).flatten(0, -2)
    return value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value.reshape(-1, 1)


class _Ops(TorchFunctionMode):
    """Sees every operation while a probed forward pass runs."""

    def __init__(self, watch: TrainingMonitor) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        self._watch.saw(func, output)
        return output


class _Locator(TorchFunctionMode):
    """Finds the first operation that makes a value that is not finite out of finite ones."""

    def __init__(self, watch: TrainingMonitor) -> None:
        super().__init__()
        self._watch = watch
        self.found: tuple[str, str, tuple[int, ...]] | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if self.found is None and isinstance(output, Tensor) and output.is_floating_point():
            inputs = [x for x in (*args, *(kwargs or {}).values()) if isinstance(x, Tensor) and x.is_floating_point()]
            if not bool(output.isfinite().all()) and all(bool(x.isfinite().all()) for x in inputs):
                name = (resolve_name(func) or getattr(func, "__name__", "an operation")).replace("torch.Tensor.", "")
                self.found = (self._watch.where(), name, _bad_rows(output))
        return output


def _bad_rows(value: Tensor, most: int = 5) -> tuple[int, ...]:
    if value.ndim == 0:
        return ()
    bad = ~value.isfinite().reshape(len(value), -1).all(1)
    return tuple(int(i) for i in bad.nonzero().flatten()[:most])


def _real(value: Tensor) -> Tensor:
    """Numbers that norms are defined for: of sparse gradients all, of complex ones real and imaginary parts."""
    dense = value.to_dense() if value.layout != torch.strided else value
    return torch.view_as_real(dense) if dense.is_complex() else dense


def _layer_of(name: str) -> str:
    return name.removesuffix(".weight")
