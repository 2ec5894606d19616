"""First biases from the rows that each member learns from: the best constant answer, and units that bend among rows.

M members, N rows, P numbers of one member's row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.engine.dense.dense_architecture import DenseArchitecture
from luthier.engine.dense.dense_rows import views
from luthier.engine.members.batches import exact
from luthier.engine.populations.population import Population
from luthier.engine.populations.streams import Stream
from luthier.nets import DenseNet
from luthier.objective import Loss, best_constant, loss_named
from luthier.rows import Rows
from luthier.seeds import torch_generator

LOOKED_AT = 1024  # rows of a member among which its units bend
SPANS = 16  # of a table on the disk that are read for it


def write_first_biases(population: Population, training: Rows | Stream, folds: Tensor | None) -> None:
    """Write the biases of members [M] whose spec takes them from data; `folds` [N] are those of the training rows."""
    kind, settings = population.kind, population.settings
    if not isinstance(kind, DenseArchitecture) or not kind.spec.biases_from_data:
        return
    rows = training if isinstance(training, Rows) else _spread(training)
    loss, named = loss_named(settings.loss), views(kind.spec, population.state.parameters)
    biases = [name for name in named if name.startswith("layers.") and name.endswith(".bias")]
    known = dict[int | None, tuple[Tensor, Tensor]]()
    for m, member in enumerate(population.members):
        if member.fold not in known:
            learnt = _learnt(len(rows), folds, member.fold)
            answer = torch.zeros(kind.spec.outputs, dtype=torch.float64)
            if isinstance(loss, Loss) and loss.constant is not None:
                own = rows.rows(learnt)
                answer = best_constant(loss, own.targets, own.weights, kind.spec.outputs).flatten()
            known[member.fold] = learnt, answer
        learnt, answer = known[member.fold]
        generator = torch_generator(member.seed, "first biases")
        seen = rows.rows(learnt[torch.randint(len(learnt), (LOOKED_AT,), generator=generator)])
        parameters, buffers = (t[m : m + 1].cpu() for t in (population.state.parameters, population.state.buffers))
        net = kind.module(kind.state_dict(parameters, buffers))
        assert isinstance(net, DenseNet)
        net.write_biases(seen.numbers.to(exact(settings.dtype)), seen.codes.long(), answer, generator)
        state = net.state_dict()
        for name in biases:
            named[name][m] = state[name]


def _learnt(rows: int, folds: Tensor | None, fold: int | None) -> Tensor:
    """The numbers of those of N rows that are outside of a fold."""
    if folds is None or fold is None:
        return torch.arange(rows)
    return torch.nonzero(folds.cpu().ne(fold)).flatten()


def _spread(stream: Stream) -> Rows:
    """A few spans of a table on the disk."""
    length = max(1, min(len(stream) // SPANS, LOOKED_AT))
    starts = dict.fromkeys(place * (len(stream) - length) // (SPANS - 1) for place in range(SPANS))
    first, *others = [stream.rows.read(start, start + length) for start in starts]
    for other in others:
        first = first.joined(other)
    return first
