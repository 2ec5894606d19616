"""A file of rows that are sealed in place of a part of the source's: it has the target, or nothing can be scored."""

from __future__ import annotations

from collections.abc import Mapping

from luthier.data import Source, read_source
from luthier.data.split import TEST
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.errors import InputError, listed
from luthier.messages import Message
from luthier.request import RunRequest


def read_test(asked: RunRequest, target: str, styles: Mapping[str, NumberStyle]) -> Source | None:
    """The file of test rows of a request; None where it names none. InputError where it has no target."""
    if asked.test and asked.test_share != TEST:
        raise InputError(
            "--test and --test-share exclude each other",
            expected="rows of your own, or a share of the source's",
            received=Message("--test {test} --test-share {test_share:g}", test=asked.test, test_share=asked.test_share),
            remedy="leave one of them out",
        )
    if not asked.test_file:
        return None
    result = read_source(asked.test_file, styles=styles)
    if target not in result.frame.columns:
        raise without_target(asked.test_file, target, f"the columns {listed(result.frame.columns)}")
    return result


def without_target(test: str, target: str, received: str) -> InputError:
    """What is said of test rows without a target."""
    return InputError(
        Message("'{test}' has no `{target}`, so nothing can be scored on it", test=test, target=target),
        expected="test rows with the target",
        received=received,
        remedy="--test none seals nothing; then luthier predict RUN FILE predicts its rows",
    )
