"""What a run asks of its runner, kept by tests that ask the same again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from luthier.recipe.experiment.questions import Question
from luthier.recipe.modality.tables import TableModality
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner

Asked = tuple[Runner, Setting, list[Question]]


@contextmanager
def questions_kept() -> Iterator[list[Asked]]:
    """What runs of tables inside ask their runner, about which setting; in order."""
    known: list[Asked] = []
    asking = TableModality.questions

    def kept(self: TableModality, runner: Runner, now: Setting, rates: Any) -> Iterator[Question]:
        known.append((runner, now, list(asking(self, runner, now, rates))))
        return iter(known[-1][2])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TableModality, "questions", kept)
        yield known
