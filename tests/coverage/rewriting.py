"""Rewrite one place of a function, found by the shape of its syntax tree and never by the names that it has there.

A shape is an expression or a statement of Python. In it a name of one small letter stands for any expression, and for
the same one wherever it stands again; `...` as the body of a compound statement stands for any body. All else is meant
as written, so it may name what is imported, built in or public, and no local name, parameter or private helper:
renaming those moves no place.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
from collections.abc import Iterator

Bound = dict[str, ast.AST]  # what the letters of a shape stand for
LETTER = re.compile("[a-z]")
UNCOMPARED = ("ctx", "kind", "type_comment")


class PlaceError(LookupError):
    """A place that is not there, is there more than once, or is asked for by a name that may change."""


def rewritten(source: str, function: str, at: str, becomes: str, which: str = "") -> str:
    """The source of a module in which the place that looks like `at` has become `becomes`.

    It is looked for in `function`, a public name ("train", "Schedule.factor", 'LOSSES["softmax"]'), and in the private
    helpers of the module that it reaches. Of several places `which` names one: "2 of 3".

    >>> print(rewritten("def mean(rows):\\n    return sum(rows) / len(rows)", "mean", "a / len(b)", "a / 10"))
    def mean(rows):
        return sum(rows) / 10
    """
    tree = ast.parse(source)
    shape, template = _parsed(at, tree), _parsed(becomes, tree)
    roots = _scope(tree, function)
    result = [(node, bound) for node in _nodes(roots) if (bound := _fits(shape, node)) is not None]
    place, bound = result[_chosen(which, result, at, function, roots)]
    return ast.unparse(_Replaced(place, _Filled(bound).visit(template)).visit(tree)) + "\n"


def _chosen(which: str, found: list[tuple[ast.AST, Bound]], at: str, function: str, roots: list[ast.AST]) -> int:
    number, _, count = (which or "1 of 1").partition(" of ")
    if len(found) == int(count) and 0 < int(number) <= int(count):
        return int(number) - 1
    if not found:
        there = "\n\n".join(ast.unparse(root) for root in roots)
        raise PlaceError(f"nothing in {function} looks like `{at}`; there is\n{there}")
    lines = "\n".join(f"  line {getattr(node, 'lineno', 0)}: {ast.unparse(node)}" for node, _ in found)
    asked = f"which = '{which}'" if which else "no `which` says which one"
    raise PlaceError(f"{len(found)} places in {function} look like `{at}`, and {asked}:\n{lines}")


def _parsed(text: str, tree: ast.Module) -> ast.AST:
    """A shape; PlaceError where it spells a name that is free to change."""
    (statement,) = ast.parse(text).body
    public = _public(tree)
    for node in ast.walk(statement):
        free = isinstance(node, ast.Name) and node.id not in public and not LETTER.fullmatch(node.id)
        free = free or isinstance(node, ast.arg) or (isinstance(node, ast.Attribute) and node.attr.startswith("_"))
        if free:
            raise PlaceError(f"`{text}` spells '{ast.unparse(node)}', which may be renamed: let a letter stand for it")
    return statement.value if isinstance(statement, ast.Expr) else statement


def _public(tree: ast.Module) -> set[str]:
    """Names that a shape may spell: what the module imports, defines for others, or finds built in."""
    names = set(vars(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    names |= {name for statement in tree.body for name in _defined(statement) if not name.startswith("_")}
    return names


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _scope(tree: ast.Module, function: str) -> list[ast.AST]:
    """The definition, and the private helpers that it reaches, in the order in which they are mentioned."""
    helpers: dict[str, list[ast.AST]] = {}
    for statement in tree.body:
        inside = statement.body if isinstance(statement, ast.ClassDef) else []
        for one in (statement, *inside):
            for name in _defined(one):
                helpers.setdefault(name, []).append(one)
    roots = [_definition(tree, function)]
    for root in roots:  # grows
        for node in ast.walk(root):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if name.startswith("_") and not name.endswith("__"):
                roots += [one for one in helpers.get(name, []) if one not in roots]
    return roots


def _definition(tree: ast.Module, function: str) -> ast.AST:
    """The node that a public name stands for: a function, a method, a class, a constant, or the entry of a table."""
    path, _, key = function.removesuffix("]").partition("[")
    node: ast.AST = tree
    for name in path.split("."):
        if name.startswith("_") and not name.endswith("__"):
            raise PlaceError(f"'{function}' is private and may be renamed: name what is public and reaches it")
        definitions = [one for one in getattr(node, "body", []) if name in _defined(one)]
        if len(definitions) != 1:
            raise PlaceError(f"there is no '{function}', or it is defined more than once")
        node = definitions[0]
    if key:
        table = getattr(node, "value", None)
        entries = zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
        named = {ast.unparse(one): value for one, value in entries if one}
        if repr(ast.literal_eval(key)) not in named:
            raise PlaceError(f"there is no '{function}'; {path} holds {', '.join(named) or 'no entries'}")
        node = named[repr(ast.literal_eval(key))]
    return node


def _nodes(roots: list[ast.AST]) -> Iterator[ast.AST]:
    """Every node once, in the order of the source."""
    seen: set[ast.AST] = set()

    def below(node: ast.AST) -> Iterator[ast.AST]:
        if node not in seen:
            seen.add(node)
            yield node
            for child in ast.iter_child_nodes(node):
                yield from below(child)

    for root in roots:
        yield from below(root)


def _fits(shape: ast.AST, node: ast.AST) -> Bound | None:
    """What the letters of a shape stand for at this node; None where it looks otherwise."""
    bound: Bound = {}
    return bound if _same(shape, node, bound) else None


def _same(shape: object, node: object, bound: Bound) -> bool:
    if isinstance(shape, ast.Name) and LETTER.fullmatch(shape.id):
        # Compared as text, in which it does not matter whether a name is read or assigned.
        return isinstance(node, ast.expr) and ast.unparse(bound.setdefault(shape.id, node)) == ast.unparse(node)
    if isinstance(shape, list):
        assert isinstance(node, list)
        if _is_any_body(shape):
            bound["..."] = ast.Module(node, [])
            return True
        return len(shape) == len(node) and all(_same(*pair, bound) for pair in zip(shape, node, strict=True))
    if not isinstance(shape, ast.AST):
        return type(shape) is type(node) and shape == node
    fields = [name for name in shape._fields if name not in UNCOMPARED]
    return type(shape) is type(node) and all(_same(getattr(shape, f), getattr(node, f), bound) for f in fields)


def _is_any_body(body: object) -> bool:
    return isinstance(body, list) and [ast.unparse(one) for one in body if isinstance(one, ast.stmt)] == ["..."]


class _Filled(ast.NodeTransformer):
    """A template with what its letters stand for in their places."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Name) and LETTER.fullmatch(node.id):
            if node.id not in self.bound:
                raise PlaceError(f"nothing is known of `{node.id}`, which only the new shape has")
            return copy.deepcopy(self.bound[node.id])
        if _is_any_body(getattr(node, "body", None)):
            node.body = copy.deepcopy(self.bound["..."]).body  # type: ignore[attr-defined]
        return self.generic_visit(node)


class _Replaced(ast.NodeTransformer):
    """A tree with another node in one place."""

    def __init__(self, place: ast.AST, other: ast.AST) -> None:
        self.place, self.other = place, other

    def visit(self, node: ast.AST) -> ast.AST:
        return self.other if node is self.place else self.generic_visit(node)
