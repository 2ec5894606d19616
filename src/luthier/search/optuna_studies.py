"""Our studies as Optuna's: a copy in a file of its own, or written live to a storage that others share.

`optuna-dashboard` reads both. Parameters go under their own names and values, curves as intermediate
values, seeds, stages and reasons as attributes; a trial that was cut at a rung is pruned.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import InputError, in_a_line
from luthier.messages import Message
from luthier.optional import require
from luthier.search.optuna_file import close_storage, write_study_file
from luthier.search.spaces.space import Choice, Space, Values
from luthier.search.spaces.trials import AFTERWARDS, COMPLETE, PRUNED, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SPACE, _RUNNER = "luthier space", "luthier run"
_CONSTRAINTS = "constraints"  # Optuna's own name
ATTEMPTS = 4  # to reach a storage


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Optuna's distribution of every dimension, in the hyper-parameter's own values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    result: dict[str, BaseDistribution] = {}
    for name, dimension in space.dimensions.items():
        if isinstance(dimension, Choice):
            result[name] = CategoricalDistribution(dimension.options)
        elif dimension.integer:
            result[name] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.on.name == "log")
        else:
            result[name] = FloatDistribution(dimension.low, dimension.high, log=dimension.on.name == "log")
    return result


def frozen(
    trial: Trial, known: Mapping[str, BaseDistribution], runner: str = "", constraints: Sequence[float] = ()
) -> Any:
    """A trial as Optuna's; one that is not done is running, and one with a constraint above 0 is never the best."""
    import optuna

    values = {name: value for name, value in trial.values.items() if name in known}
    inside = {name: value for name, value in values.items() if _holds(known[name], value)}
    outside = {name: value for name, value in values.items() if name not in inside}
    return optuna.trial.create_trial(
        state=_state(trial),
        value=trial.value if trial.known and trial.status in (COMPLETE, PRUNED) else None,
        params=inside,
        distributions={name: known[name] for name in inside},
        user_attrs=_attributes(trial, runner) | outside,
        system_attrs={_CONSTRAINTS: list(constraints)} if constraints else {},
        intermediate_values={step: loss for step, loss in trial.curve if math.isfinite(loss)},
    )


def _holds(distribution: Any, value: Any) -> bool:
    """Whether a value lies in the range; a length found by doubling may lie beyond it."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False


def _attributes(trial: Trial, runner: str = "") -> dict[str, object]:
    result = {"stage": trial.stage, "seed": str(trial.seed), "reason": trial.reason, "score": trial.score}
    result |= {_RUNNER: runner} if runner else {}
    return {name: value for name, value in result.items() if value == value and value != ""}


def _state(trial: Trial) -> Any:
    from optuna.trial import TrialState

    if not trial.done:
        return TrialState.RUNNING
    if trial.status == PRUNED:
        return TrialState.PRUNED
    return TrialState.COMPLETE if trial.known and trial.status == COMPLETE else TrialState.FAIL


def mirror(path: Path, name: str, space: Space, trials: Sequence[Trial], measured: Trial | None = None) -> None:
    """Write all trials into an SQLite file of Optuna's at `path`, whole or not at all.

    With `measured`, the mean that the search reports, that is the study's best value: single seeds that were luckier
    break a constraint by as much.
    """
    known, result = distributions(space), []
    for trial in [*trials, *([] if measured is None else [measured])]:
        luck = () if measured is None or not trial.known else (measured.value - trial.value,)
        made = frozen(trial, known, constraints=luck)
        made.set_user_attr("number", trial.number)
        result.append(made)
    write_study_file(path, name, result, {_SPACE: space.to_json()})


class SharedStudy:
    """A study in any of Optuna's storages, by URL: several processes and machines add to it while they run.

    `runner` names who is running here. Raises InputError for a storage that cannot be reached, and for a
    study of another space.
    """

    def __init__(self, url: str, name: str, space: Space, runner: str) -> None:
        optuna = require("optuna", extra="search", purpose="a shared study")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._known, self._runner = space, distributions(space), runner
        self._ids: dict[int, int] = {}
        self._mine: set[int] = set()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._storage = optuna.storages.get_storage(url)
                self._study = optuna.create_study(
                    study_name=name, storage=self._storage, direction="minimize", load_if_exists=True
                )
                break
            except Exception as error:  # every driver has errors of its own
                if attempt == ATTEMPTS:
                    raise self._unreachable(url, error) from error
                time.sleep(0.2 * attempt)  # another process may be making the tables at this moment
        try:
            self._agree(name)
        except InputError:
            self.close()
            raise

    @staticmethod
    def _unreachable(url: str, error: Exception) -> InputError:
        return InputError(
            Message("the storage '{url}' cannot be reached", url=_without_password(url)),
            expected="a URL of Optuna's, such as sqlite:///studies.db or postgresql+psycopg://user@host/studies",
            received=in_a_line(error)[:200],
            remedy="check address, name and password, and that the driver is installed (psycopg for PostgreSQL)",
        )

    def _agree(self, name: str) -> None:
        ours = json.loads(json.dumps(self._space.to_json()))
        theirs = self._study.user_attrs.get(_SPACE)
        if theirs is None and not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr(_SPACE, ours)
        elif theirs != ours:
            raise InputError(
                Message("the study '{name}' in that storage searches another space", name=name),
                expected=_in_short(ours),
                received="a study that was not made by Luthier" if theirs is None else _in_short(theirs),
                remedy="give this search another name with --study, or use the space of that study",
            )

    def claim(self, settings: Sequence[Values], stage: str) -> list[int]:
        """Numbers for new trials, nobody else's; they stand in the storage as running."""
        return [self._added(Trial(-1, values, 0, stage)) for values in settings]

    def _added(self, trial: Trial) -> int:
        made = frozen(trial, self._known, self._runner)
        identifier = self._storage.create_new_trial(self._study._study_id, template_trial=made)
        number = int(self._storage.get_trial(identifier).number)
        self._ids[number] = identifier
        self._mine.add(number)
        return number

    def tell(self, trials: Sequence[Trial]) -> None:
        """What came of trials. One that an earlier sitting told already stays as it is."""
        for trial in trials:
            self._mine.add(trial.number)
            identifier = self._ids.get(trial.number)
            if identifier is None:
                identifier = self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, trial.number)
            if self._storage.get_trial(identifier).state.is_finished():
                continue
            for name, value in _attributes(trial, self._runner).items():
                self._storage.set_trial_user_attr(identifier, name, value)
            if trial.stage in AFTERWARDS:  # one seed of several, whose mean is reported: never the study's best
                self._storage.set_trial_system_attr(identifier, _CONSTRAINTS, [1.0])
            for step, loss in trial.curve:
                if math.isfinite(loss):
                    self._storage.set_trial_intermediate_value(identifier, step, loss)
            values = [trial.value] if trial.known and trial.status in (COMPLETE, PRUNED) else None
            self._storage.set_trial_state_values(identifier, _state(trial), values)

    def report(self, measured: Trial) -> int:
        """Add the best setting with its mean over seeds; the number that it has here."""
        return self._added(measured)

    def others(self) -> list[Trial]:
        """Finished trials of other processes."""
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return [
            self._read(trial)
            for trial in self._study.get_trials(deepcopy=False, states=states)
            if trial.number not in self._mine and trial.user_attrs.get("stage") not in AFTERWARDS
        ]

    def _read(self, trial: Any) -> Trial:
        outside = {name: trial.user_attrs[name] for name in self._known if name in trial.user_attrs}
        values = {**self._space.fixed, **trial.params, **outside}
        return Trial(
            number=trial.number,
            values=values,
            seed=int(trial.user_attrs.get("seed", 0)),
            stage=str(trial.user_attrs.get("stage", "")),
            status=PRUNED if trial.state.name == "PRUNED" else COMPLETE,
            value=trial.value if trial.value is not None else math.inf,
        )

    def close(self) -> None:
        """Let the connection go."""
        close_storage(self._storage)

    def count(self) -> int:
        """Trials of the search, of all processes."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(trial.user_attrs.get("stage") not in AFTERWARDS for trial in trials)


def _without_password(url: str) -> str:
    head, _, tail = url.rpartition("@")
    if not head or "://" not in head:
        return url
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.partition(':')[0]}@{tail}"


def _in_short(space: Mapping[str, Mapping[str, Mapping[str, object]]]) -> str:
    return ", ".join(
        f"{name} {d['options'] if 'options' in d else (d['low'], d['high'])}" for name, d in space["dimensions"].items()
    )
