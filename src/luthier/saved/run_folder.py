"""The folder of a run: what lies where, and that it is really ours."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import numpy
import polars
import torch

import luthier
from luthier import storage
from luthier.errors import InputError
from luthier.messages import Message, joined
from luthier.saved.schemas import RUN_FACTS, FitFacts, RunFacts, SearchFacts, SeveralFacts
from luthier.untrusted import content_of, parse_json, require_plain_files, validated

FORMAT = 2  # since 2 a decision is stored as evidence and choice
SEARCH, SEVERAL = "search", "several"  # kinds of runs besides the plain fit
KINDS = {"": Message("a fit"), SEARCH: Message("a search"), SEVERAL: Message("the runs of several targets")}
_MARK = "luthier run"
# All that Luthier writes into a run's folder; `.*` are files that a kill left half written.
WRITTEN = (
    *("run.json", "ledger.jsonl", "recipe.toml", "scores.json", "judged.parquet", "model.luthier", "report.html"),
    *(
        "splits.parquet",
        "source.parquet",
        "test-rows.parquet",
        "*pictures.npy",
        "drift.json",
        "checks.jsonl",
        "study.db*",
        "search.json",
        "trials.parquet",
    ),
    *("refitted.luthier", ".refitted.luthier.*"),
    *("seal.parquet", ".seal.parquet.*", ".splits.parquet.*"),
    *("journal.jsonl", "history/*.parquet", "checkpoint/*.json", "checkpoint/*.safetensors", "checkpoint/*.partial*"),
    *("checkpoint/*.state", ".lock", ".in-use", ".writable", ".run.json.*", ".scores.json.*", ".model.luthier.*"),
    *("history/.*", "checkpoint/.*", ".report.html.*", ".recipe.toml.*", ".search.json.*", ".trials.parquet.*"),
)


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    @property
    def ledger(self) -> Path:
        """Every decision, finding, cut and opening of the test set, one JSON object a line."""
        return self.path / "ledger.jsonl"

    @property
    def recipe(self) -> Path:
        """What was asked, the plan and the cuts; `luthier rerun` repeats it."""
        return self.path / "recipe.toml"

    @property
    def scores(self) -> Path:
        """The final judgement as numbers."""
        return self.path / "scores.json"

    @property
    def judged(self) -> Path:
        """The sealed rows once they were read: their numbers, the truth, and what was predicted."""
        return self.path / "judged.parquet"

    @property
    def bundle(self) -> Path:
        """The model."""
        return self.path / "model.luthier"

    @property
    def refitted(self) -> Path:
        """The delivered settings trained on all rows, the sealed ones too; the judged model stays beside it."""
        return self.path / "refitted.luthier"

    @property
    def report(self) -> Path:
        """The report, one offline HTML file."""
        return self.path / "report.html"

    @property
    def splits(self) -> Path:
        """Which row belongs to which part."""
        return self.path / "splits.parquet"

    @property
    def seal(self) -> Path:
        """Which rows are sealed and which are open, in this run and in those that it comes from, by fingerprints."""
        return self.path / "seal.parquet"

    @property
    def source(self) -> Path:
        """A copy of data that came without a path (standard input, frames, arrays)."""
        return self.path / "source.parquet"

    @property
    def test_rows(self) -> Path:
        """A copy of test rows that came without a path."""
        return self.path / "test-rows.parquet"

    @property
    def drift(self) -> Path:
        """The last check against new data."""
        return self.path / "drift.json"

    @property
    def checks(self) -> Path:
        """All checks against new data, one JSON object a line."""
        return self.path / "checks.jsonl"

    @property
    def history(self) -> Path:
        """Learning curves, one Parquet file a population."""
        return self.path / "history"

    @property
    def study(self) -> Path:
        """Every network as a trial of an Optuna study."""
        return self.path / "study.db"

    @property
    def checkpoint(self) -> Path:
        """What an interrupted run needs to go on."""
        return self.path / "checkpoint"

    @property
    def kind(self) -> str:
        """SEARCH, SEVERAL, or empty for a fit."""
        return str(self._read().get("kind", ""))

    def facts(self) -> RunFacts:
        """What every run.json has, whole and of the types that it must have. InputError for any other file."""
        return cast("RunFacts", self._read())

    def trained_facts(self) -> FitFacts | SearchFacts:
        """run.json of a fit or a search. InputError for another."""
        return cast("FitFacts | SearchFacts", self._read("", SEARCH))

    def fit_facts(self) -> FitFacts:
        """run.json of a fit. InputError for another."""
        return cast("FitFacts", self._read(""))

    def search_facts(self) -> SearchFacts:
        """run.json of a search. InputError for another."""
        return cast("SearchFacts", self._read(SEARCH))

    def several_facts(self) -> SeveralFacts:
        """run.json of the runs of several targets. InputError for another."""
        return cast("SeveralFacts", self._read(SEVERAL))

    def _read(self, *kinds: str) -> dict[str, Any]:
        """run.json, validated as what it says it is: one of `kinds`, where some are named."""
        path = self.path / "run.json"
        try:
            facts = parse_json(content_of(path), f"'{path}'")
        except FileNotFoundError:
            raise InputError(
                Message("'{path}' is not a run of Luthier", path=self.path),
                expected="a folder written by `luthier fit`, with a run.json inside",
                received="a folder without run.json" if self.path.is_dir() else "nothing at that path",
                remedy="list your runs with `ls runs`",
            ) from None
        if not isinstance(facts, dict) or facts.get("mark") != _MARK:
            raise InputError(
                Message("'{path}' was not written by Luthier", path=self.path),
                expected="a run.json written by `luthier fit`",
                received="a run.json with other contents",
                remedy="choose another folder with --run",
            )
        version = facts.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise InputError(
                Message("'{path}' was written by a newer version of Luthier", path=self.path),
                expected=Message("format {format} or older", format=FORMAT),
                received=Message("format {version}", version=version),
                remedy="pip install --upgrade luthier",
            )
        kind = str(facts.get("kind", ""))
        if kinds and kind not in kinds:
            raise InputError(
                Message("'{path}' is a run of another kind", path=self.path),
                expected=joined([KINDS[one] for one in kinds], "{first} or {rest}"),
                received=KINDS.get(kind, kind),
            )
        result: dict[str, Any] = validated(RUN_FACTS.get(kind, RUN_FACTS[""]), facts, f"'{path}'")
        return result

    def to_continue(self, command: str) -> RunFolder:
        """The run itself. InputError for one of an earlier version, whose decisions are sentences: it is only read."""
        facts = self.trained_facts()
        if facts["format"] < FORMAT:
            version = facts["versions"]["luthier"]
            raise InputError(
                Message(
                    "{command} cannot continue '{path}': it was made by Luthier {version}, which stored "
                    "decisions as sentences",
                    command=command,
                    path=self.path,
                    version=version,
                ),
                expected=Message("a run of format {format}", format=FORMAT),
                received=Message("format {format}", format=facts["format"]),
                remedy="start a new run (this one still opens, predicts, checks and compares), or install that version",
            )
        return self

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json."""
        storage.write_json(self.path / "run.json", {"mark": _MARK, "format": FORMAT, **facts})

    def update_facts(self, **changes: Any) -> None:
        """Change some entries of run.json."""
        self.write_facts({**self._read(), **changes})


def open_run(path: Path | str) -> RunFolder:
    """An existing run; InputError where there is none, or where a link, a pipe or a device stands for a file of it."""
    run = RunFolder(Path(path))
    run.facts()
    for folder, names in ((run.path, _is_written), (run.history, _is_any), (run.checkpoint, _is_any)):
        require_plain_files(folder, names)
    return run


def _is_written(name: str) -> bool:
    return name in ("history", "checkpoint") or any(fnmatchcase(name, pattern) for pattern in WRITTEN)


def _is_any(name: str) -> bool:
    return True


def runs_in(path: Path | str) -> dict[str, Path]:
    """The runs of a folder by their targets: the runs of several targets, or the one run itself under its own."""
    folder = open_run(path)
    if folder.kind == SEVERAL:
        folders = folder.several_facts()["folders"]
        require_plain_files(folder.path, set(folders.values()).__contains__)
        return {target: folder.path / name for target, name in folders.items()}
    return {folder.trained_facts()["target"]: folder.path}


def finished_in(path: Path | str) -> dict[str, Path]:
    """The runs of a folder that have a model, by their targets; of several targets some may be left to do."""
    return {target: one for target, one in runs_in(path).items() if RunFolder(one).bundle.exists()}


def unfinished_in_words(path: Path | str) -> str:
    """Which targets of a folder have no model yet, and what to do about it; empty where all have."""
    left = [f"`{target}`" for target in runs_in(path) if target not in finished_in(path)]
    return (
        Message("{names}: no model yet; finish with luthier resume {path}", names=", ".join(left), path=path)
        if left
        else ""
    )


def open_one(path: Path | str, *, several: str = "") -> RunFolder:
    """An existing run that has one model; InputError for the runs of several targets (`several` is the remedy)."""
    run = open_run(path)
    if run.kind == SEVERAL:
        names = ", ".join(f"'{one}'" for one in runs_in(path).values())
        raise InputError(
            Message("'{path}' holds the runs of several targets", path=path),
            expected=Message("one of {names}", names=names),
            remedy=several,
        )
    return run


def open_fit(path: Path | str, *, searched: str = "train a model with `luthier fit`", several: str = "") -> RunFolder:
    """An existing fit of one target; InputError for `several` targets and for a search that was `searched`, with these
    remedies."""
    run = open_one(path, several=several)
    if run.kind == SEARCH:
        raise InputError(Message("'{path}' is a search, not a fit", path=path), remedy=searched)
    return run


def machine_facts(threads: int, device: str = "cpu") -> dict[str, Any]:
    """What the numbers of a run depend on besides its plan and seed."""
    return {
        "versions": {
            "luthier": luthier.__version__,
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "polars": polars.__version__,
        },
        "machine": {
            "processor": platform.machine(),
            "system": platform.system(),
            "threads": threads,
            "device": device,
        },
    }


def timestamp() -> str:
    """Now, in ISO form."""
    return datetime.now(UTC).isoformat(timespec="seconds")
