"""From a source to tensors: read, infer, split, encode, preprocess."""

from __future__ import annotations

from luthier.data.encode import TableEncoder, texts_of
from luthier.data.encoders import ENCODERS, Encoder, Prepare, encoder_from_json, encoder_of, flat, preprocess_from
from luthier.data.mixed_rows import BESIDE_FROZEN, CELLS_BESIDE, TEXT_BESIDE, FrozenEncoder, MixedEncoder
from luthier.data.pictures import FORMATS as PICTURE_FORMATS
from luthier.data.pictures import PictureEncoder, Pixels
from luthier.data.preprocess import Preprocess
from luthier.data.sources import BUNDLED, Source, read_batches, read_source
from luthier.data.split import SplitRule, Splits, require_rows, split_rows
from luthier.data.table_checks import LEAKING, check_table, share_explained
from luthier.data.target_transform import centre_of
from luthier.data.typed_columns.columns import Column, column_of, infer_columns
from luthier.data.typed_columns.facts import Facts, facts_by_name
from luthier.data.typed_columns.parsing import CellParser
from luthier.data.typed_columns.task import Task, decode_classes, encode_target, infer_task, target_values
from luthier.data.unread import Unread
from luthier.data.values import with_target, with_values

__all__ = [
    "BESIDE_FROZEN",
    "BUNDLED",
    "CELLS_BESIDE",
    "ENCODERS",
    "LEAKING",
    "PICTURE_FORMATS",
    "TEXT_BESIDE",
    "CellParser",
    "Column",
    "Encoder",
    "Facts",
    "FrozenEncoder",
    "MixedEncoder",
    "PictureEncoder",
    "Pixels",
    "Prepare",
    "Preprocess",
    "Source",
    "SplitRule",
    "Splits",
    "TableEncoder",
    "Task",
    "Unread",
    "centre_of",
    "check_table",
    "column_of",
    "decode_classes",
    "encode_target",
    "encoder_from_json",
    "encoder_of",
    "facts_by_name",
    "flat",
    "infer_columns",
    "infer_task",
    "preprocess_from",
    "read_batches",
    "read_source",
    "require_rows",
    "share_explained",
    "split_rows",
    "target_values",
    "texts_of",
    "with_target",
    "with_values",
]
