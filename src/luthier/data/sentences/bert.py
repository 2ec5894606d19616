"""BERT's encoder, with the parameter names of the weight files that people have.

B texts, T tokens of the longest one, D numbers of a token's vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class BertSizes:
    """What a `config.json` says of an encoder."""

    tokens: int
    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    kinds: int = 2
    epsilon: float = 1e-12


class BertEncoder(nn.Module):
    """Token ids to vectors of tokens (Devlin and others 2019), without its pooler.

    >>> encoder = BertEncoder(BertSizes(tokens=50, width=8, layers=2, heads=2, inner=16, positions=20))
    >>> encoder(torch.ones(3, 5, dtype=torch.int64), torch.ones(3, 5, dtype=torch.bool)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        norm = nn.LayerNorm(sizes.width, eps=sizes.epsilon)
        self.embeddings: nn.ModuleDict = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(sizes.tokens, sizes.width),
                "position_embeddings": nn.Embedding(sizes.positions, sizes.width),
                "token_type_embeddings": nn.Embedding(sizes.kinds, sizes.width),
                "LayerNorm": norm,
            }
        )
        layers = nn.ModuleList(BertLayer(sizes) for _ in range(sizes.layers))
        self.encoder: nn.ModuleDict = nn.ModuleDict({"layer": layers})

    def forward(self, ids: Tensor, known: Tensor) -> Tensor:
        """Vectors [B, T, D] of ids [B, T], of which those that are not `known` [B, T] are padding."""
        parts, layers = self.embeddings, self.encoder["layer"]
        assert isinstance(layers, nn.ModuleList)
        places = torch.arange(ids.shape[1], device=ids.device)
        x: Tensor = parts["word_embeddings"](ids) + parts["position_embeddings"](places)
        x = parts["LayerNorm"](x + parts["token_type_embeddings"](torch.zeros_like(ids)))
        for layer in layers:
            x = layer(x, known)
        return x


class BertLayer(nn.Module):
    """Attention and two linear layers, each added to what came in and normalised."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.heads, width = sizes.heads, sizes.width
        parts = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(parts), "output": _joined(width, width, sizes.epsilon)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, sizes.inner)})
        self.output = _joined(sizes.inner, width, sizes.epsilon)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Vectors [B, T, D] to vectors [B, T, D]."""
        batch, length, width = x.shape
        each = self.attention["self"]
        query, key, value = (
            part(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for part in (each["query"], each["key"], each["value"])  # type: ignore[index]
        )
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=known[:, None, None])
        x = _after(self.attention["output"], read.transpose(1, 2).reshape(batch, length, width), x)
        return _after(self.output, F.gelu(self.intermediate["dense"](x)), x)


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
