"""Gluon's listing in four lines: data, layers, loss, trainer; a face over PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from luthier.classic.gluon.nn import Parameter
from luthier.errors import ConfigError, nearest

RULES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Trainer:
    """Updates parameters by the gradients that `backward` left, divided by the size of the batch."""

    def __init__(self, params: Mapping[str, Parameter], optimizer: str, optimizer_params: Mapping[str, float]) -> None:
        if optimizer not in RULES:
            raise ConfigError([f"'{optimizer}' is not one of {', '.join(RULES)}; {nearest(optimizer, RULES)}"])
        self._params, self._rule, self._options = dict(params), optimizer, dict(optimizer_params)
        self._optimiser: torch.optim.Optimizer | None = None

    @property
    def learning_rate(self) -> float:
        """The rate."""
        return float(self._options.get("learning_rate", 0.01))

    def set_learning_rate(self, rate: float) -> None:
        """Continue at another learning rate."""
        self._options["learning_rate"] = rate
        if self._optimiser is not None:
            for group in self._optimiser.param_groups:
                group["lr"] = rate

    def step(self, batch_size: int) -> None:
        """One update by the sum of gradients over `batch_size`; the gradients start at zero afterwards."""
        tensors = [parameter.tensor for parameter in self._params.values()]
        if self._optimiser is None:
            names = {"learning_rate": "lr", "wd": "weight_decay"}
            options = {"lr": self.learning_rate, **{names.get(n, n): value for n, value in self._options.items()}}
            self._optimiser = RULES[self._rule](tensors, **options)
        for tensor in tensors:
            if tensor.grad is not None:
                tensor.grad.div_(batch_size)
        self._optimiser.step()
        self._optimiser.zero_grad()
