"""A chain of PyTorch's own layers, recognised as a dense network."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from luthier.nets.activations import LEAK
from luthier.nets.spec import DenseSpec


class Chain(NamedTuple):
    """The dense network that a module is, its names for weights and biases by ours, and what it drops."""

    spec: DenseSpec
    names: dict[str, str]
    dropout: tuple[float, ...]


def chain(module: nn.Module) -> Chain | None:
    """The dense network that an `nn.Sequential` of linear layers, activations and dropout is; None for others.

    >>> chain(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))).spec.hidden
    (8,)
    >>> chain(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))).spec.activation
    ('identity',)
    """
    if type(module) is not nn.Sequential:
        return None
    linear: list[tuple[str, nn.Linear]] = []
    activations: list[str] = []
    dropout: list[float] = []
    for place, layer in module.named_children():
        match layer:
            case nn.Flatten(start_dim=1, end_dim=-1) if not linear:
                continue
            case nn.Linear() if type(layer) is nn.Linear and layer.bias is not None:
                if linear and len(activations) < len(linear):
                    activations.append("identity")
                    dropout.append(0.0)
                linear.append((place, layer))
            case nn.Dropout(p=float(p)) if linear and 0 <= p < 1 and len(activations) == len(linear):
                dropout[-1] = 1 - (1 - dropout[-1]) * (1 - p) if dropout[-1] == 0 else -1.0
            case _ if linear and (name := _activation(layer)) and len(activations) == len(linear) - 1:
                activations.append(name)
                dropout.append(0.0)
            case _:
                return None
    if not linear or len(activations) != len(linear) - 1 or min(dropout, default=0) < 0:
        return None
    if any(hooked._forward_hooks or hooked._forward_pre_hooks for hooked in module.modules()):
        return None
    if not all(parameter.requires_grad for parameter in module.parameters()):
        return None
    sizes = [layer.in_features for _, layer in linear]
    spec = DenseSpec(sizes[0], tuple(sizes[1:]), linear[-1][1].out_features, activation=tuple(activations))
    names = {
        f"layers.{i}.{kind}": f"{place}.{kind}" for i, (place, _) in enumerate(linear) for kind in ("weight", "bias")
    }
    return Chain(spec, names, tuple(dropout) if any(dropout) else ())


def _activation(layer: nn.Module) -> str | None:
    match layer:
        case nn.LeakyReLU(negative_slope=slope) if slope == LEAK:
            return "leaky relu"
        case nn.GELU(approximate="none"):
            return "gelu"
        case _:
            return _PLAIN.get(type(layer))


_PLAIN: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SELU: "selu",
    nn.Mish: "mish",
    nn.Identity: "identity",
}
