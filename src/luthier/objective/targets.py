"""Targets of shape [N] or [N, K], and which of them go with a loss. N rows, K targets of one, C outputs or classes."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.errors import InputError


def column(targets: Tensor) -> Tensor:
    """Targets [N, 1] as [N]; all others as they are.

    >>> column(torch.zeros(3, 1)).shape, column(torch.zeros(3, 2)).shape
    (torch.Size([3]), torch.Size([3, 2]))
    """
    return targets.squeeze(1) if targets.ndim == 2 and targets.shape[1] == 1 else targets


def check_classes(targets: Tensor, classes: int) -> None:
    """Raise InputError unless all of `targets` are whole numbers from 0 to `classes` - 1."""
    if targets.numel() and not (int(targets.min()) >= 0 and int(targets.max()) < classes):
        raise InputError(
            "a label is not a class",
            expected=f"whole numbers from 0 to {classes - 1}",
            received=f"labels from {int(targets.min())} to {int(targets.max())}",
            remedy="number the classes from 0, and give the network an output for each",
        )


def check_labels(outputs: int, targets: Tensor) -> None:
    """One class number a row, and an output for each class."""
    if targets.ndim != 1:
        raise InputError(
            "the loss takes one class for each row",
            expected="targets of shape [N] or [N, 1]",
            received=f"targets of shape {list(targets.shape)}",
            remedy="binary for labels of which several may hold; softmax for shares of classes",
        )
    if targets.is_floating_point() and not bool((targets == targets.round()).all()):
        raise InputError(
            "a label is not a class",
            expected="whole numbers",
            received=f"{float(targets[targets != targets.round()][0]):g}",
            remedy="mse for numbers",
        )
    check_classes(targets, outputs)


def check_shares(outputs: int, targets: Tensor) -> None:
    """Class numbers, or a share for each output."""
    if targets.ndim == 1:
        check_labels(outputs, targets)
    else:
        check_values(outputs, targets)


def check_values(outputs: int, targets: Tensor) -> None:
    """A value for each output."""
    wanted = 1 if targets.ndim == 1 else targets.shape[1]
    if targets.ndim > 2 or outputs != wanted:
        raise InputError(
            "outputs and targets do not go together",
            expected=f"{outputs} target{'s' * (outputs != 1)} for each row, as the network has outputs",
            received=f"targets of shape {list(targets.shape)}",
            remedy="give the network an output for each target; class numbers go with softmax",
        )


def check_indicators(outputs: int, targets: Tensor) -> None:
    """0 or 1 for each output, or class numbers."""
    if targets.ndim == 1 and outputs > 1:
        check_labels(outputs, targets)
        return
    check_values(outputs, targets)
    if targets.numel() and not (float(targets.min()) >= 0 and float(targets.max()) <= 1):
        raise InputError(
            "a label is neither 0 nor 1",
            expected="targets from 0 to 1 for a loss of yes or no",
            received=f"targets from {float(targets.min()):g} to {float(targets.max()):g}",
            remedy="number two classes 0 and 1; softmax, with an output for each, for more",
        )


def check_fractions(outputs: int, targets: Tensor) -> None:
    """A share of a whole for each output."""
    check_values(outputs, targets)
    _require(targets, (targets >= 0) & (targets <= 1), "a share is not between 0 and 1", "shares from 0 to 1", "mse")


def check_amounts(outputs: int, targets: Tensor) -> None:
    """A count or an amount for each output, not below 0."""
    check_values(outputs, targets)
    _require(targets, targets >= 0, "a count or amount is below 0", "numbers of at least 0", "mse")


def check_positive(outputs: int, targets: Tensor) -> None:
    """An amount for each output, above 0."""
    check_values(outputs, targets)
    _require(targets, targets > 0, "an amount is not above 0", "numbers above 0", "tweedie where some are 0, mse")


def check_one_value(outputs: int, targets: Tensor, wanted: int) -> None:
    """One value a row, for a loss that takes several outputs for it."""
    if targets.ndim != 1 or outputs != wanted:
        raise InputError(
            "outputs and targets do not go together",
            expected=f"targets of shape [N] or [N, 1] and {wanted} outputs",
            received=f"targets of shape {list(targets.shape)} and {outputs} outputs",
            remedy=f"give the network {wanted} outputs",
        )


def check_one_amount(outputs: int, targets: Tensor) -> None:
    """One count a row, not below 0, for a mean and a dispersion."""
    check_one_value(outputs, targets, 2)
    check_amounts(1, targets)


def check_levels(outputs: int, targets: Tensor) -> None:
    """Numbers of ordered levels, one more than there are outputs."""
    check_labels(outputs + 1, targets)


def _require(targets: Tensor, fits: Tensor, what: str, expected: str, other: str) -> None:
    """InputError with the first value that does not fit, and losses that take it."""
    if not bool(fits.all()):
        bad = targets[~fits]
        raise InputError(
            what, expected=expected, received=f"{float(bad[0]):g} and {bad.numel() - 1} more", remedy=f"try {other}"
        )


def check_groups(outputs: int, targets: Tensor) -> None:
    """One class number a row, whatever the outputs are."""
    if targets.ndim != 1 or targets.is_floating_point():
        raise InputError(
            "a loss over pairs of rows takes one class for each row",
            expected="whole numbers of shape [N] or [N, 1]",
            received=f"{str(targets.dtype).split('.')[1]} of shape {list(targets.shape)}",
        )


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """A weight for each row [N] such that every class that occurs counts the same.

    >>> class_weights(torch.tensor([0, 0, 0, 1]), 2)
    tensor([0.6667, 0.6667, 0.6667, 2.0000])
    """
    counts = torch.bincount(targets, minlength=classes)
    weights = len(targets) / (classes * counts.clamp_min(1)).to(torch.get_default_dtype())
    return weights[targets]
