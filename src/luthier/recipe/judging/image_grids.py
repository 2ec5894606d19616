"""Pictures to look at: originals beside their changed copies, and the test pictures with the worst predictions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
import torch
from torch import Tensor

from luthier.assess import PictureSheet, PictureSheets, WorstCase
from luthier.messages import Message
from luthier.nets import ConvSpec
from luthier.optional import has, require
from luthier.recipe.modality.picture_networks import originals_and_changed
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.rows import Inputs
from luthier.saved import Model

GAP = 2  # pixels between pictures
FOR, AGAINST = (213.0, 94.0, 0.0), (0.0, 114.0, 178.0)  # red, green, blue
LEAST_SIDE = 56  # small pictures are enlarged to about this, in whole steps


def image_grids(
    runner: Runner, setting: Setting, model: Model, test: Inputs, worst: Sequence[WorstCase]
) -> PictureSheets:
    """PNG files in base64, with what they show in words; nothing for tables."""
    problem = runner.problem
    if problem.medium != "pictures":
        return PictureSheets()
    spec = setting.member.spec
    changed = originals_and_changed(problem, spec) if isinstance(spec, ConvSpec) else None
    result = PictureSheets(None if changed is None else PictureSheet(png(changed), changed.shape[1]))
    indices = {int(row): place for place, row in enumerate(problem.data.test_rows)}
    rows = [indices[one.row] for one in worst if one.row in indices]
    if rows:
        pixels, labels = test["pixels"][rows], problem.task.classes
        said: list[str] = [
            Message("{true}, not {predicted}", true=labels[int(one.true)], predicted=labels[int(one.predicted)])
            if labels
            else Message("{true:.4g}, not {predicted:.4g}", true=one.true, predicted=one.predicted)
            for one in worst
        ]
        result = replace(result, worst=PictureSheet(png(pixels.unsqueeze(0)), len(rows), said))
        if has("captum"):
            shares = torch.from_numpy(model.explain(Inputs(pixels=pixels)).shares)
            result = replace(result, why=PictureSheet(png(coloured(pixels, shares).unsqueeze(0)), len(rows)))
    return result


def coloured(pictures: Tensor, shares: Tensor) -> Tensor:
    """Pictures [K, C, H, W] as pale greys, orange where shares [K, H, W] support the prediction, blue opposes it."""
    grey = 0.75 * 255 + 0.25 * pictures.float().mean(1, keepdim=True)
    largest = shares.abs().flatten(1).quantile(0.99, 1).clamp_min(1e-30)[:, None, None]
    strength = (shares / largest).clamp(-1, 1).float().unsqueeze(1)
    ink = torch.where(strength > 0, torch.tensor(FOR).view(1, 3, 1, 1), torch.tensor(AGAINST).view(1, 3, 1, 1))
    return (grey * (1 - strength.abs()) + ink * strength.abs()).round().to(torch.uint8)


def png(pictures: Tensor) -> str:
    """Bytes [R, K, C, H, W] as one PNG of R rows and K columns, in base64."""
    images = require("PIL.Image", extra="vision", purpose="drawing pictures")
    rows, columns, channels, height, width = pictures.shape
    sheet = torch.full((channels, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255, dtype=torch.uint8)
    for r in range(rows):
        for k in range(columns):
            top, left = r * (height + GAP), k * (width + GAP)
            sheet[:, top : top + height, left : left + width] = pictures[r, k]
    array = np.moveaxis(sheet.numpy(), 0, -1)
    image = images.fromarray(array[:, :, 0] if channels == 1 else array)
    factor = max(1, -(-LEAST_SIDE // height))
    image = image.resize((image.width * factor, image.height * factor), images.Resampling.NEAREST)
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
