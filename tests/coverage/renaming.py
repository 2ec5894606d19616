"""Rename all that a refactoring may rename in a module: local names, parameters, and whatever is private."""

from __future__ import annotations

import ast
from typing import Any

Function = ast.FunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def renamed(source: str) -> str:
    """The source, every such name with `_anew` behind it.

    >>> print(renamed("def mean(rows):\\n    return _sum(rows) / len(rows)\\ndef _sum(rows): return sum(rows)"))
    def mean(rows_anew):
        return _sum_anew(rows_anew) / len(rows_anew)
    <BLANKLINE>
    def _sum_anew(rows_anew):
        return sum(rows_anew)
    """
    return ast.unparse(_Renamed().visit(ast.parse(source)))


class _Renamed(ast.NodeTransformer):
    def __init__(self) -> None:
        self.local: set[str] = set()  # of the function around, and of those around that

    def visit(self, node: Any) -> Any:
        outer = self.local
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.name = self._anew(node.name)
        if isinstance(node, (ast.FunctionDef, ast.Lambda, *COMPREHENSIONS)):
            self.local = outer | _bound(node)
        if isinstance(node, ast.Name):
            node.id = self._anew(node.id)
        elif isinstance(node, ast.arg):
            node.arg = self._anew(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs) and node.name:
            node.name = self._anew(node.name)
        elif isinstance(node, ast.Attribute) and _private(node.attr):
            node.attr += "_anew"
        self.generic_visit(node)
        self.local = outer
        return node

    def _anew(self, name: str) -> str:
        return f"{name}_anew" if name in self.local or _private(name) else name


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def _bound(function: ast.AST) -> set[str]:
    """Names that a function, lambda or comprehension binds, nested ones included."""
    result = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            result.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            result.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ExceptHandler | ast.MatchAs) and node.name and node is not function:
            result.add(node.name)
    return result
