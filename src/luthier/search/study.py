"""The search: ask a sampler, train what it proposes together, tell what came of it, stage by stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from luthier.errors import LuthierError
from luthier.messages import Message, restored, with_messages
from luthier.records import JsonObject
from luthier.search.effort import Effort
from luthier.search.jobs import Executor
from luthier.search.journal import Journal
from luthier.search.network_jobs import Networks
from luthier.search.refits import Refits, findings, refit
from luthier.search.search_outcome import SearchOutcome
from luthier.search.spaces.samplers import Request, Unseen, sampler_named
from luthier.search.spaces.sensitivity import VarianceShare, sensitivity
from luthier.search.spaces.space import Space, Values
from luthier.search.spaces.stages import RATE, Bracket, SearchStage, brackets, make_stages, shared_out, title
from luthier.search.spaces.trials import Trial, best_of
from luthier.search.training import StoppedError, Training, TrialStore, nobody
from luthier.seeds import derive

MOST_TRIALS = 10_000
FIRST_ROUND = 16  # trials whose time tells what a budget can pay for
FOR_REFITS = 0.2  # of the time
BY_TOTAL = ("grid", "coarse-to-fine")  # samplers that share out the planned trials, so the plan must stay


class Watched(NamedTuple):
    """Who is told of a search's progress, and who can interrupt it."""

    tell: Callable[..., None] = nobody
    interrupted: Callable[[], bool] = lambda: False


UNWATCHED = Watched()


class Search:
    """One search, from the default setting to the refitted best. Everything goes through the journal."""

    def __init__(
        self,
        networks: Networks,
        space: Space,
        effort: Effort,
        executor: Executor,
        journal: Journal,
        *,
        store: TrialStore | None = None,
        watched: Watched = UNWATCHED,
    ) -> None:
        tell, interrupted = watched
        self.space, self.effort, self.journal, self.store = space, effort, journal, store
        self.tell, self.interrupted = tell, interrupted
        self.training = Training(networks, effort, executor, journal, store, tell, interrupted, self._note)
        self.outcome = SearchOutcome(space, effort, self.training.trials)
        self._unseen = Unseen(sampler_named(effort.sampler))
        self._began = time.monotonic()
        self._bracket = self._searched = 0  # brackets begun, trials asked for by the search itself

    def run(self) -> SearchOutcome:
        """Search, tune the length, refit, and say what was found; where it is interrupted, what there is."""
        outcome = self.outcome
        try:
            stages, notes = make_stages(self.space, tiers=self.effort.tiers, trials=self.effort.trials)
            for sentence in notes:
                self._note(sentence)
            for place, stage in enumerate(stages):
                if self._over():
                    break
                self._stage(stage, stages[place:])
                if self.effort.tiers and len(stages) > 1:
                    self._sensitivity(stage)
            outcome.others = self._others()
            outcome.best = best_of(outcome.candidates)
            if outcome.best is not None:
                refit(outcome, self.training, self.tell, self._affordable())
                self._report(outcome.measured)
            elif self.store is not None and not outcome.trials:
                self._note("other processes already run all trials; nothing is left to do here")
            else:
                raise self._nothing()
            outcome.complete = True
        except StoppedError:
            outcome.best = best_of(outcome.searched)
        outcome.seconds = time.monotonic() - self._began + self.training.recalled
        outcome.trained_seconds = self.training.seconds
        if outcome.best is not None:
            outcome.findings += findings(outcome, outcome.best)
        for finding in outcome.findings:
            self.tell("finding", finding=finding)
        return outcome

    def _report(self, measured: Trial | None) -> None:
        """Tell those who share the study what is reported, once."""
        store = self.store
        if store is not None and measured is not None:
            self.journal.once("reported", "measured", lambda: store.report(measured))

    def _nothing(self) -> LuthierError:
        trials = self.outcome.trials
        if self._late():
            return LuthierError(
                Message("the time ran out before any of {count} trials was measured", count=len(trials)),
                received=Message("a budget of {seconds:g} s", seconds=self.effort.seconds),
                remedy="a larger budget, or fewer epochs of a trial",
            )
        return LuthierError(
            Message("none of {count} trials gave a finite loss", count=len(trials)),
            received=trials[0].reason if trials else "no trial",
            remedy="lower the learning rates in the space; check the data for values that are not finite",
        )

    def _note(self, sentence: str) -> None:
        self.outcome.notes.append(sentence)
        self.tell("note", sentence=sentence)

    def _over(self) -> bool:
        """Whether no further trial is wanted."""
        used = self.store.count() if self.store is not None else self._searched
        enough = self.effort.trials is not None and used >= self.effort.trials
        return enough or self._late() or self.interrupted()

    def _late(self) -> bool:
        return time.monotonic() >= self.until(final=False)

    def until(self, *, final: bool) -> float:
        """When training must end; the search itself leaves some time for refitting."""
        if self.effort.seconds is None:
            return math.inf
        share = 1.0 if final or not self.effort.confirm else 1 - FOR_REFITS
        return self._began - self.training.recalled + self.effort.seconds * share

    def _stage(self, stage: SearchStage, rest: Sequence[SearchStage]) -> None:
        """Search the dimensions of a stage, the others held at the best so far."""
        incumbent = best_of(self.outcome.searched)
        held = self.space.default() if incumbent is None else incumbent.values
        names = self._counting(stage, held)
        if not names:
            return
        rest = [stage, *(later for later in rest[1:] if self._counting(later, held))]
        space = self.space.holding(names, held)
        self.tell("stage", title=title(replace(stage, dimensions=tuple(names))))
        mine = [] if incumbent is None else [incumbent]
        asked, done, planned = 0, 0, self._planned(stage, rest)
        while done < planned and not self._over():
            bracket = self._next_bracket(planned - done)
            request = Request(space, bracket.trials, asked, planned, [*mine, *self._others()], self._seed(stage))
            key = f"{stage.name}/{asked}"
            result = self.journal.recall(key) or self.journal.add("asked", key, self._ask(request, stage))
            trials = [Trial.from_json(trial) for trial in result["trials"]]
            self._unseen.seen |= {self.space.key(trial.values) for trial in trials}
            if result["box"]:
                self.outcome.boxes.append({"stage": stage.name, "box": result["box"]})
            for sentence in restored(result)["notes"]:
                self._note(sentence)
            if not trials:
                self._note(Message("every setting of {names} has been tried", names=", ".join(space.dimensions)))
                break
            self._searched += len(trials)
            mine += self.training.train(key, trials, bracket, until=self.until(final=False))
            asked, done = asked + result["used"], done + len(trials)
            if self.effort.trials is None and (done <= FIRST_ROUND or self.effort.sampler not in BY_TOTAL):
                planned = self._planned(stage, rest, done)

    def _counting(self, stage: SearchStage, held: Values) -> list[str]:
        """The dimensions of a stage that count beside a setting; none where that would be the rate alone, again."""
        names = [name for name in stage.dimensions if self.space.open(name, held, stage.dimensions)]
        return [] if names == [RATE] and self._searched else names

    def _planned(self, stage: SearchStage, rest: Sequence[SearchStage], own: int = 0) -> int:
        """How many trials a stage gets; with a budget of time alone, what the trials so far took decides."""
        if self.effort.trials is not None:
            left = self.effort.trials - self._searched
            return shared_out(left, rest)[0]
        searched = self._searched
        if not searched:
            return FIRST_ROUND

        def affordable() -> int:
            part = stage.weight / sum(later.weight for later in rest)
            return own + min(MOST_TRIALS, int(self._in_time(final=False) * part))

        return int(self.journal.once("planned", f"{stage.name} after {searched}", affordable))

    def _in_time(self, *, final: bool) -> float:
        """How many trainings there is time for, as long as those so far."""
        each = self.training.seconds / max(1, len(self.outcome.trials))
        return max(0.0, self.until(final=final) - time.monotonic()) / max(each, 1e-6)

    def _affordable(self) -> Refits:
        """How many refits there is time for, decided once, and when they must end."""
        if self.effort.seconds is None:
            return Refits()
        count = self.journal.once("planned", "refits", lambda: min(MOST_TRIALS, int(self._in_time(final=True))))
        return Refits(int(count), self.until(final=True))

    def _seed(self, stage: SearchStage) -> int:
        return derive(self.effort.seed, "stage", stage.name)

    def _others(self) -> list[Trial]:
        """Trials of other processes, where they share the study."""
        return [] if self.store is None else self.store.others()

    def _next_bracket(self, left: int) -> Bracket:
        """The next bracket in turn, cut down to the trials that are left."""
        together = self.effort.at_once
        if self.effort.trials is None and not self._searched:
            together = min(together, FIRST_ROUND)
        turn = brackets(self.effort.halving, together)
        bracket = turn[self._bracket % len(turn)]
        self._bracket += 1
        return replace(bracket, trials=min(bracket.trials, left))

    def _ask(self, request: Request, stage: SearchStage) -> JsonObject:
        """New trials from the sampler; the very first trial of a search is the default setting."""
        settings: list[Values] = []
        self._unseen.seen |= {self.space.key(trial.values) for trial in self._others()}
        default = self.space.default()
        if not self._searched and self.space.key(default) not in self._unseen.seen:
            settings.append(default)
            self._unseen.seen.add(self.space.key(default))
        proposal, used = None, 0
        if request.space.dimensions and request.count > len(settings):
            proposal, used = self._unseen.ask(replace(request, count=request.count - len(settings)), self.space)
            settings += proposal.settings
        numbers = self.training.numbers(f"{stage.name}/{request.asked} numbers", settings, stage.name)
        trials = [
            Trial(number, values, derive(self.effort.seed, "trial", number), stage.name)
            for number, values in zip(numbers, settings, strict=True)
        ]
        asked: JsonObject = {
            "trials": [trial.to_json() for trial in trials],
            "used": max(used, 1),
            "notes": list(proposal.notes) if proposal else [],
            "box": proposal.box if proposal else {},
        }
        return dict(with_messages(asked))

    def _sensitivity(self, stage: SearchStage) -> None:
        trials = [trial for trial in self.outcome.trials if trial.stage == stage.name]
        if not trials:
            return
        space = self.space.holding(stage.dimensions, trials[-1].values)
        result = self.journal.once(
            "sensitivity", stage.name, lambda: [vars(one) for one in sensitivity(trials, space, seed=self.effort.seed)]
        )
        self.outcome.tables[stage.name] = [VarianceShare(**share) for share in result]
        self.tell("sensitivity", stage=stage.name, table=self.outcome.tables[stage.name])
