"""Imports run down the house: a package imports only from those above it, and never in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import luthier

SOURCE = Path(luthier.__file__).parent
FOUNDATION = (
    "_version",
    "renamed",
    "averages",
    "citations",
    "console",
    "errors",
    "drawing",
    "identity",
    "messages",
    "machine",
    "mistakes",
    "records",
    "shapes",
    "seeds",
    "optional",
    "parquet_pages",
    "rows",
    "shortest_decimals",
    "storage",
    "tensors",
    "server_address",
    "untrusted",
    "schema_types",
    "request",
    "request_types",
)
ROOMS = (
    *(
        "kinds",
        "data",
        "nets",
        "objective",
        "optimise",
        "engine",
        "statistics",
        "search",
        "diagnosis",
        "assess",
        "task",
    ),
    *(
        "saved",
        "recipe",
        "report",
        "exporting",
        "runs",
        "estimators",
        "serving",
        "testing",
        "classic",
        "labs",
        "studio",
        "cli",
    ),
)
ORDER = {room: depth for depth, room in enumerate(ROOMS)}
LIMIT = 400
FLOORS = 6
# Rooms that are higher, and why. A step of the recipe needs the runner, that the problem, that the data; a training the
# loop, that its state, that the learners. The others are chains of small files of one concept each.
TOWERS = {"recipe": 17, "engine": 16, "data": 9, "serving": 9, "search": 8}


@cache
def modules() -> dict[str, Path]:
    result = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        result[".".join(part for part in parts if part != "__init__")] = path
    return result


@cache
def imports(path: Path, module: str) -> set[str]:
    """The luthier modules that a file imports, as dotted names inside the package; also lazy ones."""
    known = modules()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    result = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names if alias.name.startswith("luthier")}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(["luthier", *[part for part in above if part], *([base] if base else [])])
            if base.split(".")[0] == "luthier":
                result |= {
                    f"{base}.{alias.name}" if f"{base}.{alias.name}".removeprefix("luthier.") in known else base
                    for alias in node.names
                }
    return {name.removeprefix("luthier").removeprefix(".") for name in result}


def room_of(module: str) -> str:
    return module.split(".")[0]


def test_every_module_lives_in_a_known_room() -> None:
    assert {room_of(module) for module in modules()} - {"", *FOUNDATION, *ROOMS, "__main__"} == set()


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_run_down_the_house(module: str) -> None:
    path, room = modules()[module], room_of(module)
    for imported in imports(path, module):
        other = room_of(imported)
        if room in ("", "__main__") or other in ("", room):  # the front door names what it offers
            continue
        if room in FOUNDATION:
            assert other in FOUNDATION, f"{module} is foundation and imports {imported}"
        elif other not in FOUNDATION:
            assert ORDER[other] < ORDER[room], f"{module} imports {imported}, which lies below it"


def test_no_import_cycles() -> None:
    graph = {module: {name for name in imports(path, module) if name != module} for module, path in modules().items()}
    for module, path in modules().items():  # importing a.b runs a/__init__ first; a package may import its parts
        if path.name == "__init__.py":
            graph[module] = {name for name in graph[module] if module == "" or not name.startswith(f"{module}.")}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module in done or module not in graph:
            return
        for name in sorted(graph[module]):
            visit(name, (*trail, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())


def floors(room: str) -> tuple[int, list[str]]:
    """How many modules of a room import one another in a row, at most, and one such row from the top down."""
    own = {module: path for module, path in modules().items() if room_of(module) == room and module != room}
    below = {module: {name for name in imports(path, module) if name in own} - {module} for module, path in own.items()}
    for module in own:  # a package's own front door names what its parts offer
        below[module] = {name for name in below[module] if not name.startswith(f"{module}.")}

    @cache
    def row(module: str) -> list[str]:
        return [module, *max((row(name) for name in sorted(below[module])), key=len, default=[])]

    longest = max((row(module) for module in sorted(own)), key=len, default=[])
    return len(longest), longest


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_is_a_tower(room: str) -> None:
    """Six floors of imports at most; rooms of TOWERS have those that are written there, which may only fall."""
    count, row = floors(room)
    allowed = TOWERS.get(room, FLOORS)
    assert count <= allowed, " > ".join(row)
    assert count == allowed or room not in TOWERS, f"{room} has {count} floors now: write that into TOWERS"


@pytest.mark.parametrize("module", sorted(modules()))
def test_files_stay_small(module: str) -> None:
    lines = modules()[module].read_text().count("\n")
    assert lines <= LIMIT, f"{module} has {lines} lines: is it one concept?"


def test_every_public_class_is_defined_once() -> None:
    """A name that is met twice is two things to a reader, whatever its import says."""
    defined: dict[str, list[str]] = {}
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined.setdefault(node.name, []).append(module)
    assert {name: where for name, where in defined.items() if len(where) > 1} == {}


def test_files_of_one_name_cannot_be_confused() -> None:
    """Subcommands, labs and listings are named after their subjects; elsewhere a name is one file's."""
    named: dict[str, list[str]] = {}
    for module, path in modules().items():
        if path.name != "__init__.py" and room_of(module) not in ("cli", "labs", "classic"):
            named.setdefault(module.rpartition(".")[2], []).append(module)
    assert {name: where for name, where in named.items() if len(where) > 1} == {}
