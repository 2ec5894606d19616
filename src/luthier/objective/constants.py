"""What is known of a loss before any network: how many outputs it takes, and what the best constant costs."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.errors import InputError
from luthier.objective.criterion import Criterion, loss_named
from luthier.objective.row_loss import Loss, mean_loss
from luthier.objective.targets import column


def outputs_for(loss: str | Loss | Criterion | None, targets: Tensor) -> int:
    """How many outputs a network for these targets has: as the loss says, else one a class or a column of values.

    >>> outputs_for("softmax", torch.tensor([0, 2, 1])), outputs_for("poisson", torch.tensor([0, 2, 1]))
    (3, 1)
    """
    known, some = None if loss is None else loss_named(loss), column(targets)
    if isinstance(known, Loss) and known.outputs is not None:
        return known.outputs(some)
    return some.shape[1] if some.ndim == 2 else 1 if some.is_floating_point() else int(some.max()) + 1


def shared_outputs(loss: str | Loss | Criterion, outputs: int) -> tuple[int, ...]:
    """Which of so many outputs are meant to be the same for all rows, as `DenseSpec.constant_outputs` takes them.

    >>> shared_outputs("ordinal", 4), shared_outputs("mse", 4)
    ((1, 2, 3), ())
    """
    known = loss_named(loss)
    return known.shared(outputs) if isinstance(known, Loss) and known.shared is not None else ()


def best_constant(
    loss: str | Loss, targets: Tensor, weights: Tensor | None = None, outputs: int | None = None
) -> Tensor:
    """The outputs [C] that have the least (weighted) mean loss if all rows get the same, in float64.

    InputError for a loss that has none, such as one over pairs of rows.

    >>> best_constant("poisson", torch.tensor([0, 1, 2])).exp()
    tensor([1.], dtype=torch.float64)
    """
    known = loss_named(loss)
    if not isinstance(known, Loss) or known.constant is None:
        name = f" '{loss}'" if isinstance(loss, str) else ""
        raise InputError(f"the loss{name} has no best constant", remedy="choose a loss of rows by name, such as mse")
    some = column(targets)
    return known.constant(some, weights, outputs_for(known, some) if outputs is None else outputs).double()


def constant_loss(
    loss: str | Loss, constant: Tensor, targets: Tensor, weights: Tensor | None = None, *, above_floor: bool = False
) -> float:
    """The (weighted) mean loss of rows that all have the outputs `constant` [C]; `above_floor` as a deviance.

    >>> y = torch.tensor([1.0, 3.0])
    >>> constant_loss("mse", best_constant("mse", y), y)
    1.0
    """
    known, some = loss_named(loss), column(targets)
    assert isinstance(known, Loss)
    some = some.double() if some.is_floating_point() else some
    rows = known.rows(constant.double().expand(1, len(some), -1), some)
    if above_floor:
        rows = rows - floors(known, some)
    return float(mean_loss(rows, weights))


def floors(loss: Loss, targets: Tensor) -> Tensor:
    """The least that the loss of each row can be [N]: 0 where the loss says nothing else."""
    if loss.floor is None:
        return torch.zeros(len(targets), device=targets.device)
    return loss.floor(targets)
