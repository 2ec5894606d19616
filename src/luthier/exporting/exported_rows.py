"""What tables and pictures bring to exports, an object each. N rows."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch

from luthier.data import CellParser, PictureEncoder, TableEncoder
from luthier.data.encode import FIRST_LEVEL, MISSING, NO_LEVEL, UNKNOWN
from luthier.data.typed_columns.moments import shape_of
from luthier.data.typed_columns.numerals import MAGNITUDES, alike, grouped_in
from luthier.errors import InputError
from luthier.exporting import plain_model, plain_pictures
from luthier.exporting.graph import ExportedGraph, ExportedPictureGraph
from luthier.messages import Message
from luthier.nets import BackboneSpec, ConvSpec, DenseSpec
from luthier.rows import Inputs
from luthier.saved import Model

PURPOSE = "exporting to ONNX"
TAKEN = ("numbers", "codes", "value", "class", "labels", "probabilities")  # by the graph itself
OPSET = 18
DRAWN, DRAWN_PICTURES = 256, 16  # rows, or pictures, to compare by where none are at hand


class ExportedRows(Protocol):
    """What a modality brings: how its rows enter a graph of ONNX, and a program of PyTorch alone.

    `program` is that program, and `eight_bits` is the type of weights that ONNX Runtime quantises its networks to.
    """

    program: ModuleType
    eight_bits: str

    def core(self, model: Model) -> Any:
        """What PyTorch's exporter makes of encoded rows."""

    def columns(self, onnx: Any, encoder: Any) -> tuple[list[Any], list[Any]]:
        """Inputs of raw columns, and the nodes that encode them."""

    def inputs_for(self, encoder: Any, frame: pl.DataFrame) -> dict[str, np.ndarray]:
        """A table's rows as the graph's inputs."""

    def drawn(self, encoder: Any) -> Inputs:
        """Rows of every kind, to compare by."""

    def facts(self, model: Model) -> dict[str, object]:
        """What the program of PyTorch alone has to know of rows and networks."""


class ExportedCells:
    """Numbers and categories, from raw columns. (An ExportedRows; see there.)"""

    program: ModuleType = plain_model
    eight_bits = "QInt8"

    def core(self, model: Model) -> Any:
        """An input that has no column is left out."""
        whole, encoder = ExportedGraph(model).eval(), model.encoder
        rows, wide, coded = 3, len(encoder.number_names), len(encoder.category_names)
        numbers, codes = torch.zeros(rows, wide, dtype=torch.float64), torch.zeros(rows, coded, dtype=torch.int64)
        cases: dict[tuple[bool, bool], tuple[torch.nn.Module, dict[str, torch.Tensor]]] = {
            (True, True): (whole, {"numbers": numbers, "codes": codes}),
            (True, False): (_Numbers(whole), {"numbers": numbers}),
            (False, True): (_Codes(whole), {"codes": codes}),
        }
        return _program(*cases[bool(wide), bool(coded)])

    def columns(self, onnx: Any, encoder: TableEncoder) -> tuple[list[Any], list[Any]]:
        """Nodes make numbers and codes of them."""
        helper, kinds = onnx.helper, onnx.TensorProto
        nodes, inputs = [], []
        given = [_input(name) for name in encoder.number_names]
        inputs += [helper.make_tensor_value_info(name, kinds.DOUBLE, ["N", 1]) for name in given]
        if given:
            nodes.append(helper.make_node("Concat", given, ["numbers"], axis=1))
        for k, name in enumerate(encoder.category_names):
            inputs.append(helper.make_tensor_value_info(_input(name), kinds.STRING, ["N", 1]))
            levels = encoder.vocabularies[name]
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [_input(name)],
                    [f"codes_{k}"],
                    domain="ai.onnx.ml",
                    default_int64=UNKNOWN,
                    keys_strings=[_missing(encoder, name), *levels],
                    values_int64s=[MISSING, *range(FIRST_LEVEL, FIRST_LEVEL + len(levels))],
                )
            )
        if encoder.category_names:
            nodes.append(
                helper.make_node(
                    "Concat", [f"codes_{k}" for k in range(len(encoder.category_names))], ["codes"], axis=1
                )
            )
        return inputs, nodes

    def inputs_for(self, encoder: TableEncoder, frame: pl.DataFrame) -> dict[str, np.ndarray]:
        """A column each."""
        inputs = encoder.encode(frame)
        result = {_input(name): inputs.numbers[:, [k]].numpy() for k, name in enumerate(encoder.number_names)}
        for k, name in enumerate(encoder.category_names):
            levels = np.array([NO_LEVEL, _missing(encoder, name), *encoder.vocabularies[name]], dtype=object)
            result[_input(name)] = levels[inputs.codes[:, [k]].numpy()]
        return result

    def drawn(self, encoder: TableEncoder) -> Inputs:
        """Gaps and codes never seen among them."""
        draw = torch.Generator().manual_seed(0)
        numbers = 10 * torch.randn(DRAWN, len(encoder.number_names), generator=draw, dtype=torch.float64)
        numbers[torch.rand(numbers.shape, generator=draw) < 0.1] = torch.nan
        codes = torch.stack(
            [torch.randint(size, (DRAWN,), generator=draw) for size in encoder.category_sizes]
            or [torch.zeros(DRAWN, dtype=torch.int64)],
            1,
        )[:, : len(encoder.category_names)]
        return Inputs(numbers=numbers, codes=codes)

    def facts(self, model: Model) -> dict[str, object]:
        """Its columns, and how the program reads them."""
        encoder: Any = model.encoder
        specs = [net.spec for net in model.nets if isinstance(net.spec, DenseSpec)]
        return {
            "method": model.preprocess.method,
            "specs": [
                {**spec.to_json(), "activations": list(spec.activations), "tables": spec.coded_columns}
                for spec in specs
            ],
            "columns": [
                {
                    "name": c.name,
                    "kind": c.kind,
                    "cells": cells_facts(c.cells),
                    "truths": encoder.truths.get(c.name),
                    "levels": encoder.vocabularies.get(c.name),
                }
                for c in encoder.columns
            ],
        }


class ExportedPictures:
    """Pictures, decoded and brought to one size. (An ExportedRows; see there.)"""

    program: ModuleType = plain_pictures
    eight_bits = "QUInt8"

    def core(self, model: Model) -> Any:
        """Of bytes."""
        pictures = torch.zeros(3, *model.encoder.shape, dtype=torch.uint8)
        return _program(ExportedPictureGraph(model), {"pictures": pictures})

    def columns(self, onnx: Any, encoder: PictureEncoder) -> tuple[list[Any], list[Any]]:
        """One input."""
        return [onnx.helper.make_tensor_value_info("pictures", onnx.TensorProto.UINT8, ["N", *encoder.shape])], []

    def inputs_for(self, encoder: PictureEncoder, frame: pl.DataFrame) -> dict[str, np.ndarray]:
        """The bytes."""
        return {"pictures": encoder.encode(frame)["pixels"].numpy()}

    def drawn(self, encoder: PictureEncoder) -> Inputs:
        """Noise."""
        draw = torch.Generator().manual_seed(0)
        return Inputs(pixels=torch.randint(256, (DRAWN_PICTURES, *encoder.shape), generator=draw, dtype=torch.uint8))

    def facts(self, model: Model) -> dict[str, object]:
        """The size of pictures."""
        return {"shape": list(model.encoder.shape), "specs": [net.spec.to_json() for net in model.nets]}


EXPORTED: dict[str, ExportedRows] = {"table": ExportedCells(), "pictures": ExportedPictures()}


def exportable(model: Model, kinds: tuple[type, ...] = (DenseSpec, ConvSpec, BackboneSpec)) -> ExportedRows:
    """How the model's rows are exported. InputError for text, which no graph reads, and for networks of other kinds."""
    if model.encoder.medium not in EXPORTED:
        medium = Message(model.encoder.medium)
        raise InputError(Message("a model of {medium} cannot be exported with its preprocessing", medium=medium),
                         expected="a model of numbers, categories, booleans and dates, or of pictures",
                         remedy="use model.luthier itself, with luthier.load")  # fmt: skip
    others = {type(net.spec).__name__ for net in model.nets if not isinstance(net.spec, kinds)}
    if others:
        raise InputError("this kind of network cannot be exported to plain PyTorch", received=", ".join(sorted(others)),
                         remedy="luthier export RUN --onnx FILE, or use model.luthier itself")  # fmt: skip
    return EXPORTED[model.encoder.medium]


def _missing(encoder: TableEncoder, name: str) -> str:
    """What stands for a missing category: empty text, unless an older model file has it for a level."""
    return "(missing)" if "" in encoder.vocabularies[name] else ""


def _input(column: str) -> str:
    """The name of a column's input."""
    return f"{column} (input)" if column in TAKEN else column


def cells_facts(cells: CellParser) -> dict[str, object]:
    """How the exported program reads cells: the parser, with what follows from it worked out."""
    style, pattern = cells.style, cells.pattern
    plain = pattern.replace("%B", "%b").replace("%A", "%a")  # names of months and days may be short or long
    named = [plain.replace("%b", month).replace("%a", day) for month in ("%b", "%B") for day in ("%a", "%A")]
    patterns = dict.fromkeys((*named, *(name.replace(".%f", "") for name in named))) if "%" in pattern else ()
    between = f"[{alike(style.thousands)}]" if style.thousands else ""
    grouped = grouped_in(style.decimal, style.thousands) if style.thousands else ""
    times = MAGNITUDES if style.magnitudes else {}
    rewrites = [(written, re.sub(r"\$\{(\d)\}", r"\\\1", plain)) for written, plain in style.rewrites]
    more = {"rewrites": rewrites, "grouped": grouped, "between": between, "times": times}
    return {
        **cells.to_json(),
        "style": {**style.to_json(), **more},
        "shape": shape_of(pattern),
        "patterns": list(patterns),
    }


def _program(module: torch.nn.Module, given: Mapping[str, torch.Tensor]) -> Any:
    """The graph of a module with named inputs, of any number of rows."""
    batch = torch.export.Dim("N", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision is not missed
        program = torch.onnx.export(
            module.eval(),
            tuple(given.values()),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=list(given),
            dynamic_shapes=tuple({0: batch} for _ in given),
        )
    assert program is not None
    return program.model_proto


class _Numbers(torch.nn.Module):
    """The whole model of rows without categories."""

    def __init__(self, whole: ExportedGraph) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """As Whole."""
        result: torch.Tensor = self.whole(numbers, numbers.new_zeros((numbers.shape[0], 0), dtype=torch.int64))
        return result


class _Codes(torch.nn.Module):
    """The whole model of rows of categories alone."""

    def __init__(self, whole: ExportedGraph) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """As Whole."""
        result: torch.Tensor = self.whole(codes.new_zeros((codes.shape[0], 0), dtype=torch.float64), codes)
        return result
