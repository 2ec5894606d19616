"""A run or search followed elsewhere too: TensorBoard's event files, or an MLflow server.

What the recipe or the search says goes to the screen and to the tracker. A tracker only listens: it never changes a
number, and where it fails under way, it is said once and the run goes on.
"""

from __future__ import annotations

import math
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from luthier.errors import ConfigError, InputError, in_a_line
from luthier.messages import Message
from luthier.optional import require
from luthier.recipe import Record
from luthier.runs.screen import Screen, SearchScreen
from luthier.search import AFTERWARDS, FAILED, Trial

PURPOSE = "tracking a run"
CURVES = ("train_loss", "validation_loss", "best_validation_loss", "learning_rate")
FILES = ("report.html", "model.luthier", "ledger.jsonl", "recipe.toml", "scores.json", "search.json", "trials.parquet")
FLUSH_EVERY, FLUSH_AT = 2.0, 500  # seconds; numbers waiting. A server gets them by the hundred
LONGEST = 500  # characters of a parameter
PATIENCE = 5  # seconds until a server counts as gone


class Tracker(Protocol):
    """Where a run is followed."""

    def begin(self, name: str) -> None:
        """A run of this name."""

    def number(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""

    def record(self, topic: str, chosen: str, sentence: str) -> None:
        """A decision, or a finding by its code."""

    def trial(self, trial: Trial) -> None:
        """A trial of a search that has ended."""

    def end(self, status: str, folder: Path | None) -> None:
        """The run is over: FINISHED, with its folder, or FAILED."""


class TensorBoard:
    """Event files in `folder`/NAME, for `tensorboard --logdir folder`."""

    def __init__(self, folder: str) -> None:
        self._writers = require("torch.utils.tensorboard", extra="tracking", purpose=PURPOSE)
        self._folder = Path(folder)
        self._writer: Any = None
        if self._folder.is_file():
            raise InputError(
                Message("'{folder}' is a file", folder=folder), expected="a folder for TensorBoard's files"
            )

    def begin(self, name: str) -> None:
        """A run of this name."""
        self._writer = self._writers.SummaryWriter(str(self._folder / name))

    def number(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""
        self._writer.add_scalar(name, value, step)

    def record(self, topic: str, chosen: str, sentence: str) -> None:
        """A decision or finding as text."""
        self._writer.add_text(topic, sentence)

    def trial(self, trial: Trial) -> None:
        """A row of the page of hyper-parameters, in a folder of its own."""
        setting = {
            name: value if isinstance(value, bool | int | float) else str(value) for name, value in trial.values.items()
        }
        name = f"trial-{trial.number:04d}"
        self._writer.add_hparams(
            {**setting, "stage": trial.stage, "status": trial.status},
            {"hparam/validation_loss": trial.value},
            run_name=name,
        )

    def end(self, status: str, folder: Path | None) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()


class MLflow:
    """A run of the experiment `luthier` at a tracking address: http://..., sqlite:///..."""

    def __init__(self, address: str) -> None:
        mlflow = require("mlflow", extra="tracking", purpose=PURPOSE)
        self._entities = require("mlflow.entities", extra="tracking", purpose=PURPOSE)
        _reachable(address)
        self._client = mlflow.MlflowClient(tracking_uri=address)
        self._run = self._experiment = ""
        self._waiting, self._flushed = list[Any](), time.monotonic()

    def begin(self, name: str) -> None:
        """A run of this name."""
        known = self._client.get_experiment_by_name("luthier")
        self._experiment = known.experiment_id if known else self._client.create_experiment("luthier")
        self._run = self._client.create_run(self._experiment, run_name=name).info.run_id

    def number(self, name: str, value: float, step: int) -> None:
        """A point of a curve, sent with the next ones."""
        self._waiting.append(self._entities.Metric(_key(name), value, int(time.time() * 1000), step))
        if len(self._waiting) >= FLUSH_AT or time.monotonic() - self._flushed > FLUSH_EVERY:
            self._flush()

    def record(self, topic: str, chosen: str, sentence: str) -> None:
        """A decision as a parameter; why, as a tag."""
        if topic.startswith("decision/"):
            self._client.set_tag(self._run, _key(topic.removeprefix("decision/")), chosen[:LONGEST])
        self._client.set_tag(self._run, _key(f"{topic}/why"), sentence[:LONGEST])

    def trial(self, trial: Trial) -> None:
        """A run below that of the search."""
        tags = {"mlflow.parentRunId": self._run, "stage": trial.stage, "status": trial.status}
        if trial.reason:
            tags["why"] = trial.reason[:LONGEST]
        name = f"trial {trial.number}"
        child = self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id
        at = int(time.time() * 1000)
        points = [(step, loss) for step, loss in trial.curve or [(trial.best_step, trial.value)] if math.isfinite(loss)]
        metrics = [self._entities.Metric("validation_loss", loss, at, step) for step, loss in points]
        if math.isfinite(trial.value):
            metrics.append(self._entities.Metric("best_validation_loss", trial.value, at, trial.best_step))
        setting = [self._entities.Param(_key(name), str(value)[:LONGEST]) for name, value in trial.values.items()]
        self._client.log_batch(child, metrics=metrics, params=setting)
        self._client.set_terminated(child, "FAILED" if trial.status == FAILED else "FINISHED")

    def end(self, status: str, folder: Path | None) -> None:
        """Send what waits, and the run's files."""
        if not self._run:
            return
        self._flush()
        for path in [] if folder is None else [folder / name for name in FILES]:
            if path.exists():
                self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run, status)

    def _flush(self) -> None:
        waiting, self._waiting, self._flushed = self._waiting, [], time.monotonic()
        if waiting:
            self._client.log_batch(self._run, metrics=waiting)


TRACKERS: dict[str, Callable[[str], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}


def tracker_for(asked: str) -> Tracker:
    """The tracker that `tensorboard:FOLDER` or `mlflow:ADDRESS` names. ConfigError for anything else."""
    kind, colon, place = asked.partition(":")
    if kind not in TRACKERS or not colon or not place:
        raise ConfigError(
            [Message("'{asked}' is not a tracker", asked=asked)],
            remedy="--track tensorboard:FOLDER or --track mlflow:ADDRESS",
        )
    return TRACKERS[kind](place)


class Follower:
    """Tells a tracker about one run after another; where the tracker fails, that is said once, and it is left alone."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._early: list[Record] = []  # decisions before the run has a name
        self._begun = self._broken = False

    def begin(self, run: str) -> None:
        """A run begins, unless it has; what was decided before is told now."""
        if not self._begun:
            self._attempt(lambda: self._begin(run))

    def record(self, record: Record) -> None:
        """A decision or a finding."""
        if self._begun:
            self._attempt(lambda: self._tell(record))
        else:
            self._early.append(record)

    def number(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""
        if self._begun:
            self._attempt(lambda: self._tracker.number(name, value, step))

    def trial(self, trial: Trial) -> None:
        """A trial of a search that has ended."""
        if self._begun:
            self._attempt(lambda: self._tracker.trial(trial))

    def done(self, folder: Path | None) -> None:
        """The run is over; another one may begin."""
        self._attempt(lambda: self._tracker.end("FINISHED", folder))
        self._begun, self._early = False, []

    def close(self) -> None:
        """Where a run ended without being done, the tracker is told so."""
        if sys.exc_info()[0] is not None and self._begun:
            self._attempt(lambda: self._tracker.end("FAILED", None))

    def _begin(self, run: str) -> None:
        self._tracker.begin(Path(run).name)
        self._begun = True
        for record in self._early:
            self._tell(record)
        self._early = []

    def _tell(self, record: Record) -> None:
        if record["kind"] == "decision" and record["code"] != "column":
            self._tracker.record(f"decision/{record['topic']}", record["chosen"], record["reason"])
        elif record["kind"] == "finding":
            self._tracker.record(f"finding/{record['code']}", record["severity"], record["sentence"])

    def _attempt(self, work: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            work()
        except Exception as error:  # whatever a client raises: a run of hours does not end for it
            self._broken = True
            why = in_a_line(error)
            print(f"luthier: the tracker is unreachable, the run continues without it: {why}", file=sys.stderr)


class Tracked:
    """A screen whose runs are followed by a tracker as well; those of several targets share a screen."""

    def __init__(self, screen: Screen, tracker: Tracker) -> None:
        self._screen, self._follower = screen, Follower(tracker)

    def record(self, record: Record) -> None:
        """A line that entered the ledger."""
        self._screen.record(record)
        self._follower.record(record)

    def event(self, name: str, /, **facts: Any) -> None:
        """Progress."""
        self._screen.event(name, **facts)
        if name == "begin":
            self._follower.begin(facts["run"])
        elif name == "evaluation":
            result = facts["evaluation"]
            for curve in CURVES:
                self._follower.number(f"{facts['name']}/{curve}", getattr(result, curve), result.step)
        elif name == "done":
            self._done(facts["result"])

    def close(self) -> None:
        """The run ended."""
        self._screen.close()
        self._follower.close()

    def _done(self, result: dict[str, Any]) -> None:
        self._follower.begin(result["run"])
        for measure in (result["scores"] or {}).get("metrics", []):
            if measure["value"] is not None:  # not defined on these rows
                self._follower.number(f"test/{measure['name']}", measure["value"], 0)
        self._follower.done(Path(result["run"]))


class TrackedSearch(Tracked, SearchScreen):
    """A search's screen whose trials are followed by a tracker as well: each a run below the search's, or a row."""

    def __init__(self, screen: SearchScreen, tracker: Tracker) -> None:
        super().__init__(screen, tracker)
        self._search = screen
        self._folder: Path | None = None
        self._count, self._best = 0, math.inf

    def journal(self, record: dict[str, object]) -> None:
        """A line that entered the journal; trials are told when they end."""
        self._search.journal(record)

    def event(self, name: str, /, **facts: Any) -> None:
        """Progress."""
        self._screen.event(name, **facts)
        if name == "begin":
            self._folder = facts["folder"]
            self._follower.begin(facts["run"] if self._folder is None else self._folder.name)
        elif name == "trained":
            for trial in facts["trials"]:
                self._trial(trial)
        elif name == "finding":
            self._follower.record({"kind": "finding", **facts["finding"].to_json()})
        elif name == "done":
            for place, loss in enumerate((facts["result"]["measured"] or {}).get("seeds", [])):
                self._follower.number("refitted/validation_loss", loss, place)
            self._follower.done(self._folder)

    def _trial(self, trial: Trial) -> None:
        self._follower.trial(trial)
        if trial.stage in AFTERWARDS:
            return
        self._count, self._best = self._count + 1, min(self._best, trial.value)
        if math.isfinite(self._best):
            self._follower.number("best_validation_loss", self._best, self._count)


def _key(name: str) -> str:
    """A name of the characters that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _reachable(address: str) -> None:
    """InputError at once where no server answers; MLflow's own client would try for minutes."""
    if not address.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=PATIENCE):
            pass
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise InputError(
            Message("no MLflow server answers at {address}", address=address),
            received=str(error),
            remedy="start one: mlflow server --port 5000",
        ) from None
