"""Model files of older formats as the newest has them; what they meant they still mean.

Since 2 a dense network takes its embeddings before its numbers. Since 3 each column keeps how its cells are read, a
boolean column of two words keeps both, and numbers are float64 until they are centred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from luthier.data.typed_columns.levels import TruthWords
from luthier.data.typed_columns.parsing import MOMENTS, NUMBERS, WORDS, CellParser
from luthier.records import JsonObject

_NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?", "#N/A")  # what readers took for missing until format 3
_READ_AS: Mapping[str, CellParser] = {"number": NUMBERS, "date": MOMENTS}


def embeddings_first(specs: Sequence[Mapping[str, Any]], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of format 1 as format 2 has them."""
    weights = dict(weights)
    for place, spec in enumerate(specs):
        name = f"nets.{place}.layers.0.weight"
        if spec.get("embeddings"):
            first, numbers = weights[name], int(spec["inputs"])
            weights[name] = torch.cat([first[:, numbers:], first[:, :numbers]], 1)
    return weights


def with_parsers(encoder: Mapping[str, Any]) -> dict[str, object]:
    """An encoder of tables of format 1 or 2 as format 3 has it."""
    columns: list[dict[str, object]] = []
    parsers: list[JsonObject] = []
    for column in encoder["columns"]:
        levels = encoder["vocabularies"].get(column["name"], ())
        marks = tuple(mark for mark in _NULLS if mark not in levels)  # a level called NA was one
        parser = _READ_AS.get(column["kind"], replace(WORDS, marks=marks))
        if column["kind"] == "date" and column["date_format"]:
            parser = replace(parser, pattern=column["date_format"])
        columns.append({**{k: v for k, v in column.items() if k != "date_format"}, "parser": len(parsers)})
        parsers.append(parser.to_json())
    reasons = {column["name"]: str(column["reason"]) for column in encoder["columns"]}
    truths = {name: _two_words(word, reasons.get(name, "")) for name, word in encoder["truths"].items()}
    return {
        "columns": columns,
        "parsers": parsers,
        "vocabularies": {name: [level.strip() for level in levels] for name, levels in encoder["vocabularies"].items()},
        "truths": {name: list(words) for name, words in truths.items() if words is not None},
        "texts": list(encoder.get("texts", ())),
    }


def _two_words(yes: str, reason: str) -> tuple[str, str] | None:
    """The words for no and yes; None where both are spellings of them. The reason has both where it was inferred from
    them; else the word for no is empty, and cells that could mean either are refused."""
    start, between = "its values are '", "' and '"
    words = reason.removeprefix(start).removesuffix("'").split(between) if reason.startswith(start) else []
    if len(words) != 2 or yes not in words:
        return "", yes
    if TruthWords.hold(words):
        return None
    return words[1 - words.index(yes)], yes
