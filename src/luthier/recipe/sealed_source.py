"""A file of rows that are sealed in place of a part of the source's: it has the target, or nothing can be scored."""

from __future__ import annotations

from collections.abc import Mapping

from luthier.data import Source, read_source
from luthier.data.numerals import NumberStyle
from luthier.errors import InputError, listed


def read_test(test: str, target: str, styles: Mapping[str, NumberStyle]) -> Source:
    """A file of test rows. InputError where it has no target."""
    result = read_source(test, styles=styles)
    if target not in result.frame.columns:
        raise without_target(test, target, f"the columns {listed(result.frame.columns)}")
    return result


def without_target(test: str, target: str, received: str) -> InputError:
    """What is said of test rows without a target."""
    return InputError(
        f"'{test}' has no `{target}`, so nothing can be scored on it",
        expected="test rows with the target",
        received=received,
        remedy="--test none seals nothing; then luthier predict RUN FILE predicts its rows",
    )
