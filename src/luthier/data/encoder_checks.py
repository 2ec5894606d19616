"""An encoder from a stranger's file: do its parts belong together?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from luthier.data.preprocess import BINS, KNOTS
from luthier.data.sentences import SentenceVectors
from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.moments import FORMATS, ISO, moment_format
from luthier.data.typed_columns.parsing import CellParser
from luthier.data.word_pieces import Words

READS = {"number": "number", "date": "moment", "category": "word", "boolean": "word", "text": "word"}


class Require(Protocol):
    """Raises the error of parts that do not belong together, saying what was expected and what came."""

    def __call__(self, holds: bool, expected: str, received: str = "") -> None: ...


def check_parser(parser: CellParser, require: Require) -> None:
    """Compare how moments are read with the formats that there are."""
    if parser.reads == "moment" and parser.pattern not in (ISO, *FORMATS):
        require(bool(moment_format(parser.pattern)), "the format of a date", parser.pattern)


def check_columns(columns: Sequence[Column], require: Require) -> None:
    """Compare each column with its parser."""
    for column in columns:
        expected = READS.get(column.kind, "")
        require(column.used and column.cells.reads == expected, f"a parser of the kind of column '{column.name}'")
        check_parser(column.cells, require)


def check_texts(names: list[str], texts: Sequence[Words], vectors: Sequence[SentenceVectors], require: Require) -> None:
    """Compare what reads texts with the names of their columns."""
    read = [list(words.names) for words in texts]
    require(read == [names] * bool(names), "the text's words")
    for some in vectors:
        require([list(some.names)] == read, "vectors of the text's columns")
    for words in texts:
        size = words.known_pieces()
        require(size == words.pieces, f"a tokenizer of {words.pieces} pieces", f"{size} pieces")
        rising = all(low < high for low, high in zip(words.pairs, words.pairs[1:], strict=False))
        require(rising and all(pair < size**2 for pair in words.pairs), "pairs of pieces in their order")


def check_facts_of_numbers(config: Mapping[str, Any], columns: int, words: int, vectors: int, require: Require) -> None:
    """Compare the facts of a preprocessing with the numbers, words and vectors of rows."""
    knots = {"quantile": KNOTS, "piecewise": BINS + 1}.get(config["method"], 0)
    require(config["columns"] == columns, f"preprocessing of {columns} numbers", str(config["columns"]))
    require(config["flagged"] <= columns and config["knots"] == knots, f"at most {columns} flags, {knots} knots")
    require(config.get("words", words) == words, f"preprocessing of {words} ids of words")
    require(config.get("vectors", 0) == vectors, f"preprocessing of vectors of {vectors} numbers")
