"""What a population is fed with: its batches, the rows as its networks take them, and a look at whether all fits."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from luthier.engine.members.batches import Batches, BatchSource, CarriedBatches, cast
from luthier.engine.members.devices import CPU, fits
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.outputs import as_rows
from luthier.engine.members.settings import Settings
from luthier.engine.populations.fold_batches import FoldBatches
from luthier.engine.populations.mixing import AugmentedBatches
from luthier.engine.populations.population import Population
from luthier.engine.populations.streams import Stream, StreamedBatches
from luthier.errors import InputError
from luthier.nets import DenseSpec, TextSpec
from luthier.objective import Criterion, Loss, check_metric, column, loss_named
from luthier.rows import Rows

CHECKED_ROWS = 7  # that outputs are looked at for


def prepared(population: Population, part: Rows) -> Rows:
    """A part as this population's networks take it, on their device; inputs too large for it are sent in pieces."""
    result, device = population.kind.prepared(cast(part, population.settings.dtype)), population.settings.device
    return result.to(device, inputs=fits(result.nbytes, device))


def batches_for(population: Population, training: Rows | Stream, folds: Tensor | None = None) -> BatchSource:
    """The batches that its settings ask for, changed by chance where its members are to see changed rows.

    With `folds` [N] every fold has batches of its own, of the rows of all others.
    """
    if folds is not None:
        result: BatchSource = _by_folds(population, training, folds)
    else:
        result = _streamed(population, training) if isinstance(training, Stream) else _held(population, training)
    return _changed_by_chance(population, training, result)


def _changed_by_chance(population: Population, training: Rows | Stream, batches: BatchSource) -> BatchSource:
    """The batches with noise and mix-up, where the members ask for them."""
    loss, first = loss_named(population.settings.loss), population.members[0]
    if not (first.noise or first.mixup):
        return batches
    if not isinstance(loss, Loss) or loss.couples:
        raise InputError("noise and mixup need a loss over single rows, given by name", remedy="leave them out")
    if first.mixup and not loss.mixes:
        raise InputError("mixup needs targets that can be mixed: values, or classes", remedy="leave out mixup")
    if isinstance(first.spec, TextSpec):
        raise InputError(
            "noise and mixup cannot be used with text", remedy="leave out noise and mixup; use word dropout instead"
        )
    spec = population.kind.spec
    return AugmentedBatches(
        batches,
        population.settings.batch_seed,
        noise=first.noise,
        mixup=first.mixup,
        classes=(0 if isinstance(spec, ModuleSpec) else spec.outputs) or _classes(training),
        has_bias_column=population.kind.has_bias_column,
    )


def check(population: Population, part: Rows, what: str) -> None:
    """Raise InputError where a part's targets do not go with the loss, the metrics and the networks' outputs.

    What is wrong anywhere is found before the first step, not in the middle of an epoch.
    """
    loss, names, kind = loss_named(population.settings.loss), population.settings.metrics, population.kind
    if isinstance(loss, Criterion) and not names:
        return  # it looks at every new shape itself
    few = prepared(population, part.rows(torch.arange(min(CHECKED_ROWS, len(part)), device=part.targets.device)))
    own = isinstance(loss, Loss) and loss.check is None
    if own or isinstance(kind.spec, ModuleSpec):
        Z = as_rows(population.outputs(few, torch.tensor([0])))
    else:
        Z = torch.zeros(1, len(few), kind.spec.outputs, device=population.settings.device)
    if names and isinstance(loss, Loss) and loss.parts is not None:
        raise InputError("metrics are of one target", remedy="leave them out; measure each head's outputs yourself")
    try:
        if isinstance(loss, Loss):
            loss.look(Z, few.targets, part.targets)
        for name in names:
            check_metric(name, Z.shape[-1], column(part.targets))
    except InputError as error:
        raise error.about(f"{what} rows") from None


def _held(population: Population, training: Rows) -> BatchSource:
    settings, spec = population.settings, population.kind.spec
    if training.weights is not None and getattr(loss_named(settings.loss), "couples", False):
        raise InputError(
            "a loss over pairs of rows cannot use sample weights",
            remedy="leave out the weights, or sample rows by them",
        )
    rows = cast(training, settings.dtype)
    if lies_there := fits(rows.nbytes, settings.device):
        rows = rows.to(settings.device)
    result = Batches(
        rows,
        settings.batch_size,
        settings.batch_seed,
        prepare=_preparation(population),
        only_first=settings.only_first_batch,
        has_bias_column=population.kind.has_bias_column,
        least=spec.least_rows if isinstance(spec, ModuleSpec) else 1,
    )
    return result if lies_there else CarriedBatches(result, settings.device)


def _by_folds(population: Population, training: Rows | Stream, folds: Tensor) -> BatchSource:
    settings, loss = population.settings, loss_named(population.settings.loss)
    refused = {
        "rows on the disk": isinstance(training, Stream),
        "training on one batch": settings.only_first_batch,
        "a loss over pairs of rows": isinstance(loss, Loss) and loss.couples,
    }
    if any(refused.values()):
        what = next(name for name, given in refused.items() if given)
        raise InputError(f"{what} cannot be combined with folds", remedy="train each fold by itself")
    assert isinstance(training, Rows)
    rows = cast(training, settings.dtype)
    if lies_there := fits(rows.nbytes, settings.device):
        rows = rows.to(settings.device)
    result = FoldBatches(
        rows,
        settings.batch_size,
        settings.batch_seed,
        folds,
        prepare=_preparation(population),
        has_bias_column=population.kind.has_bias_column,
    )
    return result if lies_there else CarriedBatches(result, settings.device)


def _streamed(population: Population, training: Stream) -> BatchSource:
    settings = population.settings
    if settings.only_first_batch:
        raise InputError(
            "training on one batch needs rows in memory", remedy="read a few rows of the stream into memory"
        )
    result = StreamedBatches(
        training,
        settings.batch_size,
        settings.batch_seed,
        settings.dtype,
        prepare=_preparation(population),
        has_bias_column=population.kind.has_bias_column,
    )
    return result if settings.device == CPU else CarriedBatches(result, settings.device)


def _classes(training: Rows | Stream) -> int:
    targets = training.targets if isinstance(training, Rows) else training.rows.read(0, len(training)).targets
    return 0 if targets.is_floating_point() else int(targets.max()) + 1


def _preparation(population: Population) -> partial[Tensor | None]:
    return partial(_prepared_targets, population.settings, population.kind.spec)


def _prepared_targets(settings: Settings, spec: object, targets: Tensor) -> Tensor | None:
    """The targets as the loss's residual takes them fastest."""
    prepare = getattr(loss_named(settings.loss), "prepare", None)
    if prepare is None or not isinstance(spec, DenseSpec):
        return None
    result: Tensor = prepare(targets, spec.outputs, settings.dtype)
    return result
