"""Sentence transformers as networks whose blocks can be unfrozen. B texts, L pieces of a row, D numbers of a text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.bert import BertEncoder, BertSizes, known_of, mean_of_known
from luthier.nets.backbone import KnownSpec
from luthier.nets.blocks import Truncated
from luthier.records import JsonObject
from luthier.seeds import derive
from luthier.shapes import Outputs, Tokens

TOGETHER = 16  # rows of a pass in evaluation: padded to the longest of them


@dataclass(frozen=True)
class TextBackboneSpec(KnownSpec):
    """Ids of pieces in [B, T], of which the first `length` are read, 0 for padding; logits [B, outputs] out.

    `backbone` says which sentence transformer it came from, `sizes` and `pooling` (`mean`, or `cls`: the first) what it
    is; `marks` are its ids of beginning and end, which the network sets itself. With `cut` it ends at that block, the
    mean of whose tokens are `width` numbers.
    """

    backbone: str
    sizes: BertSizes
    pooling: str
    marks: tuple[int, int]
    length: int
    outputs: int
    cut: str = ""
    width: int = 0

    def to_json(self) -> JsonObject:
        """The spec as plain JSON values."""
        return {"kind": "text backbone", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TextBackboneSpec:
        """The spec that `to_json` gave."""
        known = {name: item for name, item in value.items() if name != "kind"}
        first, last = known["marks"]
        return cls(**{**known, "sizes": BertSizes(**known["sizes"]), "marks": (int(first), int(last))})


class SetMarks(nn.Module):
    """Ids [B, T] to ids int64 [B, T' + 2], of at most L pieces: beginning in front, end behind the last piece."""

    def __init__(self, marks: tuple[int, int], length: int) -> None:
        super().__init__()
        self.marks, self.length = marks, length

    def forward(self, tokens: Tokens) -> Tensor:
        """Ids with marks; an empty text is its marks."""
        ids = F.pad(tokens[:, : self.length].long(), (1, 1))
        places = torch.arange(ids.shape[1], device=ids.device)
        last = (places * (ids > 0)).amax(1, keepdim=True)
        marked = torch.where(places == last + 1, self.marks[1], ids)
        return torch.where(places == 0, self.marks[0], marked)


class PoolTokens(nn.Module):
    """Vectors of tokens [B, T, D], 0 for padding, to vectors of texts [B, D] of length 1."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, vectors: Tensor) -> Tensor:
        """The mean over the tokens, or the first one."""
        made = mean_of_known(vectors, known_of(vectors)) if self.pooling == "mean" else vectors[:, 0]
        return F.normalize(made, dim=1)


class SentenceNet(nn.Sequential):
    """A sentence transformer and a head, layer after layer: what comes out of each block holds the padding as 0."""

    def __init__(self, spec: TextBackboneSpec, encoder: BertEncoder | None = None) -> None:
        encoder = encoder or BertEncoder(spec.sizes)
        super().__init__(
            OrderedDict(
                marks=SetMarks(spec.marks, spec.length),
                embeddings=encoder.embeddings,
                layers=encoder.encoder["layer"],
                pool=PoolTokens(spec.pooling),
                head=nn.Linear(spec.sizes.width, spec.outputs),
            )
        )


class TextBackboneNet(nn.Module):
    """The module of a TextBackboneSpec; see there."""

    takes = ("tokens",)

    def __init__(self, spec: TextBackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.net: nn.Module = SentenceNet(spec)
        if spec.cut:
            body = Truncated(self.net, spec.cut)
            self.net = nn.Sequential(OrderedDict(body=body, head=nn.Linear(spec.width, spec.outputs)))

    def forward(self, tokens: Tokens) -> Outputs:
        """Logits [B, outputs]; of rows that nothing is learnt from, those of about the same length together."""
        if torch.is_grad_enabled():
            result: Tensor = self.net(tokens)
            return result
        lengths = (tokens[:, : self.spec.length] > 0).sum(1)
        order = lengths.argsort()
        made = [self.net(tokens[some, : max(1, int(lengths[some[-1]]))]) for some in torch.split(order, TOGETHER)]
        return torch.cat(made)[order.argsort()]


def build_text_backbone(spec: TextBackboneSpec, *, seed: int) -> TextBackboneNet:
    """A network with fresh weights; the same spec and seed give the same.

    >>> sizes = BertSizes(tokens=50, width=8, layers=2, heads=2, inner=16, positions=20)
    >>> net = build_text_backbone(TextBackboneSpec("mine", sizes, "mean", (2, 3), length=6, outputs=3), seed=0)
    >>> net(torch.tensor([[7, 9, 0], [0, 0, 0]])).shape
    torch.Size([2, 3])
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "module"))
        return TextBackboneNet(spec)
