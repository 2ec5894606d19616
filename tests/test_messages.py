"""Every sentence that is spoken has its translation, with the same values in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import luthier
from luthier.errors import ConfigError
from luthier.messages import catalogue, speaking, tr
from luthier.recipe import checklist, in_lines
from luthier.recipe.checklist import ITEMS, STEP_NAMES
from luthier.report.terminal import STEPS, WORDS

SOURCE = Path(luthier.__file__).parent


def spoken() -> set[str]:
    """The literal first arguments of all calls of `tr`, and the tables whose entries are spoken."""
    result = {item.what for item in ITEMS} | set(STEP_NAMES.values()) | set(STEPS) | set(WORDS.values())
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    result.add(str(first.value))
    return result


def test_the_catalogue_is_complete_and_has_nothing_else() -> None:
    known = catalogue("zh")
    assert spoken() - set(known) == set()
    for text, translated in known.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", translated)), text
        assert re.search(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", translated), text


def test_the_checklist_in_chinese() -> None:
    with speaking("zh"):
        lines = in_lines(checklist())
    assert lines[0] == "第 1 步：选择损失函数"
    assert tr("What next?") == "What next?"


def test_a_language_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="not one of en, zh"), speaking("xx"):
        pass
