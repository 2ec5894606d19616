"""Vectors of whole texts that other people's text has taught: a table that comes with Luthier, or a model of yours."""

from luthier.data.sentences.sentence_vectors import SentenceVectors
from luthier.data.sentences.sources import MINILM, NONE, STATIC, source_named

__all__ = ["MINILM", "NONE", "STATIC", "SentenceVectors", "source_named"]
