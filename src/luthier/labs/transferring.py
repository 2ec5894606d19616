"""Transfer: what was learnt on other digits is worth, by how many new ones there are and how alike."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from luthier.drawing import BLUE, GREEN, ORANGE, PURPLE, empty_figure
from luthier.engine.api import train_networks
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets.blocks import blocks_of, freeze_all_but, with_new_head
from luthier.pretrained.transfer import transfer

Rows = tuple[Tensor, Tensor]
BATCH = 10


def pictures(low: int, high: int, seed: int = 0) -> Rows:
    """Pictures [N, 1, 8, 8] of the digits from `low` up to `high`, and their labels from 0, shuffled."""
    result = load_digits()
    X, y = torch.tensor(result.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(result.target)
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
    """Share of wrong predictions, in %."""
    with torch.no_grad():
        return 100 * (1 - float((net(rows[0]).argmax(1) == rows[1]).double().mean()))


def four_cases(bench: Bench) -> None:
    """Few or many new pictures, alike or not: errors by how many blocks learn, and from scratch."""
    others = pictures(0, 5)
    known, held = ((others[0][cut], others[1][cut]) for cut in (slice(700), slice(700, None)))
    backbone = train_networks(network(0), known, validation=held, epochs=15, learning_rate=3e-3, batch_size=20).module()
    blocks, seeds = blocks_of(backbone), bench.seeds(6, 2)
    table: dict[tuple[str, int], np.ndarray] = {}
    for kind in ("alike", "unlike"):
        for rows in (25, 300):
            result = []
            for seed in seeds:
                X, y = pictures(5, 10, seed)
                X = X if kind == "alike" else unlike(X)
                cuts = (slice(rows), slice(rows, rows + 100), slice(-450, None))
                training, validation, test = ((X[cut], y[cut]) for cut in cuts)
                result.append(
                    [
                        *(
                            error(learnt(backbone, blocks, count, training, validation, seed), test)
                            for count in range(len(blocks))
                        ),
                        error(_fitted(network(seed), training, validation, seed), test),
                    ]
                )
            table[kind, rows] = np.array(result)
    fresh = with_new_head(backbone, blocks[-1], 5)
    kept = copy.deepcopy(fresh.state_dict())
    after = _fitted(freeze_all_but(fresh, blocks[-1:]), known, held, 0).state_dict()
    changed = {name.rpartition(".")[0] for name, value in kept.items() if not value.equal(after[name])}
    bench.holds(
        "frozen weights stay equal to the bit; only the head learns",
        changed == {blocks[-1]},
        Message("changed: {changed}", changed=", ".join(changed)),
    )
    mean = {case: rows.mean(0) for case, rows in table.items()}
    message = "; ".join(
        f"{rows} {kind}: {' '.join(f'{v:.1f}' for v in row[:-1])}, from scratch {row[-1]:.1f}"
        for (kind, rows), row in mean.items()
    )
    few, many = mean["alike", 25], mean["alike", 300]
    bench.holds(
        "with few, similar pictures transfer beats training from scratch",
        few[:-1].min() < few[-1],
        Message("errors in % with 0, 1, ... blocks learning: {message}", message=message),
    )
    bench.holds(
        "the more pictures, the more blocks should be unfrozen",
        many[:-1].argmin() >= few[:-1].argmin() and many[1:-1].min() < many[0],
        Message(
            "best with {few} blocks from 25, with {many} from 300",
            few=int(few[:-1].argmin()),
            many=int(many[:-1].argmin()),
        ),
    )
    gains = {kind: mean[kind, 300][0] - mean[kind, 300][1:-1].min() for kind in ("alike", "unlike")}
    bench.holds(
        "unfreezing blocks gains more with different pictures than with similar ones",
        gains["unlike"] > gains["alike"] > -0.5,
        Message(
            "different {gains:.1f} points, similar {gains_2:.1f}, with 300 pictures",
            gains=gains["unlike"],
            gains_2=gains["alike"],
        ),
    )
    unlike_few = mean["unlike", 25]
    bench.holds(
        "the claim that transfer does not apply to different tasks is too strong",
        unlike_few[:-1].min() < unlike_few[-1],
        Message(
            "from 25 unlike ones {unlike_few:.1f} %, from scratch {unlike_few_2:.1f} %",
            unlike_few=unlike_few[:-1].min(),
            unlike_few_2=unlike_few[-1],
        ),
    )
    figure = empty_figure("unfrozen blocks below the head", "errors, %")
    for (kind, rows), colour in zip(mean, (BLUE, GREEN, ORANGE, PURPLE), strict=True):
        row = mean[kind, rows]
        figure.add_scatter(x=list(range(len(blocks))), y=row[:-1], name=f"{rows} {kind}", line={"color": colour})
        figure.add_hline(y=row[-1], line={"color": colour, "dash": "dot"})
    bench.draw("Errors by the number of unfrozen blocks (dotted: from scratch)", figure)
    _rates(bench, backbone)


def learnt(
    backbone: nn.Module, blocks: list[str], count: int, training: Rows, validation: Rows, seed: int
) -> nn.Module:
    """The backbone with a new head and its last so many blocks learning; the rate is chosen by validation."""
    torch.manual_seed(seed)
    net = with_new_head(backbone, blocks[-1], 5)
    return _fitted(freeze_all_but(net, blocks[len(blocks) - 1 - count :]), training, validation, seed)


def _fitted(net: nn.Module, training: Rows, validation: Rows, seed: int) -> nn.Module:
    batch = max(BATCH, len(training[0]) // 10)
    return train_networks(
        net,
        training,
        validation=validation,
        epochs=25,
        batch_size=batch,
        seeds=[seed] * 3,
        learning_rate=[1e-3, 3e-3, 1e-2],
        schedule="cosine",
    ).module()


def _rates(bench: Bench, backbone: nn.Module) -> None:
    """Early layers at lower rates move less."""
    X, y = pictures(5, 10)
    result = transfer(backbone, (X[:300], y[:300]), validation=(X[300:400], y[300:400]), epochs=5, batch_size=BATCH)
    rates = [option["rates"] for option in result.options if len(option["rates"]) > 1]
    bench.holds(
        "each block below has a lower rate than the one above it",
        all(list(row) == sorted(row) for row in rates) and bool(rates),
        "; ".join(" ".join(f"{rate:.1e}" for rate in row) for row in rates),
    )


LABS = (
    Lab(
        "transfer",
        "Transfer, two by two",
        "Pretraining helps most where new pictures are few and similar",
        ("S2-35", "S2-36", "S2-37", "S2-38", "S4-18"),
        four_cases,
        seconds=50,
    ),
)
