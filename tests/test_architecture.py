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
    "bert",
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
        "pretrained",
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


def folder_of(module: str) -> str:
    """A room, or a part of one that has a folder of its own."""
    return module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]


FOLDERS = sorted({folder_of(module) for module in modules()} - {""})


def floors(folder: str) -> list[str]:
    """The longest row of modules of a folder that import one another, from the top down."""
    own = {module: path for module, path in modules().items() if folder_of(module) == folder and module != folder}

    @cache
    def row(module: str) -> list[str]:
        below = {name for name in imports(own[module], module) if name in own} - {module}
        return [module, *max((row(name) for name in sorted(below)), key=len, default=[])]

    return max((row(module) for module in sorted(own)), key=len, default=[])


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_is_a_tower(folder: str) -> None:
    """Six floors of imports at most, so that a newcomer finds the file they need from its name."""
    assert len(floors(folder)) <= FLOORS, " > ".join(floors(folder))


@pytest.mark.parametrize("room", ROOMS)
def test_folders_of_a_room_import_one_way(room: str) -> None:
    """The parts of a room have an order as the rooms have; what stands beside them is one part more."""
    own = {module: path for module, path in modules().items() if room_of(module) == room}
    own = {module: path for module, path in own.items() if path.name != "__init__.py"}  # a front door names its parts
    graph: dict[str, set[str]] = {folder_of(module): set() for module in own}
    for module, path in own.items():
        graph[folder_of(module)] |= {folder_of(name) for name in imports(path, module) if name in own}
    while graph:
        lowest = [folder for folder, others in graph.items() if not (others & set(graph)) - {folder}]
        assert lowest, f"each of {sorted(graph)} imports another of them"
        graph = {folder: others for folder, others in graph.items() if folder not in lowest}


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
