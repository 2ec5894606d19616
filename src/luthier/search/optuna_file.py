"""A whole study as one SQLite file of Optuna's, its tables filled directly: Optuna itself takes some 20 ms a trial."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.optional import require

_SCHEMA = 12  # of Optuna's tables; of another one Optuna writes them itself
_TABLES = {
    "trials": ("trials", "trial_id, number, study_id, state, datetime_start, datetime_complete"),
    "values": ("trial_values", "trial_id, objective, value, value_type"),
    "params": ("trial_params", "trial_id, param_name, param_value, distribution_json"),
    "curves": ("trial_intermediate_values", "trial_id, step, intermediate_value, intermediate_value_type"),
    "attributes": ("trial_user_attributes", "trial_id, key, value_json"),
    "constraints": ("trial_system_attributes", "trial_id, key, value_json"),
}


def write_study_file(path: Path, name: str, trials: Sequence[Any], attributes: Mapping[str, Any] | None = None) -> None:
    """Write Optuna's (frozen) trials of a study that is minimised to `path`, whole or not at all."""
    optuna = require("optuna", extra="search", purpose="study.db")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storage.explained(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".study.") as scratch:
        made = Path(scratch) / "study.db"
        store = optuna.storages.RDBStorage(f"sqlite:///{made}")
        study = optuna.create_study(study_name=name, storage=store, direction="minimize")
        for key, value in (attributes or {}).items():
            study.set_user_attr(key, value)
        identifier = study._study_id
        close_storage(store)
        if _schema(made) == _SCHEMA:
            _fill(made, identifier, trials)
        else:
            study.add_trials(trials)
            close_storage(store)
        os.replace(made, path)


def close_storage(held: Any) -> None:
    """Let a storage of Optuna's go; its cache stands before the one with the connections."""
    inner = getattr(held, "_backend", held)
    for name in ("remove_session", "engine"):
        result = getattr(inner, name, None)
        if result is not None:
            result() if name == "remove_session" else result.dispose()


def _schema(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (version,) = connection.execute("SELECT schema_version FROM version_info").fetchone()
    connection.close()
    return int(version)


def _fill(path: Path, study: int, trials: Sequence[Any]) -> None:
    from optuna.distributions import distribution_to_json

    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES}
    for number, trial in enumerate(trials):
        key = number + 1
        rows["trials"].append((key, number, study, trial.state.name, now, now if trial.state.is_finished() else None))
        rows["values"] += [(key, place, *_stored(value)) for place, value in enumerate(trial.values or ())]
        for name, value in trial.params.items():
            kind = trial.distributions[name]
            rows["params"].append((key, name, kind.to_internal_repr(value), distribution_to_json(kind)))
        rows["curves"] += [(key, step, *_stored(loss)) for step, loss in trial.intermediate_values.items()]
        rows["attributes"] += [(key, name, json.dumps(value)) for name, value in trial.user_attrs.items()]
        rows["constraints"] += [(key, name, json.dumps(value)) for name, value in trial.system_attrs.items()]
    connection = sqlite3.connect(path)
    with connection:
        for kind, (table, columns) in _TABLES.items():
            marks = ", ".join("?" * len(columns.split(",")))
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows[kind])
    connection.close()


def _stored(value: float) -> tuple[float | None, str]:
    """A number and its kind, as Optuna's tables hold them: those that are not finite by their kind alone."""
    if math.isfinite(value):
        return value, "FINITE"
    return None, "NAN" if math.isnan(value) else "INF_POS" if value > 0 else "INF_NEG"
