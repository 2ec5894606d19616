"""Probes of whole stacks: one forward and one backward pass over a batch show every member's layers.

M members, B batch, H hidden units, P numbers of one member's row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from luthier.diagnosis.checks.trace import LayerSeen, Trace, WeightsSeen
from luthier.diagnosis.training_monitor import seen
from luthier.engine import Batch, Stack
from luthier.engine.dense.dense_rows import views, with_ones
from luthier.nets import DenseSpec
from luthier.objective import Loss, loss_named
from luthier.rows import Rows

ROWS = 512


def stack_traces(
    spec: DenseSpec, parameters: Tensor, buffers: Tensor, part: Rows, loss: str | Loss, *, rows: int = ROWS
) -> list[Trace]:
    """What each member's layers do over the first `rows` of a part: one probed step for each member.

    `parameters` [M, P] and `buffers` [M, Q] are a stack's; they are copied, so nothing of it changes.
    """
    result = loss_named(loss)
    assert isinstance(result, Loss)
    stack = Stack(spec, parameters.clone(), buffers.clone())
    batch = Batch(
        part.span(0, rows).inputs.replaced(numbers=with_ones(spec, part.numbers[:rows].to(parameters.dtype))),
        part.targets[:rows].to(parameters.dtype) if part.targets.is_floating_point() else part.targets[:rows],
    )
    masks: Sequence[Tensor | None] = [None] * len(spec.hidden)
    with torch.no_grad():
        Z = stack.forward(batch, masks)
        stack.backward(batch, result.slopes(Z, batch.targets), masks)
    activations = stack.activations(len(batch.targets))
    W, G = views(spec, stack.parameters), views(spec, stack.gradients)
    names = [f"layers.{i}" for i in range(spec.layers)]
    traces = []
    for m in range(len(stack)):
        trace = Trace(loss=loss if isinstance(loss, str) else "", batch_size=len(batch.targets))
        kinds = zip(names, spec.activations, activations, strict=False)
        trace.layers = [_seen(name, kind, A[m]) for name, kind, A in kinds]
        trace.weights = [
            WeightsSeen(0, name, float(W[key][m].norm()), float(G[key][m].square().mean().sqrt()))
            for name in names
            if (key := f"{name}.weight")
        ]
        traces.append(trace)
    return traces


def _seen(name: str, kind: str, units: Tensor) -> LayerSeen:
    dead = float((units == 0).all(0).float().mean()) if kind == "relu" else None
    return seen(0, name, kind, units, dead)
