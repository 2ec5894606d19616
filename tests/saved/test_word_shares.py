"""Words that are left out one at a time, against a count that is known."""

from __future__ import annotations

import numpy as np
import polars as pl

from luthier.saved.word_shares import MOST_WORDS, ROWS_AT_ONCE, word_shares

WORTH = {"good": 2.0, "bad": -3.0, "don't": 0.5}


def _sum(frame: pl.DataFrame, rows: np.ndarray) -> np.ndarray:
    """What a row's words are worth together, more in later rows."""
    cells = (frame["said"].fill_null("") + " " + frame["more"].fill_null("")).to_list()
    return np.array([sum(WORTH.get(word, 0.0) for word in cell.lower().split()) for cell in cells]) * (1 + rows)


def test_shares_are_what_words_are_worth() -> None:
    frame = pl.DataFrame({"said": ["GOOD Good plain", "don't bad", None, "?! 👍"], "more": ["bad", "", "good", "bad"]})
    found = word_shares(_sum, frame, ["said", "more"])
    assert [[(one.column, one.word, one.share) for one in row] for row in found] == [
        [("said", "good", 4.0), ("more", "bad", -3.0), ("said", "plain", 0.0)],
        [("said", "bad", -6.0), ("said", "don't", 1.0)],
        [("more", "good", 6.0)],
        [("more", "bad", -12.0)],
    ]


def test_many_rows_and_long_cells() -> None:
    long = " ".join(f"w{k}" for k in range(3 * MOST_WORDS))
    frame = pl.DataFrame({"said": ["good"] * (ROWS_AT_ONCE + 3) + [long], "more": [""] * (ROWS_AT_ONCE + 4)})
    found = word_shares(_sum, frame, ["said"])
    assert [row[0].share for row in found[:-1]] == [2.0 * (1 + k) for k in range(ROWS_AT_ONCE + 3)]
    assert len(found[-1]) == MOST_WORDS
    assert word_shares(_sum, frame[:0], ["said"]) == []
