"""Vectors of whole texts that other people's text has taught: a table that comes with Luthier, or a model of yours."""

from luthier.bert import MINILM
from luthier.data.sentences.model_folder import MARKS, SentenceTransformer
from luthier.data.sentences.sentence_vectors import SentenceVectors
from luthier.data.sentences.text_sources import (
    NAMES,
    NONE,
    STATIC,
    source_named,
    transformer_named,
    whole_name,
)

__all__ = [
    "MARKS",
    "MINILM",
    "NAMES",
    "NONE",
    "STATIC",
    "SentenceTransformer",
    "SentenceVectors",
    "source_named",
    "transformer_named",
    "whole_name",
]
