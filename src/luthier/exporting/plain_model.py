"""A model without Luthier: this file and `model.safetensors` beside it need only PyTorch.

    import model
    predictor = model.load("model.safetensors")
    predictor.predict([{"bedrooms": 3, "built": "1987-05-01", "kind": "flat"}])

`predict` takes rows as dictionaries, cells as text or typed, None or NaN for missing, and gives classes or values;
`predict_proba` gives probabilities by class. `forward` takes numbers [N, F] and codes [N, K], as `encode` makes them.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.exporting.plain_answers import AVERAGED, answered, contents, named

UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
EPOCH = datetime(1970, 1, 1)
ACTIVATIONS: dict[str, Any] = {
    **{name: getattr(torch, name) for name in ("relu", "tanh", "sigmoid")},
    **{name: getattr(F, name) for name in ("gelu", "selu", "mish")},
    "leaky relu": lambda z: F.leaky_relu(z, 0.01),
    "identity": lambda z: z,
}
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
SPELT = {**WORDS, "t": True, "y": True, "1": True, "f": False, "n": False, "0": False}
EXACT = 2**53  # below it floating-point numbers hold every whole number
MINUS = "\u2212\u2010\u2011\u2012\u2013"
NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
WITH_COMMA = re.compile(r"[-+]?(?:[0-9]+,(?![0-9]{3}$)[0-9]+|0,[0-9]+)")
CLOCK = re.compile(r"(?:(\d{1,6}) days?,? )?(\d{1,3}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?(?:\s?([AP])M)?", re.A | re.I)
WIDE = str.maketrans("０１２３４５６７８９．，－＋％（）￥＄", "0123456789.,-+%()¥$")
_TIME = r"[T ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]{1,9}))?)?\s?(Z|[-+][0-9]{2}(?::?[0-9]{2})?)?"
ISO = re.compile(rf"([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}})(?:{_TIME})?")
BASIC = r"^([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})"  # 20210301T041900Z
FREQUENCIES, FARTHEST = [2.0**k / 8 for k in range(8)], 5.2


def load(path: str | Path) -> PlainModel:
    """The model of a safetensors file that was exported beside this program."""
    facts, tensors = contents(path)
    return PlainModel(facts, tensors).eval()


class PlainModel(nn.Module):
    """Numbers [N, F] with NaN for missing, and codes [N, K], to probabilities [N, C] or values [N, 1]."""

    def __init__(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.facts = facts
        for name, value in tensors.items():
            self.register_buffer(name.replace(".", "_"), value)

    def _of(self, name: str) -> Tensor:
        return self.get_buffer(name.replace(".", "_"))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Probabilities, or values on the target's own scale."""
        facts, total = self.facts, torch.zeros((), dtype=torch.float64)
        averaged = AVERAGED.get(facts["loss"], torch.positive)
        features = self._features(numbers)
        for place, (spec, weight) in enumerate(zip(facts["specs"], facts["weights"], strict=True)):
            total = total + weight * averaged(self._net(place, spec, features, codes).double())
        return answered(facts, total)

    def _net(self, place: int, spec: dict[str, Any], features: Tensor, codes: Tensor) -> Tensor:
        base = f"nets.{place}."
        tables = [self._of(f"{base}embeddings.{k}.weight")[codes[:, of]] for k, of in enumerate(spec["tables"])]
        if learned := spec.get("number_embedding"):
            W, b = self._of(f"{base}numbers.0.weight"), self._of(f"{base}numbers.0.bias")
            x = features[:, : len(W)].unsqueeze(2)
            if "edges" in learned:
                e = ((x - self._of(f"{base}numbers.0.start")) * self._of(f"{base}numbers.0.steepness")).clamp(0, 1)
            else:
                e = (x * self._of(f"{base}numbers.0.frequencies") + self._of(f"{base}numbers.0.phases")).cos()
            tables.append((torch.einsum("bfk,fwk->bfw", e, W) + b).flatten(1))
        a = torch.cat([*tables, features], 1)
        if not spec.get("ensemble"):
            return self._layers(base, spec, a, None)
        return torch.stack([self._layers(base, spec, a, k) for k in range(spec["ensemble"])]).mean(0)

    def _layers(self, base: str, spec: dict[str, Any], a: Tensor, which: int | None) -> Tensor:
        """Logits of what enters the first layer; of networks that share their weights those of one."""
        for i, (units, name) in enumerate(zip(spec["hidden"], spec["activations"], strict=True)):
            z = a @ self._of(f"{base}layers.{i}.weight").T
            z = z if spec["layer_norm"] else z + self._of(f"{base}layers.{i}.bias")
            if which is not None:
                z = z * self._of(f"{base}ensemble.{i}.sums")[which]
            if spec["layer_norm"]:
                z = F.layer_norm(z, z.shape[1:], self._of(f"{base}norms.{i}.scale"), self._of(f"{base}norms.{i}.shift"))
            out: Tensor = ACTIVATIONS[name](z)
            for _, unit, other in (neuron for neuron in spec["neurons"] if neuron[0] == i):
                out[:, unit] = ACTIVATIONS[other](z[:, unit])
            if spec.get("parametric"):
                out = torch.lerp(z, out, self._of(f"{base}activations.{i}.share"))
            a = out + a if spec["residual"] and i and spec["hidden"][i - 1] == units else out
            if which is not None:
                a = a * self._of(f"{base}ensemble.{i}.outputs")[which]
        last = len(spec["hidden"])
        return a @ self._of(f"{base}layers.{last}.weight").T + self._of(f"{base}layers.{last}.bias")

    def _features(self, numbers: Tensor) -> Tensor:
        missing, median = numbers.isnan(), self._of("preprocess.median")
        filled = torch.where(missing, median, numbers.to(median.dtype))
        filled = filled.clamp(self._of("preprocess.lowest"), self._of("preprocess.highest"))
        method = self.facts["method"]
        if method == "quantile":
            parts = [self._normal_scores(filled)]
        elif method == "robust":
            x = (filled - self._of("preprocess.mean")) / self._of("preprocess.scale")
            parts = [(x * torch.rsqrt(1 + (x / 3) ** 2)).float()]
        else:
            parts = [((filled - self._of("preprocess.mean")) / self._of("preprocess.scale")).clamp(-10, 10).float()]
        if method == "piecewise":
            edges = self._of("preprocess.edges")
            start, end = edges[:, :-1], edges[:, 1:]
            length = torch.where(end > start, end - start, torch.ones_like(start))
            come = ((filled.unsqueeze(2) - start) / length).clamp(0, 1) * self._of("preprocess.distinct")[:, 1:]
            parts.append(come.flatten(1).float())
        elif method == "periodic":
            angles = 2 * torch.pi * parts[0].unsqueeze(2) * parts[0].new_tensor(FREQUENCIES)
            parts.append(torch.cat([angles.sin(), angles.cos()], 2).flatten(1))
        return torch.cat([*parts, missing[:, self._of("preprocess.flags")].float()], 1)

    def _normal_scores(self, filled: Tensor) -> Tensor:
        edges, values = self._of("preprocess.edges"), filled.T.contiguous()
        left, right = torch.searchsorted(edges, values), torch.searchsorted(edges, values, right=True)
        last = edges.shape[1] - 1
        low, high = (left - 1).clamp(0, last), left.clamp(0, last)
        a, b = edges.gather(1, low), edges.gather(1, high)
        share = torch.where(b > a, (values - a) / (b - a), torch.zeros_like(values)).clamp(0, 1)
        rank = torch.where(right > left, 0.5 * (left + right - 1).to(values.dtype) / last, (low + share) / last)
        scores: Tensor = torch.special.ndtri(rank.double()).clamp(-FARTHEST, FARTHEST)
        return scores.float().T

    def encode(self, rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Numbers [N, F] and codes [N, K] of rows by the names of their columns: cells as text or typed, NaN for None.

        ValueError for a cell that cannot be read as its column's.
        """
        columns, numbers, codes = self.facts["columns"], [], []
        for row in rows:
            result: list[float] = []
            levels: list[int] = []
            for column in columns:
                value, cells = _written(row[column["name"]], column["cells"]), column["cells"]
                if column["kind"] == "category":
                    levels.append(_code(value, column["levels"]))
                elif column["kind"] == "boolean":
                    result.append(_truth(value, column["truths"]))
                elif column["kind"] == "date":
                    result += _parts(_moment(value, cells, column["name"]))
                else:
                    result.append(_number(value, cells, column["name"]))
            numbers.append(result)
            codes.append(levels)
        wide, coded = len(self._of("preprocess.median")), sum(column["kind"] == "category" for column in columns)
        plain, known = torch.tensor(numbers, dtype=torch.float64), torch.tensor(codes, dtype=torch.int64)
        return plain.reshape(len(rows), wide), known.reshape(len(rows), coded)

    @torch.no_grad()
    def predict_proba(self, rows: list[dict[str, Any]]) -> list[dict[str, float]]:
        """Probabilities of each row by the names of the classes."""
        return [dict(zip(self.facts["classes"], row, strict=True)) for row in self(*self.encode(rows)).tolist()]

    @torch.no_grad()
    def predict(self, rows: list[dict[str, Any]]) -> list[Any]:
        """Classes by name, or values."""
        return named(self.facts, self(*self.encode(rows)))


def _written(value: Any, cells: dict[str, Any]) -> Any:
    """A cell as it came, text without blanks around it; None where it says that a value is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if type(value).__name__ == "float32" and cells["reads"] == "word":
        value = float(str(value))
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, str):
        value = value.strip()
        return None if (value if cells["reads"] == "word" else value.lower()) in cells["marks"] else value
    return value


def _unreadable(value: Any, cells: dict[str, Any], name: str, what: str) -> float:
    if not cells["lenient"]:
        raise ValueError(f"{name}: {value!r} is not a {what}")
    return math.nan


def _number(value: Any, cells: dict[str, Any], name: str) -> float:
    result = _as_number(value, cells["style"])
    if result is None:
        return math.nan if value is None else _unreadable(value, cells, name, "number")
    if math.isinf(result):
        raise ValueError(f"{name}: {value!r} is not finite")
    return result


def _as_number(value: Any, style: dict[str, Any]) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, timedelta):
        return (value // timedelta(microseconds=1)) / 1e6
    if isinstance(value, time):
        return ((value.hour * 3600 + value.minute * 60 + value.second) * 10**6 + value.microsecond) / 1e6
    return _written_number(value, style) if isinstance(value, str) else None


def _written_number(text: str, style: dict[str, Any]) -> float | None:
    if style.get("clock"):
        return _clock(text)
    text, scale = re.sub(f"[{MINUS}]", "-", text).translate(WIDE), 1.0
    text = re.sub(r"(\d)[.,]-{1,2}$", r"\1", text)
    for written, plain in style["rewrites"]:
        text = re.sub(written, plain, text, count=1)
    if style["times"] and (letters := re.search(r"(?<=\d)([.,]?)\s?([^\d\s.,]{1,2})$", text)):
        if letters[2].lower() not in style["times"]:
            return None
        text, scale = text[: letters.start()] + letters[1], style["times"][letters[2].lower()]
    decimal, thousands = style.get("decimal", "."), style.get("thousands", "")
    if thousands and re.search(rf"^[-+]?{style['grouped']}$", text):
        text = re.sub(style["between"], "", text)
    if decimal != ".":
        if re.search(rf"^[-+]?\d*{re.escape(decimal)}\d*(?:[eE][-+]?\d+)?$", text):
            text = text.replace(decimal, ".", 1)
        elif "." in text and thousands == ".":
            return None
    known = NUMBER.fullmatch(text) or text.lower().lstrip("+-") in ("inf", "infinity")
    return float(text) * scale if known else None


def _clock(text: str) -> float | None:
    """12:30, 12:30:15.5, 1:30 PM or 2 days 03:00:00 in seconds."""
    result = CLOCK.fullmatch(text)
    if not result or (result[5] and not 1 <= int(result[2]) <= 12):
        return None
    hours = int(result[2]) % 12 + 12 * (result[5].lower() == "p") if result[5] else int(result[2])
    whole = int(result[1] or 0) * 86400 + hours * 3600 + int(result[3]) * 60
    return (10**6 * whole + round(1e6 * float(result[4] or 0))) / 1e6


def _moment(value: Any, cells: dict[str, Any], name: str) -> datetime | None:
    if value is None:
        return None
    pattern = cells["pattern"]
    if isinstance(value, int) and not isinstance(value, bool) and "%" in pattern:
        value = str(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    result = _read_moment(value, cells) if isinstance(value, str) else value if isinstance(value, datetime) else None
    if result is None:
        _unreadable(value, cells, name, "date")
        return None
    return _naive(result)


def _read_moment(text: str, cells: dict[str, Any]) -> datetime | None:
    """A text as a moment: by the column's own format, strictly, else by ISO 8601."""
    for pattern in cells["patterns"] if re.fullmatch(cells["shape"] or ".*", text) else ():
        try:
            moment = datetime.strptime(text, pattern)
        except ValueError:
            continue
        if "%a" not in pattern.lower() or text.lower().startswith(moment.strftime("%a").lower()):
            return moment
    return _iso(text)


def _iso(text: str) -> datetime | None:
    text = re.sub(r"\s*(?:UTC|GMT)$", "Z", re.sub(BASIC, r"\1-\2-\3 \4:\5:\6", text))
    text = re.sub(r"\[[A-Za-z_/+-]+\]$", "", text)  # 04:19:00+01:00[Europe/Berlin]
    result = ISO.fullmatch(text)
    if not result:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in result.groups()[:6])
    fraction, zone = int((result[7] or "0")[:6].ljust(6, "0")), result[8]
    try:
        moment = datetime(year, month, day, hour, minute, second, fraction)
    except ValueError:
        return None
    if zone is None or zone == "Z":
        return moment
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))
    return moment + offset if zone[0] == "-" else moment - offset


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _parts(moment: datetime | None) -> list[float]:
    if moment is None:
        return [math.nan] * 6
    days = (moment - EPOCH) / timedelta(days=1)
    return [days, moment.year, moment.month, moment.timetuple().tm_yday, moment.isoweekday(), moment.hour]


def _truth(value: Any, words: list[str] | None) -> float:
    """A truth by two words, or by spellings of yes and no where there are none; NaN for other words."""
    if value is None:
        return math.nan
    if words is None:
        truth = SPELT.get(value.lower(), _value(value)) if isinstance(value, str) else value
        return float(truth) if isinstance(truth, bool | int | float) and truth in (0, 1) else math.nan
    if words[0]:
        return {FIRST_LEVEL: 0.0, FIRST_LEVEL + 1: 1.0}.get(_code(value, words), math.nan)
    truth = SPELT.get(words[1].lower())  # a model file of format 1 or 2 keeps the word for yes alone
    if isinstance(value, str) and (value == words[1] or truth is None):
        return float(value == words[1])
    meant = _truth(value, None)
    if truth is None or math.isnan(meant) or (isinstance(value, str) and meant == truth):
        raise ValueError(f"the model does not say whether {value!r} is {words[1]!r}")
    return float(meant == truth)


def _code(value: Any, levels: list[str]) -> int:
    """The code of a level: by its text, else by the value that the cell has, where exactly one level has it."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        if value in levels:
            return FIRST_LEVEL + levels.index(value)
        value = _value(value)
    if isinstance(value, float) and abs(value) >= EXACT:
        known = [float(v) if isinstance(v := _value(name), int | float) else None for name in levels]
        return FIRST_LEVEL + known.index(value) if known.count(value) == 1 else UNKNOWN
    if isinstance(value, timedelta):
        return FIRST_LEVEL + levels.index(str(value)) if str(value) in levels else UNKNOWN
    keys = [_key(WORDS.get(name.lower(), _value(name))) for name in levels]
    for key in (_key(value), _other_key(value)):
        if key is not None and key in keys:
            return FIRST_LEVEL + keys.index(key) if keys.count(key) == 1 else UNKNOWN
    return UNKNOWN


def _value(text: str) -> Any:
    """The number, truth value, moment or time of day that a text writes; None for other text."""
    if re.fullmatch(r"[-+]?[0-9]{1,60}", text):
        return int(text)
    if NUMBER.fullmatch(text) or WITH_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    seconds = _clock(text) if re.match(r"[0-9]{1,2}:[^AaPp]+$", text) else None
    if seconds is not None:
        return (EPOCH + timedelta(seconds=seconds)).time() if seconds < 86400 else None
    return _iso(text)


def _key(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, datetime):
        return _naive(value)
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value


def _other_key(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return str(bool(value)) if isinstance(value, int | float) and value in (0, 1) else None
