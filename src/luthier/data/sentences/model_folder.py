"""A folder of a sentence transformer: read as numbers, JSON and a graph of known operators, never as code.

N texts, D numbers of a vector.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from luthier.bert import BertEncoder, BertSizes, mean_of_known
from luthier.data.sentences.behind_pooling import behind_encoder
from luthier.data.sentences.model_files import WEIGHTS, ModelFolder, object_in, require_files, weights_in
from luthier.data.sentences.onnx_graph import PLACES, Encode, graph_encoder
from luthier.errors import InputError
from luthier.messages import Message
from luthier.tensors import ShapesAlone

NEEDED = ("config.json", "tokenizer.json", WEIGHTS)
MARKS = 2  # of beginning and end
MARKED = ("[CLS]", "[SEP]"), ("<s>", "</s>")  # by tokenizers of BERT, and by those that were made for many languages
KINDS = ("bert", "roberta", "xlm-roberta")  # of the second and third the positions begin behind the id of padding
WORD_PIECES = ["WordPiece", "BertNormalizer", "BertPreTokenizer"]  # BERT's own way to cut text
TOKENS_AT_ONCE = 4096  # of a batch: long texts come in small ones
LONGEST, MOST_WINDOWS = 256, 8  # tokens that are read at once, and how often: the rest of a long text is left out
SAME = 1e-5  # of numbers of a vector of length 1, by ONNX Runtime and by PyTorch: float32 sums in another order
LETTERS = 20 * LONGEST * MOST_WINDOWS  # of a text that are looked at


@dataclass(frozen=True)
class SentenceTransformer:
    """An encoder, its tokenizer, how vectors of tokens become one (`mean`, or `cls`: the first), the weights' SHA-256,
    what changes that vector (linear layers), and, where there is one, the same encoder by ONNX Runtime, which then
    reads. `width` is D, behind those layers."""

    encoder: BertEncoder
    tokenizer: Any
    pooling: str
    width: int
    longest: int
    digest: str
    layers: nn.Sequential
    graph: Encode | None = None

    @property
    def device(self) -> torch.device:
        """Where the encoder lies."""
        return next(self.encoder.parameters()).device

    def reader(self, device: torch.device) -> str:
        """What computes the vectors on a device."""
        return "PyTorch" if self.graph is None or device != self.device else "ONNX Runtime"

    def on(self, device: torch.device) -> SentenceTransformer:
        """The same on a device: by PyTorch on another one than the processor."""
        if device == self.device:
            return self
        encoder, layers = copy.deepcopy(self.encoder).to(device), copy.deepcopy(self.layers).to(device)
        return replace(self, encoder=encoder, layers=layers, graph=None)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors float32 [N, D] of texts, of length 1; 0 for an empty one. Long texts are read in windows, whose
        vectors are averaged."""
        inner = self.longest - MARKS
        windows, owners = list[list[int]](), list[int]()
        split = self.tokenizer.encode_batch([text[:LETTERS] for text in texts], add_special_tokens=False)
        for row, one in enumerate(split):
            for start in range(0, min(len(one.ids), inner * MOST_WINDOWS), inner):
                windows.append(one.ids[start : start + inner])
                owners.append(row)
        total = torch.zeros(len(texts), self.width)
        order = sorted(range(len(windows)), key=lambda k: len(windows[k]))
        while order:
            several = max(1, TOKENS_AT_ONCE // (len(windows[order[-1]]) + MARKS))
            some, order = order[-several:], order[:-several]
            total.index_add_(0, torch.tensor([owners[k] for k in some]), self._read([windows[k] for k in some]))
        return F.normalize(total, dim=1).numpy()

    @torch.inference_mode()
    def _read(self, windows: Sequence[list[int]]) -> torch.Tensor:
        """Vectors [B, D] of windows of ids, of length 1."""
        marked = [self._marked(ids) for ids in windows]
        ids = torch.zeros(len(marked), max(map(len, marked)), dtype=torch.int64)
        known = torch.zeros_like(ids, dtype=torch.bool)
        for row, one in enumerate(marked):
            ids[row, : len(one)] = torch.tensor(one)
            known[row, : len(one)] = True
        if self.graph is None:
            ids, known = ids.to(self.device), known.to(self.device)
            return self._pooled(self.encoder(ids, known), known).cpu()
        return self._pooled(self.graph(ids, known), known)

    def _pooled(self, made: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        pooled = mean_of_known(made, known) if self.pooling == "mean" else made[:, 0]
        return F.normalize(self.layers(pooled), dim=1)

    def with_graph(self, content: bytes) -> SentenceTransformer:
        """Read by ONNX Runtime where it gives what the weights give, of a short and a long window; else as before."""
        graph = graph_encoder(content)
        if graph is None:
            return self
        inner, tokens = self.longest - MARKS, self.tokenizer.get_vocab_size()
        windows = [[place % tokens for place in range(length)] for length in (inner // 2, inner)]
        by_graph = replace(self, graph=graph)
        try:
            same = torch.allclose(by_graph._read(windows), self._read(windows), rtol=0, atol=SAME)
        except Exception:  # of ONNX Runtime, or of shapes that do not fit
            same = False
        return by_graph if same else self

    def _marked(self, ids: list[int]) -> list[int]:
        first, last = self.marks
        return [first, *ids, last]

    @property
    def marks(self) -> tuple[int, int]:
        """The ids of beginning and end."""
        return _marks(self.tokenizer)[0]

    def word_pieces(self) -> str:
        """How it cuts text, as JSON that a model's file may hold: without marks, ids from 1 on, 0 for padding.

        InputError where that is not BERT's own way.
        """
        facts = json.loads(self.tokenizer.to_str())
        kinds = [(facts[part] or {}).get("type") for part in ("model", "normalizer", "pre_tokenizer")]
        pieces = facts["model"].get("vocab", {})
        whole = isinstance(pieces, dict) and sorted(pieces.values()) == list(range(len(pieces)))
        if kinds != WORD_PIECES or not whole or pieces.get("[PAD]") != 0 or "[UNK]" not in pieces:
            raise InputError(
                "the model cuts text in another way than those whose blocks can be unfrozen",
                expected="WordPiece behind BertNormalizer and BertPreTokenizer, [PAD] with id 0",
                received=", ".join(map(str, kinds)),
                remedy="take its vectors as they are: --text-model FOLDER",
            )
        parts = {name: facts[name] for name in ("version", "normalizer", "pre_tokenizer", "model")}
        absent = dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
        return json.dumps({**parts, **absent, "added_tokens": []})


def read_folder(folder: ModelFolder) -> SentenceTransformer:
    """The sentence transformer of a local folder. InputError for one that is not whole, has pickled weights alone, asks
    for code of its own, or is of another architecture than BERT and RoBERTa."""
    where = folder
    if not where.is_dir():
        raise InputError(
            Message("there is no folder '{where}'", where=where), expected="the folder of a sentence transformer"
        )
    require_files(where, NEEDED)
    config = object_in(where / "config.json")
    if "auto_map" in config or any(file.name.endswith(".py") for file in where.iterdir()):
        raise InputError(
            Message("the model in '{where}' asks for code of its own, which is not run", where=where),
            expected="a BERT encoder, such as all-MiniLM-L6-v2",
        )
    sizes = _sizes(config, where)
    behind, content = behind_encoder(where, sizes.width), (where / WEIGHTS).read_bytes()
    encoder = _filled(sizes, content, where)
    longest = object_in(where / "sentence_bert_config.json").get("max_seq_length", LONGEST)
    whole = isinstance(longest, int) and longest > MARKS
    longest = min(longest if whole else LONGEST, LONGEST, sizes.longest)
    tokenizer = _tokenizer(where / "tokenizer.json", sizes.tokens)
    digest = sha256(content).hexdigest()
    digest = sha256(f"{digest} {behind.digest}".encode()).hexdigest() if behind.digest else digest
    pooling, layers, width, _ = behind
    result = SentenceTransformer(encoder, tokenizer, pooling, width, longest, digest, layers)
    graphs = (where.joinpath(*place.split("/")) for place in PLACES)
    return next((result.with_graph(graph.read_bytes()) for graph in graphs if graph.is_file()), result)


def _sizes(config: Mapping[str, Any], where: ModelFolder) -> BertSizes:
    kind, act = config.get("model_type"), config.get("hidden_act", "gelu")
    if kind not in KINDS or act != "gelu" or config.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(
            Message("the model in '{where}' is not one that is read here", where=where),
            received=f"{kind}, {act}",
            expected=Message("model_type {kinds} with gelu and absolute positions", kinds=", ".join(KINDS)),
        )
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    known = [config.get(name) for name in (*names, "max_position_embeddings", "type_vocab_size")]
    sizes = [size for size in known if isinstance(size, int) and not isinstance(size, bool) and 0 < size < 1 << 24]
    if len(sizes) < len(known) or sizes[1] % sizes[3]:
        raise InputError(
            Message("the sizes in '{where}' are not those of an encoder", where=where / "config.json"),
            received=str(known),
        )
    tokens, width, layers, heads, inner, positions, kinds = sizes
    epsilon = config.get("layer_norm_eps", 1e-12)
    small = float(epsilon) if isinstance(epsilon, float) else 1e-12
    padding = -1 if kind == "bert" else config.get("pad_token_id", 1)
    offset = padding + 1 if isinstance(padding, int) else -1
    if not 0 <= offset < positions - MARKS:
        raise InputError(
            Message("the sizes in '{where}' are not those of an encoder", where=where / "config.json"),
            expected=Message("pad_token_id of at most {most}", most=positions - MARKS - 2),
            received=str(padding)[:200],
        )
    return BertSizes(tokens, width, layers, heads, inner, positions, kinds, small, offset)


def _filled(sizes: BertSizes, content: bytes, where: ModelFolder) -> BertEncoder:
    """The encoder with the folder's weights; their shapes are compared before anything of their size is made."""
    with ShapesAlone(), torch.device("meta"):
        encoder = BertEncoder(sizes).eval()
    kept = weights_in(content, encoder.state_dict(), where, _own_name)
    encoder.load_state_dict(kept, assign=True)
    return encoder.requires_grad_(False)


def _own_name(name: str) -> str:
    return name.removeprefix("bert.").removeprefix("roberta.")


def _tokenizer(path: ModelFolder, tokens: int) -> Any:
    """The folder's tokenizer, whose ids are below so many, and which has marks of beginning and end."""
    try:
        result: Any = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        result.no_padding()
        result.no_truncation()
        most = max(result.get_vocab().values(), default=0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises its own plain Exception, or panics
        raise InputError(Message("the tokenizer '{path}' is damaged", path=path), received=str(error)[:200]) from None
    if most >= tokens or not _marks(result):
        raise InputError(
            Message("the tokenizer '{path}' is not that of the model", path=path),
            expected=Message("ids below {tokens}, [CLS] and [SEP] or <s> and </s>", tokens=tokens),
        )
    return result


def _marks(tokenizer: Any) -> list[tuple[int, int]]:
    """The ids of beginning and end, in each way to write them that a tokenizer knows."""
    found = [(tokenizer.token_to_id(first), tokenizer.token_to_id(last)) for first, last in MARKED]
    return [pair for pair in found if None not in pair]
