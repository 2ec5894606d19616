"""Trials in populations, from rung to rung: every result goes through the journal and to the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from luthier.records import JsonObject
from luthier.search.effort import Effort
from luthier.search.jobs import Executor, state_of
from luthier.search.journal import Journal
from luthier.search.network_jobs import Job, Networks
from luthier.search.spaces.space import Values
from luthier.search.spaces.stages import Bracket
from luthier.search.spaces.trials import PRUNED, Trial

FEWEST = 4  # trials that are worth a population of their own for the sake of another worker


class TrialStore(Protocol):
    """A study that others read and add to while it runs."""

    def claim(self, settings: Sequence[Values], stage: str) -> list[int]:
        """Numbers for new trials, nobody else's."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """What came of them."""

    def report(self, measured: Trial) -> int:
        """The best setting with its mean over seeds; the number that it gets."""

    def others(self) -> list[Trial]:
        """Finished trials of other processes."""

    def count(self) -> int:
        """Trials of all processes."""

    def close(self) -> None:
        """Let the connection go."""


class StoppedError(Exception):
    """Somebody interrupted the search; what is on record stays."""


def nobody(name: str, /, **facts: Any) -> None:
    """Nobody is told."""


@dataclass
class Training:
    """Trains trials and keeps all that were ever asked, in the order of asking."""

    networks: Networks
    effort: Effort
    executor: Executor
    journal: Journal
    store: TrialStore | None = None
    tell: Callable[..., None] = nobody
    interrupted: Callable[[], bool] = lambda: False
    note: Callable[[str], None] = lambda sentence: None
    trials: list[Trial] = field(default_factory=list)
    states: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)  # weights that were kept, by trial
    seconds: float = 0.0  # that training took, by the clock
    recalled: float = 0.0  # of these, in earlier sittings
    layouts: dict[str, str | None] = field(default_factory=dict)
    bounded: set[str] = field(default_factory=set)  # kinds of populations that did not fit into the memory

    def train(
        self, key: str, trials: list[Trial], bracket: Bracket, *, until: float, keep: bool = False
    ) -> list[Trial]:
        """Train trials in populations, cutting losers at the rungs; returns them as they ended.

        With `keep` the weights of the last trial and of its like are kept in `states`. Raises StoppedError where
        somebody interrupts.
        """
        jobs = self._jobs(key, trials, keep=keep)
        current = {trial.number: trial for trial in trials}
        indices = {trial.number: len(self.trials) + k for k, trial in enumerate(trials)}
        self.trials += trials
        phases: list[tuple[float, float] | None] = [*bracket.rungs, None]
        for phase, rung in enumerate(phases):
            alive = [number for number, trial in current.items() if not trial.done]
            if not alive:
                break
            wanted = [
                replace(
                    job,
                    survivors=tuple(t.number for t in job.trials if t.number in set(alive)) if bracket.rungs else (),
                    pause_at=None if rung is None else rung[0],
                )
                for job in jobs
                if any(trial.number in set(alive) for trial in job.trials)
            ]
            for job, trained in self._run(f"{key}/{phase}", wanted, until):
                current |= {trial.number: trial for trial in trained}
                for trial in trained:
                    self.trials[indices[trial.number]] = trial
                self._ended([trial for trial in trained if trial.done], job.name)
            if rung is not None:
                losers = self._cut(f"{key}/{phase}", current, alive, rung)
                current |= losers
                for number, trial in losers.items():
                    self.trials[indices[number]] = trial
                self._ended(list(losers.values()), "")
        self.tell("round", trials=self.trials)
        return [current[trial.number] for trial in trials]

    def _ended(self, trials: list[Trial], job: str) -> None:
        """Tell whoever watches, and who shares the study."""
        if self.store is not None:
            self.store.tell(trials)
        self.tell("trained", trials=trials, job=job)

    def numbers(self, key: str, settings: Sequence[Values], stage: str) -> list[int]:
        """Numbers for new trials: the next ones, or in a shared study what it gives."""
        store, first = self.store, len(self.trials)
        if store is None:
            return list(range(first, first + len(settings)))
        result = self.journal.once("claimed", key, lambda: store.claim(settings, stage))
        return [int(number) for number in result]

    def _jobs(self, key: str, trials: Sequence[Trial], *, keep: bool) -> list[Job]:
        """Populations of at most `chunk` trials each: one architecture, rule, batch size and length.

        They are named after their first and last trial, so that a search which goes on under another bound of
        memory or with other workers takes up only those that are the same.
        """
        groups: dict[tuple[str, int], list[Trial]] = {}
        met: dict[tuple[str, int], int] = {}
        for trial in trials:
            text = self.networks.group(trial.values, self.effort.epochs)
            met[text, trial.seed] = met.get((text, trial.seed), -1) + 1
            groups.setdefault((text, met[text, trial.seed]), []).append(trial)  # a seed stands once in a population
        jobs: list[Job] = []
        for (text, _), group in groups.items():
            together = group if keep else group[: self.effort.chunk]
            most, message = self.networks.at_once(together, self.effort.epochs)
            if message and text not in self.bounded:  # said once of a kind
                self.bounded.add(text)
                self.note(message)
            count = max(math.ceil(len(group) / most), min(self.effort.spread, len(group) // FEWEST))
            size = most if keep else math.ceil(len(group) / max(1, count))
            kept = keep and group[-1] is trials[-1]
            for first in range(0, len(group), size):
                chunk = tuple(group[first : first + size])
                name = f"{key.replace('/', '-').replace(' ', '-')}-{chunk[0].number}-{chunk[-1].number}"
                jobs.append(Job(name, chunk, self.effort.epochs, layout=self._layout(text, chunk), keep=kept))
        return jobs

    def _layout(self, group: str, trials: Sequence[Trial]) -> str | None:
        """The layout of a kind of population, found out once and recorded."""
        if len(trials) == 1 and group not in self.layouts:
            return None
        if group not in self.layouts:

            def chosen() -> JsonObject:
                layout, findings = self.networks.layout(trials)
                return {"layout": layout, "sentences": [finding.sentence for finding in findings]}

            self.layouts[group] = self.journal.once("layout", group, chosen)["layout"]
        return self.layouts[group]

    def _run(self, key: str, jobs: Sequence[Job], until: float) -> Iterator[tuple[Job, list[Trial]]]:
        """Jobs with what came of them: recalled, or trained and put on record."""
        open_jobs = []
        for job in jobs:
            known = None if job.keep else self.journal.recall(f"{key}/{job.name}")
            if known is None:
                open_jobs.append(job)
            else:
                self.seconds += known["seconds"] / self.executor.workers
                self.recalled += known["seconds"] / self.executor.workers
                yield job, [Trial.from_json(trial) for trial in known["trials"]]
        # The longest first: the last to end is then a short one.
        open_jobs.sort(key=lambda job: -len(job.survivors or job.trials))
        for job, trained in self.executor.run(open_jobs, until, self.interrupted):
            content = {
                "trials": [trial.to_json() for trial in trained.trials],
                "layout": trained.layout,
                "seconds": round(trained.seconds, 4),
            }
            if job.keep:
                self.states |= {t.number: state for t, state in zip(trained.trials, trained.states, strict=False)}
                self.journal.add("kept", f"{key}/{job.name}", content)
            else:
                self.journal.add("trained", f"{key}/{job.name}", content)
            if job.pause_at is None and self.executor.folder is not None:  # on record, so nothing waits any more
                state_of(job, self.executor.folder).unlink(missing_ok=True)
            self.seconds += trained.seconds / self.executor.workers
            yield job, trained.trials
        if self.interrupted():
            raise StoppedError

    def _cut(
        self, key: str, current: dict[int, Trial], alive: Sequence[int], rung: tuple[float, float]
    ) -> dict[int, Trial]:
        """At a rung the trials with the worse validation losses so far end, each with its reason."""
        standing = [current[number] for number in alive if not current[number].done]
        standing.sort(key=lambda trial: (trial.value, trial.number))
        kept = max(1, math.ceil(len(alive) * rung[1]))
        losers = {
            trial.number: f"rank {place} of {len(standing)} after {rung[0]:.0%} of the training, validation loss "
            f"{trial.value:.4g}; the best {kept} continue"
            for place, trial in enumerate(standing, start=1)
            if place > kept
        }
        result: dict[str, str] = self.journal.once("cut", key, lambda: {str(n): reason for n, reason in losers.items()})
        return {
            int(number): replace(current[int(number)], status=PRUNED, reason=reason)
            for number, reason in result.items()
        }
