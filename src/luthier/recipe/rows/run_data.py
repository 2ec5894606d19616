"""A run's own data, read again by later commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from luthier.console import printable
from luthier.data import BUNDLED
from luthier.data.sentences import NAMES
from luthier.data.sources import is_gone
from luthier.errors import InputError
from luthier.messages import Message, tr
from luthier.recipe.rows.option_table import kept_for
from luthier.recipe.rows.reading import LoadedData, read_as_asked
from luthier.request import RunRequest
from luthier.saved import RunFolder
from luthier.untrusted import validated


def asked_of(folder: RunFolder) -> RunRequest:
    """What a run asked for. InputError where its run.json does not hold a request."""
    asked = folder.trained_facts().get("asked")
    result: RunRequest = validated(RunRequest, asked, f"'{folder.path / 'run.json'}', asked,")
    kept = Path(result.test).name == folder.test_rows.name and folder.test_rows.exists()  # wherever the folder is now
    return result.model_copy(update={"test": str(folder.test_rows)}) if kept else result


def reread(folder: RunFolder, command: str) -> tuple[RunRequest, LoadedData]:
    """What a run asked for, as a later command keeps it (see `option_table`), and its own data read again.

    InputError where they have changed since, or are gone, and for what the command cannot obey.
    """
    asked = kept_for(command, asked_of(folder))
    return asked, read_unchanged(folder, asked)


def read_unchanged(folder: RunFolder, asked: RunRequest) -> LoadedData:
    """A run's data for a request like its own. InputError where they have changed since the run, or are gone."""
    read = read_as_asked(source_of(folder, asked), asked)
    recorded: dict[str, Any] = {**folder.trained_facts()["source"]}
    paths = {"fingerprint": asked.source or str(folder.source)}
    if asked.test_file and asked.test == asked_of(folder).test:
        paths["new_test"] = asked.test
    for name, path in paths.items():
        if recorded.get(name) not in (None, read.fingerprints[name]):
            raise InputError(
                Message("'{path}' has changed since the run started", path=path),
                expected=Message("fingerprint {recorded}", recorded=recorded[name][:12]),
                received=Message("fingerprint {now}", now=read.fingerprints[name][:12]),
                remedy="restore the file, name it with --source where it lies elsewhere now, or start a new run",
            )
    return read


def source_of(folder: RunFolder, asked: RunRequest) -> str:
    """Where a run's data lie: the source that was named, or the copy in its folder.

    What the run's folder names is printed before it is opened: the folder may come from somebody else.
    """
    named = (asked.source, asked.test_file, asked.backbone_weights, asked.previous, asked.warm_start)
    paths = [name for name in (*named, asked.text_model) if name and name not in (*BUNDLED, *NAMES)]
    if paths:
        print(
            printable(tr("reading {names}, as '{path}' says", names=", ".join(paths), path=folder.path)),
            file=sys.stderr,
        )
    is_run = (folder.path / "run.json").exists()  # a recipe may lie by itself, as --plan prints it
    before = dict(folder.trained_facts()["asked"]) if is_run else {}
    moved = [path for path in (asked.source, asked.test_file) if path in before.values() and is_gone(path)]
    if moved:
        raise InputError(
            Message("the data of the run '{path}' are not at '{moved}' any more", path=folder.path, moved=moved[0]),
            expected="the file or folder that the run was made with",
            remedy="say where it lies now with --source FILE (luthier.relocate(run, source) in Python)",
        )
    if asked.source:
        return asked.source
    if not folder.source.exists():
        raise InputError(
            Message("the run's copy of the data, '{source}', is missing", source=folder.source),
            remedy="start a new run",
        )
    return str(folder.source)
