"""Several learning rates and seeds of a module of one's own, trained together; the best one handed back."""

from __future__ import annotations

import torch
from torch import nn

import luthier


def network() -> nn.Module:
    """Called once for each seed."""
    layers = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8 * 36, 2))


def main() -> None:
    """Which of two halves of a picture is brighter."""
    X = torch.randn(600, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = (X[..., :4].mean((1, 2, 3)) > X[..., 4:].mean((1, 2, 3))).long()
    print(luthier.summary(network(), X[:2]))
    result = luthier.train(
        network,
        (X[:500], y[:500]),
        validation=(X[500:], y[500:]),
        learning_rate=[1e-4, 1e-3, 1e-2],
        seeds=3,
        epochs=15,
        metrics=("accuracy", "auc"),
    )
    for finding in result.findings:
        print(finding.sentence)
    best = result.members[result.best]
    print(f"{result.layout}: rate {best.learning_rate:g} does best, loss {result.best_validation_loss.min():.3f}")
    module = result.module()
    print(f"{type(module).__name__}: {(module(X[500:]).argmax(1) == y[500:]).float().mean():.0%} right")


if __name__ == "__main__":
    main()
