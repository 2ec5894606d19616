"""Gluon's data sets and loaders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from luthier.classic.nd import NDArray, array
from luthier.errors import InputError
from luthier.seeds import numpy_generator


class ArrayDataset:
    """Rows of several arrays of one length, side by side.

    >>> len(ArrayDataset([1, 2, 3], [4, 5, 6])), ArrayDataset([1, 2, 3], [4, 5, 6])[1]
    (3, (2, 5))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays or len({len(one) for one in arrays}) != 1:
            raise InputError(
                "the arrays of a data set differ in length",
                received=", ".join(str(len(one)) for one in arrays) or "no array",
            )
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, place: Any) -> Any:
        rows = tuple(one[place] for one in self.arrays)
        return rows if len(rows) > 1 else rows[0]


class DataLoader:
    """Mini-batches of a data set, in another random order each time it is walked; the last one may be short."""

    def __init__(self, dataset: ArrayDataset, batch_size: int, shuffle: bool = False, *, seed: int = 0) -> None:
        if batch_size < 1:
            raise InputError("batch_size is at least 1", received=str(batch_size))
        self._arrays = [one if isinstance(one, NDArray) else array(one) for one in dataset.arrays]
        self._rows, self._size, self._shuffle, self._seed, self._walks = len(dataset), batch_size, shuffle, seed, 0

    def __len__(self) -> int:
        return -(-self._rows // self._size)

    def __iter__(self) -> Iterator[Any]:
        order = np.arange(self._rows)
        if self._shuffle:
            order = numpy_generator(self._seed, "loader", self._walks).permutation(self._rows)
        self._walks += 1
        for start in range(0, self._rows, self._size):
            rows = order[start : start + self._size]
            batch = tuple(NDArray(one._tensor[rows]) for one in self._arrays)
            yield batch if len(batch) > 1 else batch[0]
