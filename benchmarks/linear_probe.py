"""Heads on frozen blocks beside a linear probe, 1,000 pictures of 224 pixels.

    python -m benchmarks.linear_probe [SPLITS]

The probe is one pass of EfficientNet-lite0 with its ImageNet weights, which gives the last block's features, and a
logistic regression on them; the heads are `luthier.transfer` without unfreezing. Seconds of both in turns, their
medians, and errors on 1,000 other pictures. Needs `LUTHIER_DATA`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import luthier
from benchmarks.transfer import Shown, efficientnet, error, mnist

ROWS, SIDE, AT_ONCE = 1000, 224, 50


def features(below: nn.Module, X: torch.Tensor) -> np.ndarray:
    """What is below the head [N, F]."""
    with torch.no_grad():
        return torch.cat([below(some) for some in torch.split(X, AT_ONCE)]).numpy()


def measured(split: int) -> dict[str, float]:
    """Seconds and errors of both, of one draw of pictures."""
    chain = efficientnet(pretrained=True)
    net, below = Shown(chain, SIDE).eval(), Shown(nn.Sequential(*list(chain)[:-1]), SIDE).eval()
    order = torch.randperm(60_000, generator=torch.Generator().manual_seed(split))[:ROWS]
    X, y = (part[order] for part in mnist("train"))
    test, cut = tuple(part[:ROWS] for part in mnist("t10k")), 4 * ROWS // 5
    began = time.perf_counter()
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features(below, X), y)
    between = time.perf_counter()
    found = luthier.transfer(net, (X[:cut], y[:cut]), validation=(X[cut:], y[cut:]), seeds=1, most_unfrozen=0)
    return {
        "seconds of the probe": between - began,
        "seconds of the heads": time.perf_counter() - between,
        "error of the probe": 1 - float(linear.score(features(below, test[0]), test[1])),
        "error of the heads": error(found.module, *test),
    }


def main(splits: str = "3") -> None:
    """Print each draw, and the medians."""
    rows = defaultdict[str, list[float]](list)
    for split in range(int(splits)):
        one = measured(split)
        print({name: round(value, 3) for name, value in one.items()}, flush=True)
        for name, value in one.items():
            rows[name].append(value)
    middle = {name: statistics.median(values) for name, values in rows.items()}
    times = middle["seconds of the heads"] / middle["seconds of the probe"]
    print({name: round(value, 3) for name, value in middle.items()}, f"{times:.2f} times the seconds")


if __name__ == "__main__":
    main(*sys.argv[1:])
