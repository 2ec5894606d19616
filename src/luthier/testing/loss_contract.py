"""What a loss has to keep. Z outputs [M, B, C] of M members for B rows, targets [B] or [B, C]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from luthier.objective import AnyLoss, Criterion, Loss, loss_for, loss_named
from luthier.seeds import torch_generator

MEMBERS = 3
EXACT = 1e-12  # two ways to write one formula in float64
SLOPE = 1e-10  # the same, through a derivative
FLAT = 1e-9  # of a golden section in float64, near whose end the loss is flat
TRIED = 30  # directions
LARGE = 1e4  # outputs that a diverging network has in single precision

Rows = Callable[[Tensor, Tensor], Tensor]


def check_loss(
    loss: AnyLoss,
    targets: Tensor,
    *,
    outputs: int = 1,
    reference: Rows | None = None,
    scale: float = 3.0,
    logits: Tensor | None = None,
    large: float | None = LARGE,
) -> None:
    """Check a loss on three members' random outputs, of size `scale`, for these `targets`, in float64.

    Every row has a loss and a score; members and rows do not mix (unless it `couples` rows); the derivative is
    autograd's, also with weights; the best constant, where it has one, is the best; outputs of size `large` in single
    precision give no NaN (None: not asked). With a `reference` (outputs [B, C], targets) -> [B] the losses are its.
    `logits` [M, B, C] take the place of random outputs. Of a function (outputs, targets) -> number: one number, the
    same twice, with autograd's derivative.

    >>> check_loss("softmax", torch.tensor([0, 2, 1, 1]), outputs=3)
    """
    g = torch_generator(0, "contract of losses")
    drawn = scale * torch.randn(MEMBERS, len(targets), outputs, generator=g, dtype=torch.float64)
    Z = drawn if logits is None else logits
    chosen = loss_named(loss_for(targets, loss))
    if isinstance(chosen, Criterion):
        _one_number(chosen, Z, targets)
        return
    _one_for_each_row(chosen, Z, targets)
    _derivative(chosen, Z, targets)
    _constant_is_best(chosen, Z.shape[-1], targets)
    if reference is not None:
        expected = torch.stack([reference(z, targets) for z in Z])
        torch.testing.assert_close(chosen.rows(Z, targets), expected, rtol=EXACT, atol=EXACT)
    if large is not None:
        _stays_finite(chosen, (Z / Z.abs().max() * large).float(), targets)


def _one_for_each_row(loss: Loss, Z: Tensor, targets: Tensor) -> None:
    before = Z.clone()
    for name, values in (("rows", loss.rows(Z, targets)), ("score", loss.score(Z, targets))):
        assert values.shape == Z.shape[:2], f"{name} has shape {list(values.shape)}, not {list(Z.shape[:2])}"
    rows = loss.rows(Z, targets)
    assert torch.equal(Z, before), "rows changes the outputs that it is given"
    assert torch.isfinite(rows).all(), "rows is not finite"
    other = Z.clone()
    other[1] += 1
    message = "a member's loss depends on another one's outputs"
    torch.testing.assert_close(loss.rows(other, targets)[[0, 2]], rows[[0, 2]], rtol=EXACT, atol=EXACT, msg=message)
    if not loss.couples:
        half = len(targets) // 2
        few = loss.rows(Z[:, :half], targets[:half])
        message = "a row's loss depends on other rows: such a Loss says couples=True"
        torch.testing.assert_close(few, rows[:, :half], rtol=EXACT, atol=EXACT, msg=message)


def _derivative(loss: Loss, Z: Tensor, targets: Tensor) -> None:
    g = torch_generator(1, "contract of losses")
    for weights in (None,) if loss.couples else (None, torch.rand(len(targets), generator=g, dtype=torch.float64)):
        with torch.no_grad():
            result = loss.slopes(Z.clone(), targets, weights)
        leaf = Z.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss.mean(leaf, targets, weights).sum(), leaf)
        torch.testing.assert_close(result, expected, rtol=SLOPE, atol=EXACT, msg=_not_autograds)
    if loss.prepare is not None:
        prepared = loss.prepare(targets, Z.shape[-1], Z.dtype)
        both = loss.residual(Z.clone(), prepared), loss.residual(Z.clone(), targets)
        torch.testing.assert_close(*both, rtol=EXACT, atol=EXACT)


def _constant_is_best(loss: Loss, outputs: int, targets: Tensor) -> None:
    """No row costs less than its least, and no shift of the best constant's outputs costs less than it."""
    if loss.constant is None:
        return
    best = loss.constant(targets, None, outputs).expand(1, len(targets), -1)
    assert best.shape[-1] == outputs, f"the best constant has {best.shape[-1]} outputs, not {outputs}"
    least = 0.0 if loss.floor is None else loss.floor(targets)
    lowest = loss.rows(best, targets)
    assert (lowest - least >= -EXACT * (1 + lowest.abs())).all(), "a row costs less than the least of its loss"
    g = torch_generator(2, "contract of losses")
    for size in (0.01, 0.1, 1.0):
        moved = best + size * torch.randn(TRIED, 1, outputs, generator=g, dtype=torch.float64)
        gained = lowest.mean(1) - loss.rows(moved, targets).mean(1)
        assert (gained <= FLAT).all(), f"the best constant is not: another costs {float(gained.max()):.2g} less"


def _not_autograds(difference: str) -> str:
    return f"residual is not the derivative of rows: {difference}"


def _stays_finite(loss: Loss, Z: Tensor, targets: Tensor) -> None:
    targets = targets.float() if targets.is_floating_point() else targets
    size = f"outputs of size {float(Z.abs().max()):g}"
    assert loss.rows(Z, targets).isfinite().all(), f"rows is not finite at {size}"
    assert loss.residual(Z.clone(), targets).isfinite().all(), f"residual is not finite at {size}"


def _one_number(loss: Criterion, Z: Tensor, targets: Tensor) -> None:
    """Its value and derivative; what else it may not do, `Criterion` itself refuses."""
    outputs = [z.squeeze(-1) if z.shape[-1] == 1 and targets.ndim == 1 else z for z in Z]
    for z in outputs:
        assert torch.equal(loss.value(z, targets), loss.value(z, targets)), "the same outputs have two losses"
        leaf = z.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda o: loss.value(o, targets), (leaf,)), "the derivative is wrong"
