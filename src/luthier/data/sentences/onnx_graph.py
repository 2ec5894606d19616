"""An encoder's graph for ONNX Runtime, as folders of sentence transformers bring one; it stands for the same weights.

B texts, T tokens of the longest one, D numbers of a token's vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from luthier.optional import has, require

PLACES = ("onnx/model.onnx", "model.onnx")  # in a folder, the likeliest first
IDS, KNOWN, KINDS = "input_ids", "attention_mask", "token_type_ids"
OUTPUTS = ("last_hidden_state", "token_embeddings")  # what exporters call the vectors of tokens
ELSEWHERE = (
    b"location"  # the key by which a graph names another file that holds its weights, however its length is written
)
Encode = Callable[[Tensor, Tensor], Tensor]  # ids [B, T] and which of them are known [B, T] to vectors [B, T, D]


def graph_encoder(content: bytes) -> Encode | None:
    """What computes a graph on the processor; None where ONNX Runtime is not installed, or cannot use the graph.

    A graph that names other files is not used: nothing but its own content is read.
    """
    if not has("onnxruntime") or ELSEWHERE in content:
        return None
    runtime = require("onnxruntime", extra="onnx", purpose="vectors of texts by ONNX Runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        wanted = {given.name for given in session.get_inputs()}
        made = {output.name for output in session.get_outputs()}
    except Exception:  # the library has an exception of its own for each kind of damage
        return None
    output = next((name for name in OUTPUTS if name in made), None)
    return None if output is None or not wanted <= {IDS, KNOWN, KINDS} else _through(session, wanted, output)


def _through(session: Any, wanted: set[str], output: str) -> Encode:
    def encode(ids: Tensor, known: Tensor) -> Tensor:
        given = {IDS: ids, KNOWN: known.long(), KINDS: torch.zeros_like(ids)}
        (found,) = session.run([output], {name: given[name].numpy() for name in wanted})
        return torch.from_numpy(found)

    return encode
