"""A batch shared by several processes gives the numbers of one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import warm
from tests.cli.program import luthier

from luthier.engine.members.sharing import BatchShare, current, sharing, summed

SCRIPT = Path(__file__).with_name("distributed_script.py")


def together(processes: int, *command: object) -> list[subprocess.CompletedProcess[str]]:
    """Python with such words, in so many processes that know of each other as those of `torchrun` do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(processes)}
    begun = []
    for rank in range(processes):
        place = {**known, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        options = {"stdout": warm.PIPE, "stderr": warm.PIPE, "text": True, "env": {**os.environ, **place}}
        begun.append(warm.Popen([sys.executable, *command], **options))
    said = [process.communicate(timeout=300) for process in begun]
    return [subprocess.CompletedProcess(one.args, one.wait(), *told) for one, told in zip(begun, said, strict=True)]


def run(work: str, folder: Path, processes: int) -> list[dict[str, Any]]:
    """What each process wrote down."""
    done = together(processes, SCRIPT, work, folder)
    assert all(one.returncode == 0 for one in done), done[0].stderr
    return written(work, folder, processes)


def written(work: str, folder: Path, processes: int) -> list[dict[str, Any]]:
    result = [folder / f"{work}-{processes}-{rank}.json" for rank in range(processes)]
    return [json.loads(path.read_text()) for path in result if path.exists()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each work by one process."""
    folder = tmp_path_factory.mktemp("alone")
    return {work: run(work, folder, 1)[0] for work in ("module", "dense", "members")}


@pytest.mark.parametrize("work", ["module", "dense"])
def test_two_processes_train_as_one_does(work: str, alone: dict[str, Any], tmp_path: Path) -> None:
    """50 steps in float64: dropout by global rows, batch norm over the whole batch, weights, uneven shares."""
    alone = alone[work]
    if work == "dense":  # started by torchrun itself
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [sys.executable, *launcher, str(SCRIPT), work, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        first, second = written(work, tmp_path, 2)
    else:
        first, second = run(work, tmp_path, 2)
    assert len(alone["losses"]) == 50
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0, atol=1e-9)
    for name in ("final", "validation"):
        np.testing.assert_allclose(first[name], alone[name], rtol=0, atol=1e-8)
    assert first == second  # every process is handed the outcome


def test_a_training_goes_on_with_another_number_of_processes(alone: dict[str, Any], tmp_path: Path) -> None:
    run("interrupted", tmp_path, 2)
    assert (tmp_path / "state").exists()
    first, *_ = run("resumed", tmp_path, 3)
    np.testing.assert_allclose(first["losses"], alone["dense"]["losses"], rtol=0, atol=1e-9)


def test_members_are_shared_out_among_processes(alone: dict[str, Any], tmp_path: Path) -> None:
    """Ten networks, five in each of two processes; what each comes to does not depend on its company."""
    first, second = run("members", tmp_path, 2)
    assert len(alone["members"]["losses"][0]) == 10
    for name in ("losses", "final", "validation"):
        np.testing.assert_allclose(first[name], alone["members"][name], rtol=0, atol=1e-9)
    assert first == second


def test_shared_members_go_on_with_another_number_of_processes(alone: dict[str, Any], tmp_path: Path) -> None:
    run("members interrupted", tmp_path, 2)
    assert (tmp_path / "members.0").exists()
    first, *_ = run("members resumed", tmp_path, 3)
    np.testing.assert_allclose(first["losses"], alone["members"]["losses"], rtol=0, atol=1e-9)


def test_shares_cover_a_batch_once() -> None:
    for total in (1, 2, 7, 64):
        for processes in (1, 2, 3, 5):
            rows = [range(total)[BatchShare.of(place, processes, total).slice] for place in range(processes)]
            assert [row for some in rows for row in some] == list(range(total))


def test_nothing_is_shared_outside() -> None:
    value = torch.ones(2)
    assert summed(value) is value
    with sharing(BatchShare(0, 1, 2)):
        assert current() == BatchShare(0, 1, 2)
    assert current() is None


def decisions(folder: Path) -> list[tuple[str, str, object]]:
    records = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return [
        (record["code"], record["of"], record["choice"])
        for record in records
        if "choice" in record and record["step"] > 1
    ]


def test_the_whole_recipe_in_two_processes_comes_to_the_same(tmp_path: Path) -> None:
    """Stopped after the third step with two, and gone on with one."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    common = ("fit", "iris", "--budget", "100steps", "--run")
    assert luthier(*common, alone).returncode == 0
    done = together(2, "-m", "luthier", *common, shared, "--until", "3")
    assert [one.returncode for one in done] == [0, 0], done[0].stderr
    assert luthier("resume", shared).returncode == 0
    one, other = decisions(shared), decisions(alone)
    assert [what[:2] for what in one] == [what[:2] for what in other]
    for (code, of, choice), (*_, known) in zip(one, other, strict=True):  # sums of two processes round differently
        assert choice == (pytest.approx(known, rel=1e-6) if isinstance(known, float) else known), (code, of)


def test_a_mistake_of_the_user_ends_all_processes(tmp_path: Path) -> None:
    done = together(2, "-m", "luthier", "fit", tmp_path / "missing.csv")
    assert done[0].returncode != 0  # and the other one, which is dismissed, ends as well
    assert "there is no file" in done[0].stderr
