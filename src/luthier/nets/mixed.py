"""Networks for mixed rows: a picture's features beside numbers, categories and text. B rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from luthier.nets.conv import ConvNet, ConvSpec
from luthier.nets.text import TextNet, TextSpec
from luthier.records import JsonObject
from luthier.seeds import derive
from luthier.shapes import Codes, Features, Outputs, Pictures, Targets, Tokens


@dataclass(frozen=True)
class MixedSpec(TextSpec):
    """As a TextSpec, and beside its inputs pixels, bytes [B, C, H, W]: `picture` is the small ConvNet that reads them.

    Its outputs, through ReLU, join the numbers in front of the layers of units. Rows without text have no `pieces`.

    >>> MixedSpec(2, 0, 0, 3, picture=ConvSpec((1, 8, 8), (4,), 6)).reads_words
    False
    """

    picture: ConvSpec = field(kw_only=True)

    @property
    def sizes(self) -> tuple[int, ...]:
        """What must be at least 1."""
        return super().sizes if self.pieces or self.length else (self.outputs, self.width, *self.layers_of_units)

    @property
    def augment(self) -> tuple[tuple[str, float], ...]:
        """Changes of training pictures."""
        return self.picture.augment

    @property
    def layers(self) -> int:
        """Groups of weights that may have rates of their own: those of text, and the ConvNet."""
        return super().layers + 1

    def to_json(self) -> JsonObject:
        """The spec as plain JSON values."""
        return {**super().to_json(), "kind": "mixed", "picture": self.picture.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MixedSpec:
        """The spec that `to_json` gave."""
        made = super().from_json({**value, "picture": ConvSpec.from_json(value["picture"])})
        assert isinstance(made, cls)
        return made


class MixedNet(TextNet):
    """The module of a MixedSpec; see there."""

    takes = ("numbers", "tokens", "codes", "pixels")

    def __init__(self, spec: MixedSpec) -> None:
        super().__init__(spec)
        last = self.pictures.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.kaiming_normal_(last.weight, nonlinearity="relu")  # features, no output: they start from something

    def _add_others(self, spec: TextSpec) -> int:
        """What reads the pictures."""
        assert isinstance(spec, MixedSpec)
        self.pictures = ConvNet(spec.picture)
        return spec.picture.outputs

    def forward(self, numbers: Features, tokens: Tokens, codes: Codes, pixels: Pictures) -> Outputs:  # type: ignore[override]
        """Logits [B, outputs] of rows; see MixedSpec."""
        parts = [*self.parts(numbers, tokens, codes), torch.relu(self.pictures(pixels))]
        result: Tensor = self.head(torch.cat(parts, 1))
        return result

    def from_training_rows(  # type: ignore[override]
        self, numbers: Features, tokens: Tokens, codes: Codes, pixels: Pictures, targets: Targets
    ) -> dict[str, Tensor]:
        """As a TextNet's."""
        return super().from_training_rows(numbers, tokens, codes, targets)


def build_mixed(spec: MixedSpec, *, seed: int) -> MixedNet:
    """A fresh network; the same spec and seed give the same weights.

    >>> net = build_mixed(MixedSpec(2, 0, 0, 3, picture=ConvSpec((1, 8, 8), (4,), 6)), seed=0)
    >>> net(torch.zeros(5, 2), torch.zeros(5, 0), torch.zeros(5, 0), torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([5, 3])
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "module"))
        return MixedNet(spec)
