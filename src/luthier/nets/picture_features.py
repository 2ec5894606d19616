"""What a frozen backbone makes of pictures, as a few numbers that stand beside a table's columns.

B or N pictures, D numbers below the backbone's last layer, K numbers that are kept of them.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from luthier.data.vector_cache import not_cached, with_cache
from luthier.errors import InputError
from luthier.messages import Message
from luthier.nets.backbone import BackboneSpec, head_of, shown
from luthier.nets.blocks import put
from luthier.nets.seen_rows import module_digest, row_keys
from luthier.nets.weights import load_weights, read_weights
from luthier.records import JsonObject
from luthier.seeds import derive
from luthier.shapes import Outputs, Pictures

KEPT = 64  # numbers of a picture: on digits 64 of 1,280 did as well as all of them, 32 worse
SMALLEST = 1e-3  # deviation of a component, relative to the first one's: below it rounding would be learnt from
AT_ONCE = 64  # pictures
WARM, TIMED = 2, 16  # pictures before, and by which a backbone's speed is told: the first ones wake a device
CPU = torch.device("cpu")


class PictureFeatures(nn.Module):
    """Pictures, bytes [B, C, H, W], to numbers [B, K]: principal components of what reaches the backbone's last layer,
    each of deviation 1 over the pictures that they were fitted on.

    Its spec's `outputs` are K, its `width` is D. Nothing here learns from targets, and nothing is learnt after `fit`.
    """

    def __init__(self, spec: BackboneSpec, net: nn.Module) -> None:
        super().__init__()
        self.spec, self.net = spec, net
        self.mean: Tensor
        self.axes: Tensor
        self.register_buffer("mean", torch.zeros(spec.width))
        self.register_buffer("axes", torch.zeros(spec.width, spec.outputs))

    @classmethod
    def of(cls, spec: BackboneSpec) -> PictureFeatures:
        """A backbone with the weights of its making, its last layer taken away; nothing is fitted yet."""
        with torch.random.fork_rng():
            torch.manual_seed(derive(0, "module"))
            net = shown(spec)
        put(net, head_of(spec, net), nn.Identity())
        return cls(spec, net.eval()).requires_grad_(False).eval()

    @property
    def count(self) -> int:
        """K."""
        return self.spec.outputs

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of what the D numbers follow from."""
        return module_digest(self.net, torch.zeros(1, *self.spec.inputs, dtype=torch.uint8), self.net)

    @torch.no_grad()
    def forward(self, pictures: Pictures) -> Outputs:
        """Numbers [B, K]."""
        result: Tensor = (self.net(pictures) - self.mean) @ self.axes
        return result

    def numbers_of(self, pictures: Tensor) -> np.ndarray:
        """Numbers float64 [N, K] of pictures, those that were seen before from the user's cache."""
        seen = torch.from_numpy(self.seen(pictures))
        return ((seen.double() - self.mean.double()) @ self.axes.double()).numpy()

    def seen(self, pictures: Tensor, device: torch.device = CPU, *, keep: bool = False) -> np.ndarray:
        """What reaches the last layer, float32 [N, D]; computed on a device and kept in the cache where asked for."""
        net = self.net if device == CPU else copy.deepcopy(self.net).to(device)

        @torch.no_grad()
        def compute(places: list[int]) -> np.ndarray:
            some = pictures[places]
            return torch.cat([net(one.to(device)).cpu() for one in torch.split(some, AT_ONCE)]).numpy()

        return with_cache(self.digest, self.spec.width, row_keys(pictures), compute, keep=keep)

    def seconds(self, pictures: Tensor, device: torch.device) -> float:
        """About how long those of these pictures take that the cache does not have, by a few of them."""
        new = not_cached(self.digest, self.spec.width, row_keys(pictures))
        net, some = copy.deepcopy(self.net).to(device), pictures[new[:: -(-len(new) // TIMED)] if new else []]
        with torch.no_grad():
            for one in torch.split(some[:WARM], AT_ONCE):
                net(one.to(device)).cpu()
            began = time.perf_counter()
            for one in torch.split(some, AT_ONCE):
                net(one.to(device)).cpu()
        return (time.perf_counter() - began) * len(new) / max(1, len(some))

    def fit(self, seen: np.ndarray) -> PictureFeatures:
        """With the principal components of what the backbone sees in training pictures [N, D]. InputError for fewer
        than two of them, and where it sees the same in all or no finite numbers."""
        centred = seen.astype(np.float64) - seen.mean(0, dtype=np.float64)
        varied = np.isfinite(centred).all() and len(centred) > 1
        _, spread, axes = np.linalg.svd(centred, full_matrices=False) if varied else (None, np.zeros(1), centred)
        kept = int((spread > SMALLEST * spread[0]).sum())
        if not kept:
            raise InputError(
                Message("the backbone '{name}' sees the same in all pictures", name=self.spec.backbone),
                expected="two different pictures or more in the training rows",
            )
        kept = min(kept, KEPT)
        axes = axes[:kept] * np.sign(axes[:kept][np.arange(kept), np.abs(axes[:kept]).argmax(1)])[:, None]
        result = PictureFeatures(replace(self.spec, outputs=kept), self.net)
        result.mean.copy_(torch.from_numpy(seen.mean(0, dtype=np.float64)))
        result.axes.copy_(torch.from_numpy((axes / (spread[:kept, None] / np.sqrt(len(centred)))).T))
        return result.eval()

    def to_json(self) -> JsonObject:
        """Its spec as plain JSON values; the rest are tensors."""
        return self.spec.to_json()


def features_of(
    name: str, shape: tuple[int, int, int], side: int, weights: str, say: Callable[[str], None]
) -> PictureFeatures:
    """The features of a backbone, with weights from a file unless that is empty; `say` is told how they were read."""
    spec = BackboneSpec(name, shape, 1, side=side)
    if weights:
        backbone = shown(spec)
        last = head_of(spec, backbone).removeprefix("body.")
        load_weights(backbone.get_submodule("body"), read_weights(weights, say=say), but=(f"{last}.",), say=say)
        put(backbone, f"body.{last}", nn.Identity())
        net = backbone.eval()
    else:
        net = PictureFeatures.of(spec).net
    with torch.no_grad():
        width = net(torch.zeros(2, *shape, dtype=torch.uint8)).shape[1]
    return PictureFeatures(replace(spec, width=width), net).requires_grad_(False).eval()
