"""ONNX with the preprocessing inside: an input for each raw column, and the prediction out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from luthier import storage
from luthier.errors import LuthierError
from luthier.exporting.exported_rows import PURPOSE, ExportedRows, exportable
from luthier.messages import Message
from luthier.optional import require
from luthier.rows import Inputs
from luthier.saved import Model

OWN = "network/"  # what the names of the network's own values begin with
CLOSE, CLOSE_VALUES = 1e-5, 1e-4  # of probabilities; of values, relative


def export_onnx(model: Model, path: str | Path, check: pl.DataFrame) -> float:
    """Write a model as ONNX and return the largest gap to it on the rows of `check`.

    Inputs are named as the columns: numbers, truths (1, 0) and parts of dates ("built (year)") float64 [N, 1] with NaN
    for missing; categories strings [N, 1] with "" for missing. A model of pictures has one input, `pictures`, bytes
    [N, C, H, W], decoded and brought to its size. Outputs: `probabilities` [N, C] float64 and `class` [N] strings, or
    `value` [N, 1]; of labels `probabilities` and `labels` [N, C] bool, in the order of the metadata `labels` (JSON). A
    column of one of the graph's own names goes by "value (input)". Nothing is written where ONNX
    Runtime is more than 1e-5 (values: 1e-4, relative) away.
    """
    medium = exportable(model)
    onnx, runtime = (require(name, extra="onnx", purpose=PURPOSE) for name in ("onnx", "onnxruntime"))
    content = _graph(onnx, model, medium).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    gap = _gap(session, model, medium, check)
    refuse(gap, model, len(check))
    storage.write_bytes(Path(path), content)
    return gap


def _gap(session: Any, model: Model, medium: ExportedRows, frame: pl.DataFrame) -> float:
    result = session.run(None, medium.inputs_for(model.encoder, frame))[0]
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


def _graph(onnx: Any, model: Model, medium: ExportedRows) -> Any:
    helper = onnx.helper
    inner, (inputs, nodes) = medium.core(model), medium.columns(onnx, model.encoder)
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
    if model.task.traits.is_labels:
        helper.set_model_props(made, {"labels": storage.json_text(list(model.task.classes))})
    onnx.checker.check_model(made, full_check=True)
    return made


def _class_of(onnx: Any, model: Model, shares: str) -> tuple[list[Any], list[Any], list[Any]]:
    """The predicted class by name, beside the probabilities."""
    helper, kinds, numpy_helper = onnx.helper, onnx.TensorProto, onnx.numpy_helper
    names = list(model.task.classes)
    if model.task.traits.is_labels:
        return _labels_of(onnx, model, shares)
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


def _labels_of(onnx: Any, model: Model, shares: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Which labels a row has, in the order of their names in the graph's description, beside the probabilities."""
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Identity", [shares], ["probabilities"]),
        helper.make_node("GreaterOrEqual", ["probabilities", f"{OWN}thresholds"], ["labels"]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, kind, ["N", len(model.task.classes)])
        for name, kind in (("probabilities", kinds.DOUBLE), ("labels", kinds.BOOL))
    ]
    return outputs, nodes, [onnx.numpy_helper.from_array(np.array(model.label_thresholds), f"{OWN}thresholds")]
