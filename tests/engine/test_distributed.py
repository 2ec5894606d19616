"""A batch shared by several processes gives the numbers of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luthier.engine.sharing import BatchShare, current, sharing, summed

SCRIPT = Path(__file__).with_name("distributed_script.py")


def run(work: str, folder: Path, processes: int) -> list[dict[str, Any]]:
    """What each process wrote down."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(SCRIPT), work, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = [folder / f"{work}-{processes}-{rank}.json" for rank in range(processes)]
    return [json.loads(path.read_text()) for path in result if path.exists()]


@pytest.mark.parametrize("work", ["module", "dense"])
def test_two_processes_train_as_one_does(work: str, tmp_path: Path) -> None:
    """50 steps in float64: dropout by global rows, batch norm over the whole batch, weights, uneven shares."""
    (alone,) = run(work, tmp_path, 1)
    first, second = run(work, tmp_path, 2)
    assert len(alone["losses"]) == 50
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0, atol=1e-9)
    for name in ("final", "validation"):
        np.testing.assert_allclose(first[name], alone[name], rtol=0, atol=1e-8)
    assert first == second  # every process is handed the outcome


def test_a_training_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    (alone,) = run("dense", tmp_path, 1)
    run("interrupted", tmp_path, 2)
    assert (tmp_path / "state").exists()
    first, *_ = run("resumed", tmp_path, 3)
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0, atol=1e-9)


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


def cli(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "--"]
    command = [sys.executable, "-m", *(launcher if processes > 1 else []), "luthier", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def decisions(folder: Path) -> list[tuple[str, str]]:
    records = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return [(record["topic"], record["chosen"]) for record in records if "chosen" in record and record["step"] > 1]


def test_the_whole_recipe_in_two_processes_comes_to_the_same(tmp_path: Path) -> None:
    """Stopped after the third step with two, and gone on with one."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    common = ("fit", "iris", "--budget", "400steps", "--run")
    assert cli(1, *common, str(alone)).returncode == 0
    done = cli(2, *common, str(shared), "--until", "3")
    assert done.returncode == 0, done.stderr
    assert cli(1, "fit", "--resume", str(shared)).returncode == 0
    assert decisions(shared) == decisions(alone)


def test_a_mistake_of_the_user_ends_all_processes(tmp_path: Path) -> None:
    done = cli(2, "fit", str(tmp_path / "missing.csv"))
    assert done.returncode != 0
    assert "there is no file" in done.stderr
