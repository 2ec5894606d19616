"""The whole model as one module: numbers and codes in, probabilities or values out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from luthier.data import Preprocess
from luthier.data.preprocess import FAR
from luthier.saved import Model


class ExportedGraph(nn.Module):
    """Numbers [N, F] with NaN for missing, and codes [N, K], to probabilities [N, C] or values [N, 1] in float64."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        assert isinstance(model.preprocess, Preprocess)
        self.preprocess = Ranks.of(model.preprocess)
        self.nets = nn.ModuleList(copy.deepcopy(net).eval() for net in model.nets)
        self.blend = model.blend

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Probabilities, tempered; or values on the target's own scale."""
        features = self.preprocess(numbers)
        return self.blend([net(features, codes) for net in self.nets])


class ExportedPictureGraph(nn.Module):
    """Bytes [N, C, H, W] to probabilities [N, C] or values [N, 1] in float64."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.nets = nn.ModuleList(copy.deepcopy(net).eval() for net in model.nets)
        self.blend = model.blend

    def forward(self, pictures: Tensor) -> Tensor:
        """Probabilities, tempered; or values on the target's own scale."""
        return self.blend([net(pictures) for net in self.nets])


class Ranks(Preprocess):
    """The same preprocessing in operations that every runtime has: ranks are counted, not searched for, and the normal
    quantile function is Wichura's (1988), exact to 1e-15."""

    @classmethod
    def of(cls, fitted: Preprocess) -> Ranks:
        """A copy of a fitted module."""
        sizes = fitted.columns, fitted.flagged, fitted.knots, fitted.vectors
        made = cls(fitted.method, *sizes, exact=fitted.exact)
        made.load_state_dict(fitted.state_dict())
        return made.eval()

    def _normal_scores(self, filled: Tensor) -> Tensor:
        values = filled.unsqueeze(2)
        edges = self.edges.unsqueeze(0)
        left, right = (edges < values).long().sum(2), (edges <= values).long().sum(2)
        last = self.knots - 1
        low, high = (left - 1).clamp(0, last), left.clamp(0, last)
        first = torch.arange(self.columns, device=filled.device) * self.knots  # of each column, in all edges laid flat
        a, b = (self.edges.flatten()[place + first] for place in (low, high))
        share = torch.where(
            b > a, (filled - a) / torch.where(b > a, b - a, torch.ones_like(a)), torch.zeros_like(a)
        ).clamp(0, 1)
        between = (low + share) / last
        tied = 0.5 * (left + right - 1).to(filled.dtype) / last
        rank = torch.where(right > left, tied, between)
        return normal_quantile(rank.double()).clamp(-FAR, FAR).to(filled.dtype)


_CENTRE = (
    (
        3.3871328727963666080,
        133.14166789178437745,
        1971.5909503065514427,
        13731.693765509461125,
        45921.953931549871457,
        67265.770927008700853,
        33430.575583588128105,
        2509.0809287301226727,
    ),
    (
        1.0,
        42.313330701600911252,
        687.18700749205790830,
        5394.1960214247511077,
        21213.794301586595867,
        39307.895800092710610,
        28729.085735721942674,
        5226.4952788528545610,
    ),
)
_NEAR = ((1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
          1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4),
         (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550, 0.148103976427480074590,
          0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9))  # fmt: skip
_TAIL = ((6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
          0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
         (1.0, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525, 7.86869131145613259100e-4,
          1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15))  # fmt: skip


def _ratio(x: Tensor, powers: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    above, below = (sum((c * x**k for k, c in enumerate(row)), torch.zeros_like(x)) for row in powers)
    return above / below


def normal_quantile(p: Tensor) -> Tensor:
    """The standard normal's quantile of p between 0 and 1 (algorithm AS 241); beyond 1e-30 it is held.

    >>> normal_quantile(torch.tensor([0.5, 0.975], dtype=torch.float64))
    tensor([0.0000, 1.9600], dtype=torch.float64)
    """
    q = p - 0.5
    centre = q * _ratio(0.180625 - q * q, _CENTRE)
    smaller = torch.where(q < 0, p, 1 - p).clamp_min(1e-30)
    root = torch.sqrt(-torch.log(smaller))
    outer = torch.where(root <= 5, _ratio(root - 1.6, _NEAR), _ratio(root - 5, _TAIL))
    return torch.where(q.abs() <= 0.425, centre, torch.where(q < 0, -outer, outer))
