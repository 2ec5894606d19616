"""Tables larger than memory: what is held, what is measured, and what is read from disk."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from luthier.data import Preprocess, read_batches, read_source
from luthier.data.encoded import encoded
from luthier.data.large import measured, too_large
from luthier.data.pieces import Pieces
from luthier.data.row_bytes import row_bytes
from luthier.errors import InputError
from luthier.machine import parse_memory
from luthier.rows import Inputs, Rows
from luthier.storage import cached

ROWS, MEMORY = 5000, 100_000


def table(rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, rows)
    return pl.DataFrame(
        {
            "x": [None if gone else value for gone, value in zip(rng.random(rows) < 0.1, x.round(3), strict=True)],
            "shop": rng.choice(["north", "south"], rows),
            "row": np.arange(rows) * 1.5,
            "sold": np.where(x > 3, "yes", "no"),
        },
        schema_overrides={"x": pl.Float64},
    )


@pytest.fixture(params=["folder", "parquet", "csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same table as a folder of Parquet files, as one, and as CSV."""
    frame = table()
    if request.param == "csv":
        frame.write_csv(tmp_path / "table.csv")
        return tmp_path / "table.csv"
    if request.param == "parquet":
        frame.write_parquet(tmp_path / "table.parquet")
        return tmp_path / "table.parquet"
    for k, piece in enumerate(frame.iter_slices(700)):
        (tmp_path / "table" / f"day={k}").mkdir(parents=True)
        piece.write_parquet(tmp_path / "table" / f"day={k}" / "part.parquet")
    return tmp_path / "table"


def test_a_sample_and_the_others_are_the_table(path: Path) -> None:
    result = read_source(path, target="sold", memory=MEMORY)
    assert result.whole is not None
    assert result.whole.rows == ROWS
    others = result.whole.others.collect()
    assert 900 < result.frame.height < ROWS / 2
    assert others.schema == result.frame.schema
    whole = pl.concat([result.frame, others]).cast(table().schema).sort("row")
    assert whole.equals(table())
    assert "in memory" in result.notes[-1]
    again = read_source(path, target="sold", memory=MEMORY)
    assert again.frame.equals(result.frame)
    assert again.fingerprint == result.fingerprint


def test_what_fits_is_read_as_a_whole(path: Path) -> None:
    result = read_source(path, target="sold")
    assert result.whole is None
    assert result.frame.cast(table().schema).equals(table())
    assert not too_large(path, 1 << 30)


def test_batches_walk_every_row_in_order(path: Path) -> None:
    rows = pl.concat([batch.select(pl.col("row").cast(pl.Float64)) for batch in read_batches(path, 640)])
    assert rows["row"].to_list() == table()["row"].to_list()


def test_numbers_are_measured_as_polars_measures_them_in_memory(path: Path) -> None:
    result = read_source(path, target="sold", memory=MEMORY)
    assert result.whole is not None
    x = table()["x"]
    known = measured(
        frame["x"].cast(pl.Float64).to_numpy()[:, None] for frame in [result.frame, *result.whole.others.frames(700)]
    )
    wanted = [x.null_count() / ROWS, x.mean(), x.std(ddof=0), x.min(), x.max()]
    np.testing.assert_allclose(known[:, 0], np.array(wanted, dtype=float), rtol=1e-9)


def test_preprocessing_by_what_was_measured_is_that_of_all_rows() -> None:
    """Fitted on a sample with the figures of all rows, against fitted on all rows; only the median is the sample's."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 2, generator=generator, dtype=torch.float64) * 3 + 1
    rows[::7, 1] = torch.nan
    known = [rows[:, f][~rows[:, f].isnan()] for f in (0, 1)]
    figures = torch.tensor(
        [[1 - len(k) / 4000, k.mean(), k.std(correction=0), k.min(), k.max()] for k in known], dtype=torch.float64
    ).T
    sample = rows[:400].float()
    fitted = Preprocess.fit(sample, measured=figures.float())
    filled = torch.where(rows[:, 1].isnan(), fitted.median[1].double(), rows[:, 1])
    torch.testing.assert_close(fitted.mean[1].double(), filled.mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fitted.scale[1].double(), filled.std(correction=0), rtol=1e-5, atol=1e-6)
    assert float(fitted.lowest[0]) == pytest.approx(float(rows[:, 0].min()))
    assert fitted.flagged == 1


def test_encoded_rows_come_back(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    whole = Rows(
        Inputs(numbers=torch.randn(50, 3, generator=generator), codes=torch.randint(9, (50, 2), generator=generator)),
        torch.randint(4, (50,), generator=generator),
        torch.rand(50, generator=generator),
    )
    kept = encoded(
        tmp_path / "rows",
        lambda: (whole.rows(torch.arange(k, k + 10)) for k in range(0, 50, 10)),
        classes=True,
        weighted=True,
    )
    result = kept.read(7, 33)
    wanted = whole.rows(torch.arange(7, 33))
    for name in ("numbers", "codes", "targets", "weights"):
        assert getattr(result, name).equal(getattr(wanted, name)), name
    again = encoded(tmp_path / "rows", lambda: pytest.fail("they lie there"), classes=True, weighted=True)
    assert len(again) == 50


def test_what_broke_off_is_written_again(tmp_path: Path) -> None:
    def broken() -> object:
        yield Rows(Inputs(numbers=torch.zeros(2, 1)), torch.zeros(2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded(tmp_path / "rows", broken, classes=False, weighted=False)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "size"), [("512MiB", 512 << 20), ("2g", 2 << 30), ("1.5 GB", 3 << 29), ("800", 800)])
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "many", "0", "-1g", "2 pints"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InputError, match="not an amount of memory"):
        parse_memory(text)


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table().write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_source(path, memory=1000)


def test_a_folder_whose_files_differ(tmp_path: Path) -> None:
    table(10).write_parquet(tmp_path / "a.parquet")
    table(10).rename({"shop": "place"}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_source(tmp_path, memory=1000)


@pytest.mark.parametrize("kept", ["semicolons", "gzip", "latin-1", "utf-16", "titles", "quotes"])
def test_a_csv_file_is_read_on_the_disk_as_in_memory(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    frame = table().with_columns(shop=pl.col("shop").replace("south", "süd, unten"))
    path = tmp_path / ("table.csv.gz" if kept == "gzip" else "table.csv")
    text = frame.write_csv(separator=";" if kept == "semicolons" else ",")
    text = "All shops\n\n" + text if kept == "titles" else text
    text = text.replace("north", 'no"rth') if kept == "quotes" else text  # written against the rules
    content = text.encode(kept if kept in ("latin-1", "utf-16") else "utf-8")
    path.write_bytes(gzip.compress(content) if kept == "gzip" else content)
    whole, result = read_source(path), read_source(path, memory=MEMORY)
    assert result.whole is not None
    assert result.whole.rows == ROWS
    assert result.notes[:-1] == whole.notes
    assert (
        pl.concat([result.frame, result.whole.others.collect()])
        .sort(pl.col("row").cast(pl.Float64))
        .equals(whole.frame)
    )
    folders = list((tmp_path / "cache" / "tables").iterdir())
    assert read_source(path, memory=MEMORY).frame.equals(result.frame)
    assert list((tmp_path / "cache" / "tables").iterdir()) == folders == cached("tables")


def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(b"place,sold\n" + b"".join(b"caf\xe9 %d,%d\n" % (n, n % 2) for n in range(2, 5002)))
    for memory in (0, 1000):
        result = read_source(path, memory=memory)
        assert "Latin-1 (Windows-1252), since line 2 is not UTF-8" in result.notes[0]
        assert result.frame["place"].str.starts_with("café ").all()
    path.write_bytes("place,sold\né,1\né,0\n".encode() + b"caf\xe9,1\n" + b"a,0\n" * 3000)
    for memory in (0, 1000):
        with pytest.raises(InputError, match=r"line 4 of 'old.csv' is not UTF-8(.|\n)*iconv"):
            read_source(path, memory=memory)


def test_pieces_of_any_length_are_the_same_rows(path: Path) -> None:
    result = read_source(path, target="sold", memory=MEMORY)
    assert result.whole is not None
    few = list(result.whole.others.frames(97))
    assert max(piece.height for piece in few) <= 97
    assert pl.concat(few).equals(result.whole.others.collect())
    assert result.whole.others.of(["sold"]).collect().columns == ["sold"]


@pytest.mark.parametrize("piece", [1, 37, 699, 10_000])
def test_rows_at_some_places_are_those_rows(tmp_path: Path, piece: int) -> None:
    """Of several files, some without a row that is wanted; none at all too."""
    frame, files = table(), []
    for k, (start, rows) in enumerate([(0, 700), (700, 1), (701, 2300), (3001, 1999)]):
        files.append(tmp_path / f"{k}.parquet")
        frame[start : start + rows].write_parquet(files[-1], row_group_size=128)
    pieces = Pieces(tuple(files), np.zeros(0, dtype=np.int64))
    chosen = np.random.default_rng(0).choice(ROWS, 60, replace=False)
    for places in ([], [0], [699, 701, ROWS - 1], sorted(chosen), range(2990, 3010)):
        assert pieces.at(np.array(places, dtype=np.int64), piece).equals(frame[list(map(int, places))])


def test_of_many_columns_few_rows_are_held_and_walked_together(tmp_path: Path) -> None:
    """A row of 2,000 numbers takes some 220 kB in a run."""
    wide = np.random.default_rng(0).normal(size=(1500, 2000)).astype(np.float32)
    frame = pl.DataFrame({f"x{k}": wide[:, k] for k in range(2000)}).with_columns(y=pl.Series(wide[:, 0] > 0))
    frame.write_parquet(tmp_path / "wide.parquet")
    assert 200_000 < row_bytes(frame.head(100), "y") < 250_000
    result = read_source(tmp_path / "wide.parquet", target="y", memory=128 << 20)
    assert result.whole is not None
    assert 200 < result.frame.height < 400
    assert max(piece.height for piece in result.whole.others.frames()) <= 524
    assert not too_large(tmp_path / "wide.parquet", 1 << 30)


def test_a_row_of_text_or_of_many_classes_takes_more() -> None:
    x = pl.Series("x", np.arange(300.0) * 1.5)
    plain, text = (
        x.to_frame(),
        pl.DataFrame({"x": x, "said": [f"a long text of words, number {k}" for k in range(300)]}),
    )
    classes = pl.DataFrame({"x": x, "y": [f"c{k % 150}" for k in range(300)]})
    assert row_bytes(text, None) > 10 * row_bytes(plain, None)
    assert row_bytes(classes, "y") > row_bytes(plain, None) + 150 * 50


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_more_classes_than_the_first_rows_show_are_counted(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand classes in turns: the first rows have a class of their own each, as an identifier would."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    frame = pl.DataFrame({"x": np.arange(5000.0) * 1.5, "y": [f"c{k % 1000}" for k in range(5000)]})
    path = tmp_path / f"t.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    assert too_large(path, 64 << 20, "y")  # a run took gigabytes for its networks' outputs
    assert not too_large(path, 64 << 20, "x")
    whole = read_source(path, target="y", memory=64 << 20).whole
    assert whole is not None
    assert sum(piece.height for piece in whole.others.frames()) > 3000
