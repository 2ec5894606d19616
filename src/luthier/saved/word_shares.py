"""Which words of a text spoke for a prediction: each is left out, and the answer compared. N rows, C answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

MOST_WORDS = 64  # different words of a cell, the first ones, that are left out in turn
WORD = re.compile(r"\w+(?:['’]\w+)*")
ROWS_AT_ONCE = 256  # rows with up to as many variants each as they have words

Answer = Callable[[pl.DataFrame, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class WordShare:
    """A word of a column, and by how much the answer falls without it: log-odds, or the value of a regression."""

    column: str
    word: str
    share: float

    def __str__(self) -> str:
        return f"{self.word} {self.share:+.2f}"


def word_shares(answer: Answer, frame: pl.DataFrame, columns: Sequence[str]) -> list[list[WordShare]]:
    """For each row of a table its words, those first whose absence changes the answer most.

    `answer` gives numbers [R] for a table of R rows, and the rows [R] of `frame` that they are variants of: what is
    explained may differ from row to row. A word is left out wherever its cell has it, in small letters or large.

    >>> frame = pl.DataFrame({"said": ["good food, good view", None]})
    >>> count = lambda some, rows: some["said"].fill_null("").str.count_matches("good").to_numpy()
    >>> [str(one) for one in word_shares(count, frame, ["said"])[0]]
    ['good +2.00', 'food +0.00', 'view +0.00']
    """
    result: list[list[WordShare]] = []
    for start in range(0, frame.height, ROWS_AT_ONCE):
        result += _of_rows(answer, frame[start : start + ROWS_AT_ONCE], columns, start)
    return result


def _of_rows(answer: Answer, frame: pl.DataFrame, columns: Sequence[str], start: int) -> list[list[WordShare]]:
    rows, names, words = list[int](), list[str](), list[str]()
    cells = {name: frame[name].cast(pl.String).fill_null("").to_list() for name in columns}
    for name in columns:
        for row, cell in enumerate(cells[name]):
            some = list(dict.fromkeys(word.lower() for word in WORD.findall(cell)))[:MOST_WORDS]
            rows += [row] * len(some)
            names += [name] * len(some)
            words += some
    whole = np.asarray(answer(frame, np.arange(start, start + frame.height)), dtype=float)
    changed = frame[rows].with_columns(
        pl.Series(name, [_without(cells[name][row], word) if of == name else cells[name][row]
                         for row, of, word in zip(rows, names, words, strict=True)], dtype=pl.String)
        for name in columns
    )  # fmt: skip
    without = np.asarray(answer(changed, start + np.array(rows, dtype=int)), dtype=float) if rows else whole[:0]
    result: list[list[WordShare]] = [[] for _ in range(frame.height)]
    for row, name, word, one in zip(rows, names, words, without.tolist(), strict=True):
        result[row].append(WordShare(name, word, float(whole[row]) - one))
    return [sorted(found, key=lambda one: -abs(one.share)) for found in result]


def _without(cell: str, word: str) -> str:
    return WORD.sub(lambda found: "" if found[0].lower() == word else found[0], cell)
