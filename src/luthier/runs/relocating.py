"""Where a run's data lie: under the name that was given, in the run's own folder, or where they were moved to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from luthier import storage
from luthier.data import BUNDLED, Source, read_source
from luthier.data.pictures import cache_folder, is_packed
from luthier.data.remote import is_remote
from luthier.data.sources import WRITTEN
from luthier.errors import InputError
from luthier.recipe import FitConfig, LoadedData, asked_of, read_as_asked, read_recipe, read_unchanged, write_recipe
from luthier.saved import SEVERAL, RunFolder, open_run, runs_in


def name_of(source: Any) -> str:
    """A source's absolute path or bundled name; empty for data that came without one."""
    if not isinstance(source, (str, Path)) or str(source) == "-":
        return ""
    return str(source) if str(source) in BUNDLED or is_remote(source) else str(Path(source).resolve())


def keep_source(folder: RunFolder, source: Source) -> None:
    """Copy data that came without a path into the run's folder, arrays of pictures too."""
    frame = source.frame
    with storage.explained(folder.source):
        for name in frame.columns:
            first = frame[name][0]
            if isinstance(first, str) and is_packed(first) and Path(first.rpartition("#")[0]).parent == cache_folder():
                kept = folder.path / "pictures.npy"
                shutil.copyfile(first.rpartition("#")[0], kept)
                rows = [f"{kept.resolve()}#{value.rpartition('#')[2]}" for value in frame[name]]
                frame = frame.with_columns(pl.Series(name, rows))
        frame.write_parquet(folder.source, metadata=WRITTEN if source.written else None)


def relocate(run: str | Path, source: str | Path) -> None:
    """Note that the data of a run lie elsewhere now; every later command then reads them there.

    The rows must be the same: InputError where `source` has another fingerprint than the data that the run was made
    with, and where the run keeps a copy of its data in its own folder.
    """
    folder = open_run(run)
    for one in runs_in(run).values():
        if (one / "run.json").exists():  # of several targets some may not have been started
            _relocate_one(RunFolder(one), source)
    if folder.kind == SEVERAL and folder.facts()["source"] != str(folder.source):
        folder.update_facts(source=name_of(source))


def _relocate_one(folder: RunFolder, source: str | Path) -> None:
    facts = folder.facts()
    if "asked" not in facts or not facts["asked"]["source"]:
        raise InputError(
            f"--source {source}: the run '{folder.path}' does not read its data from a path",
            expected="a run whose data came from a file or a folder",
            remedy="leave --source out",
        )
    asked = asked_of(folder)
    found = read_source(source, target=facts["target"], memory=asked.memory)
    recorded = facts["source"]
    if contents := recorded.get("contents", ""):  # of pictures, whose fingerprint holds where they lie
        before, after = contents, found.contents
    else:
        before, after = recorded["fingerprint"], found.fingerprint
    if before != after:
        raise InputError(
            f"--source {source}: these are not the data of the run '{folder.path}'",
            expected=f"fingerprint {before[:12]}, as '{asked.source}' had",
            received=f"fingerprint {after[:12]}",
            remedy="name the file that the run was made with, unchanged",
        )
    asked = asked.model_copy(update={"source": name_of(source)})
    origin = {**recorded, "origin": found.origin, "name": found.name, "fingerprint": found.fingerprint}
    folder.update_facts(asked=asked.model_dump(mode="json"), source=origin)
    if folder.recipe.exists():
        write_recipe(folder.recipe, read_recipe(folder.recipe).model_copy(update={"asked": asked}))


def read_as_in(folder: RunFolder, source: str, asked: FitConfig) -> LoadedData:
    """The data of a run that is repeated. InputError where they have changed; a recipe that was edited is its own."""
    if not (folder.path / "run.json").exists() or folder.facts().get("asked") != asked.model_dump(mode="json"):
        return read_as_asked(source, asked)
    return read_unchanged(folder, asked)
