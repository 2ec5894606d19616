"""A search keeps to a bound of memory: fewer trials at once, batches in pieces, and the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import luthier
from luthier.errors import InputError
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.search import DenseNetworks, Trial
from luthier.seeds import torch_generator

g = torch_generator(0, "memory")
X = torch.randn(300, 6, generator=g)
NO_CODES = torch.zeros(300, 0, dtype=torch.int64)
Y = (X[:, 0] * X[:, 1] > 0).long()
NETWORKS = DenseNetworks(
    *(Rows(Inputs(numbers=X[rows]), Y[rows]) for rows in (slice(0, 200), slice(200, 300))),
    "softmax",
    DenseSpec(6, (8,), 2),
)
TRIALS = [Trial(k, {"width": 64, "learning_rate": 1e-2, "batch_size": 50}, k, "all") for k in range(8)]


def tuned(memory: str | None, run: Path | None = None, **space: Any) -> luthier.Study:
    wanted = {"learning_rate": (1e-3, 1e-1), "width": 64, "rule": ["sgd", "adam"], **space}
    return luthier.tune(
        DenseSpec(6, (8,), 2), (X, Y), wanted, trials=10, epochs=2, confirm=3, workers=1, memory=memory, run=run
    )


def figures(study: luthier.Study) -> list[tuple[Any, ...]]:
    """What must be the same, values but for rounding: products of other sizes add up in another order."""
    return [
        (t.number, repr(t.values), t.seed, t.status, pytest.approx(t.value, rel=1e-4)) for t in study.outcome.trials
    ]


def bytes_of(count: int) -> int:
    """The least bound under which so many trials train together."""
    nets = DenseNetworks(NETWORKS.training, NETWORKS.validation, NETWORKS.loss, NETWORKS.base)
    low, high = 1, 1 << 30
    while low < high:
        nets.memory = (low + high) // 2
        fits = nets.at_once(TRIALS, 2)[0] >= count and "parts" not in nets.at_once(TRIALS[:1], 2)[1]
        low, high = (low, nets.memory) if fits else (nets.memory + 1, high)
    return low


def test_populations_get_smaller_and_the_numbers_stay(tmp_path: Path) -> None:
    whole, bounded = tuned(None), tuned(f"{bytes_of(2)}B", tmp_path / "bounded")
    assert figures(bounded) == figures(whole)
    for name, value in whole.module().state_dict().items():
        torch.testing.assert_close(bounded.module().state_dict()[name], value, rtol=1e-3, atol=1e-4)
    message = [note for note in bounded.outcome.notes if "turns of up to" in note]
    assert message
    assert not [note for note in whole.outcome.notes if "turns" in note]
    assert any(name in (tmp_path / "bounded" / "report.html").read_text() for name in message)


def test_batches_go_through_in_pieces_where_one_network_does_not_fit() -> None:
    alone = bytes_of(1)
    pieces = tuned(f"{alone - 1}B")
    assert any("are processed in" in note for note in pieces.outcome.notes)
    for one, other in zip(pieces.outcome.searched, tuned(None).outcome.searched, strict=True):
        assert one.values == other.values
        assert one.value == pytest.approx(other.value, rel=1e-3)


def test_a_network_that_is_too_large_fails_with_its_reason_and_the_rest_goes_on() -> None:
    result = tuned(f"{bytes_of(1)}B", width=[16, 4096])
    reasons = {t.values["width"]: (t.status, t.reason) for t in result.outcome.searched}
    assert reasons[16] == ("complete", "")
    assert reasons[4096][0] == "failed"
    assert "does not fit into the memory" in reasons[4096][1]
    assert result.best["width"] == 16


def test_it_goes_on_under_another_bound_to_the_same_numbers(tmp_path: Path) -> None:
    """What was cut off is trained in other groups; what is on record is not trained again."""
    whole = tuned(None, tmp_path / "run")
    journal = tmp_path / "run" / "journal.jsonl"
    kept = journal.read_bytes().splitlines(keepends=True)
    for lines in (3, 6):
        for path in (tmp_path / "run").iterdir():
            if path.suffix in (".db", ".parquet", ".html"):
                path.unlink()
        journal.write_bytes(b"".join(kept[:lines]))
        assert figures(tuned(f"{bytes_of(3)}B", tmp_path / "run")) == figures(whole)


@pytest.mark.parametrize("asked", ["much", "0GiB", "-2GiB"])
def test_a_bound_that_is_none(asked: str) -> None:
    with pytest.raises(InputError):
        tuned(asked)
