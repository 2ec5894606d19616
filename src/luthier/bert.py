"""BERT's encoder, with the parameter names of the weight files that people have.

B texts, T tokens of the longest one, D numbers of a token's vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MINILM = "minilm"  # all-MiniLM-L6-v2, that has a package


@dataclass(frozen=True)
class BertSizes:
    """What a `config.json` says of an encoder; the first place of a text is that of row `offset` of the positions."""

    tokens: int
    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    kinds: int = 2
    epsilon: float = 1e-12
    offset: int = 0

    @property
    def longest(self) -> int:
        """Tokens of a text at most."""
        return self.positions - self.offset


class BertEncoder(nn.Module):
    """Token ids to vectors of tokens (Devlin and others 2019), without its pooler.

    >>> encoder = BertEncoder(BertSizes(tokens=50, width=8, layers=2, heads=2, inner=16, positions=20))
    >>> encoder(torch.ones(3, 5, dtype=torch.int64), torch.ones(3, 5, dtype=torch.bool)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = BertEmbeddings(sizes)
        self.encoder = nn.ModuleDict({"layer": nn.Sequential(*(BertLayer(sizes) for _ in range(sizes.layers)))})

    def forward(self, ids: Tensor, known: Tensor) -> Tensor:
        """Vectors [B, T, D] of ids [B, T]; 0 for those that are not `known` [B, T], which are padding."""
        result: Tensor = self.encoder["layer"](self.embeddings(ids, known))
        return result


class BertEmbeddings(nn.Module):
    """What each token says by itself, and by its place."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.offset = sizes.offset
        self.word_embeddings = nn.Embedding(sizes.tokens, sizes.width)
        self.position_embeddings = nn.Embedding(sizes.positions, sizes.width)
        self.token_type_embeddings = nn.Embedding(sizes.kinds, sizes.width)
        self.LayerNorm = nn.LayerNorm(sizes.width, eps=sizes.epsilon)

    def forward(self, ids: Tensor, known: Tensor | None = None) -> Tensor:
        """Vectors [B, T, D] of ids [B, T], 0 for padding: ids that are not `known`, or else those that are 0."""
        places = torch.arange(ids.shape[1], device=ids.device) + self.offset
        x: Tensor = self.word_embeddings(ids) + self.position_embeddings(places)
        known = ids > 0 if known is None else known
        return _padded(self.LayerNorm(x + self.token_type_embeddings(torch.zeros_like(ids))), known)


class BertLayer(nn.Module):
    """Attention and two linear layers, each added to what came in and normalised. Padding comes in and out as 0."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.heads, width = sizes.heads, sizes.width
        parts = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(parts), "output": _joined(width, width, sizes.epsilon)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, sizes.inner)})
        self.output = _joined(sizes.inner, width, sizes.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, T, D] to vectors [B, T, D]."""
        batch, length, width = x.shape
        each, known = self.attention["self"], known_of(x)
        query, key, value = (
            part(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for part in (each["query"], each["key"], each["value"])  # type: ignore[index]
        )
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=known[:, None, None])
        x = _after(self.attention["output"], read.transpose(1, 2).reshape(batch, length, width), x)
        return _padded(_after(self.output, F.gelu(self.intermediate["dense"](x)), x), known)


def known_of(vectors: Tensor) -> Tensor:
    """Which vectors [B, T] of tokens [B, T, D] are not padding, whose numbers are all 0."""
    return (vectors != 0).any(2)


def _padded(vectors: Tensor, known: Tensor) -> Tensor:
    return vectors * known.unsqueeze(2).to(vectors.dtype)


def _joined(inputs: int, width: int, epsilon: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(inputs, width), "LayerNorm": nn.LayerNorm(width, eps=epsilon)})


def _after(joined: nn.Module, made: Tensor, before: Tensor) -> Tensor:
    assert isinstance(joined, nn.ModuleDict)
    result: Tensor = joined["LayerNorm"](joined["dense"](made) + before)
    return result


def mean_of_known(vectors: Tensor, known: Tensor) -> Tensor:
    """Means [B, D] of the vectors [B, T, D] of known tokens [B, T]; 0 where there is none.

    >>> mean_of_known(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[3.]])
    """
    weights = known.unsqueeze(2).to(vectors.dtype)
    result: Tensor = (vectors * weights).sum(1) / weights.sum(1).clamp_min(1)
    return result
