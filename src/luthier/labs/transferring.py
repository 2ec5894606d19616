"""Transfer: what was learnt on other digits is worth, by how many new ones there are and how alike (S2-35 to S2-38)."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from luthier.labs.lab import Bench, Lab
from luthier.population.networks import train_networks
from luthier.recipe.transfer import transfer
from luthier.report.figures import BLUE, ORANGE, empty_figure

Rows = tuple[Tensor, Tensor]
BATCH = 10


def pictures(low: int, high: int, seed: int = 0) -> Rows:
    """Pictures [N, 1, 8, 8] of the digits from `low` up to `high`, and their labels from 0, shuffled."""
    found = load_digits()
    X, y = torch.tensor(found.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(found.target)
    these = (y >= low) & (y < high)
    order = torch.randperm(int(these.sum()), generator=torch.Generator().manual_seed(seed))
    return X[these][order], y[these][order] - low


def unlike(X: Tensor) -> Tensor:
    """The same pictures with their pixels in another order, which convolutions have never seen."""
    order = torch.randperm(64, generator=torch.Generator().manual_seed(5))
    return X.flatten(1)[:, order].reshape(X.shape)


def network(seed: int) -> nn.Sequential:
    """Two convolutional blocks and a linear head of five classes."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(96, 32), nn.ReLU()),
        nn.Linear(32, 5),
    )


def error(net: nn.Module, rows: Rows) -> float:
    """Share that is told wrong, in %."""
    with torch.no_grad():
        return 100 * (1 - float((net(rows[0]).argmax(1) == rows[1]).double().mean()))


def four_cases(bench: Bench) -> None:
    """Few or many new pictures, alike or not: how many blocks to unfreeze, and what is gained."""
    others = pictures(0, 5)
    backbone = train_networks(
        network(0),
        (others[0][:700], others[1][:700]),
        validation=(others[0][700:], others[1][700:]),
        epochs=15,
        learning_rate=3e-3,
        batch_size=20,
    ).module()
    kept = copy.deepcopy(backbone.state_dict())
    seeds, cases = bench.seeds(5, 2), {}  # type: ignore[var-annotated]
    unfrozen: dict[tuple[str, int], list[int]] = {}
    for kind in ("alike", "unlike"):
        for rows in (25, 300):
            for seed in seeds:
                X, y = pictures(5, 10, seed)
                X = X if kind == "alike" else unlike(X)
                training, validation, test = ((X[cut], y[cut]) for cut in
                                              (slice(rows), slice(rows, rows + 100), slice(-450, None)))  # fmt: skip
                found = transfer(
                    backbone, training, validation=validation, outputs=5, epochs=15, batch_size=BATCH, seed=seed
                )
                scratch = train_networks(network(seed), training, validation=validation, epochs=30, batch_size=BATCH,
                                         learning_rate=[1e-3, 3e-3, 1e-2]).module()  # fmt: skip
                cases.setdefault((kind, rows), []).append((error(found.module, test), error(scratch, test)))
                unfrozen.setdefault((kind, rows), []).append(found.unfrozen)
    changed = [name for name, value in kept.items() if not value.equal(backbone.state_dict()[name])]
    bench.holds("what was learnt elsewhere stays as it was, to the bit (S2-35)", not changed, f"{len(kept)} tensors")
    mean = {case: np.array(rows).mean(0) for case, rows in cases.items()}
    said = "; ".join(f"{rows} {kind}: {m[0]:.1f} % against {m[1]:.1f} %, {np.mean(unfrozen[kind, rows]):.1f} blocks"
                     for (kind, rows), m in mean.items())  # fmt: skip
    bench.holds("from few pictures that are alike, transfer beats starting from scratch (S2-35)",
                mean["alike", 25][0] < mean["alike", 25][1], said)  # fmt: skip
    worth = {case: m[1] / max(m[0], 0.1) for case, m in mean.items()}
    bench.holds("it is worth more where pictures are few than where they are many (S2-36)",
                worth["alike", 25] - 1 > 0 and mean["alike", 25][1] - mean["alike", 25][0]
                > mean["alike", 300][1] - mean["alike", 300][0],
                f"points gained: {mean['alike', 25][1] - mean['alike', 25][0]:.1f} from 25, "
                f"{mean['alike', 300][1] - mean['alike', 300][0]:.1f} from 300")  # fmt: skip
    bench.note(f"errors from scratch over errors after transfer, 25 pictures: {worth['alike', 25]:.2f} alike, "
               f"{worth['unlike', 25]:.2f} unlike")  # fmt: skip
    deeper = {case: float(np.mean(row)) for case, row in unfrozen.items()}
    bench.holds(
        "with many pictures that are unlike, more blocks are unfrozen (S2-37)",
        deeper["unlike", 300] >= deeper["alike", 25],
        f"{deeper['unlike', 300]:.1f} against {deeper['alike', 25]:.1f}",
    )
    bench.note(
        "the page says that transfer does not apply to unlike tasks: too strong; it applies, and more is unfrozen"
    )
    figure = empty_figure("", "errors, %").update_layout(barmode="group")
    labels = [f"{rows} {kind}" for kind, rows in mean]
    figure.add_bar(x=labels, y=[m[0] for m in mean.values()], name="transfer", marker={"color": BLUE})
    figure.add_bar(x=labels, y=[m[1] for m in mean.values()], name="from scratch", marker={"color": ORANGE})
    bench.draw("Two by two: how many pictures, and how alike", figure)
    _rates(bench, backbone)


def _rates(bench: Bench, backbone: nn.Module) -> None:
    """Early layers at lower rates move less (S4-18)."""
    X, y = pictures(5, 10)
    found = transfer(backbone, (X[:300], y[:300]), validation=(X[300:400], y[300:400]), epochs=5, batch_size=BATCH)
    rates = [option["rates"] for option in found.options if len(option["rates"]) > 1]
    bench.holds(
        "each block below has a lower rate than the one above it (S4-18)",
        all(list(row) == sorted(row) or list(row) == sorted(row, reverse=True) for row in rates) and bool(rates),
        "; ".join(" ".join(f"{rate:.1e}" for rate in row) for row in rates),
    )


LABS = (
    Lab("transfer", "Transfer, two by two", "What was learnt elsewhere helps most where new pictures are few and alike",
        ("S2-35", "S2-36", "S2-37", "S2-38", "S4-18"), four_cases, seconds=25),
)  # fmt: skip
