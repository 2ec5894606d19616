"""A folder of pictures with one sub-folder a class: its classes, what is passed over, and what a split looks like."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from luthier.data.pictures.decoding import SUFFIXES
from luthier.errors import InputError
from luthier.messages import Message, joined

PICTURE, LABEL = "picture", "label"
NAMED = 20  # classes, endings or folders that a line lists
TRAINING = ("train", "training", "trainset", "训练", "训练集")
HELD_OUT = (  # the likeliest to judge by first
    *("test", "testing", "testset", "测试", "测试集"),
    *("val", "valid", "validation", "dev", "eval", "evaluation", "holdout", "验证", "验证集"),
)
_WORD = r"[a-z]+|[\u4e00-\u9fff]+|\d+"
OF_SYSTEMS = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True)
class _Walked:
    """The pictures below a folder, and how many other files there are of each ending."""

    pictures: Sequence[Path]
    others: Mapping[str, int]


def class_folders(folder: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """References and labels of the pictures in a folder's sub-folders, with notes on the classes and on other files.

    A folder of pictures alone gives references without labels. InputError where sub-folders are parts of a split, hold
    no pictures, or where there is one class only.
    """
    entries = list(_visible(folder))
    result = {entry.name: _walk(entry) for entry in entries if entry.is_dir()}
    loose = [entry for entry in entries if entry.is_file() and _is_picture(entry)]
    _refuse_split(folder, [name for name, below in result.items() if below.pictures])
    if not any(below.pictures for below in result.values()):
        if loose:  # no labels, as for a prediction
            return pl.DataFrame({PICTURE: [str(path) for path in loose]}), ()
        others = _sum(below.others for below in result.values())
        raise InputError(
            Message("'{folder}' holds no pictures", folder=folder),
            expected="one sub-folder a class with PNG or JPEG files, or MNIST's IDX files",
            received=_counted(others) if others else Message("{count} other entries", count=len(entries)),
            remedy=_remedy(others),
        )
    empty = [name for name, below in result.items() if not below.pictures]
    if empty:
        others = _sum(result[name].others for name in empty)
        raise InputError(
            Message(
                "{count} class folders of '{folder}' hold no pictures: {names}",
                count=len(empty),
                folder=folder,
                names=_listed(empty),
            ),
            expected=Message("files that end in {names} in each sub-folder", names=", ".join(SUFFIXES[:3])),
            received=_counted(others),
            remedy=joined([_remedy(others), Message("fill or remove those folders")]),
        )
    if len(result) == 1:
        raise _one_class(folder, *result)
    rows = [(str(path), name) for name, below in result.items() for path in below.pictures]
    frame = pl.DataFrame(rows, schema={PICTURE: pl.String, LABEL: pl.String}, orient="row")
    return frame, tuple(_notes(folder, result, len(loose)))


def _notes(folder: Path, found: Mapping[str, _Walked], loose: int) -> Iterator[str]:
    names = _listed([f"{name} {len(below.pictures):,}" for name, below in found.items()])
    yield Message("{count} classes: {names}", count=len(found), names=names)
    others = _sum(below.others for below in found.values())
    if others:
        template = "{count:,} files are passed over: {others}; pictures end in {suffixes}"
        if (total := sum(others.values())) == 1:
            template = "{count:,} file is passed over: {others}; pictures end in {suffixes}"
        yield Message(template, count=total, others=_counted(others), suffixes=", ".join(SUFFIXES))
    if same := _same_below(folder, found):
        yield Message(
            "each of these folders holds the same ones, so they cannot be classes: {names}; if those are the classes: "
            "luthier fit {folder}",
            names=_listed(same),
            folder=folder / next(iter(found)),
        )
    if loose:
        template = "{count:,} pictures beside the class folders are passed over: they have no label"
        yield Message(template, count=loose)


def _refuse_split(folder: Path, names: Sequence[str]) -> None:
    """InputError where sub-folders are named as parts of a split are: they would be learnt as classes."""
    parts = {name: part for name in names if (part := _part_of(name))}
    training = [name for name, (part, _) in parts.items() if part in TRAINING]
    held_out = [name for name in parts if name not in training]
    beside = {rest for _, rest in parts.values()}  # seg_train and seg_test, but not train_station and test_tube
    if not training or not held_out or len(parts) < len(names) or len(beside - {"set"}) > 1:
        return
    # Of a test and a validation part the test part judges: validation pictures are drawn from the training part.
    judge = min(held_out, key=lambda name: HELD_OUT.index(parts[name][0]))
    raise InputError(
        Message("'{folder}' holds the parts of a split, not classes: {names}", folder=folder, names=_listed(names)),
        expected="one sub-folder a class",
        received=Message(
            "in '{training}': {names}",
            training=training[0],
            names=_listed(_names_below(folder / training[0])) or Message("pictures without a class"),
        ),
        remedy=Message(
            "luthier fit {folder} --test {test} (validation pictures are drawn from the training part)",
            folder=folder / training[0],
            test=folder / judge,
        ),
    )


def _part_of(name: str) -> tuple[str, str] | None:
    """The word of a folder's name that says which part of a split it is, and the other words.

    >>> _part_of("Training_Set"), _part_of("val2017"), _part_of("cats")
    (('training', 'set'), ('val', '2017'), None)
    """
    words = re.findall(_WORD, name.lower())
    known = [word for word in words if word in (*TRAINING, *HELD_OUT)]
    return (known[0], " ".join(word for word in words if word != known[0])) if len(known) == 1 else None


def _same_below(folder: Path, names: Iterable[str]) -> list[str]:
    """The names of the folders that each of some folders holds, where these are the same."""
    below = [_names_below(folder / name) for name in names]
    return below[0] if len(below) > 1 and len(below[0]) > 1 and all(one == below[0] for one in below) else []


def _one_class(folder: Path, name: str) -> InputError:
    below = _names_below(folder / name)
    return InputError(
        Message("'{folder}' has one class only, '{name}'", folder=folder, name=name),
        expected="a sub-folder for each of two classes or more",
        received=Message("in '{name}': {names}", name=name, names=_listed(below)) if below else "",
        remedy=Message("if these are the classes: luthier fit {folder}", folder=folder / name)
        if len(below) > 1
        else "",
    )


def _visible(folder: Path) -> Iterator[Path]:
    """What people put there, in the order of names."""
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and entry.name not in OF_SYSTEMS:
            yield entry


def _names_below(folder: Path) -> list[str]:
    return [entry.name for entry in _visible(folder) if entry.is_dir()]


def _walk(folder: Path) -> _Walked:
    pictures, others = list[Path](), Counter[str]()
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in OF_SYSTEMS)
        for name in sorted(names):
            path = Path(root) / name
            if name.startswith(".") or name in OF_SYSTEMS:
                continue
            if _is_picture(path):
                pictures.append(path)
            else:
                others[path.suffix.lower() or "without an ending"] += 1
    return _Walked(pictures, others)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total


def _counted(others: Mapping[str, int]) -> str:
    """Endings and how many files have them, the most frequent first."""
    return _listed(
        [f"{count:,} {ending}" for ending, count in sorted(others.items(), key=lambda one: (-one[1], one[0]))]
    )


def _remedy(others: Mapping[str, int]) -> str:
    unread = [ending for ending in (".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg") if ending in others]
    return Message("convert {names} to JPEG or PNG", names=", ".join(unread)) if unread else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
