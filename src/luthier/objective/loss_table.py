"""All losses by name; some take numbers behind their name: "tweedie 1.3", "quantiles 0.1 0.5 0.9"."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from luthier.errors import ConfigError, InputError, nearest
from luthier.objective.losses import (
    BINARY,
    FRACTIONAL,
    NEGATIVE_LOG,
    QUADRATIC,
    SOFTMAX,
    contrastive,
    focal,
    label_smoothing,
    triplet,
)
from luthier.objective.ordered_losses import ORDINAL, quantiles
from luthier.objective.regression_losses import (
    GAMMA,
    MAE,
    MSE,
    NEGATIVE_BINOMIAL,
    POISSON,
    huber,
    negative_binomial,
    tweedie,
)
from luthier.objective.row_loss import Loss

LOSSES: dict[str, Loss] = {
    "softmax": SOFTMAX,
    "smoothed softmax": label_smoothing(0.1),
    "focal": focal(2.0),
    "binary": BINARY,
    "fractional": FRACTIONAL,
    "quadratic": QUADRATIC,
    "negative log-likelihood": NEGATIVE_LOG,
    "ordinal": ORDINAL,
    "contrastive": contrastive(),
    "triplet": triplet(),
    "mse": MSE,
    "mae": MAE,
    "huber": huber(),
    "quantiles": quantiles(0.1, 0.5, 0.9),
    "poisson": POISSON,
    "negative binomial": NEGATIVE_BINOMIAL,
    "gamma": GAMMA,
    "tweedie": tweedie(1.5),
}
WITH_NUMBERS: dict[str, Callable[..., Loss]] = {
    "smoothed softmax": label_smoothing,
    "focal": focal,
    "contrastive": contrastive,
    "triplet": triplet,
    "huber": huber,
    "quantiles": quantiles,
    "negative binomial": negative_binomial,
    "tweedie": tweedie,
}


@lru_cache
def loss_by_name(name: str) -> Loss:
    """The loss of that name. ConfigError for a name that none has, or numbers that it does not take.

    >>> import torch
    >>> loss_by_name("quantiles 0.25 0.75").outputs(torch.ones(3))
    2
    """
    if name in LOSSES:
        return LOSSES[name]
    family = next((known for known in WITH_NUMBERS if name.startswith(f"{known} ")), "")
    numbers = _numbers(name.removeprefix(family)) if family else []
    if not numbers:
        raise ConfigError([f"'{name}' is not one of {', '.join(LOSSES)}; {nearest(name, LOSSES)}".rstrip("; ")])
    try:
        return WITH_NUMBERS[family](*numbers)
    except TypeError:
        raise ConfigError([f"the loss {family} takes one number, not {len(numbers)}"]) from None


def _numbers(words: str) -> list[float]:
    """The numbers; none where one of the words is not a finite number."""
    try:
        result = [float(word) for word in words.split()]
    except ValueError:
        return []
    return result if all(map(math.isfinite, result)) else []


def loss_mistakes(name: str) -> list[str]:
    """What is wrong with a loss's name, in sentences."""
    try:
        loss_by_name(name)
    except ConfigError as error:
        return list(error.mistakes)
    except InputError as error:
        return [str(error)]
    return []
