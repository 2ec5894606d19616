"""ONNX with the preprocessing inside: an input for each raw column, and the prediction out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from luthier import storage
from luthier.data import Encoder, PictureEncoder, TableEncoder
from luthier.data.encode import FIRST_LEVEL, MISSING, NO_LEVEL, UNKNOWN
from luthier.errors import LuthierError
from luthier.exporting.graph import ExportedGraph, ExportedPictureGraph, exportable
from luthier.messages import Message
from luthier.optional import require
from luthier.rows import Inputs
from luthier.saved import Model

PURPOSE = "exporting to ONNX"
TAKEN = ("numbers", "codes", "value", "class", "probabilities")  # by the graph itself
OWN = "network/"  # what the names of the network's own values begin with
OPSET = 18
CLOSE, CLOSE_VALUES = 1e-5, 1e-4  # of probabilities; of values, relative


def export_onnx(model: Model, path: str | Path, check: pl.DataFrame) -> float:
    """Write a model as ONNX and return the largest gap to it on the rows of `check`.

    Inputs are named as the columns: numbers, truths (1, 0) and parts of dates ("built (year)") float64 [N, 1] with NaN
    for missing; categories strings [N, 1] with "" for missing. A model of pictures has one input, `pictures`, bytes
    [N, C, H, W], decoded and brought to its size. Outputs: `probabilities` [N, C] float64 and `class` [N] strings, or
    `value` [N, 1]; a column of one of the graph's own names goes by "value (input)". Nothing is written where ONNX
    Runtime is more than 1e-5 (values: 1e-4, relative) away.
    """
    encoder = exportable(model)
    onnx, runtime = (require(name, extra="onnx", purpose=PURPOSE) for name in ("onnx", "onnxruntime"))
    content = _graph(onnx, model, encoder).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    gap = _gap(session, model, encoder, check)
    refuse(gap, model, len(check))
    storage.write_bytes(Path(path), content)
    return gap


def inputs_for(encoder: Encoder, frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """A table's rows as the graph's inputs."""
    inputs = encoder.encode(frame)
    if not isinstance(encoder, TableEncoder):
        return {"pictures": inputs["pixels"].numpy()}
    result = {_input(name): inputs.numbers[:, [k]].numpy() for k, name in enumerate(encoder.number_names)}
    for k, name in enumerate(encoder.category_names):
        levels = np.array([NO_LEVEL, _missing(encoder, name), *encoder.vocabularies[name]], dtype=object)
        result[_input(name)] = levels[inputs.codes[:, [k]].numpy()]
    return result


def _missing(encoder: TableEncoder, name: str) -> str:
    """What stands for a missing category: empty text, unless an older model file has it for a level."""
    return "(missing)" if "" in encoder.vocabularies[name] else ""


def _input(column: str) -> str:
    """The name of a column's input."""
    return f"{column} (input)" if column in TAKEN else column


def _gap(session: Any, model: Model, encoder: Encoder, frame: pl.DataFrame) -> float:
    result = session.run(None, inputs_for(encoder, frame))[0]
    return gap_to(model, result if model.task.classes else result[:, 0], model.encode(frame))


def gap_to(model: Model, found: np.ndarray, inputs: Inputs) -> float:
    """The largest gap to the model: of probabilities, or of values relative to their size."""
    if model.task.classes:
        return float(np.abs(found - model.probabilities(inputs)).max())
    wanted = model.values(inputs)
    return float((np.abs(found - wanted) / np.maximum(np.abs(wanted), 1e-6 + np.abs(wanted).mean())).max())


def refuse(gap: float, model: Model, rows: int) -> None:
    """LuthierError for a gap that is too large."""
    limit = CLOSE if model.task.classes else CLOSE_VALUES
    if not gap <= limit:
        raise LuthierError(
            "the exported model's predictions differ from the original's",
            expected=Message("a difference of at most {limit:g}", limit=limit),
            received=Message("{gap:.3g} on {rows:,} rows", gap=gap, rows=rows),
        )


def _name_apart(graph: Any) -> None:
    """Names of the network's own, which a column may have too, begin with a word of ours."""
    own = {name for node in graph.node for name in node.output} | {one.name for one in graph.initializer}
    new = {name: f"{OWN}{name}" for name in own if name}
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for one in (*graph.initializer, *graph.output):
        one.name = new.get(one.name, one.name)


def _graph(onnx: Any, model: Model, encoder: Encoder) -> Any:
    helper = onnx.helper
    if isinstance(encoder, TableEncoder):
        inner, (inputs, nodes) = _core(model, encoder), _columns(onnx, encoder)
    else:
        shape = list(encoder.shape)
        inner = _core_of_pictures(model, encoder)
        inputs, nodes = [helper.make_tensor_value_info("pictures", onnx.TensorProto.UINT8, ["N", *shape])], []
    graph = inner.graph
    _name_apart(graph)
    output = graph.output[0].name
    nodes += list(graph.node)
    if model.task.classes:
        outputs, more, constants = _class_of(onnx, model, output)
    else:
        outputs, more, constants = (
            [helper.make_tensor_value_info("value", onnx.TensorProto.DOUBLE, ["N", 1])],
            [helper.make_node("Identity", [output], ["value"])],
            [],
        )
    whole = helper.make_graph([*nodes, *more], "luthier", inputs, outputs, [*graph.initializer, *constants])
    opsets = [*inner.opset_import, helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(
        whole,
        opset_imports=opsets,
        producer_name="luthier",
        ir_version=inner.ir_version,
        doc_string=f"{model.task.target}: {model.task.kind}",
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def _columns(onnx: Any, encoder: TableEncoder) -> tuple[list[Any], list[Any]]:
    """Inputs of raw columns, and the nodes that make numbers and codes of them."""
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
            helper.make_node("Concat", [f"codes_{k}" for k in range(len(encoder.category_names))], ["codes"], axis=1)
        )
    return inputs, nodes


def _class_of(onnx: Any, model: Model, shares: str) -> tuple[list[Any], list[Any], list[Any]]:
    """The predicted class by name, beside the probabilities."""
    helper, kinds, numpy_helper = onnx.helper, onnx.TensorProto, onnx.numpy_helper
    names = list(model.task.classes)
    nodes = [helper.make_node("Identity", [shares], ["probabilities"])]
    constants = []
    if model.task.family == "binary":
        constants += [
            numpy_helper.from_array(np.array(model.threshold), "threshold"),
            numpy_helper.from_array(np.array(1), "second"),
        ]
        nodes += [
            helper.make_node("Gather", ["probabilities", "second"], ["of_second"], axis=1),
            helper.make_node("GreaterOrEqual", ["of_second", "threshold"], ["is_second"]),
            helper.make_node("Cast", ["is_second"], ["place"], to=kinds.INT64),
        ]
    else:
        scored = "probabilities"
        if model.decision is not None:
            scored = f"{OWN}scores"
            for name, part in (("matrix", model.decision.matrix), ("offset", model.decision.offset)):
                constants.append(numpy_helper.from_array(part, f"{OWN}{name}"))
            nodes += [
                helper.make_node("MatMul", ["probabilities", f"{OWN}matrix"], [f"{OWN}weighed"]),
                helper.make_node("Add", [f"{OWN}weighed", f"{OWN}offset"], [scored]),
            ]
        nodes.append(helper.make_node("ArgMax", [scored], ["place"], axis=1, keepdims=0))
    nodes.append(
        helper.make_node(
            "LabelEncoder",
            ["place"],
            ["class"],
            domain="ai.onnx.ml",
            default_string="",
            keys_int64s=list(range(len(names))),
            values_strings=names,
        )
    )
    outputs = [
        helper.make_tensor_value_info("probabilities", kinds.DOUBLE, ["N", len(names)]),
        helper.make_tensor_value_info("class", kinds.STRING, ["N"]),
    ]
    return outputs, nodes, constants


def core_of(model: Model) -> Any:
    """The graph of encoded rows: numbers and codes, or pictures, in; probabilities or values out."""
    encoder = exportable(model)
    return _core(model, encoder) if isinstance(encoder, TableEncoder) else _core_of_pictures(model, encoder)


def _core(model: Model, encoder: TableEncoder) -> Any:
    """What PyTorch's exporter makes of numbers and codes; an input that has no column is left out."""
    whole = ExportedGraph(model).eval()
    rows, wide, coded = 3, len(encoder.number_names), len(encoder.category_names)
    numbers, codes = torch.zeros(rows, wide, dtype=torch.float64), torch.zeros(rows, coded, dtype=torch.int64)
    cases: dict[tuple[bool, bool], tuple[torch.nn.Module, dict[str, torch.Tensor]]] = {
        (True, True): (whole, {"numbers": numbers, "codes": codes}),
        (True, False): (_Numbers(whole), {"numbers": numbers}),
        (False, True): (_Codes(whole), {"codes": codes}),
    }
    return _program(*cases[bool(wide), bool(coded)])


def _core_of_pictures(model: Model, encoder: PictureEncoder) -> Any:
    """What PyTorch's exporter makes of bytes."""
    return _program(ExportedPictureGraph(model), {"pictures": torch.zeros(3, *encoder.shape, dtype=torch.uint8)})


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
