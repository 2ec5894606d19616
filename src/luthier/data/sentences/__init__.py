"""Vectors of whole texts that other people's text has taught: a table that comes with Luthier, or a model of yours."""

from luthier.data.sentences.sentence_vectors import SentenceVectors
from luthier.data.sentences.text_sources import MINILM, NAMES, NONE, STATIC, source_named, whole_name

__all__ = ["MINILM", "NAMES", "NONE", "STATIC", "SentenceVectors", "source_named", "whole_name"]
