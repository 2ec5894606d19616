"""Why a model made a prediction: what each column, or each pixel of a picture, adds to a typical row's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.assess import Profile, partial_dependence
from luthier.assess.attribution import integrated_gradients
from luthier.data import Preprocess, TableEncoder
from luthier.data.encode import FIRST_LEVEL, UNKNOWN
from luthier.errors import InputError, nearest
from luthier.messages import Message
from luthier.nets import DenseNet, Net
from luthier.rows import Inputs, Place
from luthier.saved.blend import Blend

MOST_VALUES = 21
ROWS_AT_ONCE, PICTURES_AT_ONCE = 1024, 32
EVERY_ORDER, ORDERS = 4, 12  # columns of which every order is taken, and orders of more, each with its reverse
POINTS = 4096  # of the lines from typical rows, through the networks at once


@dataclass(frozen=True)
class Explanation:
    """For each row: what is explained (a class, or the target), its answer, a typical row's, and the shares between.

    They are integrated gradients, or of text and of a picture beside other columns Shapley values. The answer is the
    value of a regression, and the log-odds of a class: a share of 0.69 doubles its odds. Shares are [N, columns] for
    tables and [N, H, W] for pictures; over a row they add up to the answer less the typical one.
    """

    told: tuple[str, ...]
    answer: np.ndarray
    typical: np.ndarray
    shares: np.ndarray
    columns: tuple[str, ...] = ()

    def to_frame(self) -> pl.DataFrame:
        """A table: `explained`, `answer`, `typical`, then a column of shares for each column of the data."""
        if not self.columns:
            raise InputError("attributions of pictures cannot be a table", remedy="use .shares, an array [N, H, W]")
        start = {"explained": list(self.told), "answer": self.answer, "typical": self.typical}
        return pl.DataFrame({**start, **{f"+ {name}": self.shares[:, k] for k, name in enumerate(self.columns)}})


def explain_pictures(nets: Sequence[Net], blend: Blend, pictures: Tensor, told: Tensor) -> tuple[Tensor, ...]:
    """Answers [N], those of flat pictures of the same mean colour, and shares [N, H, W]."""
    inputs = pictures.float() / 255
    flat = inputs.mean((2, 3), keepdim=True).expand_as(inputs).contiguous()

    def answer(x: Tensor) -> Tensor:
        return blend.margins([net(x) for net in nets])

    (shares,) = integrated_gradients(answer, [inputs], [flat], told, at_once=len(told))
    return _picked(answer(inputs), told), _picked(answer(flat), told), shares.sum(1)


def explain_rows(
    nets: Sequence[Net],
    blend: Blend,
    prepare: Preprocess,
    encoder: TableEncoder,
    profile: Profile | None,
    rows: Inputs,
    told: Tensor,
) -> tuple[Tensor, ...]:
    """Answers [N], those of a typical row (medians and most frequent levels), and shares [N, columns]."""
    dense = [net for net in nets if isinstance(net, DenseNet)]
    if len(dense) < len(nets):
        raise InputError("only dense networks can be explained on tables")
    sizes = encoder.category_sizes
    usual = torch.tensor([_usual(profile, name) for name in encoder.category_names], dtype=torch.int64)
    numbers = rows.numbers
    inputs = [prepare(numbers), _one_hot(rows.codes, sizes)]
    typical = [prepare(prepare.median.expand(len(numbers), -1)), _one_hot(usual.expand(len(numbers), -1), sizes)]

    def answer(features: Tensor, levels: Tensor) -> Tensor:
        split = torch.split(levels, list(sizes), 1)
        return blend.margins(
            [
                net.from_embedded(
                    [split[column] @ table for column, table in net.tables()],
                    features,
                )
                for net in dense
            ]
        )

    there = [k for k, value in enumerate(inputs) if value.shape[1]]
    whole: Callable[..., Tensor] = answer
    if there == [0]:
        whole = lambda x: answer(x, x[:, :0])  # noqa: E731
    elif there == [1]:
        whole = lambda x: answer(x[:, :0], x)  # noqa: E731
    result = integrated_gradients(whole, [inputs[k] for k in there], [typical[k] for k in there], told, at_once=POINTS)
    shares = dict(zip(there, result, strict=True))
    columns = []
    origins = prepare.origins()
    owner = torch.tensor([k for k, size in enumerate(sizes) for _ in range(size)])
    for place in encoder.places().values():
        indices, coded = place.get("numbers"), place.get("codes")
        total = torch.zeros(len(numbers), dtype=torch.float64)
        if indices:
            total += shares[0][:, torch.isin(origins, torch.tensor(indices))].double().sum(1)
        if coded:
            total += shares[1][:, torch.isin(owner, torch.tensor(coded))].double().sum(1)
        columns.append(total)
    return _picked(answer(*inputs), told), _picked(answer(*typical), told), torch.stack(columns, 1)


def explain_columns(
    answer: Callable[[Inputs], Tensor], rows: Inputs, typical: Inputs, places: Mapping[str, Place], told: Tensor
) -> tuple[Tensor, ...]:
    """Answers [N], those of the `typical` row, and shares [N, columns] by Shapley values: what it adds to set a column
    of the typical row to the row's own, in the mean over orders in which all are set.

    Of up to four columns every order is taken, of more a few dozen and their reverses (Strumbelj and Kononenko 2014).
    """
    names, start = list(places), typical.map(lambda value: value.expand(rows.rows, *value.shape[1:]))
    known: dict[frozenset[int], Tensor] = {}

    def with_own(columns: frozenset[int]) -> Tensor:
        if columns not in known:
            changed = dict(start)
            for name in (names[k] for k in columns):
                for where, at in places[name].items():
                    changed[where] = changed[where].clone()
                    changed[where][:, at] = rows[where][:, at]
            known[columns] = _picked(answer(Inputs(**changed)), told).double()
        return known[columns]

    shares, orders = torch.zeros(rows.rows, len(names), dtype=torch.float64), _orders(len(names))
    for order in orders:
        for place, k in enumerate(order):
            shares[:, k] += with_own(frozenset(order[: place + 1])) - with_own(frozenset(order[:place]))
    everything = frozenset(range(len(names)))
    return with_own(everything), with_own(frozenset()), shares / len(orders)


def _orders(count: int) -> list[tuple[int, ...]]:
    """Every order of so many columns, or some with their reverses."""
    if count <= EVERY_ORDER:
        return list(permutations(range(count)))
    rng = np.random.default_rng(0)
    some = [tuple(int(k) for k in rng.permutation(count)) for _ in range(ORDERS)]
    return [*some, *(order[::-1] for order in some)]


class Settable(NamedTuple):
    """Where a column lies, and the values to set it to: as they are encoded, and as they are shown."""

    number: int | None
    code: int | None
    values: list[float]
    shown: list[float | str]


def dependence_frame(
    answer: Callable[[Inputs], np.ndarray],
    inputs: Inputs,
    place: Settable,
    names: Sequence[str],
    ends_of: int = 0,
) -> pl.DataFrame:
    """The mean answer over encoded rows at each value of a column: columns value, of (the class or target), mean, low
    and high (NaN but for `ends_of` classes, see `partial_dependence`)."""
    where = {"number": place.number, "code": place.code}
    result = partial_dependence(answer, inputs, **where, values=place.values, ends_of=ends_of)
    return pl.DataFrame(
        [
            {"value": shown, "of": name, "mean": one.value, "low": one.low, "high": one.high}
            for shown, row in zip(place.shown, result, strict=True)
            for name, one in zip(names, row, strict=True)
        ]
    )


def settable(encoder: TableEncoder, profile: Profile | None, column: str) -> Settable:
    """The quantiles of a number, the two truths, or the most frequent levels of a category. InputError for others."""
    indices = encoder.places()
    if column not in indices:
        hint = nearest(column, indices)
        raise InputError(Message("the model does not use a column '{column}'", column=column), remedy=hint)
    numbers, coded = (indices[column].get(name, []) for name in ("numbers", "codes"))
    kind = next((one.kind for one in encoder.columns if one.name == column), "")
    if profile is None or kind not in ("number", "boolean", "category"):
        raise InputError(
            Message("partial dependence is not defined for column '{column}'", column=column),
            expected="a number, boolean or category",
            received=kind or "no profile of the training rows",
        )
    if kind == "category":
        name = encoder.category_names[coded[0]]
        order = np.argsort(-np.asarray(profile.codes[name]), kind="stable")
        codes = [int(code) for code in order[:MOST_VALUES] if profile.codes[name][code]]
        levels = encoder.levels(name)
        return Settable(None, coded[0], [float(code) for code in codes], [levels[code] for code in codes])
    if kind == "boolean":
        return Settable(numbers[0], None, [0.0, 1.0], list(encoder.truth_names(column)))
    quantiles = np.asarray(profile.numbers[column], dtype=float)
    values = np.unique(np.quantile(quantiles[np.isfinite(quantiles)], np.linspace(0, 1, MOST_VALUES))).tolist()
    return Settable(numbers[0], None, values, values)


def typical_row(encoder: TableEncoder, profile: Profile) -> dict[str, float | str | bool | None]:
    """A row as a caller would send it: the median of a number, the most frequent level, None for dates and text."""
    indices, row = encoder.places(), dict[str, float | str | bool | None]()
    for column in encoder.columns:
        row[column.name] = None
        if column.kind == "number":
            quantiles = np.asarray(profile.numbers.get(column.name, ()), dtype=float)
            known = quantiles[np.isfinite(quantiles)]
            row[column.name] = float(f"{np.median(known):.12g}") if len(known) else None
        elif column.kind == "category":
            name = encoder.category_names[indices[column.name]["codes"][0]]
            code = _usual(profile, name)
            row[column.name] = encoder.levels(name)[code] if code >= FIRST_LEVEL else None
        elif column.kind == "boolean":
            row[column.name] = encoder.truths[column.name][1] if column.name in encoder.truths else True
    return row


def _picked(answers: Tensor, told: Tensor) -> Tensor:
    return answers.detach().gather(1, told[:, None])[:, 0]


def _one_hot(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    parts = [F.one_hot(codes[:, k], size).float() for k, size in enumerate(sizes)]
    return torch.cat(parts, 1) if parts else torch.zeros(len(codes), 0)


def _usual(profile: Profile | None, name: str) -> int:
    counts = profile.codes.get(name, []) if profile is not None else []
    return int(np.argmax(counts)) if sum(counts[FIRST_LEVEL:]) else UNKNOWN
