"""Data as people have it: arrays, tensors, frames, data sets, loaders. N rows, B rows of a batch."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from luthier.errors import InputError, in_a_line, users_code
from luthier.machine import default_memory
from luthier.messages import in_bytes
from luthier.objective import Criterion, Loss, loss_for
from luthier.rows import Inputs, Rows, arguments
from luthier.seeds import torch_generator

READ_ROWS = 256  # of a data set at once
FORMS = "(X, y), (X, y, weights), a data set, or batches of them such as a DataLoader; X may be a dictionary of arrays"


class Given(NamedTuple):
    """A batch as it came: x is whatever the module takes, or Inputs; y and the rows' weights are tensors."""

    x: Any
    y: Tensor
    weights: Tensor | None = None


def part_of(data: Any, what: str = "data", *, gaps: bool = False) -> Rows:
    """Rows to train on: columns of tensors, arrays or frames, Rows, or everything that a data set or loader gives.

    X may be a dictionary of arrays, the inputs of a module that names those that it takes.
    Targets keep their shape; with `gaps` they may be NaN, where a row lacks one of several.
    InputError for rows that do not fit together, and for values that are not finite.

    >>> len(part_of((np.zeros((5, 2)), np.arange(5))))
    5
    >>> part_of([torch.zeros(4, 2), torch.zeros(4, 1)]).targets.shape
    torch.Size([4, 1])
    """
    part = rows_of(data, what)
    tensors = {**_named_inputs(part), "y": part.targets, "weights": part.weights}
    if gaps:  # NaN is a target that a row lacks
        tensors["y"] = part.targets.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    for name, values in tensors.items():
        if values is not None and (bad := bad_rows(values)):
            raise InputError(
                f"{name} of {what} has values that are not finite",
                expected="numbers",
                received=f"NaN or infinity in {bad} of {len(values)} rows",
                remedy="remove or fill those rows first",
            )
    return part


def rows_of(data: Any, what: str = "data") -> Rows:
    """As `part_of`; values may be NaN or infinite."""
    if isinstance(data, Rows):
        part = data
    else:
        columns = list(data) if has_columns(data) else _collected(data, what)
        if len(columns) not in (2, 3):
            raise InputError(f"{what} is not understood", expected=FORMS, received=f"{len(columns)} parts")
        names = (f"X of {what}", f"y of {what}", f"weights of {what}")
        y, *rest = (tensor_of(value, name).cpu() for value, name in zip(columns[1:], names[1:], strict=False))
        part = Rows(_inputs_of(columns[0], names[0]), y, _weights_of(rest[0], what) if rest else None)
    lengths = {**_named_inputs(part), "y": part.targets, "weights": part.weights}
    counts = {name: values.shape[0] if values.ndim else 0 for name, values in lengths.items() if values is not None}
    if len(set(counts.values())) != 1 or not counts["y"]:
        raise InputError(
            f"the arrays of {what} differ in length",
            expected="the same number of rows in all, at least one",
            received=", ".join(f"{count} of {name}" for name, count in counts.items()),
        )
    for name, values in _named_inputs(part).items():
        if values.ndim < 2:
            shape = list(values.shape)
            raise InputError(f"{what} has no columns", expected=f"{name} of shape [N, ...]", received=f"shape {shape}")
    return part


def _inputs_of(X: Any, name: str) -> Inputs:
    """Inputs from an array, or from a dictionary of them."""
    if not isinstance(X, Mapping):
        return Inputs(numbers=tensor_of(X, name).cpu())
    if not X or not all(isinstance(key, str) for key in X):
        raise InputError(
            f"{name} is not understood", expected="arrays by their names, at least one", received=f"keys {list(X)}"
        )
    return Inputs(**{key: tensor_of(value, f"{key!r} of {name}").cpu() for key, value in X.items()})


def _named_inputs(part: Rows) -> dict[str, Tensor]:
    """The inputs as messages name them: X where it is one array."""
    alone = list(part.inputs) == ["numbers"]
    return {"X" if alone else f"X[{name!r}]": values for name, values in part.inputs.items()}


def has_columns(data: Any) -> bool:
    """Whether data are columns (X, y, ...): any tuple, or a list of tensors, arrays and frames alone."""
    return isinstance(data, tuple) or (isinstance(data, list) and 2 <= len(data) <= 3 and all(map(_is_array, data)))


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray) or hasattr(value, "to_numpy")


def tensor_of(value: Any, name: str) -> Tensor:
    """A tensor of numbers from a tensor, an array, a frame or nested lists. InputError for anything else."""
    if isinstance(value, Tensor):
        result = value.detach()
        return result.to_dense() if result.layout != torch.strided else result
    with users_code(f"{name} cannot be read", expected="numbers of one shape"):
        array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    if isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any()):
        raise InputError(f"{name} has masked values", expected="a number in every place", remedy="fill them first")
    if array.dtype == object:  # frames of mixed columns
        with users_code(f"{name} is not all numbers", remedy="turn text and categories into numbers first"):
            array = array.astype(np.float64)
    if array.dtype.kind not in "biufc":
        raise InputError(
            f"{name} is not all numbers",
            expected="numbers or truth values",
            received=str(array.dtype),
            remedy="turn text, dates and categories into numbers first",
        )
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    usable = native.flags.writeable and all(stride >= 0 for stride in native.strides)
    return torch.from_numpy(native if usable else native.copy())


def _weights_of(weights: Tensor, what: str) -> Tensor:
    """Weights of rows [N], from those or a column of them."""
    result = weights.squeeze(1) if weights.ndim == 2 and weights.shape[1] == 1 else weights
    result = result if result.is_floating_point() else result.float()
    if result.ndim != 1 or bool((result < 0).any()) or (len(result) and not float(result.sum()) > 0):
        raise InputError(
            f"the weights of {what} cannot be used",
            expected="a number of at least 0 for each row, not all 0",
            received=f"shape {list(weights.shape)}, from {float(result.min()):g} to {float(result.max()):g}",
        )
    return result


def bad_rows(values: Tensor) -> int:
    """How many rows hold NaN or infinity."""
    if not (values.is_floating_point() or values.is_complex()) or bool(values.sum().isfinite()):
        return 0  # a finite sum has finite terms, and is ten times faster to ask for
    return int((~values.isfinite()).view(len(values), -1).any(1).sum())


def batch_of(batch: Any, what: str) -> Given:
    """One batch of a loader: (x, y) or (x, y, weights). InputError for dictionaries and other things."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        received = f"{len(batch)} values" if isinstance(batch, tuple | list) else type(batch).__name__
        if isinstance(batch, Mapping):
            received = f"a dictionary of {', '.join(map(repr, batch))}"
        raise InputError(
            f"a batch of {what} is not understood",
            expected="(x, y) or (x, y, weights)",
            received=received,
            remedy="let the data set or collate_fn return a tuple (inputs, targets)",
        )
    x, y, *rest = batch
    targets = tensor_of(y, f"y of {what}")
    if targets.ndim == 0:
        raise InputError(
            f"{what} gives single rows", expected="batches of rows", remedy="DataLoader(..., batch_size=32)"
        )
    weights = _weights_of(tensor_of(rest[0], f"weights of {what}"), what) if rest else None
    return Given(tensor_of(x, f"x of {what}") if _is_array(x) else x, targets, weights)


def loader_of(data: Any, batch_size: int, what: str, generator: torch.Generator | None = None) -> Iterable[Any]:
    """Batches from what is no columns: a loader as it is, a data set through one (shuffled by a generator, if any)."""
    if isinstance(data, Dataset):
        shuffle = generator is not None and not isinstance(data, IterableDataset)
        return DataLoader(data, batch_size=batch_size, shuffle=shuffle, generator=generator)
    if not isinstance(data, Iterable) or isinstance(data, str | bytes | Mapping) or _is_array(data):
        raise InputError(f"{what} is not understood", expected=FORMS, received=type(data).__name__)
    return data


def _collected(data: Any, what: str) -> tuple[Tensor, ...]:
    """All batches of a loader or data set, end to end."""
    result, bytes_read, most = list[tuple[Tensor, ...]](), 0, default_memory()
    for batch in walked(loader_of(data, READ_ROWS, what), what):
        if not isinstance(batch.x, Tensor):
            raise InputError(
                f"batches of {what} have inputs of several tensors",
                expected="one tensor of inputs for each batch",
                received=type(batch.x).__name__,
                remedy="put them into one, and take it apart in the module",
            )
        columns = [batch.x, batch.y, *([] if batch.weights is None else [batch.weights])]
        if result and [tuple(c.shape[1:]) for c in columns] != [tuple(c.shape[1:]) for c in result[0]]:
            raise InputError(
                f"batches of {what} differ in shape",
                expected=f"rows of shape {' and '.join(str(list(c.shape[1:])) for c in result[0])}, as in the first",
                received=f"rows of shape {' and '.join(str(list(c.shape[1:])) for c in columns)}",
            )
        result.append(tuple(columns))
        bytes_read += sum(column.nbytes for column in columns)
        if bytes_read > most:
            raise InputError(
                f"{what} does not fit into memory, or does not end",
                expected=f"at most {in_bytes(most)}, half of the machine's memory",
                received=f"{in_bytes(bytes_read)} in {len(result)} batches, and more to come",
            )
    if not result:
        raise InputError(f"{what} has no batches", expected="at least one batch (x, y)")
    return tuple(torch.cat(pieces) for pieces in zip(*result, strict=True))


def walked(loader: Iterable[Any], what: str) -> Iterator[Given]:
    """A loader's batches, once. What the loader raises ends as an InputError."""
    problem = f"{what} cannot be read"
    with users_code(problem):
        batches = iter(loader)
    while True:
        with users_code(problem, remedy="walk through the loader yourself: for x, y in loader: pass"):
            batch = next(batches, _END)
        if batch is _END:
            return
        yield batch_of(batch, what)


_END = object()


def endless(data: Any, batch_size: int, seed: int, *, name: str, least: int = 1, what: str = "data") -> Iterator[Given]:
    """Batches without end: of columns in an order that follows from `seed` and `name`, a loader's in its own.

    Batches of fewer than `least` rows are left out.
    """
    generator = torch_generator(seed, name)
    if isinstance(data, Rows) or has_columns(data):
        part = rows_of(data, what)
        while True:
            for rows in torch.split(torch.randperm(len(part), generator=generator), batch_size):
                some = part.rows(rows)
                if len(some) >= min(least, len(part)):
                    x = some.inputs if len(some.inputs) > 1 else some.inputs.only
                    yield Given(x, some.targets, some.weights)
    loader = loader_of(data, batch_size, what, generator)
    while True:
        empty = True
        for batch in walked(loader, what):
            if len(batch.y) >= least:
                empty = False
                yield batch
        if empty:
            raise InputError(
                f"{what} has no batches",
                expected="batches (x, y) that can be walked through again, such as a DataLoader's",
                received=type(data).__name__,
            )


def types_taken(module: nn.Module, inputs: Inputs, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The types in which a module is given its inputs: of several, numbers in its own and whole ones as they are."""
    if len(inputs) == 1:
        return {name: type_taken(module, value, dtype) for name, value in inputs.items()}
    return {name: dtype if value.is_floating_point() else value.dtype for name, value in inputs.items()}


def numbers_in(dtype: torch.dtype, inputs: Inputs) -> dict[str, torch.dtype]:
    """The types of a dense network's inputs: numbers in its own, even where they came whole; the others as they are."""
    return {name: dtype if name == "numbers" else value.dtype for name, value in inputs.items()}


def answer_of(module: nn.Module, x: Any) -> Any:
    """What a module answers: called with what it takes of several inputs, or with x as it is."""
    return module(*arguments(module, x)) if isinstance(x, Inputs) else module(x)


def type_taken(module: nn.Module, x: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The type in which a module is given its inputs: numbers in its own; whole ones as they are where it takes them.

    A module may embed whole numbers, or divide bytes by 255 itself; one that does not gets numbers of its type.
    """
    if x.is_floating_point():
        return dtype
    if x.is_complex():
        return x.dtype
    known = x.dtype if x.dtype in (torch.bool, torch.uint8, torch.int32, torch.int64) else torch.int64
    failed: Exception | None = None
    for kind in (known, dtype):
        try:
            with torch.random.fork_rng(), torch.no_grad():
                copy.deepcopy(module).eval()(x[:2].to(kind))
        except Exception as error:  # whatever a module's code does on inputs that it was not made for
            failed = failed or error
        else:
            return kind
    raise InputError(
        "the module fails on the data",
        expected=f"a forward pass for inputs of shape {list(x[:2].shape)}",
        received=f"{type(failed).__name__}: {in_a_line(failed)}" if failed else "",
        remedy="call module(x) on a batch yourself, and compare shapes and types",
    )


def loss_taken(module: nn.Module, x: Tensor | Inputs, targets: Tensor, loss: Any) -> str | Loss | Criterion:
    """The loss asked for, for a module and some of its inputs.

    PyTorch's own go by their names where outputs are [B, C], which takes a pass to see.
    """
    known = loss_for(targets, loss)
    if not isinstance(known, Criterion) or not isinstance(named := loss_for(targets, loss, flat=True), str):
        return known
    try:
        with torch.random.fork_rng(), torch.no_grad():
            few = x.map(lambda value: value[:2].clone()) if isinstance(x, Inputs) else x[:2].clone()
            outputs = answer_of(copy.deepcopy(module).eval(), few)
    except Exception:  # said where the module is run to be trained
        return known
    return named if isinstance(outputs, Tensor) and outputs.ndim == 2 else known
