"""Forged model files and run folders: errors of ours alone, soon, and in bounded memory."""

from __future__ import annotations

import json
import resource
import zipfile
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load, save
from tests.reliability.forged import forge, make_bases, make_more_bases, signed

from luthier.errors import InputError
from luthier.saved import Model

Bases = dict[str, tuple[Path, Path]]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return make_bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.filterwarnings("ignore")
def test_forgeries_are_used_or_refused(bases: Bases) -> None:
    found = forge(bases, 150, seed=0)
    assert found.clean, found
    assert min(found.ends[name] for name in ("models used", "models refused", "folders used", "folders refused")) > 5


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_many_forgeries_are_used_or_refused(bases: Bases, tmp_path: Path) -> None:
    found = forge(bases | make_more_bases(tmp_path), 20_000, seed=1)
    assert found.clean, found
    assert found.megabytes < 200


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refused(entries: dict[str, bytes], path: Path) -> str:
    path.write_bytes(signed(entries))
    with pytest.raises(InputError) as error:
        Model.load(path)
    return str(error.value)


def test_a_network_is_as_large_as_its_tensors(bases: Bases, tmp_path: Path) -> None:
    """A spec of 100,000 units a layer would take 40 GB, before the weights are seen not to be there."""
    entries = entries_of(bases["classes"][0] / "model.luthier")
    model = json.loads(entries["model.json"])
    model["specs"][0]["hidden"] = [100_000, 100_000]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refused({**entries, "model.json": json.dumps(model).encode()}, tmp_path / "m.luthier")
    assert "layers." in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_are_numbers(bases: Bases, tmp_path: Path, number: float) -> None:
    entries = entries_of(bases["values"][0] / "model.luthier")
    weights = load(entries["weights.safetensors"])
    name = next(name for name, value in weights.items() if name.startswith("nets.") and value.numel())
    weights[name].view(-1)[0] = number
    assert "finite numbers" in refused({**entries, "weights.safetensors": save(weights)}, tmp_path / "m.luthier")


def test_a_tokenizer_merges_its_own_pieces(bases: Bases, tmp_path: Path) -> None:
    """The library that reads it panics otherwise."""
    entries = entries_of(bases["values"][0] / "model.luthier")
    encoder = json.loads(entries["encoder.json"])
    model = encoder["texts"][0]["tokenizer"]["model"]
    model["merges"][0] = [max(model["vocab"], key=len)] * 2
    message = refused({**entries, "encoder.json": json.dumps(encoder).encode()}, tmp_path / "m.luthier")
    assert "merges are pairs of its pieces" in message


def test_an_honest_file_signed_anew_is_the_same_model(bases: Bases, tmp_path: Path) -> None:
    """So that what is refused above is refused for what was changed."""
    for path, rows in bases.values():
        (tmp_path / "again.luthier").write_bytes(signed(entries_of(path / "model.luthier")))
        frame = pl.read_csv(rows).head(20)
        assert (
            Model.load(tmp_path / "again.luthier")
            .predict(frame)
            .equals(Model.load(path / "model.luthier").predict(frame))
        )
