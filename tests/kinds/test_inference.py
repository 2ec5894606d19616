"""The kind that a target is taken for, against a list that was written down before the rule."""

from __future__ import annotations

import os
from typing import get_args

import pytest
from tests.kinds.named_targets import NAMED, TABLES

from luthier.data.typed_columns.measured_target import target_facts
from luthier.kinds import KINDS, TaskKind, task_of

HERE = os.environ.get("LUTHIER_DATA")


@pytest.mark.parametrize("name", NAMED)
def test_named_targets_are_taken_for_what_they_are(name: str) -> None:
    expected, read = NAMED[name]
    if getattr(read, "args", ("",))[0] in TABLES and HERE is None:
        pytest.skip("the table is not here")
    assert task_of(target_facts(read()))[0] == expected


def test_every_kind_has_a_name_that_files_may_hold() -> None:
    assert sorted(get_args(TaskKind)) == sorted(KINDS)
