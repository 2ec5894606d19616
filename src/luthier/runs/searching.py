"""What every search goes through: workers, journal, mirror, interruption, and what is kept of it."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from luthier import storage
from luthier.diagnosis import optimism
from luthier.engine.members.devices import AUTO, CPU, free_memory, resolve
from luthier.errors import ConfigError, InputError
from luthier.machine import cores, default_memory
from luthier.messages import Message
from luthier.parquet_pages import parquet_bytes
from luthier.recipe import Budget, Interrupted
from luthier.report import write_search_report
from luthier.report.terminal import in_a_line
from luthier.request import SearchConfig
from luthier.runs.screen import SearchScreen
from luthier.runs.signals import ended_by_signals
from luthier.runs.study_result import Study
from luthier.saved import RunFolder
from luthier.search import Effort, Journal, Networks, Sampler, Search, Space, Trial, TrialStore, Watched, executor_for

MIRROR_EVERY = 30.0  # seconds between two copies into study.db, or fifty times what one takes


@dataclass(frozen=True)
class Place:
    """Where trials train, in how many bytes of `memory` together (0: what is allowed in all), and where the study is
    shared.

    On an accelerator one worker trains them, in larger populations; `auto` is the processor, whose cores share them.
    """

    on: str
    workers: int | None
    storage: str | None
    study: str
    device: str = AUTO
    memory: int = 0

    def __post_init__(self) -> None:
        given = {"on": self.on, "storage": self.storage or "", "study": self.study}
        wrong = [f"{name} must be text, not {value!r}" for name, value in given.items() if not isinstance(value, str)]
        if wrong:
            raise ConfigError(wrong)
        if self.accelerated and (self.on != "local" or self.workers not in (None, 1)):
            template = "on='{on}', workers={workers}, device='{device}'"
            raise InputError(
                "workers cannot share an accelerator",
                received=Message(template, on=self.on, workers=self.workers, device=self.device),
                remedy="leave out on and workers, or the device",
            )

    @property
    def on_device(self) -> torch.device:
        """The device. InputError for one that is not there."""
        return CPU if self.device == AUTO else resolve(self.device)

    @property
    def accelerated(self) -> bool:
        """Whether it is not the processor."""
        return self.on_device != CPU

    @property
    def processes(self) -> int | None:
        """Workers, where their number was said or follows."""
        return 1 if self.accelerated else self.workers


def run_search(
    networks: Networks,
    space: Space,
    effort: Effort,
    folder: RunFolder | None,
    place: Place,
    screen: SearchScreen,
    deliver: Callable[[Study], None] = lambda study: None,
) -> Study:
    """Run a search, keep it in its folder, `deliver` what came of it, and hand it back."""
    networks.memory = (place.memory or effort.memory or default_memory()) // (place.processes or cores())
    networks.device = place.on_device
    if place.accelerated:
        networks.memory = min(networks.memory, free_memory(networks.device) or networks.memory)
    networks.objects = space.objects
    path, interrupted = None if folder is None else folder.path, Interrupted()
    mirror = _Mirror(folder, place.study, space)

    def tell(name: str, /, **facts: Any) -> None:
        screen.event(name, **facts)
        if name == "round":
            mirror.now_and_then(facts["trials"])

    watched = Watched(tell, lambda: bool(interrupted))
    with closing(screen):
        screen.event("begin", run=place.study, folder=path)
        journal = Journal(None if path is None else path / "journal.jsonl", screen.journal)
        held = nullcontext() if folder is None else storage.held(folder.path)
        with held, ended_by_signals(interrupted):
            with (
                _shared(place, space, "" if path is None else path.name) as store,
                _scratch(folder) as scratch,
                closing(executor_for(place.on, networks, scratch, place.processes)) as executor,
            ):
                search = Search(networks, space, effort, executor, journal, store=store, watched=watched)
                outcome = search.run()
            if outcome.best is not None:  # what was the best of many trials is measured again with fresh seeds
                lucky = optimism(outcome.best.value, [trial.value for trial in outcome.final], len(outcome.searched))
                outcome.findings += [] if lucky is None else [lucky]
            study = Study(outcome, networks, path)
            if folder is not None:
                _keep(study, folder, place, space)
            deliver(study)
        lines = study.lines()
        if path is not None:
            lines.append(in_a_line("report", str(path / "report.html")))
            lines += [] if outcome.complete else [in_a_line("continue", f"luthier resume {path}")]
        screen.event("done", result=outcome.to_json(), lines=lines)
    return study


def _keep(study: Study, folder: RunFolder, place: Place, space: Space) -> None:
    outcome = study.outcome
    storage.write_bytes(folder.path / "trials.parquet", parquet_bytes(outcome.frame()))
    study.sensitivity()  # worked out now, for the report
    storage.write_json(folder.path / "search.json", outcome.to_json())
    _Mirror(folder, place.study, space).write(outcome.trials, outcome.measured)
    folder.update_facts(status="done" if outcome.complete else "cut")
    if outcome.complete:
        shutil.rmtree(folder.checkpoint, ignore_errors=True)
    write_search_report(folder.path)


class _Mirror:
    """Keeps `study.db` in step with the trials, as often as its cost allows; nothing without Optuna."""

    def __init__(self, folder: RunFolder | None, name: str, space: Space) -> None:
        self._on = folder is not None and importlib.util.find_spec("optuna") is not None
        self._folder, self._name, self._space = folder, name, space
        self._next = time.monotonic() + MIRROR_EVERY

    def now_and_then(self, trials: list[Trial]) -> None:
        """Write, if it is time."""
        if time.monotonic() >= self._next:
            began = time.monotonic()
            self.write(trials)
            self._next = time.monotonic() + max(MIRROR_EVERY, 50 * (time.monotonic() - began))

    def write(self, trials: list[Trial], measured: Trial | None = None) -> None:
        """Write all trials, and what is reported of the best setting, where that has been measured."""
        if self._on and self._folder is not None:
            from luthier.search.optuna_studies import mirror

            mirror(self._folder.study, self._name, self._space, trials, measured)


@contextmanager
def _shared(place: Place, space: Space, run: str) -> Iterator[TrialStore | None]:
    """The study that others share, where one is named."""
    if place.storage is None:
        yield None
        return
    from luthier.search.optuna_studies import SharedStudy

    with closing(SharedStudy(place.storage, place.study, space, run)) as store:
        yield store


@contextmanager
def _scratch(folder: RunFolder | None) -> Iterator[Path]:
    """Where populations wait between rungs and go on after a kill."""
    if folder is not None:
        folder.checkpoint.mkdir(parents=True, exist_ok=True)
        yield folder.checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="luthier-") as path:
        yield Path(path)


def effort_for(
    config: SearchConfig, trials: int | None = None, *, seed: int, epochs: int = 1, sampler: Sampler | None = None
) -> Effort:
    """What a search may spend, from what a caller says; `trials` and `epochs` where nothing is said of them.

    InputError for what cannot be meant.
    """
    if config.workers is not None and config.workers < 1:
        raise ConfigError(
            [Message("workers must be a whole number of at least 1, not {workers!r}", workers=config.workers)]
        )
    limit = Budget.parse(config.budget) if config.budget else None
    if limit is not None and limit.seconds is None:
        raise ConfigError(
            ["the budget of a search must be a time, such as 10m"], remedy="limit the number of trials with --trials"
        )
    return Effort(
        trials=config.trials if config.trials is not None else trials,
        seconds=None if limit is None else limit.seconds,
        sampler=sampler or config.sampler,
        tiers=config.tiers,
        halving=config.halving,
        epochs=config.epochs or epochs,
        seed=seed,
        confirm=config.confirm,
        spread=config.workers or cores(),
        memory=config.memory,
    )
