"""Cells that are lists of labels: as text, `a;b;c`, whatever they came as. N rows, K labels.

A cell without a value is a missing target; `[]` is a list without labels. Blanks around labels, empty ones and
repetitions in a cell count nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from luthier.errors import InputError
from luthier.messages import Message

NONE = "[]"
SEPARATORS = (";", "|")  # that are looked for; where labels are asked for a comma is one too
COMMON = 0.05  # of the cells hold a separator, where lists are inferred
MOST_LABELS = 1000
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def without_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose lists of text or whole numbers are text, as in a CSV; lists of other numbers are not labels.

    InputError for a separator inside of a label.

    >>> without_lists(pl.DataFrame({"tags": [["a", "b"], [], None]}))["tags"].to_list()
    ['a;b', '[]', None]
    """
    lists = [
        name
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.List) and not (kind.inner.is_nested() or kind.inner.is_float())
    ]
    return frame.with_columns(_as_text(frame[name]) for name in lists) if lists else frame


def _as_text(cells: pl.Series) -> pl.Series:
    kind = cells.dtype.inner  # type: ignore[attr-defined]
    if kind in (pl.Object, pl.Binary):
        return cells
    words = cells.list.eval(pl.element().cast(pl.String).str.strip_chars().drop_nulls())
    inside = words.list.explode().drop_nulls() if len(words) else pl.Series([], dtype=pl.String)
    wrong = inside.filter(inside.str.contains(SEPARATORS[0], literal=True))
    if len(wrong):
        raise InputError(
            Message("a label of `{name}` has ';' inside, which stands between labels", name=cells.name),
            received=f"'{wrong[0]}'",
            remedy="write it in another way, for example with a comma",
        )
    text = pl.when(pl.col("w").list.len() == 0).then(pl.lit(NONE)).otherwise(pl.col("w").list.join(SEPARATORS[0]))
    return words.alias("w").to_frame().select(text.alias(cells.name)).to_series()


def separator_of(words: pl.Series, *, asked: bool = False) -> str:
    """What stands between labels in cells of text: the first of ; and | that one holds, a comma only where labels are
    `asked` for."""
    known = words.drop_nulls()
    tried = (*SEPARATORS, ",") if asked else SEPARATORS
    return next((mark for mark in tried if known.str.contains(mark, literal=True).any()), SEPARATORS[0])


def split_labels(words: pl.Series, separator: str) -> pl.Series:
    """The labels of each cell, each once, as they come.

    >>> split_labels(pl.Series(["b; a;b", "[]", None]), ";").to_list()
    [['b', 'a'], [], None]
    """
    parts = pl.col("w").str.split(separator).list.eval(pl.element().str.strip_chars())
    kept = parts.list.eval(pl.element().filter((pl.element() != "") & (pl.element() != NONE)))
    return words.cast(pl.String).alias("w").to_frame().select(kept.list.unique(maintain_order=True)).to_series()


def lists_seen(words: pl.Series) -> tuple[str, int]:
    """A cell that is a list, and how many labels there are, where cells of text are lists; else nothing.

    They are where 5 % of the cells hold ; or |, or some cell is [], and labels recur: there are fewer of them than
    different cells.

    >>> lists_seen(pl.Series(["a;b", "a", "b", "c;a"])), lists_seen(pl.Series(["a", "b;c"]))
    (('a;b', 3), ('', 0))
    """
    known = words.drop_nulls()
    mark = separator_of(known)
    held = known.filter(known.str.contains(mark, literal=True))
    if len(held) < max(1, COMMON * len(known)) and not (known == NONE).any():
        return "", 0
    labels = split_labels(known, mark).list.explode().drop_nulls().n_unique()
    if not 2 <= labels < known.n_unique():
        return "", 0
    return (str(held[0]) if len(held) else NONE), labels


def labels_of(words: pl.Series, separator: str) -> tuple[str, ...]:
    """All labels of cells, numbers in numeric order. InputError for fewer than two, and for more than a thousand."""
    name = words.name
    written = words.drop_nulls()
    wrong = written.filter(written.str.starts_with("[") & (written != NONE))
    if len(wrong):
        raise InputError(
            Message("lists of `{name}` are not written as labels", name=name),
            expected="a;b;c, or [] for none",
            received=f"'{wrong[0]}'",
            remedy="write labels with ; between them, or give a frame or a Parquet file with lists",
        )
    found = split_labels(written, separator).list.explode().drop_nulls().unique().to_list()
    if len(found) < 2:
        raise InputError(
            Message("`{name}` has only one label", name=name) if found else Message("`{name}` has no label", name=name),
            expected="at least two labels",
            received=f"'{found[0]}'" if found else NONE,
            remedy="for one label a column of yes and no, with --task binary",
        )
    if len(found) > MOST_LABELS:
        raise InputError(
            Message("`{name}` has {count:,} labels", name=name, count=len(found)),
            expected=Message("at most {most:,} labels", most=MOST_LABELS),
            remedy="keep the most frequent ones, or group them",
        )
    numbers = all(_NUMBER.fullmatch(label) for label in found)
    return tuple(sorted(found, key=(lambda label: (float(label), label)) if numbers else None))


def has_only(words: pl.Series, labels: Sequence[str], separator: str) -> pl.Series:
    """Whether each cell has a value and no label but these [N]."""
    parts = split_labels(words, separator).alias("w").to_frame()
    known = pl.col("w").list.eval(pl.element().is_in(list(labels))).list.all()
    return parts.select(known.fill_null(False)).to_series()


def indicators(words: pl.Series, labels: Sequence[str], separator: str) -> np.ndarray:
    """Which labels each row has, float32 [N, K]. InputError for a label that is not one, and for a missing cell.

    >>> indicators(pl.Series(["b;a", "[]"]), ("a", "b"), ";").tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    fine = has_only(words, labels, separator)
    if not fine.all():
        other = split_labels(words.filter(~fine), separator).list.explode()
        new = sorted(set(other.drop_nulls().to_list()) - set(labels))
        raise InputError(
            Message("`{target}` has labels that are not in the training rows", target=words.name),
            expected=Message("one of {names}", names=", ".join(labels[:10])),
            received=", ".join(new[:5]) or "(missing)",
        )
    parts = split_labels(words, separator)
    rows = np.repeat(np.arange(len(words)), parts.list.len().to_numpy())
    place = {label: k for k, label in enumerate(labels)}
    result = np.zeros((len(words), len(labels)), dtype=np.float32)
    if len(rows):
        codes = parts.list.explode().drop_nulls().replace_strict(place, return_dtype=pl.Int64)
        result[rows, codes.to_numpy()] = 1.0
    return result


def as_cells(has: np.ndarray, labels: Sequence[str], separator: str) -> list[str]:
    """Rows of labels [N, K] as cells of text.

    >>> as_cells(np.array([[True, True], [False, False]]), ("a", "b"), ";")
    ['a;b', '[]']
    """
    return [separator.join(labels[k] for k in np.flatnonzero(row).tolist()) or NONE for row in has]


def rarest_label(has: np.ndarray) -> np.ndarray:
    """The place of the rarest label of each row [N], K where it has none: rows of rare labels are shared out evenly."""
    order = np.argsort(has.sum(0), kind="stable")
    first = np.append(order, has.shape[1])[np.column_stack([has[:, order] > 0, np.ones(len(has))]).argmax(1)]
    return np.asarray(first)
