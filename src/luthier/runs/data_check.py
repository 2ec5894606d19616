"""`luthier doctor`: the checks of the data and of the machinery, without a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

import torch
from typing_extensions import Unpack

from luthier.data import Preprocess, check_table, flat
from luthier.data.target_transform import TargetTransform
from luthier.diagnosis import check_gradients, check_rows, loss_at_start, overfit_batch
from luthier.diagnosis.controls import label_noise, signal, with_codes
from luthier.diagnosis.findings import found_in_words
from luthier.messages import Message, as_message, spoken, tr
from luthier.nets import DenseSpec
from luthier.objective import USUAL_LOSSES, shared_outputs
from luthier.recipe import LoadedData, first_width, input_count, read_as_asked
from luthier.recipe.preparing.problem import embeddings_of
from luthier.recipe.rows.parts import Parts, parts_of
from luthier.records import Finding, JsonObject
from luthier.request import Config, DataConfig, RunRequest
from luthier.request_types import DataOptions
from luthier.rows import Inputs, Rows
from luthier.runs.own_rows import with_test_file
from luthier.seeds import derive, torch_generator
from luthier.task import costs_as_text

BATCH = 64
ROWS = 5000  # that controls look at
OVERFIT_STEPS = 300


class CheckedColumn(TypedDict):
    """A column: its kind and why, whether it is used, and how many of its cells are missing."""

    name: str
    kind: str
    used: bool
    missing: int
    reason: str


@dataclass(frozen=True)
class DataReport:
    """The findings before any long training; `str()` prints them."""

    source: str
    rows: int
    task: str
    columns: tuple[CheckedColumn, ...]
    findings: tuple[Finding, ...]
    checks: tuple[tuple[str, bool, str], ...]
    suspects: tuple[int, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())  # on rows that were set aside or left out

    @property
    def healthy(self) -> bool:
        """Whether nothing graver than a note was found."""
        return all(f.severity == "note" for f in self.findings) and all(passed for _, passed, _ in self.checks)

    def to_json(self) -> JsonObject:
        """The checkup as plain JSON values."""
        return {
            "source": self.source,
            "rows": self.rows,
            "task": self.task,
            "columns": cast("list[JsonObject]", list(self.columns)),
            "findings": [finding.to_json() for finding in self.findings],
            "checks": [{"check": name, "passed": passed, "sentence": message} for name, passed, message in self.checks],
            "suspects": list(self.suspects),
            "notes": list(self.notes),
            "healthy": self.healthy,
        }

    def __str__(self) -> str:
        used = [column for column in self.columns if column["used"]]
        lines = [
            tr("{source}: {rows} rows, {task}", source=self.source, rows=self.rows, task=as_message(self.task)),
            *map(spoken, self.notes),
            tr("{used} of {count} columns are used", used=len(used), count=len(self.columns)),
        ]
        lines += [_column_in_words(one) for one in self.columns if not one["used"] or one["missing"]]
        lines += ["", tr("Sanity:")]
        lines += [
            tr("  [{mark}] {name}: {message}", mark="x" if passed else " ", name=as_message(name), message=message)
            for name, passed, message in self.checks
        ]
        lines += ["", tr("Findings:")]
        lines += ["  " + found_in_words(finding).replace("\n", "\n  ") for finding in self.findings] or [tr("  none")]
        if self.suspects:
            rows = ", ".join(map(str, self.suspects[:20]))
            lines += ["", tr("Rows whose label should be checked: {rows}", rows=rows)]
        return "\n".join(lines)

    __repr__ = __str__


def doctor(
    source: Any,
    target: str | int | None = None,
    config: Config = None,
    *,
    seed: int = 0,
    **options: Unpack[DataOptions],
) -> DataReport:
    """Check a table as `luthier.fit` reads it: columns, rows, labels, signal, and whether a network can learn.

    `source`, `target`, `config` and `options` (`columns`, `group`, `time`, `sample_weight`, ...) are as for
    `luthier.fit`; `seed` draws the split. The test set stays sealed. Rows are numbered from 0 as in the table. Raises
    InputError for a table that cannot be used.
    """
    described = DataConfig.of(config, target=target, **with_test_file(options))
    given = {**described.given(), "costs": costs_as_text(described.costs)}
    asked = RunRequest.of(None, **given, source="", seed=seed)
    read = read_as_asked(source, asked)
    parts = parts_of(read, asked)
    training, validation = _encoded(read, parts)
    loss, spec = USUAL_LOSSES[read.task.kind], _spec(read, parts, training)
    weights = parts.training.weights_array
    findings = check_table(parts.frames["training"], read.columns, read.task, weights)
    named = {finding.code for finding in findings}
    findings += [f for f in check_rows(training, validation, _names(parts, training)) if f.code not in named]
    checks = tuple(_checks(spec, training, loss, seed))
    few, picked = _some(training, ROWS, seed)
    sizes = [levels for levels, _ in spec.embeddings]
    flat = with_codes(few, sizes), with_codes(_some(validation, ROWS, seed)[0], sizes)
    none, _ = signal(torch.nn.Linear(1, 1), *flat, loss, batch_size=BATCH)
    suspects: list[int] = []
    if none is not None:
        findings.append(none)
    elif read.task.is_classes and not read.task.traits.is_labels:
        wrong, result = label_noise(torch.nn.Linear(1, 1), flat[0], loss, batch_size=BATCH)
        rows = parts.splits.training if read.places is None else read.places[parts.splits.training]
        suspects = [int(rows[int(picked[i])]) for i in result]
        findings += [] if wrong is None else [wrong]
    known = tuple(
        CheckedColumn(
            name=column.name,
            kind=column.kind,
            used=column.used,
            missing=int(read.frame[column.name].null_count()),
            reason=column.reason,
        )
        for column in read.columns
    )
    what = Message("{kind}, target `{target}`", kind=Message(read.task.kind), target=read.task.target)
    found = tuple(findings), checks, tuple(suspects), read.notes
    return DataReport(read.source.name, read.frame.height, what, known, *found)


def _encoded(read: LoadedData, parts: Parts) -> tuple[Rows, Rows]:
    """Both open parts as a network sees them: standardised, a regression's target too."""
    fitted = Preprocess.fit(flat(parts.training.inputs, 16), vectors=parts.encoder.vector_width)
    targets = [part.targets for part in (parts.training, parts.validation)]
    if not read.task.is_classes and targets[0] is not None:
        log, kind = read.task.log_scale, read.task.traits
        transform = TargetTransform.fit(targets[0], parts.training.weights, log=log, kind=kind)
        targets = [None if t is None else transform.standardise(t).float() for t in targets]
    result = []
    for part, wanted in zip((parts.training, parts.validation), targets, strict=True):
        assert wanted is not None
        looked_at = part.inputs.replaced(numbers=flat(part.inputs, 16))
        numbers = fitted.plain(looked_at) if parts.encoder.words else fitted(looked_at.numbers)
        result.append(Rows(Inputs(numbers=numbers, codes=part.codes), wanted, part.weights))
    return result[0], result[1]


def _names(parts: Parts, training: Rows) -> list[str]:
    pixels = flat(parts.training.inputs, 16).shape[1] - parts.training.numbers.shape[1]
    names = [*(f"pixels {i}" for i in range(pixels)), *parts.encoder.number_names]
    return names + [f"missing {i}" for i in range(training.numbers.shape[1] - len(names))]


def _spec(read: LoadedData, parts: Parts, training: Rows) -> DenseSpec:
    sizes = parts.encoder.category_sizes
    outputs = read.task.outputs
    width = first_width(len(training), input_count(parts.encoder, training.numbers.shape[1]), outputs)
    embeddings = embeddings_of(sizes)
    constant = shared_outputs(read.task.traits.loss, outputs)
    inputs = training.numbers.shape[1]
    return DenseSpec(inputs, (width,), outputs, embeddings=embeddings, constant_outputs=constant)


def _checks(spec: DenseSpec, training: Rows, loss: str, seed: int) -> list[tuple[str, bool, str]]:
    seeds = [derive(seed, "start", k) for k in range(5)]
    found = {
        Message("initial loss"): loss_at_start(spec, training, loss, seeds=seeds),
        Message("overfitting one batch"): overfit_batch(spec, training, loss, seed=seeds[0], steps=OVERFIT_STEPS),
        Message("gradients compared with finite differences"): check_gradients(spec, training, loss, seed=seeds[0]),
    }
    return [(name, bool(result["passed"]), cast(str, result["sentence"])) for name, result in found.items()]


def _column_in_words(column: CheckedColumn) -> str:
    what = Message(column["kind"])
    what = what if column["used"] else Message("{kind}, dropped", kind=what)
    if column["missing"]:
        what = Message("{kind}, {count} missing", kind=what, count=column["missing"])
    return tr("  `{name}`: {what} ({reason})", name=column["name"], what=what, reason=as_message(column["reason"]))


def _some(part: Rows, rows: int, seed: int) -> tuple[Rows, torch.Tensor]:
    index = torch.arange(len(part))
    if len(part) > rows:
        index = torch.randperm(len(part), generator=torch_generator(seed, "rows for the checks"))[:rows].sort().values
    return part.rows(index), index
