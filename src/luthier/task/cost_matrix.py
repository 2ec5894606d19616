"""What each mistake costs, of any number of classes: a table in a file, kept in the request as text."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from luthier.errors import InputError
from luthier.messages import Message
from luthier.storage import explained
from luthier.task.class_answers import ClassAnswer, of_costs

LARGEST = 10_000_000  # bytes of a file
EXPECTED = "a row and a column for each class, with their names, and numbers: what a true class (row) costs as another"


def costs_as_text(costs: str) -> str:
    """`--cost` as a request keeps it: `1:5` as it is, a CSV file of costs as JSON. InputError for anything else."""
    if not costs or is_matrix(costs) or not Path(costs).suffix:
        return costs
    path = Path(costs)
    with explained(path):
        if not path.is_file():
            raise InputError(
                Message("--cost {costs}: there is no such file", costs=costs), expected="1:5, or a CSV file of costs"
            )
        if path.stat().st_size > LARGEST:
            raise InputError(Message("--cost {costs}: the file is too large", costs=costs), expected=EXPECTED)
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    names = [name.strip() for name in rows[0][1:]] if rows else []
    if len(names) < 2 or len({*names}) < len(names) or [row[0].strip() for row in rows[1:]] != names:
        received = ", ".join(rows[0])[:100] if rows else "an empty file"
        raise InputError(
            Message("--cost {costs}: the table cannot be read", costs=costs), expected=EXPECTED, received=received
        )
    try:
        values = [[float(cell) for cell in row[1:]] for row in rows[1:]]
    except ValueError as error:
        raise InputError(
            Message("--cost {costs}: a cost is not a number", costs=costs), expected=EXPECTED, received=str(error)
        ) from None
    if any(len(row) != len(names) or not np.isfinite(row).all() for row in values):
        raise InputError(Message("--cost {costs}: the table is not square", costs=costs), expected=EXPECTED)
    return json.dumps({"classes": names, "costs": values})


def is_matrix(costs: str) -> bool:
    """Whether costs are a matrix of classes, and not those of two mistakes such as 1:5."""
    return costs.startswith("{")


def matrix_of(costs: str, classes: tuple[str, ...]) -> np.ndarray:
    """The cost [C, C] of each true class (row) answered as another (column), in the order of a task's classes.

    InputError for other classes.

    >>> text = '{"classes": ["b", "a"], "costs": [[0, 1], [5, 0]]}'
    >>> matrix_of(text, ("a", "b")).tolist()
    [[0.0, 5.0], [1.0, 0.0]]
    """
    try:
        known = json.loads(costs)
        names = [str(name) for name in known["classes"]]
        matrix = np.array(known["costs"], dtype=float)
        readable = matrix.shape == (len(names), len(names)) and bool(np.isfinite(matrix).all())
    except (ValueError, KeyError, TypeError):
        readable = False
    if not readable:
        raise InputError("the table of costs cannot be read", expected=EXPECTED, received=costs[:100])
    if sorted(names) != sorted(classes):
        raise InputError(
            "the table of --cost has other classes than the target",
            expected=", ".join(classes[:20]) or "a target with classes",
            received=", ".join(names[:20]),
        )
    order = [names.index(name) for name in classes]
    return np.asarray(matrix[np.ix_(order, order)])


def cheapest(costs: str, classes: tuple[str, ...]) -> ClassAnswer:
    """The decision of the least expected cost."""
    return of_costs(matrix_of(costs, classes))
