"""A call of `fit`, `resume`, `branch` or `rerun`: since when, who watches it, how far it goes and where it is kept."""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier import storage
from luthier.assess.register import is_registered
from luthier.errors import InputError
from luthier.messages import Message
from luthier.nets.backbone import allow
from luthier.recipe import Budget, BudgetClock, Clock, LoadedData, Recipe, Run, WallClock
from luthier.recipe.rows.known_rows import forget
from luthier.report import summary_lines, write_report
from luthier.request import KeptSection, RunRequest, ShownSection
from luthier.runs.result import TEMPORARY, Result
from luthier.runs.screen import Screen, quiet_screen
from luthier.runs.signals import ended_by_signals
from luthier.runs.study_files import write_study
from luthier.saved import RunFolder, create_run, discard, settle
from luthier.search import cluster_at, require_cluster
from luthier.untrusted import fitting_together

if TYPE_CHECKING:
    from luthier.search.cluster import Cluster

LOG = logging.getLogger("luthier")


@dataclass(frozen=True)
class Call:
    """A call from its first moment on."""

    shown: ShownSection
    screen: Screen
    clock: Clock
    since: float  # by the clock
    keeps: bool  # whether a run of no name is kept in runs/NAME, as the command line does, or in a temporary folder

    @classmethod
    def begun(
        cls, shown: ShownSection, screen: Screen | None = None, clock: Clock | None = None, *, keeps: bool = False
    ) -> Call:
        """A call that begins now. InputError for a step that is not there, and for no tracker."""
        if not 1 <= shown.until <= 5:
            expected = "1 to 5; step 6 is `luthier check`"
            raise InputError(
                Message("--until {until} is not a step to stop after", until=shown.until), expected=expected
            )
        _require_place(shown)
        clock = clock or WallClock()
        since, screen = clock.now(), screen or quiet_screen(shown.verbose)
        if shown.track:
            from luthier.runs.tracking import Tracked, tracker_for

            screen = Tracked(screen, tracker_for(shown.track))
        return cls(shown, screen, clock, since, keeps)

    def again(self) -> Call:
        """The same call, which begins anew: of several runs each has its own time."""
        return replace(self, since=self.clock.now())

    def walk(
        self, asked: RunRequest, read: LoadedData, folder: RunFolder, recipe: Recipe, limit: Budget, **more: Any
    ) -> Run:
        """The recipe's walk of this call; `more` are other fields of `Run`."""
        return Run(
            asked=asked,
            read=read,
            folder=folder,
            recipe=recipe,
            budget_clock=BudgetClock(limit, self.clock, since=self.since),
            listen=self.screen.record,
            tell=self.screen.event,
            until=self.shown.until,
            cluster=self._cluster(folder),
            **more,
        )

    def _cluster(self, folder: RunFolder) -> Cluster | None:
        if self.shown.on == "local":
            return None
        return cluster_at(self.shown.on, folder.checkpoint, self.shown.workers)

    def finish(self, walk: Run) -> Result:
        """Walk to the end, write the report and say how it went."""
        try:
            signals = walk.interrupted
            with storage.held(walk.folder.path), ended_by_signals(signals), signals.asked(soon=False):
                try:
                    with fitting_together(walk.folder.path) if walk.goes_on else nullcontext():
                        verdict = walk.run()
                except InputError:
                    if not walk.resumed and all(one.suffix == ".json" for one in walk.folder.checkpoint.glob("*")):
                        forget(walk.folder)  # nothing was trained: leave no empty run behind, but the one before
                        discard(walk.folder.path)
                    raise
                status = "cut" if walk.interrupted else "done" if verdict is not None else "stopped"
                walk.folder.update_facts(status=status, elapsed_s=round(walk.budget_clock.spent(), 2), until=walk.until)
                write_report(walk.folder.path)
                if verdict is not None:
                    write_study(walk.folder)
                settle(walk.folder.path)
        finally:
            self.screen.close()
            if walk.cluster is not None:
                walk.cluster.close()
        self.screen.event("done", result=outcome(walk.folder), lines=summary_lines(walk.folder.path))
        return Result(walk.folder)


def _require_place(shown: ShownSection) -> None:
    if shown.on != "local":
        require_cluster(shown.on)
    elif shown.workers is not None:
        raise InputError(
            Message("--workers {workers} without a cluster", workers=shown.workers),
            expected="--on ray, or the address of a Ray cluster, beside it",
            remedy="leave it out: here, blocks of networks train in threads",
        )


def new_folder(output: KeptSection, name: str, keeps: bool) -> RunFolder:
    """The folder that was asked for; else one of this name in `runs`, or where that is not kept, a temporary one."""
    if output.run or keeps:
        return create_run(output.run or None, name, replace=output.replace)
    parent = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = create_run(parent / name, name)
    LOG.info("the run lies in '%s' until this program ends; run=FOLDER keeps it", folder.path)
    return folder


def registered(output: KeptSection, keeps: bool) -> bool:
    """Whether this machine keeps which rows a run reads: as asked, else where the run stays."""
    return is_registered(output.registered, output.run or ("runs" if keeps else None))


def outcome(folder: RunFolder) -> Mapping[str, Any]:
    """What a call came to, for machines."""
    scores = Result(folder).scores if folder.scores.exists() else None
    return {"run": str(folder.path), "scores": scores, "report": str(folder.report)}


def allow_backbone(asked: RunRequest, named: str) -> None:
    """Let the backbone of a file be built where the caller names it too. InputError where the two differ."""
    if named and named != asked.backbone:
        raise InputError(
            Message(
                "--backbone {named} is not what the run records: {value}", named=named, value=asked.backbone or "none"
            ),
            expected=named,
        )
    if named:
        allow(named)
