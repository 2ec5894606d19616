"""A table's cells as numbers and codes: the part of preprocessing that knows about columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.encoder_checks import Require, check_columns, check_facts_of_numbers, check_texts
from luthier.data.preprocess import Preprocess
from luthier.data.sentences import MARKS, NONE, SentenceVectors, transformer_named
from luthier.data.typed_columns.columns import MOST_LEVELS, Column
from luthier.data.typed_columns.levels import FIRST_LEVEL, MISSING, UNKNOWN, Levels, OneWord, TruthWords, in_order
from luthier.data.typed_columns.parsing import CellParser, require_finite
from luthier.data.unread import Unread
from luthier.data.word_pieces import Words
from luthier.errors import InputError, nearest
from luthier.messages import Message, joined
from luthier.records import JsonObject
from luthier.rows import Inputs, Place

__all__ = ["DATE_PARTS", "FIRST_LEVEL", "MISSING", "NO_LEVEL", "UNKNOWN", "TableEncoder"]

DATE_PARTS = ("days", "year", "month", "day of year", "weekday", "hour")
FEWEST_ROWS = 2  # a level must occur this often in training to get a code of its own, when levels are many
NO_LEVEL = "\0"  # text that no level is
Meaning = Levels | TruthWords | OneWord
_OF_CODE = np.array([np.nan, np.nan, 0.0, 1.0])  # a truth by its code: unknown, missing, no, yes


@dataclass(frozen=True)
class TableEncoder:
    """How each used column becomes numbers or codes, learnt from the training rows.

    Code 0 stands for a category that training did not have, 1 for a missing one, levels follow.
    `truths` holds, for each boolean column that is not of spellings of yes and no, the words for no and for yes; a
    third word is missing. Columns of text become ids of pieces, and vectors before them where `vectors` says which.
    """

    columns: tuple[Column, ...]
    vocabularies: Mapping[str, tuple[str, ...]]
    truths: Mapping[str, tuple[str, str]]
    texts: tuple[Words, ...] = ()  # one for all columns of text; their numbers come after all others
    vectors: tuple[SentenceVectors, ...] = ()  # of the same columns, or none

    shape: ClassVar[tuple[()]] = ()  # of pictures

    @staticmethod
    def reads(columns: Sequence[Column]) -> bool:
        """Cells of any table."""
        return True

    @classmethod
    def learnt(
        cls,
        frame: pl.DataFrame,
        columns: Sequence[Column],
        *,
        text_model: str = NONE,
        backbone: str = "",
        **others: Any,
    ) -> TableEncoder:
        """`fit`; pictures that were decoded are not its own."""
        return cls.fit(frame, columns, text_model, backbone)

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, columns: Sequence[Column], text_model: str = NONE, backbone: str = ""
    ) -> TableEncoder:
        """Learn the levels of categories, and the pieces of texts, from the training rows. What gives vectors of texts
        is named by `text_model` (see `SentenceVectors`); it learns nothing. With the `backbone` of a sentence
        transformer texts are its pieces alone."""
        used = tuple(column for column in columns if column.used)
        vocabularies, truths = {}, {}
        for column in used:
            if column.kind == "category":
                counts = column.cells.texts(frame[column.name]).drop_nulls().value_counts(sort=True)
                fewest = FEWEST_ROWS if counts.height > MOST_LEVELS else 1
                levels = counts.filter(pl.col("count") >= fewest)[column.name].to_list()
                vocabularies[column.name] = tuple(sorted(levels))
            elif column.kind == "boolean":
                words = column.cells.texts(frame[column.name]).drop_nulls().unique().to_list()
                if len(words) <= 2 and not TruthWords.hold(words):
                    truths[column.name] = in_order(words)
        written = [column.name for column in used if column.kind == "text"]
        if backbone and written:
            model = transformer_named(backbone)
            most = model.longest - MARKS
            texts: tuple[Words, ...] = (Words.of_model(texts_of(frame, used), written, model.word_pieces(), most),)
            return cls(used, vocabularies, truths, texts)
        texts = (Words.fit(texts_of(frame, used), written),) if written else ()
        vectors = (SentenceVectors.of(written, text_model),) if written and text_model != NONE else ()
        return cls(used, vocabularies, truths, texts, vectors)

    @property
    def medium(self) -> str:
        """Text where there is some, beside other cells or alone."""
        return "text" if self.texts else "table"

    @property
    def dense(self) -> bool:
        """Whether rows are numbers and codes alone."""
        return not self.texts

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the numbers, without those of words; a date gives several."""
        names: list[str] = []
        for column in self.columns:
            if column.kind == "date":
                names += [f"{column.name} ({part})" for part in DATE_PARTS]
            elif column.kind in ("number", "boolean"):
                names.append(column.name)
        return tuple(names)

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names of the K code columns."""
        return tuple(column.name for column in self.columns if column.kind == "category")

    @property
    def words(self) -> int:
        """How many tokens a row has: ids of words and pairs."""
        return sum(words.columns for words in self.texts)

    @property
    def vector_width(self) -> int:
        """How many of the numbers, the last ones, are vectors of texts."""
        return sum(vectors.columns for vectors in self.vectors)

    def places(self) -> dict[str, Place]:
        """Where each used column lies in the inputs; all columns of text lie together."""
        result = dict[str, Place]()
        number = code = 0
        for column in self.columns:
            if column.kind == "category":
                result[column.name] = {"codes": [code]}
                code += 1
            elif column.kind != "text":
                width = len(DATE_PARTS) if column.kind == "date" else 1
                result[column.name] = {"numbers": list(range(number, number + width))}
                number += width
        for words in self.texts:
            vectors = {"numbers": list(range(number, number + self.vector_width))} if self.vectors else {}
            result[words.name] = {**vectors, "tokens": list(range(words.columns))}
        return result

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """Codes of each category column, unknown and missing included."""
        return tuple(FIRST_LEVEL + len(self.vocabularies[name]) for name in self.category_names)

    def levels(self, name: str) -> list[str]:
        """What each code of a category column means: never seen, missing, and the levels of training."""
        return ["(unknown)", "(missing)", *self.vocabularies[name]]

    def truth_names(self, name: str) -> tuple[str, str]:
        """What 0 and 1 of a boolean column mean."""
        return self.truths.get(name, ("no", "yes"))

    def encode(
        self, frame: pl.DataFrame, *, impute_missing_columns: bool = False, unread: Unread | None = None
    ) -> Inputs:
        """Numbers float64 [N, F] and codes int64 [N, K] of a table's rows, tokens int32 [N, T] where some are text.

        Cells that training did not know, and that count as missing or unknown here, are counted in `unread`. Raises
        InputError for a column that is not there (unless it is to count as missing in every row) and for cells that
        cannot be read as their column's.
        """
        frame = self.complete(frame, impute_missing_columns)
        plain = [c for c in self.columns if c.kind not in ("category", "text")]
        known = _floats(frame, [c.name for c in plain if c.kind == "number"])
        numbers = [
            array[:, None]
            for c in plain
            for array in ([known[c.name]] if c.name in known else self._numbers(frame[c.name], c, unread))
        ]
        if self.texts:
            written = texts_of(frame, self.columns)
            numbers += [vectors.encode(written) for vectors in self.vectors]
        codes = [self._codes(frame[c.name], c, unread) for c in self.columns if c.kind == "category"]
        rows = frame.height
        tokens = {"tokens": torch.from_numpy(self.texts[0].encode(written))} if self.texts else {}
        return Inputs(
            numbers=torch.from_numpy(np.concatenate(numbers, 1, dtype=np.float64) if numbers else np.zeros((rows, 0))),
            codes=torch.from_numpy(np.stack(codes, 1) if codes else np.zeros((rows, 0), np.int64)),
            **tokens,
        )

    def complete(self, frame: pl.DataFrame, impute: bool) -> pl.DataFrame:
        """The frame with all columns that are used, absent ones missing in every row, or InputError for those."""
        known = set(frame.columns)
        absent = [column.name for column in self.columns if column.name not in known]
        if not absent:
            return frame
        if impute:
            return frame.with_columns([pl.lit(None, dtype=pl.String).alias(name) for name in absent])
        hints = [
            Message("'{name}' ({hint})", name=n, hint=h) if (h := nearest(n, frame.columns)) else f"'{n}'"
            for n in absent
        ]
        template = "1 column is missing: {names}" if len(absent) == 1 else "{count} columns are missing: {names}"
        raise InputError(
            Message(template, count=len(absent), names=joined(hints[:8], "{first}, {rest}")),
            expected="all columns that the model was trained on",
            remedy="add them, or treat them as missing values with --impute-missing-columns",
        )

    def _numbers(self, series: pl.Series, column: Column, unread: Unread | None) -> list[np.ndarray]:
        if column.kind == "boolean":
            return [_OF_CODE[self._codes(series, column, unread)]]
        if unread is not None and column.cells.lenient:
            unread.count(series, column.cells.lost(series), "not a date" if column.kind == "date" else "not a number")
        values = column.cells.values(series)
        return _date_parts(values) if column.kind == "date" else [_filled(values)]

    def _codes(self, series: pl.Series, column: Column, unread: Unread | None) -> np.ndarray:
        codes = self._levels[column.name].codes(column.cells.words(series))
        if unread is not None:
            unread.count(series, codes == UNKNOWN, "not in training")
        return codes

    @cached_property
    def _levels(self) -> dict[str, Meaning]:
        result: dict[str, Meaning] = {name: Levels(levels) for name, levels in self.vocabularies.items()}
        for column in self.columns:
            if column.kind == "boolean":
                no, yes = self.truths.get(column.name, ("", ""))
                result[column.name] = TruthWords() if not yes else Levels((no, yes)) if no else OneWord(yes)
        return result

    def level_of(self, name: str, value: Any) -> str | None:
        """The text of the level, or of the truth, that a typed cell means; an impossible one where it means none."""
        column = next(one for one in self.columns if one.name == name)
        code = self._levels[name].code(column.cells.word(value))
        levels = self.vocabularies.get(name) or self.truth_names(name)
        return None if code == MISSING else NO_LEVEL if code == UNKNOWN else levels[code - FIRST_LEVEL]

    def described(self, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What drift is looked for in: numbers [N] and codes [N] by the names of their columns."""
        by_name = {name: inputs.numbers[:, i].numpy().astype(float) for i, name in enumerate(self.number_names)}
        for words in self.texts:
            ids = inputs.tokens[:, : words.length]
            by_name[f"{words.name} (pieces)"] = (ids > 0).sum(1).numpy().astype(float)
            by_name[f"{words.name} (unknown pieces)"] = (ids == words.unknown).sum(1).numpy().astype(float)
        return by_name, {name: inputs.codes[:, k].numpy() for k, name in enumerate(self.category_names)}

    def labels(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """The levels [N] of categories and booleans, as text."""
        result: dict[str, np.ndarray] = {}
        for k, name in enumerate(self.category_names):
            levels = np.array(self.levels(name), dtype=object)
            result[name] = levels[inputs.codes[:, k].numpy()].astype(str)
        booleans = {column.name for column in self.columns if column.kind == "boolean"}
        for i, name in enumerate(self.number_names):
            if name in booleans:
                values = inputs.numbers[:, i].numpy()
                no, yes = self.truth_names(name)
                result[name] = np.where(np.isnan(values), "(missing)", np.where(values > 0, yes, no)).astype(str)
        return result

    def blank(self) -> Inputs:
        """A row of zeros."""
        widths = {"numbers": len(self.number_names) + self.vector_width, "codes": len(self.category_names)}
        return Inputs(**{name: torch.zeros(1, width) for name, width in {**widths, "tokens": self.words}.items()})

    def preprocess(self, numbers: Tensor, method: str, measured: Tensor | None = None) -> Preprocess:
        """Preprocessing fitted on the numbers [N, F] of training rows, vectors of texts among them."""
        return Preprocess.fit(numbers, method, measured, self.vector_width)

    def check(self, require: Require) -> None:
        """Compare columns, vocabularies, truths and texts with each other."""
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), "columns of different names")
        check_columns(self.columns, require)
        require(set(self.vocabularies) == set(self.category_names), "a vocabulary for each category")
        booleans = {column.name for column in self.columns if column.kind == "boolean"}
        require(set(self.truths) <= booleans, "words for no and yes of booleans only")
        check_texts([c.name for c in self.columns if c.kind == "text"], self.texts, self.vectors, require)

    def check_preprocess(self, config: Mapping[str, Any], require: Require) -> None:
        """Compare a preprocessing with the numbers."""
        require(config["method"] != "pixels", "the preprocessing of the encoder's rows", config["method"])
        check_facts_of_numbers(config, len(self.number_names), self.words, self.vector_width, require)

    def to_json(self) -> JsonObject:
        """The encoder as plain JSON values; a parser that several columns share is written once."""
        parsers = {column.cells: None for column in self.columns}
        places = {parser: place for place, parser in enumerate(parsers)}
        return {
            "columns": [{**column.to_json(), "parser": places[column.cells]} for column in self.columns],
            "parsers": [parser.to_json() for parser in parsers],
            "vocabularies": {name: list(levels) for name, levels in self.vocabularies.items()},
            "truths": {name: list(words) for name, words in self.truths.items()},
            "texts": [words.to_json() for words in self.texts],
            "vectors": [vectors.to_json() for vectors in self.vectors],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TableEncoder:
        """The encoder that `to_json` gave."""
        parsers = [CellParser.from_json(parser) for parser in value["parsers"]]
        return cls(
            tuple(Column(**{**column, "parser": parsers[column["parser"]]}) for column in value["columns"]),
            {name: tuple(levels) for name, levels in value["vocabularies"].items()},
            {name: (str(no), str(yes)) for name, (no, yes) in value["truths"].items()},
            tuple(Words.from_json(words) for words in value["texts"]),
            tuple(SentenceVectors.from_json(vectors) for vectors in value.get("vectors", ())),
        )


def texts_of(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The columns of free text, as text."""
    return frame.select([column.cells.texts(frame[column.name]) for column in columns if column.kind == "text"])


def _floats(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns that hold numbers of 64 bits already, together: a small table costs a call, not one a column."""
    types = frame.schema
    result = [name for name in names if types[name] == pl.Float64]
    block = frame.select(result).to_numpy() if result else np.zeros((0, 0))
    infinite = np.isinf(block).any(0)
    if infinite.any():
        require_finite(frame.select(result[int(infinite.argmax())]))
    return dict(zip(result, block.T, strict=True))


def _filled(values: pl.Series) -> np.ndarray:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _date_parts(times: pl.Series) -> list[np.ndarray]:
    parts = (times.dt.year(), times.dt.month(), times.dt.ordinal_day(), times.dt.weekday(), times.dt.hour())
    days = _filled(times.dt.timestamp("us")) / 86_400_000_000  # not in Polars, which multiplies by a rounded inverse
    return [days, *map(_filled, parts)]
