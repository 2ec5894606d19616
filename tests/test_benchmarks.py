"""Benchmarks and examples are run seldom: what they import from the product is there all the same."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_imported_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("luthier", "benchmarks"):
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not _is_there(module, node.module, alias.name)]
            assert not missing, f"{path.name}, line {node.lineno}: {node.module} has no {', '.join(missing)}"


def _is_there(module: object, name: str, what: str) -> bool:
    try:
        return hasattr(module, what) or bool(importlib.import_module(f"{name}.{what}"))
    except ModuleNotFoundError:
        return False
