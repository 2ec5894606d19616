"""Programs that start cold are counted: each waits seconds for PyTorch before its first line."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent

# Where Python is started anew, how often, and why `tests/warm.py`, which forks, would not do.
COLD = {
    "cli/test_commands.py": 1,  # what an import costs
    "docs/test_site.py": 1,  # mkdocs
    "engine/test_alone.py": 1,  # a process that has PyTorch and NumPy alone
    "engine/test_distributed.py": 1,  # torchrun
    "engine/test_footprint.py": 1,  # the peak of a process that has nothing yet
    "exporting/test_export.py": 1,  # an environment with PyTorch alone
    "exporting/test_pictures.py": 1,
    "reliability/test_fuzz.py": 1,  # Atheris, which looks on as modules are loaded
    "runs/test_tracking.py": 1,  # MLflow
    "test_package.py": 5,  # pip, two wheels, what an import brings, mypy
    "warm.py": 1,  # the process that forks
}


def cold_starts(path: Path) -> int:
    """Calls of `subprocess` whose command, written there or in a name of the same function, begins with this Python."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return sum(_cold_starts_in(function) for function in functions)


def _cold_starts_in(function: ast.FunctionDef) -> int:
    pythons = {"sys.executable"}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List) and "sys.executable" in ast.unparse(node):
            pythons |= {ast.unparse(target) for target in node.targets}
    calls = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.run", "subprocess.Popen")
    ]
    return sum(any(name in ast.unparse(call.args[0]) for name in pythons) for call in calls)


def test_no_other_test_starts_python_anew() -> None:
    files = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    counted = {str(path.relative_to(TESTS)): cold_starts(path) for path in files}
    assert {name: count for name, count in counted.items() if count} == COLD
