"""Vectors of whole texts that other people's text has taught: a table that comes with Luthier, or a model of yours."""

from luthier.data.sentences.bert import BertEncoder, BertSizes, known_of, mean_of_known
from luthier.data.sentences.model_folder import MARKS, SentenceTransformer
from luthier.data.sentences.sentence_vectors import SentenceVectors
from luthier.data.sentences.text_sources import (
    MINILM,
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
    "BertEncoder",
    "BertSizes",
    "SentenceTransformer",
    "SentenceVectors",
    "known_of",
    "mean_of_known",
    "source_named",
    "transformer_named",
    "whole_name",
]
