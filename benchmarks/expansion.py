"""784-800-10 on MNIST without changes, with affine and with elastic ones, as Simard, Steinkraus and Platt did (2003).

    python -m benchmarks.expansion choose        # strengths, by pictures 50,000 to 60,000 of the training file
    python -m benchmarks.expansion [SEEDS]       # all 60,000, the test file; continues where it was stopped

They print 98.4, 98.9 and 99.3 % for the cross-entropy, each from a single training. Strengths were chosen by the first
command, which never looks at the test pictures.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from luthier.labs.augmenting import AFFINE, ELASTIC, accuracy, as_pictures
from luthier.labs.mnist import MISSING, digits

UNITS, EPOCHS, SEEDS = 800, 40, 5
PRINTED = {"none": 98.4, "affine": 98.9, "elastic": 99.3}
SETTINGS = {"none": (), "affine": AFFINE, "elastic": ELASTIC}
RESULTS = Path(__file__).parent / "results" / "expansion.jsonl"


def main() -> None:
    """Train what is not in the results yet; print means over seeds with their 95 % intervals."""
    data = digits()
    if not data.is_mnist:
        sys.exit(MISSING)
    training, test = as_pictures(data.training.joined(data.validation)), as_pictures(data.test)
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS):
        for name, chosen in SETTINGS.items():
            settings = {**_settings(name), "seed": seed}
            if any(settings.items() <= one.items() for one in done):
                continue
            began = time.monotonic()
            (result,) = accuracy(chosen, [seed], training, test, units=UNITS, epochs=EPOCHS)
            done.append({**settings, "accuracy": float(result), "seconds": round(time.monotonic() - began)})
            with RESULTS.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
    print(f"{len(training):,} pictures, {UNITS} hidden units, {EPOCHS} epochs; accuracy on {len(test):,}")
    for name, printed in PRINTED.items():
        alike = _settings(name)
        values = np.array([one["accuracy"] for one in done if alike.items() <= one.items()])
        spread = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        print(f"{name:8} {values.mean():.2f} ± {spread:.2f} % over {len(values)} seeds, printed {printed} %")


def _settings(name: str) -> dict[str, Any]:
    """What says that a line of the results is of this training."""
    return {"name": name, "changes": [list(one) for one in SETTINGS[name]], "epochs": EPOCHS}


def choose() -> None:
    """Validation accuracy of some strengths, one seed and 30 epochs each."""
    data = digits()
    training, validation = as_pictures(data.training), as_pictures(data.validation)
    candidates: list[tuple[str, Any]] = [("affine", AFFINE)]
    candidates += [("affine", (("rotation", 15.0), ("shift", 0.06), ("skew", 15.0)))]
    candidates += [("elastic", (("elastic", e),)) for e in (1.4, 1.0)]
    candidates += [("elastic", (("elastic", e), *AFFINE)) for e in (1.4, 1.0, 0.7)]
    candidates += [("elastic", (("elastic", 1.4), ("rotation", 5.0), ("shift", 0.04)))]
    for name, chosen in candidates:
        began = time.monotonic()
        (result,) = accuracy(chosen, [0], training, validation, units=UNITS, epochs=30)
        print(f"{name} {dict(chosen)}: {result:.2f} % ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    choose() if sys.argv[1:] == ["choose"] else main()
