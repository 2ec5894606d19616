"""New run folders, also in the place of an older run: that one is put back where the new one comes to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from luthier import storage
from luthier.errors import InputError, LuthierError
from luthier.messages import Message
from luthier.saved.run_folder import SEVERAL, WRITTEN, RunFolder, open_run

ASIDE = ".replaced"  # in the run's folder: the run that was there before, until the new one is whole
OF_NOW = (".lock", ".in-use")  # of the process that writes


def create_run(wanted: Path | str | None, name: str, *, replace: bool = False) -> RunFolder:
    """A new run folder: the wanted one, or the first free `runs/NAME`, `runs/NAME-2`, ...

    A run that it is to `replace` is set aside in it: `discard` puts it back, `settle` removes it.
    """
    if wanted is None:
        parent, number = Path("runs"), 1
        while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
    else:
        path = Path(wanted)
        with storage.explained(path):
            _clear(path, replace)
    with storage.explained(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    return RunFolder(path)


def discard(path: Path) -> None:
    """Remove a new run that came to nothing, and put back the one that it was to replace; files of others stay."""
    _remove(path)
    if replaces(path):
        _move(path / ASIDE, path)


def settle(path: Path) -> None:
    """Remove the run that a new one has replaced."""
    if replaces(path):
        _remove(path / ASIDE)


def replaces(path: Path) -> bool:
    """Whether an older run is set aside in a folder."""
    return (path / ASIDE).is_dir() and not (path / ASIDE).is_symlink()


@contextmanager
def put_back_if_refused(folder: RunFolder, unless: Sequence[str] = (), *, whole: bool = False) -> Iterator[None]:
    """What a new run is prepared in: an error of ours leaves things as they were, unless one of these files is there,
    which says that something was trained. With `whole` the run is whole at the end."""
    try:
        yield
    except LuthierError:
        if not any((folder.path / name).exists() for name in unless):
            discard(folder.path)
        raise
    if whole:
        settle(folder.path)


def _clear(path: Path, replace: bool) -> None:
    if replaces(path) and not (path / "run.json").exists():
        _move(path / ASIDE, path)  # of a process that was killed before there was a new run
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir():
        raise InputError(
            Message("'{path}' is a file, not a folder", path=path), remedy="choose another folder with --run"
        )
    if not (path / "run.json").exists():
        raise InputError(
            Message("'{path}' is not empty and not a run of Luthier", path=path),
            received=Message("a folder with {count} other entries", count=sum(1 for _ in path.iterdir())),
            remedy="choose another folder with --run",
        )
    open_run(path)
    if not replace:
        raise InputError(
            Message("'{path}' already holds a run", path=path),
            remedy=Message(
                "continue it with luthier resume {path}, overwrite it with --replace, or choose another folder",
                path=path,
            ),
        )
    with storage.held(path):
        settle(path)  # of a process that was killed
        (path / ASIDE).mkdir()
        _move(path, path / ASIDE)


def _written_in(path: Path) -> Iterator[Path]:
    """What Luthier wrote into a run's folder, those of its targets too; anything else is another's."""
    run = RunFolder(path)
    several = (path / "run.json").is_file() and run.kind == SEVERAL
    for name in run.several_facts()["folders"].values() if several else ():
        below = path / str(name)
        if below.parent == path and not below.is_symlink() and (below / "run.json").is_file():
            yield from _written_in(below)
    for pattern in WRITTEN:
        yield from (file for file in path.glob(pattern) if file.is_file() or file.is_symlink())


def _move(path: Path, to: Path) -> None:
    files = list(dict.fromkeys(_written_in(path)))  # two patterns may name one
    for file in files:
        if file.name in OF_NOW:
            file.unlink(missing_ok=True)
        else:
            place = to / file.relative_to(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    _without_empty(path, files)


def _remove(path: Path) -> None:
    files = list(_written_in(path))
    for file in files:
        file.unlink(missing_ok=True)
    _without_empty(path, files)


def _without_empty(path: Path, files: list[Path]) -> None:
    """Remove the folders of these files that have become empty, and the run's own."""
    runs = {path, *(file.parent for file in files)}
    folders = runs | {run / name for run in runs for name in ("history", "checkpoint")}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
