"""Where a run's data lie: under the name that was given, in the run's own folder, or where they were moved to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from luthier.data import BUNDLED, Source, read_source
from luthier.data.remote import is_remote
from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe import LoadedData, asked_of, read_as_asked, read_recipe, read_unchanged, write_recipe
from luthier.request import NO_TEST, RunRequest
from luthier.saved import SEVERAL, RunFolder, open_run, runs_in


def name_of(source: Any) -> str:
    """A source's absolute path or bundled name; empty for data that came without one."""
    if not isinstance(source, (str, Path)) or str(source) == "-":
        return ""
    return str(source) if str(source) in (*BUNDLED, NO_TEST) or is_remote(source) else str(Path(source).resolve())


def relocate(run: str | Path, source: str | Path) -> None:
    """Note that the data of a `run`, or its `test` rows, lie elsewhere now; every later command reads them there.

    The rows must be the same: InputError where `source` has another fingerprint than either had when the run was made,
    and where the run keeps a copy of its data in its own folder.
    """
    folder, moved = open_run(run), "source"
    for one in runs_in(run).values():
        if (one / "run.json").exists():  # of several targets some may not have been started
            moved = _relocate_one(RunFolder(one), source)
    if folder.kind == SEVERAL:
        facts, path = folder.several_facts(), name_of(source)
        if moved == "test":
            folder.update_facts(options={**facts["options"], "test": path})
        elif facts["source"] != str(folder.source):
            folder.update_facts(source=path)


def _relocate_one(folder: RunFolder, source: str | Path) -> Literal["source", "test"]:
    """Which of the two it is that moved."""
    facts = folder.trained_facts()
    asked, recorded = asked_of(folder), cast("dict[str, Any]", {**facts["source"]})
    if not (asked.source or asked.test_file):
        template = "--source {source}: the run '{path}' does not read its data from a path"
        raise InputError(
            Message(template, source=source, path=folder.path),
            expected="a run whose data came from a file or a folder",
            remedy="leave --source out",
        )
    found = read_source(source, target=facts["target"], memory=asked.memory)
    # Of pictures the fingerprint holds where they lie, the contents do not.
    if asked.source and _checksum(found, recorded, "contents") == _checksum_of(recorded, "fingerprint", "contents"):
        moved: Literal["source", "test"] = "source"
        recorded |= {"origin": found.origin, "name": found.name, "fingerprint": found.fingerprint}
    elif _checksum(found, recorded, "new_test_contents") == _checksum_of(recorded, "new_test", "new_test_contents"):
        moved = "test"
        recorded |= {"new_test": found.fingerprint}
    else:
        raise _other_data(folder, source, asked, found, recorded)
    asked = asked.model_copy(update={moved: name_of(source)})
    folder.update_facts(asked=asked.model_dump(mode="json"), source=recorded)
    if folder.recipe.exists():
        write_recipe(folder.recipe, read_recipe(folder.recipe).model_copy(update={"asked": asked}))
    return moved


def _checksum(found: Source, recorded: Mapping[str, str], contents: str) -> str:
    return found.contents if recorded.get(contents) else found.fingerprint


def _checksum_of(recorded: Mapping[str, str], fingerprint: str, contents: str) -> str | None:
    return recorded.get(contents) or recorded.get(fingerprint)


def _other_data(
    folder: RunFolder, source: str | Path, asked: RunRequest, found: Source, recorded: Mapping[str, str]
) -> InputError:
    before = [(asked.source, "fingerprint", "contents"), (asked.test_file, "new_test", "new_test_contents")]
    had = {path: _checksum_of(recorded, *names) for path, *names in before if path}
    return InputError(
        Message("--source {source}: these are not the data of the run '{path}'", source=source, path=folder.path),
        expected=" or ".join(
            Message("fingerprint {value}, as '{path}' had", value=(checksum or "")[:12], path=path)
            for path, checksum in had.items()
        ),
        received=Message("fingerprint {checksum}", checksum=_checksum(found, recorded, "contents")[:12]),
        remedy="name the file that the run was made with, unchanged",
    )


def read_as_in(folder: RunFolder, source: str, asked: RunRequest) -> LoadedData:
    """The data of a run that is repeated. InputError where they have changed; a recipe that was edited is its own."""
    known = (folder.path / "run.json").exists() and "asked" in folder.trained_facts()
    if not known or asked_of(folder) != asked:
        return read_as_asked(source, asked)
    return read_unchanged(folder, asked)
