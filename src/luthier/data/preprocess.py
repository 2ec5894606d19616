"""Numbers on their way into the network: imputed, flagged, scaled. Fitted on training rows only.

B rows, F numbers, F' features. It is a module, so it runs where the network runs and is saved with
it; all that it learnt lies in buffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.data.picture_parts import parts_of_pictures
from luthier.rows import Inputs
from luthier.seeds import torch_generator

METHODS = ("standardise", "robust", "quantile", "piecewise", "periodic", "common")
KNOTS = 256  # of the quantile transform
FREQUENCIES = tuple(2.0**k / 8 for k in range(8))  # of the periodic encoding, per standard deviation
VECTORS_SEEN = 32  # random sums of a text's vector, where rows are compared
SPREAD, SEEN = 8191, 16  # random rows that ids stand for where texts are compared, and their length
BINS = 16  # of the piecewise-linear encoding
TOGETHER = 1 << 20  # cells, of columns that are learnt together: a call for each of thousands takes seconds
HELD = 1 << 17  # cells that caches hold: rows are prepared in pieces of so many, several times as fast
ROUNDING = 1e-14  # relative, of float64 sums: a smaller spread is none
CLIP = 3.0  # what robust numbers come near and never reach
FAR = 5.2  # normal scores are kept within, as scikit-learn does (quantile of 1 - 1e-7)


class Preprocess(nn.Module):
    """Numbers [B, F] with NaN for missing to features [B, F'].

    Missing values take the training median; a column that had missing values in training gets an
    indicator beside it. Values outside the training range are held at its edge: what lies beyond was
    never learnt. Then, by `method`:

    - `standardise`: mean 0, variance 1 over the training rows;
    - `robust`: from the median in quartile ranges (where that is 0, in half ranges), then x / sqrt(1 + (x / 3)^2): far
      values neither squeeze the rest nor reach beyond 3 (Holzmueller and others, 2024);
    - `quantile`: normal scores of the training distribution;
    - `piecewise`: the position within quantile bins (Gorishniy and others, 2022), the standardised value beside it;
    - `periodic`: sines and cosines of the standardised value, an octave apart, beside it: what changes fast with a
      number;
    - `common`: mean 0, all columns divided by one deviation: of pixels a rare one must not count like the rest.

    Numbers are float64 until they are centred and scaled: milliseconds since 1970 differ in digits that float32 does
    not hold. Features are float32. Models of format 1 and 2 are not `exact`: they learnt from numbers in float32.
    """

    def __init__(
        self,
        method: str,
        columns: int,
        flagged: int,
        knots: int,
        vectors: int = 0,
        *,
        exact: bool = True,
    ) -> None:
        super().__init__()
        self.method, self.columns, self.flagged, self.knots = method, columns, flagged, knots
        self.vectors = vectors
        self.exact, kind = exact, torch.float64 if exact else torch.float32
        self.register_buffer("median", torch.zeros(columns, dtype=kind))
        self.register_buffer("lowest", torch.full((columns,), -torch.inf, dtype=kind))
        self.register_buffer("highest", torch.full((columns,), torch.inf, dtype=kind))
        self.register_buffer("mean", torch.zeros(columns, dtype=kind))
        self.register_buffer("scale", torch.ones(columns, dtype=kind))
        self.register_buffer("flags", torch.zeros(flagged, dtype=torch.int64))
        self.register_buffer("edges", torch.zeros(columns, knots, dtype=kind))
        self.register_buffer("distinct", torch.zeros(columns, knots, dtype=torch.bool))
        self.median: Tensor
        self.lowest: Tensor
        self.highest: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.flags: Tensor
        self.edges: Tensor
        self.distinct: Tensor

    @classmethod
    def fit(
        cls,
        numbers: Tensor,
        method: str = "standardise",
        measured: Tensor | None = None,
        vectors: int = 0,
    ) -> Preprocess:
        """Learn from training numbers [N, F]. The last `vectors` of them are vectors of texts, which pass as they are.

        Where the numbers are a sample, `measured` [5, F] may tell of all rows the share missing, the mean, the
        deviation, the lowest and the highest (NaN where they were not measured).

        >>> fitted = Preprocess.fit(torch.tensor([[0.0], [2.0]]))
        >>> fitted(torch.tensor([[2.0]]))
        tensor([[1.]])
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, not {method!r}")
        numbers = numbers[:, : numbers.shape[1] - vectors]
        columns = numbers.shape[1]
        missing = numbers.isnan()
        absent = missing.any(0) if measured is None else missing.any(0) | (measured[0] > 0)
        flags = torch.nonzero(absent).flatten()
        knots = {"quantile": KNOTS, "piecewise": BINS + 1}.get(method, 0)
        made = cls(method, columns, len(flags), knots, vectors)
        made.flags.copy_(flags)
        for some in torch.split(torch.arange(columns), max(1, TOGETHER // max(1, len(numbers)))):
            made._learn(some, numbers[:, some].T.double().contiguous())
        if measured is not None:
            made._take(measured)
        if method == "common":
            spread = torch.where(missing, made.median, numbers.double()).var(0, correction=0).mean().sqrt()
            made.scale.fill_(float(spread) or 1.0)
        return made

    def _learn(self, some: Tensor, cells: Tensor) -> None:
        """Learn of some columns from their cells [G, N], NaN where these are missing."""
        ordered = torch.from_numpy(np.sort(cells.numpy(), axis=1))  # what is missing at the end
        counts = (~cells.isnan()).sum(1)
        for count in filter(None, torch.unique(counts).tolist()):
            alike = counts == count
            self._learn_full(some[alike], cells[alike], ordered[alike, :count])

    def _learn_full(self, some: Tensor, cells: Tensor, ordered: Tensor) -> None:
        """The same of columns of which equally many cells are known: these in order [G, K]."""
        lowest, highest = ordered[:, 0], ordered[:, -1]
        median = ordered[:, (ordered.shape[1] - 1) // 2]
        self.median[some], self.lowest[some], self.highest[some] = median, lowest, highest
        largest = torch.maximum(lowest.abs(), highest.abs())
        if self.method == "robust":
            self.mean[some], self.scale[some] = _quantiles(ordered, 3)[:, 1], _robust_scales(ordered)
        else:
            filled = cells.where(~cells.isnan(), median[:, None])
            deviation = torch.stack([column.std(correction=0) for column in filled])  # not rounded as that of rows is
            self.mean[some] = torch.stack([column.mean() for column in filled])
            # A column whose spread is rounding error is constant: leave it at zero instead of blowing it up.
            self.scale[some] = torch.where(deviation > ROUNDING * largest.clamp_min(1e-300), deviation, 1.0)
        if self.knots:
            edges = self.edges[some] = _quantiles(ordered, self.knots)
            self.distinct[some, 1:] = edges[:, 1:] > edges[:, :-1]

    def _take(self, measured: Tensor) -> None:
        """Use what was measured on all rows; missing cells take the sample's median, so they pull the mean to it."""
        known = measured.isfinite().all(0)
        share, mean, deviation, lowest, highest = measured[:, known].double()
        middle = self.median[known].double()
        filled = (1 - share) * mean + share * middle
        spread = ((1 - share) * (deviation**2 + (mean - filled) ** 2) + share * (middle - filled) ** 2).sqrt()
        tiny = spread <= ROUNDING * torch.maximum(lowest.abs(), highest.abs()).clamp_min(1e-300)
        if self.method != "robust":
            self.mean[known], self.scale[known] = filled, torch.where(tiny, 1.0, spread)
        self.lowest[known], self.highest[known] = lowest, highest

    @property
    def width(self) -> int:
        """F': the number of features."""
        return self.columns * (1 + self._beside) + self.flagged + self.vectors

    @property
    def _beside(self) -> int:
        """How many features each number gets besides its own value."""
        return {"piecewise": self.knots - 1, "periodic": 2 * len(FREQUENCIES)}.get(self.method, 0)

    def origins(self) -> Tensor:
        """Which of the F numbers each of the F' features comes from [F']; what passes as it is comes from itself."""
        columns = torch.arange(self.columns)
        passing = torch.arange(self.columns, self.columns + self.vectors)
        return torch.cat([columns, columns.repeat_interleave(self._beside), self.flags, passing])

    def forward(self, numbers: Tensor) -> Tensor:
        """Features [B, F'] of numbers [B, F]."""
        if self.vectors:
            return torch.cat([self._features(numbers[:, : self.columns]), numbers[:, self.columns :].float()], 1)
        return self._features(numbers)

    def _features(self, numbers: Tensor) -> Tensor:
        missing = numbers.isnan()
        filled = torch.where(missing, self.median, numbers.to(self.median.dtype)).clamp(self.lowest, self.highest)
        parts = [missing[:, self.flags].float()] if self.flagged else []
        if self.method == "quantile":
            parts.insert(0, self._normal_scores(filled).float())
        elif self.method == "robust":
            parts.insert(0, _softly_clipped((filled - self.mean) / self.scale).float())
        else:
            parts.insert(0, ((filled - self.mean) / self.scale).clamp(-10, 10).float())
            if self.method == "piecewise":
                parts.insert(1, self._piecewise(filled).flatten(1).float())
            elif self.method == "periodic":
                angles = 2 * torch.pi * parts[0].unsqueeze(2) * parts[0].new_tensor(FREQUENCIES)
                parts.insert(1, torch.cat([angles.sin(), angles.cos()], 2).flatten(1))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def _normal_scores(self, filled: Tensor) -> Tensor:
        """Rank in the training distribution, averaged over ties, through the normal quantile function."""
        values = filled.T.contiguous()
        left = torch.searchsorted(self.edges, values)
        right = torch.searchsorted(self.edges, values, right=True)
        last = self.knots - 1
        low, high = (left - 1).clamp(0, last), left.clamp(0, last)
        a, b = self.edges.gather(1, low), self.edges.gather(1, high)
        share = torch.where(b > a, (values - a) / (b - a), torch.zeros_like(values)).clamp(0, 1)
        between = (low + share) / last
        tied = 0.5 * (left + right - 1).to(values.dtype) / last  # the value is itself one or more knots
        rank: Tensor = torch.where(right > left, tied, between)
        scores: Tensor = torch.special.ndtri(rank.double()).clamp(-FAR, FAR)
        return scores.to(filled.dtype).T

    def _piecewise(self, filled: Tensor) -> Tensor:
        """How far each value has come through each bin [B, F, bins]: 1 below it, 0 above, between within."""
        start, end = self.edges[:, :-1], self.edges[:, 1:]
        length = torch.where(end > start, end - start, torch.ones_like(start))
        come: Tensor = ((filled.unsqueeze(2) - start) / length).clamp(0, 1)
        return come * self.distinct[:, 1:]

    def prepared(self, inputs: Inputs) -> Inputs:
        """The inputs with features in place of numbers."""
        pieces = torch.split(inputs.numbers, max(1, HELD // max(1, inputs.numbers.shape[1])))
        return inputs.replaced(numbers=self(pieces[0]) if len(pieces) == 1 else torch.cat([*map(self, pieces)]))

    def plain(self, inputs: Inputs) -> Tensor:
        """Numbers [N, F] standardised, gaps filled; not held at the training range's edge, as the networks see them.
        Vectors of texts, and tokens, come as a few random sums of what they stand for, pictures as the means of their
        parts."""
        vectors, ids = inputs.numbers[:, self.columns :].float(), inputs.tokens.long()
        numbers = inputs.numbers[:, : self.columns].to(self.median.dtype)
        filled = torch.where(numbers.isnan(), self.median, numbers)
        result = ((filled - self.mean) / self.scale).float()
        if self.vectors:
            drawn = torch.randn(self.vectors, VECTORS_SEEN, generator=torch_generator(0, "vectors seen together"))
            result = torch.cat([result, vectors @ drawn], 1)
        if "pixels" in inputs:
            result = torch.cat([result, parts_of_pictures(inputs["pixels"])], 1)
        if not ids.shape[1]:
            return result
        drawn = torch.randn(SPREAD, SEEN, generator=torch_generator(0, "words seen together"))
        drawn[0] = 0
        seen = F.embedding_bag(ids % SPREAD, drawn, mode="sum")
        return torch.cat([result, seen / (ids > 0).sum(1, keepdim=True).clamp_min(1).sqrt()], 1)

    def config(self) -> dict[str, object]:
        """What `from_config` needs besides the state dict."""
        names = ("method", "columns", "flagged", "knots", "vectors", "exact")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, value: Mapping[str, Any]) -> Preprocess:
        """An unfitted module of the same shape, for `load_state_dict`."""
        sizes = [int(value.get(name, 0)) for name in ("columns", "flagged", "knots", "vectors")]
        return cls(str(value["method"]), *sizes, exact=bool(value.get("exact", False)))


def _robust_scales(ordered: Tensor) -> Tensor:
    """Of each column of numbers in order [G, K] the quartile range, where it is 0 half of their range, and 1 where that
    is 0 too.

    >>> _robust_scales(torch.tensor([[0.0, 1.0, 2.0, 3.0, 100.0], [1.0, 1.0, 1.0, 1.0, 7.0]])).tolist()
    [2.0, 3.0]
    """
    quartiles, lowest, highest = _quantiles(ordered, 5), ordered[:, 0], ordered[:, -1]
    spread, half = quartiles[:, 3] - quartiles[:, 1], (highest - lowest) / 2
    tiny = ROUNDING * torch.maximum(lowest.abs(), highest.abs())
    return torch.where(spread > tiny, spread, torch.where(half > tiny, half, 1.0))


def _softly_clipped(x: Tensor) -> Tensor:
    return x * torch.rsqrt(1 + (x / CLIP) ** 2)


def _quantiles(ordered: Tensor, knots: int) -> Tensor:
    """So many quantiles, the extremes among them, of numbers in order [G, K]."""
    indices = torch.linspace(0, ordered.shape[1] - 1, knots, dtype=torch.float64)
    low, high = ordered[:, indices.floor().long()], ordered[:, indices.ceil().long()]
    return low + (high - low) * (indices - indices.floor())
