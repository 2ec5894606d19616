"""Model files: the same predictions after reading, and nothing but what was saved is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.errors import InputError
from luthier.runs.screen import SilentScreen
from luthier.saved import AskedColumns, Model, predict_file
from luthier.saved import model as model_module
from luthier.saved.bundle import FORMAT, READABLE


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    g = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"x": g.normal(size=120), "c": g.choice(["a", "b", "c"], 120), "y": g.choice(["no", "yes"], 120)}
    )
    run = tmp_path_factory.mktemp("bundle") / "run"
    found = luthier.fit(frame, target="y", budget="60steps", run=run, screen=SilentScreen())
    assert found is not None
    return found


FRAME = pl.DataFrame({"x": [0.1, None, 3.0], "c": ["a", "never seen", None]})


def test_a_model_predicts_the_same_after_reading(result: luthier.Result, tmp_path: Path) -> None:
    path = result.save(tmp_path / "m.luthier")
    first, again = Model.load(path), luthier.load(path)
    assert first.predict_proba(FRAME).equals(again.predict_proba(FRAME))
    again.save(tmp_path / "twice.luthier")
    assert (tmp_path / "twice.luthier").read_bytes() == path.read_bytes()


def test_rows_come_in_whatever_holds_a_table(result: luthier.Result, tmp_path: Path) -> None:
    model = luthier.load(result.path)
    FRAME.write_csv(tmp_path / "rows.csv")
    frames = FRAME.to_pandas(), FRAME.to_arrow(), FRAME.lazy()
    for rows in (*frames, tmp_path / "rows.csv", str(tmp_path / "rows.csv"), FRAME.to_dicts(), FRAME.to_dict()):
        assert model.predict(rows).equals(model.predict(FRAME))
        assert model.predict_proba(rows).equals(model.predict_proba(FRAME))
    for row, wanted in zip(FRAME.to_dicts(), model.predict(FRAME), strict=True):
        assert model.predict(row).to_list() == [wanted]
    with pytest.raises(InputError, match="the dicts are not a table"):
        model.predict({"x": [1, 2], "c": ["a"]})
    for odd in (3, None, [1, 2], [{"x": 1, "c": "a"}, 3]):
        with pytest.raises(InputError, match="is not a table"):
            model.predict(odd)


def rewritten(path: Path, change: object) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(buffer, "w") as copy:
        change(copy, {info.filename: whole.read(info) for info in whole.infolist()})  # type: ignore[operator]
    return buffer.getvalue()


def _all(copy: zipfile.ZipFile, entries: dict[str, bytes], **options: int) -> None:
    for name, content in entries.items():
        copy.writestr(name, content, **options)


ATTACKS = {
    "an extra entry": (lambda z, e: _all(z, {**e, "extra.py": b"print()"}), "not a model of Luthier"),
    "a path outside": (lambda z, e: _all(z, {**e, "../../x": b""}), "not a model of Luthier"),
    "an entry short": (lambda z, e: _all(z, {k: v for k, v in e.items() if k != "model.json"}), "not a model"),
    "a newer format": (
        lambda z, e: _all(z, {**e, "manifest.json": e["manifest.json"].replace(b'"format": 3', b'"format": 9')}),
        "format that this version of Luthier cannot read",
    ),
    "packed entries": (lambda z, e: _all(z, e, compress_type=zipfile.ZIP_DEFLATED), "compressed or too large"),
    "no checksums": (
        lambda z, e: _all(z, {**e, "manifest.json": b'{"format": 3}'}),
        "does not hold what it should: checksums",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_was_not_saved_is_not_read(result: luthier.Result, tmp_path: Path, name: str) -> None:
    change, message = ATTACKS[name]
    (tmp_path / "bad.luthier").write_bytes(rewritten(result.folder.bundle, change))
    with pytest.raises(InputError, match=message):
        Model.load(tmp_path / "bad.luthier")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_file_cut_short(result: luthier.Result, tmp_path: Path, keep: float) -> None:
    content = result.folder.bundle.read_bytes()
    (tmp_path / "short.luthier").write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(InputError, match="not a complete model file"):
        Model.load(tmp_path / "short.luthier")


@pytest.mark.parametrize("version", READABLE)
def test_files_of_every_format_still_open_and_tell_the_same(version: int) -> None:
    """Each was written by the program of its time, with the probabilities that it told then."""
    golden = Path(__file__).parent / "golden"
    rows = pl.read_csv(golden / "rows.csv", null_values=["NA", ""])
    found = luthier.load(golden / f"format-{version}.luthier").predict_proba(rows)
    wanted = pl.read_csv(golden / f"format-{version}.csv")
    assert found.columns == wanted.columns
    np.testing.assert_allclose(found.to_numpy(), wanted.to_numpy(), rtol=0, atol=1e-5)


def test_every_format_has_a_golden_file() -> None:
    assert READABLE[-1] == FORMAT
    assert {path.stem for path in (Path(__file__).parent / "golden").glob("*.luthier")} == {
        f"format-{n}" for n in READABLE
    }


def test_a_large_table_is_computed_once_in_pieces_and_to_the_same_bits(
    result: luthier.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one piece and in several, by one thread and by several; every row passes each network once."""
    model = result.model
    rows = pl.DataFrame({"x": np.random.default_rng(1).normal(size=1000), "c": ["a", "b", "new", "c"] * 250})
    whole, passed = model.predict_proba(rows), list[int]()
    monkeypatch.setattr(model_module, "PIECE", 128)
    rows.write_csv(tmp_path / "rows.csv")
    for net in model.nets:
        net.register_forward_hook(lambda net, given, out: passed.append(len(out)))
    monkeypatch.setattr("luthier.saved.predict.load_all", lambda run: {"y": model})
    for threads in (1, 3):
        monkeypatch.setattr("luthier.saved.in_threads.threads", lambda threads=threads: threads)
        passed.clear()
        predict_file(result.path, str(tmp_path / "rows.csv"), tmp_path / f"{threads}.csv", AskedColumns(sets=True))
        assert sum(passed) == 1000 * len(model.nets)
        given = pl.read_csv(tmp_path / f"{threads}.csv")
        for name in whole.columns:
            np.testing.assert_array_equal(given[f"probability_{name}"].to_numpy(), whole[name].to_numpy())
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "3.csv").read_bytes()
