"""Would more rows help? Losses at several training sizes, and the power law through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy

from luthier.seeds import numpy_generator

EXPONENTS = np.linspace(0.05, 1.5, 59)
RESAMPLES = 400


class PowerLaw(NamedTuple):
    """loss(n) = floor + scale * n ** -exponent, none of them negative."""

    floor: float
    scale: float
    exponent: float

    def at(self, rows: float) -> float:
        """The loss after training on so many rows."""
        return float(self.floor + self.scale * rows**-self.exponent)


def fit_power_law(rows: Sequence[float], losses: Sequence[float]) -> PowerLaw:
    """The power law nearest to the losses; for each exponent floor and scale are a least-squares question.

    >>> law = fit_power_law([100, 200, 400, 800], [0.2 + 5 / n**0.5 for n in (100, 200, 400, 800)])
    >>> round(law.floor, 3), round(law.exponent, 3)
    (0.2, 0.5)
    """
    n, y = np.asarray(rows, dtype=float), np.asarray(losses, dtype=float)
    best, least = PowerLaw(float(y.mean()), 0.0, 1.0), np.inf
    for exponent in EXPONENTS:
        (floor, scale), error = scipy.optimize.nnls(np.stack([np.ones_like(n), (n / n[0]) ** -exponent], 1), y)
        if error < least - 1e-12:
            best, least = PowerLaw(float(floor), float(scale * n[0] ** exponent), float(exponent)), error
    return best


def more_rows(rows: Sequence[int], losses: Sequence[Sequence[float]], *, factor: float = 2.0) -> dict[str, Any]:
    """What `factor` times as many rows would bring, with an interval from redrawing the seeds.

    `losses` holds the validation losses of several seeds at each size, ascending. `helps` says that the whole
    95 % interval of the gain lies above a hundredth of the loss that there is now.
    """
    sizes = [float(size) for size in rows]
    now = float(np.mean(losses[-1]))
    law = fit_power_law(sizes, [float(np.mean(values)) for values in losses])
    rng = numpy_generator(0, "learning curve")
    gains = []
    for _ in range(RESAMPLES):
        drawn = [float(np.mean(rng.choice(values, len(values)))) for values in losses]
        fitted = fit_power_law(sizes, drawn)
        gains.append(fitted.at(sizes[-1]) - fitted.at(factor * sizes[-1]))
    low, high = (float(x) for x in np.quantile(gains, (0.025, 0.975)))
    gain = law.at(sizes[-1]) - law.at(factor * sizes[-1])
    return {
        "rows": [int(size) for size in rows],
        "losses": [[round(float(x), 6) for x in values] for values in losses],
        "law": law._asdict(),
        "now": now,
        "factor": factor,
        "gain": gain,
        "low": low,
        "high": high,
        "helps": bool(low > 0.01 * now),
    }
