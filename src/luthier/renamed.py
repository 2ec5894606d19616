"""Names that have changed: the old one still works for a while, with one line that gives the new one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

PUBLIC = {
    "Checkup": "DataReport",
    "Several": "MultiTargetResult",
    "Watch": "TrainingMonitor",
    "fit_several": "fit",
    "go_back": "branch",
}
OPTIONS = {
    "weight": "sample_weight",
    "weights": "backbone_weights",
    "register": "registered",
    "replace_run": "replace",
    "new_test": "test",
}
HYPER_PARAMETERS = {"average": "ema_decay", "smoothing": "rho"}


def current_name(old: str, new: str, *, level: int = 3) -> str:
    """The new name, after a warning that the old one was used; `level` frames up is the caller who is warned.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always")
    ...     current_name("Watch", "TrainingMonitor"), str(seen[0].message)
    ('TrainingMonitor', 'Watch is now TrainingMonitor; the old name will be removed')
    """
    warnings.warn(f"{old} is now {new}; the old name will be removed", FutureWarning, stacklevel=level)
    return new


def current_hyper_parameters(values: Mapping[str, Any]) -> dict[str, object]:
    """The same values under the names of today."""
    return {
        current_name(name, HYPER_PARAMETERS[name], level=4) if name in HYPER_PARAMETERS else name: value
        for name, value in values.items()
    }
