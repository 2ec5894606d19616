"""A search over the hyper-parameters of a module of one's own, with a condition and a scale of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import luthier


def network(h: Mapping[str, Any]) -> nn.Module:
    """What a setting describes; names that the engine knows (the rate, the rule) need not be read."""
    layers: list[nn.Module] = [nn.Linear(10, h["units"]), nn.ReLU()]
    if h["drops"]:
        layers.append(nn.Dropout(h["drop"]))
    return nn.Sequential(*layers, nn.Linear(h["units"], 1))


def main() -> None:
    """A product of two columns, to be found among ten."""
    X = torch.randn(800, 10, generator=torch.Generator().manual_seed(0))
    space = {
        "learning_rate": (1e-4, 1e-1),
        "rule": ["adam", "sgd"],
        "momentum": (0.5, 0.99),  # counts where the rule has one
        "units": luthier.Number(8, 64, scale="log", integer=True, tier=2),
        "drops": [False, True],
        "drop": luthier.Number(0.05, 0.5, when={"drops": (True,)}),
    }
    study = luthier.tune(network, (X, X[:, 0] * X[:, 1]), space, trials=24, epochs=10, confirm=3)
    print(study)
    print(study.sensitivity())
    print(study.trials.sort("value").select("number", "value", "learning_rate", "units").head(3))
    print(study.module())


if __name__ == "__main__":
    main()
