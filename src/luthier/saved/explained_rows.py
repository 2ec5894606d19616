"""How a model explains its predictions, an object for each modality. N rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import polars as pl
from torch import Tensor

from luthier.assess import Profile
from luthier.data import BESIDE_FROZEN, Encoder, TableEncoder, Unread, texts_of
from luthier.errors import InputError
from luthier.messages import Message
from luthier.nets import Net
from luthier.rows import Inputs
from luthier.saved.blend import Blend
from luthier.saved.explanation import (
    PICTURES_AT_ONCE,
    ROWS_AT_ONCE,
    Settable,
    explain_columns,
    explain_pictures,
    explain_rows,
    settable,
    typical_row,
)

MOST_SHOWN = 5  # words of a row that spoke for its prediction


class ExplainedModel(Protocol):
    """What is asked of a model here; its encoder and its preprocessing are of the modality."""

    @property
    def encoder(self) -> Any: ...
    @property
    def preprocess(self) -> Any: ...
    @property
    def nets(self) -> tuple[Net, ...]: ...
    @property
    def blend(self) -> Blend: ...
    @property
    def profile(self) -> Profile | None: ...
    def margins(self, inputs: Inputs) -> Tensor: ...
    def explain(self, frame: Any) -> Any: ...
    def explain_words(self, frame: Any) -> list[list[Any]]: ...


class OtherRows:
    """Rows of any modality: whole columns can be permuted, single predictions are not explained."""

    at_once = ROWS_AT_ONCE

    def columns(self, encoder: Encoder) -> tuple[str, ...]:
        """The names of an explanation's shares; empty for those of pixels."""
        return tuple(encoder.places())

    def explained(self, model: ExplainedModel, rows: Inputs, told: Tensor) -> tuple[Tensor, ...]:
        """Answers [N] of the classes `told`, or of the value, those of typical rows, and the shares between."""
        raise InputError(
            Message("models of {medium} cannot be explained", medium=Message(model.encoder.medium)),
            expected="a model of a table or of pictures",
        )

    def beside(
        self, model: ExplainedModel, frame: pl.DataFrame, inputs: Inputs, impute_missing_columns: bool
    ) -> Sequence[pl.Series]:
        """The columns of an explanation that stand beside predictions."""
        result = model.explain(inputs).to_frame()
        return [result[name] for name in result.columns if name not in ("explained", "answer")]

    def settable(self, model: ExplainedModel, column: str) -> Settable:
        """Where a column lies, and values to set it to. InputError for one that cannot be set."""
        return settable(model.encoder, model.profile, column)

    def typical_row(self, model: ExplainedModel) -> dict[str, float | str | bool | None]:
        """A row as a caller would send it."""
        return typical_row(model.encoder, model.profile or Profile(0))


class CellRows(OtherRows):
    """Numbers and categories: what each column adds to a typical row's answer."""

    def explained(self, model: ExplainedModel, rows: Inputs, told: Tensor) -> tuple[Tensor, ...]:
        """By integrated gradients [N, columns]."""
        return explain_rows(model.nets, model.blend, model.preprocess, model.encoder, model.profile, rows, told)


class WholeColumns(OtherRows):
    """Columns that are no numbers to a network, beside others: each is set to a row's own as a whole."""

    def explained(self, model: ExplainedModel, rows: Inputs, told: Tensor) -> tuple[Tensor, ...]:
        """By Shapley values [N, columns]; a typical row has no text and no picture."""
        kinds: dict[type, pl.DataType] = {float: pl.Float64(), bool: pl.Boolean()}
        columns = {
            name: pl.Series([value], dtype=kinds.get(type(value), pl.String()))
            for name, value in self.typical_row(model).items()
        }
        typical = model.encoder.encode(pl.DataFrame(columns), unread=Unread())
        return explain_columns(model.margins, rows, typical, model.encoder.places(), told)


class TextRows(WholeColumns):
    """Text, perhaps beside other cells: the words that matter most, and what each column adds."""

    def beside(
        self, model: ExplainedModel, frame: pl.DataFrame, inputs: Inputs, impute_missing_columns: bool
    ) -> Sequence[pl.Series]:
        """One column of words."""
        encoder: TableEncoder = model.encoder
        whole = encoder.complete(frame, impute_missing_columns)
        found = model.explain_words(whole.with_columns(texts_of(whole, encoder.columns)))
        others = super().beside(model, frame, inputs, impute_missing_columns) if len(encoder.places()) > 1 else ()
        return [*others, pl.Series("words", ["; ".join(map(str, row[:MOST_SHOWN])) for row in found], dtype=pl.String)]


class MixedRows(WholeColumns):
    """Cells beside a picture: what each column adds to a typical row's answer."""

    def settable(self, model: ExplainedModel, column: str) -> Settable:
        """As a table's."""
        if column == model.encoder.picture.name:
            raise InputError(
                Message("partial dependence is not defined for column '{column}'", column=column),
                expected="a number, boolean or category",
                received="picture",
            )
        return settable(model.encoder.table, model.profile, column)

    def typical_row(self, model: ExplainedModel) -> dict[str, float | str | bool | None]:
        """A table's, without a picture."""
        row = typical_row(model.encoder.table, model.profile or Profile(0))
        return {column.name: row.get(column.name) for column in model.encoder.columns}


class PictureRows(OtherRows):
    """Pictures: what each pixel adds to the answer for a flat picture."""

    at_once = PICTURES_AT_ONCE

    def columns(self, encoder: Encoder) -> tuple[str, ...]:
        """None."""
        return ()

    def explained(self, model: ExplainedModel, rows: Inputs, told: Tensor) -> tuple[Tensor, ...]:
        """By integrated gradients [N, H, W]."""
        return explain_pictures(model.nets, model.blend, rows["pixels"], told)

    def typical_row(self, model: ExplainedModel) -> dict[str, float | str | bool | None]:
        """None: no picture is typical."""
        return {}


MEDIA: dict[str, OtherRows] = {
    "table": CellRows(),
    "text": TextRows(),
    "pictures": PictureRows(),
    **dict.fromkeys(("mixed rows", *BESIDE_FROZEN), MixedRows()),
}


def medium_of(encoder: Encoder) -> OtherRows:
    """How a model of such rows explains its predictions; rows that are numbers and categories as a table does."""
    return MEDIA.get(encoder.medium) or (CellRows() if encoder.dense else OtherRows())
