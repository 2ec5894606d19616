"""PyTorch's threads and its flushing of small numbers are the user's: public functions leave them as they were."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import luthier
import luthier.runs  # with libraries that keep their own warnings back from then on
from luthier.errors import InputError
from luthier.machine import flushes_denormals, machine_memory, torch_settings

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[luthier.Result, bool]:
    """A run, and whether its making left the settings as they were."""
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    result = luthier.fit("iris", budget="40steps", run=tmp_path_factory.mktemp("runs") / "run")
    assert result is not None
    return result, (torch.get_num_threads(), flushes_denormals()) == (2, False)


ENTRIES: dict[str, Callable[[], Any]] = {
    "train": lambda: luthier.train(net(), (X, Y), steps=3),
    "train in two processes": lambda: luthier.train(net, (X, Y), steps=3, seeds=2, processes=2),
    "find_lr": lambda: luthier.find_lr(net(), (X, Y), steps=10, seeds=1, confirm=False),
    "diagnose": lambda: luthier.diagnose(net(), (X, Y), steps=5, controls=False),
    "tune": lambda: luthier.tune(lambda h: net(), (X, Y), {"learning_rate": (0.1, 1.0)}, trials=2, epochs=1, workers=1),
    "transfer": lambda: luthier.transfer(net(), (X, Y), validation=(X, Y), epochs=1, seeds=1, most_unfrozen=0),
}


@pytest.fixture(params=[(1, False), (2, True)], ids=["one thread", "two threads, flushing"])
def settings(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    before = torch.get_num_threads(), flushes_denormals()
    threads, flushing = request.param
    torch.set_num_threads(threads)
    torch.set_flush_denormal(flushing)
    yield request.param
    torch.set_num_threads(before[0])
    torch.set_flush_denormal(before[1])


@pytest.mark.parametrize("name", list(ENTRIES))
def test_a_public_function_leaves_the_settings_as_they_were(name: str, settings: tuple[int, bool]) -> None:
    filters = list(warnings.filters)
    ENTRIES[name]()
    assert (torch.get_num_threads(), flushes_denormals()) == settings
    assert warnings.filters == filters


def test_so_does_the_whole_recipe(fitted: tuple[luthier.Result, bool]) -> None:
    assert fitted[1]


@pytest.mark.parametrize("name", ["train", "find_lr", "diagnose", "tune", "transfer"])
def test_so_does_one_that_fails(name: str, settings: tuple[int, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a step."""

    def forward(self: Any, x: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr(nn.Tanh, "forward", forward)
    monkeypatch.setattr("luthier.engine.members.module_spec.chain", lambda module: None)
    with pytest.raises(InputError, match="ValueError: no"):
        ENTRIES[name]()
    assert (torch.get_num_threads(), flushes_denormals()) == settings


def test_contexts_stand_inside_each_other(settings: tuple[int, bool]) -> None:
    with torch_settings(threads=3):
        with torch_settings(threads=4):
            assert (torch.get_num_threads(), flushes_denormals()) == (4, True)
        assert (torch.get_num_threads(), flushes_denormals()) == (3, True)
    assert (torch.get_num_threads(), flushes_denormals()) == settings


def test_a_server_has_one_thread_while_it_lives(
    fitted: tuple[luthier.Result, bool], settings: tuple[int, bool]
) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    responses = pytest.importorskip("starlette.responses")
    from luthier.serving.application import make_app

    app, seen = make_app(fitted[0].model), list[int]()

    async def threads(_: Any) -> Any:
        seen.append(torch.get_num_threads())
        return responses.Response()

    app.add_route("/threads", threads)
    with testclient.TestClient(app) as client:
        client.get("/threads")
    assert seen == [1]
    assert torch.get_num_threads() == settings[0]


@pytest.mark.parametrize(
    ("groups", "limits", "wanted"),
    [
        ("0::/a/b", {"memory.max": "max", "a/memory.max": "4096", "a/b/memory.max": "8192"}, 4096),
        ("0::/", {"memory.max": "4096"}, 4096),
        ("0::/a", {"a/memory.max": "max"}, None),
        ("4:cpu:/\n3:memory:/a\n0::/", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, None),
        ("3:memory,blkio:/a", {"memory/a/memory.limit_in_bytes": "4096"}, 4096),
    ],
)
def test_a_containers_limit_is_the_machines(
    groups: str, limits: dict[str, str], wanted: int | None, tmp_path: Path
) -> None:
    (tmp_path / "cgroup").write_text(groups + "\n")
    for name, limit in limits.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + "\n")
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine_memory(tmp_path / "cgroup", tmp_path / "fs") == (wanted or physical)
    assert machine_memory(tmp_path / "none") == physical
