"""Rows as networks take them: named tensors of inputs, and beside them targets and weights. N rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import InputError

Place = Mapping[str, list[int]]  # where a column of a table lies: its columns of each of the inputs
KNOWN = {"numbers": torch.float32, "codes": torch.int64, "tokens": torch.int32, "pixels": torch.uint8}


class Inputs(Mapping[str, Tensor]):
    """A frozen mapping of named tensors of N rows each.

    A table's are `numbers` [N, F] and `codes` of categories int64 [N, K], texts add `tokens`, ids of words int32
    [N, T], pictures are `pixels` uint8 [N, C, H, W]; an array that a user hands in is `numbers` [N, ...], of any type,
    several arrays go by the names that they came under. Whole numbers stay whole all the way.

    >>> inputs = Inputs(numbers=torch.zeros(3, 2), codes=torch.tensor([[1], [0], [2]]))
    >>> inputs.rows, sorted(inputs), inputs.tokens.shape
    (3, ['codes', 'numbers'], torch.Size([3, 0]))
    """

    __slots__ = ("_named",)

    def __init__(self, **named: Tensor) -> None:
        self._named = named

    def __getitem__(self, name: str) -> Tensor:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __repr__(self) -> str:
        return f"Inputs({', '.join(f'{name}: {list(value.shape)}' for name, value in self.items())})"

    @property
    def rows(self) -> int:
        """N."""
        return next((len(value) for value in self.values()), 0)

    @property
    def numbers(self) -> Tensor:
        """Real numbers, or whatever a user handed in; [N, 0] where there are none."""
        return self.taken("numbers")

    @property
    def codes(self) -> Tensor:
        """Codes of categories; [N, 0] where there are none."""
        return self.taken("codes")

    @property
    def tokens(self) -> Tensor:
        """Ids of words; [N, 0] where there are none."""
        return self.taken("tokens")

    @property
    def only(self) -> Tensor:
        """The one tensor that has columns. InputError where several have."""
        wide = self.wide
        if len(wide) > 1:
            raise InputError(
                "the rows have several inputs",
                expected="one tensor",
                received=", ".join(wide),
                remedy=f"let the module name those that it takes: takes = {tuple(wide)}",
            )
        return self[wide[0]] if wide else self.numbers

    @property
    def wide(self) -> list[str]:
        """The names of those that have columns."""
        return [name for name, value in self.items() if value.ndim != 2 or value.shape[1]]

    def taken(self, name: str) -> Tensor:
        """The tensor of a name; one without columns where a table has none of its kind. InputError for other names."""
        known = self._named.get(name)
        if known is not None:
            return known
        if name not in KNOWN:
            raise InputError(
                f"the module takes {name!r}, which the rows lack", expected=f"an input {name!r}", received=str(self)
            )
        other = next(iter(self.values()))
        return torch.zeros(len(other), 0, dtype=KNOWN[name], device=other.device)

    def map(self, some: Callable[[Tensor], Tensor]) -> Inputs:
        """The inputs whose every tensor is some function of these."""
        return Inputs(**{name: some(value) for name, value in self.items()})

    def cast(self, kinds: Mapping[str, torch.dtype]) -> Inputs:
        """The inputs in these types, by their names."""
        return Inputs(**{name: value.to(kinds[name]) for name, value in self.items()})

    def pieces(self, size: int) -> Iterator[Inputs]:
        """The inputs so many rows at a time, in the same memory."""
        for start in range(0, self.rows, size):
            yield self.map(lambda value, start=start: value[start : start + size])  # type: ignore[misc]

    def rows_within(self, numbers: int) -> int:
        """How many rows, one at least, hold at most so many numbers: of pictures few, since their layers are wide.

        >>> Inputs(pixels=torch.zeros(9, 3, 64, 64)).rows_within(2**16)
        5
        """
        return max(1, numbers // max(1, sum(value[:1].numel() for value in self.values())))

    def replaced(self, **named: Tensor) -> Inputs:
        """The inputs with some tensors in place of others."""
        return Inputs(**{**self._named, **named})

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(value.nbytes for value in self.values())


@dataclass(frozen=True)
class Rows:
    """Inputs; targets [N, ...], class numbers int64 or values on the modelled scale; weights [N], or None where all
    rows count alike.

    >>> rows = Rows(Inputs(numbers=torch.eye(3)), torch.arange(3))
    >>> len(rows), len(rows.rows(torch.tensor([0, 2]))), rows.span(1, 3).targets
    (3, 2, tensor([1, 2]))
    """

    inputs: Inputs
    targets: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def numbers(self) -> Tensor:
        """Those of the inputs."""
        return self.inputs.numbers

    @property
    def codes(self) -> Tensor:
        """Those of the inputs."""
        return self.inputs.codes

    @property
    def weights_array(self) -> np.ndarray | None:
        """The weights [N] for NumPy, or None where all rows count alike."""
        return None if self.weights is None else self.weights.numpy()

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.inputs.nbytes + self.targets.nbytes + (0 if self.weights is None else self.weights.nbytes)

    def map(self, some: Callable[[Tensor], Tensor]) -> Rows:
        """The rows whose every tensor is some function of these."""
        return Rows(self.inputs.map(some), some(self.targets), None if self.weights is None else some(self.weights))

    def with_inputs(self, **named: Tensor) -> Rows:
        """The rows with some inputs in place of others."""
        return Rows(self.inputs.replaced(**named), self.targets, self.weights)

    def rows(self, index: Tensor) -> Rows:
        """Some of the rows, by number or by a mask."""
        return self.map(lambda value: value[index])

    def span(self, start: int, stop: int) -> Rows:
        """Neighbouring rows, in the same memory."""
        return self.map(lambda value: value[start:stop])

    def to(self, device: torch.device, *, inputs: bool = True) -> Rows:
        """The rows on a device; without `inputs` these stay where they are."""
        if inputs:
            return self.map(lambda value: value.to(device))
        return Rows(self.inputs, self.targets.to(device), None if self.weights is None else self.weights.to(device))

    def joined(self, other: Rows) -> Rows:
        """These rows and, after them, others that are encoded alike; rows without weights count one where the others
        have some."""
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = torch.cat([torch.ones(len(p)) if p.weights is None else p.weights for p in (self, other)])
        inputs = Inputs(**{name: torch.cat([value, other.inputs[name]]) for name, value in self.inputs.items()})
        return Rows(inputs, torch.cat([self.targets, other.targets]), weights)


def arguments(module: nn.Module, inputs: Inputs) -> tuple[Tensor, ...]:
    """What a module is called with: the tensors that it `takes`, in the order of their names, or else the only one.

    >>> arguments(nn.Linear(2, 1), Inputs(numbers=torch.ones(1, 2)))
    (tensor([[1., 1.]]),)
    """
    takes = getattr(module, "takes", None)
    return (inputs.only,) if takes is None else tuple(map(inputs.taken, takes))
