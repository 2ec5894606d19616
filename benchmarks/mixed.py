"""What each part of a mixed row is worth: a made table in which a number, a word and a picture hold independent signal.

    python -m benchmarks.mixed

A run for each choice of columns, and one in which a frozen backbone sees the pictures; RMSE on its sealed rows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

import luthier
from luthier.runs.screen import SilentScreen

ROWS, SEEDS, SIDE, BUDGET = 400, 3, 12, "300steps"
SEEN = 96  # pixels that a backbone sees
FILL = ["the", "house", "has", "a", "garden", "near", "park", "with", "two", "rooms", "and", "some", "light"]
PARTS = {"number": "size", "text": "said", "picture": "photo"}
TRIED = (("number", "text"), ("number", "picture"), ("text", "picture"), ("number", "text", "picture"))
FROZEN = "all, a frozen backbone"
RESULTS = Path(__file__).parent / "results" / "mixed.json"


def made(folder: Path, seed: int) -> Path:
    """A table whose target is a number, a word and a shape, each with a variance of 1, and noise with one of 0.25."""
    rng = np.random.default_rng(seed)
    size, warm, disc = rng.normal(size=ROWS), rng.random(ROWS) < 0.5, rng.random(ROWS) < 0.5
    said = [" ".join([*rng.choice(FILL, 8), "sunny" if one else "damp"]) for one in warm]
    y, x = np.mgrid[:SIDE, :SIDE]
    names = [str(folder / f"{seed}-{row}.png") for row in range(ROWS)]
    for name, one in zip(names, disc, strict=True):
        above, beside = (np.abs(side - rng.integers(4, SIDE - 4)) for side in (y, x))
        shape = above**2 + beside**2 <= 10 if one else (np.minimum(above, beside) == 0) & (above + beside <= 4)
        pixels = rng.integers(0, 100, (SIDE, SIDE)) + 150 * shape
        Image.fromarray(pixels.astype(np.uint8)).save(name)
    price = size + 2.0 * warm + 2.0 * disc + 0.5 * rng.normal(size=ROWS)
    path = folder / f"{seed}.csv"
    pl.DataFrame({"photo": names, "said": said, "size": size, "price": price}).write_csv(path)
    return path


def score(path: Path, parts: tuple[str, ...], seed: int, backbone: str = "") -> float:
    """RMSE on the sealed rows of a run that learns from some of the parts."""
    left_out = {column: "identifier" for part, column in PARTS.items() if part not in parts}
    run = path.parent / f"run-{seed}-{'-'.join(parts)}{backbone}"
    options = {"columns": left_out, "budget": BUDGET, "seed": seed, "run": run, "text_model": "none"}
    options |= {"backbone": backbone, "size": SEEN} if backbone else {}
    result = luthier.fit(path, target="price", metric="rmse", screen=SilentScreen(), **options)
    assert result is not None
    return float(result.scores["headline"]["value"])


def main() -> None:
    """Every choice of two parts and all three, seed by seed; means, and standard errors over seeds."""
    found: dict[str, list[float]] = {**{" + ".join(parts): [] for parts in TRIED}, FROZEN: []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(SEEDS):
            path = made(Path(folder), seed)
            for parts in TRIED:
                found[" + ".join(parts)].append(score(path, parts, seed))
            found[FROZEN].append(score(path, tuple(PARTS), seed, "auto"))
    whole = np.array(found[" + ".join(PARTS)])
    lines = []
    for name, values in found.items():
        worse = np.array(values) - whole
        line = {"parts": name, "rmse": float(np.mean(values)), "error": _error(values)}
        lines.append({**line, "worse than all": float(worse.mean()), "error of that": _error(worse)})
        print(f"{name:24} RMSE {line['rmse']:.3f} ± {line['error']:.3f}, worse by {worse.mean():.3f}")
    RESULTS.write_text(json.dumps({"rows": ROWS, "seeds": SEEDS, "budget": BUDGET, "found": lines}, indent=1) + "\n")


def _error(values: Sequence[float] | np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main()
