"""Pictures of every kind a folder may hold, IDX files whole and broken, the cache, and the encoder."""

from __future__ import annotations

import errno
import gzip
import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.data import PictureEncoder, encoder_from_json, read_batches, read_source
from luthier.data.pictures import (
    UnreadableError,
    cache_folder,
    common_shape,
    cost_of,
    decode,
    decoding,
    folder_table,
    read_idx,
    read_pictures,
    shape_of,
    store_of,
)
from luthier.data.typed_columns.columns import Column
from luthier.errors import InputError, LuthierError
from luthier.runs.screen import SilentScreen

image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))


def gradient(height: int, width: int, channels: int = 1) -> np.ndarray:
    rows = np.linspace(0, 255, height).round()[:, None] * np.ones((1, width))
    return rows.astype(np.uint8) if channels == 1 else np.stack([rows, rows[:, ::-1], 255 - rows], -1).astype(np.uint8)


def write_idx(path: Path, array: np.ndarray, *, magic: bytes | None = None, short: int = 0) -> None:
    head = magic or bytes([0, 0, 8, array.ndim])
    content = head + b"".join(int(n).to_bytes(4, "big") for n in array.shape) + array.astype(np.uint8).tobytes()
    content = content[: len(content) - short]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
def test_idx_files_plain_and_packed(tmp_path: Path, name: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    write_idx(tmp_path / name, array)
    np.testing.assert_array_equal(read_idx(tmp_path / name), array)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"magic": b"\1\2\3\4"}, "is not an IDX file"),
        ({"magic": b"\0\0\x07\3"}, "is not an IDX file"),
        ({"short": 1}, "does not match its header"),
        ({"short": 63}, "ends within its head"),
    ],
)
def test_broken_idx_files(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    write_idx(tmp_path / "x-images-idx3-ubyte", np.zeros((5, 4, 3)), **options)
    with pytest.raises(InputError, match=said):
        read_idx(tmp_path / "x-images-idx3-ubyte")


def test_a_gzip_file_that_was_cut_short(tmp_path: Path) -> None:
    write_idx(tmp_path / "a-images-idx3-ubyte.gz", np.zeros((5, 4, 3)))
    whole = (tmp_path / "a-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "a-images-idx3-ubyte.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="not a complete gzip file"):
        read_idx(tmp_path / "a-images-idx3-ubyte.gz")


def test_pictures_and_labels_that_do_not_belong_together(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((5, 4, 3)))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(4))
    with pytest.raises(InputError, match="do not match"):
        read_source(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(5))
    result = read_source(tmp_path / "train-images-idx3-ubyte")
    assert result.frame["label"].to_list() == [0, 1, 2, 3, 4]
    assert (result.picture, result.target) == ("picture", "label")


def test_a_folder_with_one_class_a_sub_folder(tmp_path: Path) -> None:
    for label, count in (("cat", 3), ("dog", 2)):
        (tmp_path / label).mkdir()
        for k in range(count):
            image.fromarray(gradient(10, 12)).save(tmp_path / label / f"{k}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    frame, _ = folder_table(tmp_path)
    assert frame["label"].to_list() == ["cat"] * 3 + ["dog"] * 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="hold no pictures: empty"):
        read_source(tmp_path)


def fill(folder: Path, *names: str) -> None:
    """A picture of each name; what has no ending of a picture is something else."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".jpg", ".jfif", ".png"):
            image.fromarray(gradient(10, 12)).save(path, "PNG" if path.suffix == ".png" else "JPEG")
        else:
            path.write_text("not a picture")


def test_classes_and_what_is_passed_over_are_said(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.JPG", "cat/2.jfif", "cat/3.HEIC", "cat/more/4.png", "dog/1.png", "dog/2.heic", "dog/x.txt")
    fill(tmp_path, "cat/.ipynb_checkpoints/1.png", "dog/._1.png", "dog/Thumbs.db", "__MACOSX/dog/1.png", "loose.png")
    result = read_source(tmp_path)
    assert [Path(name).name for name in result.frame["picture"]] == ["1.JPG", "2.jfif", "4.png", "1.png"]
    assert result.notes == (
        "2 classes: cat 3, dog 1",
        "3 files are passed over: 2 .heic, 1 .txt; pictures end in .png, .jpg, .jpeg, .jfif, .jpe, .bmp, .webp, "
        ".tif, .tiff, .gif",
        "1 pictures beside the class folders are passed over: they have no label",
    )
    assert decode(str(tmp_path / "cat" / "2.jfif"), (1, 10, 12)).shape == (1, 10, 12)
    message: list[str] = []
    assert sum(batch.height for batch in read_batches(tmp_path, 3, message.append)) == 4
    assert tuple(message) == result.notes


def test_a_class_of_pictures_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.heic", "dog/2.avif")
    with pytest.raises(
        InputError, match=r"hold no pictures: dog(.|\n)*1 .avif, 1 .heic(.|\n)*convert .heic, .avif to JPEG"
    ):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("held_out", "judge"), [(("val",), "val"), (("validation", "test"), "test"), (("Valid",), "Valid")]
)
def test_the_parts_of_a_split_are_not_taken_for_classes(tmp_path: Path, held_out: tuple[str, ...], judge: str) -> None:
    fill(tmp_path, *(f"{part}/{name}/1.png" for part in ("train", *held_out) for name in ("cat", "dog")))
    with pytest.raises(InputError, match="holds the parts of a split, not classes: ") as caught:
        read_source(tmp_path)
    assert f"luthier fit {tmp_path / 'train'} --test {tmp_path / judge} " in str(caught.value)
    assert "in 'train': cat, dog" in str(caught.value)
    fill(tmp_path, "bus/1.png")  # a train is a class beside a bus
    assert read_source(tmp_path).frame["label"].unique().sort().to_list() == sorted(["bus", "train", *held_out])


@pytest.mark.parametrize(
    ("training", "judge"),
    [
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("seg_train", "seg_test"),
        ("TRAIN", "TEST"),
        ("trainset", "test_set"),
        ("训练集", "测试集"),
    ],
)
def test_parts_of_a_split_are_known_by_a_word_of_their_names(tmp_path: Path, training: str, judge: str) -> None:
    fill(tmp_path, *(f"{part}/{name}/1.png" for part in (training, judge) for name in ("cat", "dog")))
    with pytest.raises(InputError, match="holds the parts of a split") as caught:
        read_source(tmp_path)
    assert f"luthier fit {tmp_path / training} --test {tmp_path / judge} " in str(caught.value)


def test_folders_that_hold_the_same_ones_are_said(tmp_path: Path) -> None:
    fill(tmp_path / "a", "train_station/1.png", "test_tube/1.png")
    assert read_source(tmp_path / "a").notes == ("2 classes: test_tube 1, train_station 1",)
    fill(tmp_path / "b", *(f"{part}/{name}/1.png" for part in ("fold1", "fold2") for name in ("cat", "dog")))
    notes = "".join(read_source(tmp_path / "b").notes)
    assert "each of these folders holds the same ones, so they cannot be classes: cat, dog; if those are the " in notes


def test_one_folder_around_the_classes_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat/1.png", "train/dog/1.png")
    with pytest.raises(InputError, match=rf"one class only, 'train'(.|\n)*luthier fit {tmp_path / 'train'}"):
        read_source(tmp_path)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    image.fromarray(gradient(10, 12)).save(tmp_path / "cat" / "1.png")
    with pytest.raises(InputError, match="one class only"):
        read_source(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        read_source(tmp_path / "other")


def test_every_way_to_store_a_picture(tmp_path: Path) -> None:
    """Grey, colour, palettes, transparency, 16 bits and CMYK come out as bytes of the wanted channels."""
    grey, colour = image.fromarray(gradient(16, 16)), image.fromarray(gradient(16, 16, 3))
    clear = colour.convert("RGBA")
    clear.putalpha(0)
    wide = image.fromarray(gradient(16, 16).astype(np.uint16) * 257)
    cases = {
        "grey.png": grey,
        "colour.png": colour,
        "palette.png": colour.convert("P"),
        "one-bit.png": grey.convert("1"),
        "clear.png": clear,
        "sixteen.png": wide,
        "cmyk.jpg": colour.convert("CMYK"),
        "photo.jpg": colour,
    }
    for name, picture in cases.items():
        picture.save(tmp_path / name)
        for channels in (1, 3):
            result = decode(str(tmp_path / name), (channels, 16, 16))
            assert result.shape == (channels, 16, 16)
            assert result.dtype == np.uint8
    np.testing.assert_array_equal(decode(str(tmp_path / "grey.png"), (1, 16, 16))[0], gradient(16, 16))
    np.testing.assert_array_equal(decode(str(tmp_path / "sixteen.png"), (1, 16, 16))[0], gradient(16, 16))
    assert (decode(str(tmp_path / "clear.png"), (3, 16, 16)) == 255).all()  # what is transparent is white
    in_colour = np.moveaxis(gradient(16, 16, 3), -1, 0)
    np.testing.assert_array_equal(decode(str(tmp_path / "colour.png"), (3, 16, 16)), in_colour)
    assert [shape_of(str(tmp_path / name))[0] for name in ("grey.png", "colour.png", "sixteen.png")] == [1, 3, 1]


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    picture = image.fromarray(gradient(20, 10))  # dark above, bright below
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    picture.save(tmp_path / "turned.png", exif=exif)
    assert shape_of(str(tmp_path / "turned.png")) == (1, 10, 20)
    result = decode(str(tmp_path / "turned.png"), (1, 10, 20))[0]
    np.testing.assert_array_equal(result, gradient(20, 10).T[:, ::-1])


def test_a_large_jpeg_is_unpacked_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    """Close to what unpacking all of it gives: three levels of 255 at most, a half on average."""
    rng = np.random.default_rng(0)
    wave = 120 + 100 * np.sin(np.linspace(0, 12, 640)[:, None]) * np.cos(np.linspace(0, 18, 640)[None])
    pixels = (wave[..., None] + rng.normal(0, 20, (640, 640, 3))).clip(0, 255).astype(np.uint8)
    image.fromarray(pixels).save(tmp_path / "large.jpg", quality=95)
    image.open(tmp_path / "large.jpg").save(tmp_path / "whole.png")
    for size in ((3, 64, 64), (1, 28, 40), (3, 400, 400)):
        result, whole = (decode(str(tmp_path / name), size).astype(int) for name in ("large.jpg", "whole.png"))
        assert abs(result - whole).max() <= 3
        assert abs(result - whole).mean() <= 0.6


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "RGBA", "LA", "P", "CMYK", "1"])
def test_strips_of_a_picture_are_the_picture(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = image.fromarray(gradient(40, 30))
    name = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.tif" if mode in ("I", "F") else "picture.png")
    if mode == "I;16":
        grey = image.fromarray(gradient(40, 30).astype(np.uint16) * 200)
    elif mode in ("RGBA", "LA"):
        grey = grey.convert(mode)
        grey.putalpha(image.fromarray(gradient(40, 30)[::-1].copy()))
    else:
        grey = grey.convert(mode)
    grey.save(name, **({"transparency": 3} if mode == "P" else {}))
    for size in ((1, 40, 30), (3, 20, 20)):
        whole = decode(str(name), size)
        monkeypatch.setattr(decoding, "STRIP", 100)
        np.testing.assert_array_equal(decode(str(name), size), whole)
        monkeypatch.undo()


def test_the_head_of_a_file_is_read_so_far(tmp_path: Path) -> None:
    """A million chunks before the first pixel, markers, blocks: not one after another for minutes."""
    content = io.BytesIO()
    image.fromarray(gradient(8, 8)).save(content, "PNG")
    whole = content.getvalue()
    chunk = b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4, "big")
    for pieces, message in ((10, ""), (30_000, "too many pieces")):
        file = whole[:33] + chunk * pieces + whole[33:]
        if not message:
            np.testing.assert_array_equal(decode(file, (1, 8, 8))[0], gradient(8, 8))
            continue
        with pytest.raises(UnreadableError, match=message):
            decode(file, (1, 8, 8))
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c\0\0\0\0\x01\0\x01\0\0" + b"\x02\x02\x4c\x01\0"
    for file in (b"GIF89a\x01\0\x01\0\0\0\0" + frame * 200_000 + b";", b"\xff\xd8" + b"\xff\xe5\0\x02" * 400_000):
        with pytest.raises(UnreadableError):
            decode(file, (1, 8, 8))


def test_what_a_picture_costs() -> None:
    def file(kind: str, **options: object) -> bytes:
        content = io.BytesIO()
        image.new("RGB", (1000, 500)).save(content, kind, **options)
        return content.getvalue()

    assert cost_of(file("PNG")) == 500_000
    assert cost_of(file("JPEG")) == 125_000
    assert cost_of(file("WEBP")) == 1_000_000
    progressive = file("JPEG", progressive=True)
    assert cost_of(progressive) == 500_000 * progressive.count(b"\xff\xda") // 10
    many = progressive[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x00" * 1000
    assert cost_of(many) > 50_000_000
    with pytest.raises(UnreadableError, match="not a picture"):
        cost_of(b"none")


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "good.png"
    image.fromarray(gradient(32, 32)).save(good)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "text.png").write_text("no picture at all")
    frames = [image.fromarray(gradient(8, 8)), image.fromarray(255 - gradient(8, 8))]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    image.new("L", (2000, 1000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(decoding, "MOST_PIXELS", 1_000_000)
    for name, message in (
        ("cut.png", "damaged"),
        ("text.png", "not a picture"),
        ("moving.gif", "animated, 2 pictures"),
        ("bomb.png", "2000 x 1000 pixels"),
        ("absent.png", "no such file"),
    ):
        with pytest.raises(UnreadableError, match=message):
            decode(str(tmp_path / name), (1, 8, 8))
    names = ["good.png", "cut.png", "text.png", "good.png"]
    frame = pl.DataFrame({"picture": [str(tmp_path / name) for name in names], "label": ["a", "b", "a", "b"]})
    kept, _, notes = read_pictures(frame, "picture", (1, 8, 8))
    assert kept.height == 2
    assert "2 of 4 pictures cannot be read: 'cut.png' (damaged" in notes[0]
    with pytest.raises(InputError, match="2 of 4 pictures cannot be read"):
        read_pictures(frame, "picture", (1, 8, 8), strict=True)


def test_decoding_happens_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for k in range(6):
        paths.append(str(tmp_path / f"{k}.png"))
        image.fromarray(gradient(9, 9) // (k + 1)).save(paths[-1])
    first = store_of(paths, (1, 9, 9))
    assert [path.suffix for path in sorted(cache_folder().iterdir())] == [".json", ".npy"]
    from luthier.data.pictures import store

    def never(*args: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(store, "decode_all", never)
    np.testing.assert_array_equal(store_of(paths, (1, 9, 9)).pixels, first.pixels)
    os.utime(paths[0], (1, 1))  # a file that changed is decoded again
    with pytest.raises(AssertionError):
        store_of(paths, (1, 9, 9))


def test_the_same_files_in_another_order_are_other_rows(tmp_path: Path) -> None:
    for k, value in enumerate((10, 200)):
        image.fromarray(np.full((4, 4), value, np.uint8)).save(tmp_path / f"{k}.png")
    one, other = str(tmp_path / "0.png"), str(tmp_path / "1.png")
    first, second = store_of([one, one, other], (1, 4, 4)), store_of([one, other, other], (1, 4, 4))
    assert [int(p.mean()) for p in first.pixels] == [10, 10, 200]
    assert [int(p.mean()) for p in second.pixels] == [10, 200, 200]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.data.pictures import store

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    image.fromarray(gradient(9, 9)).save(tmp_path / "a.png")
    monkeypatch.setattr(store, "_allocate", full)
    with pytest.raises(LuthierError, match="the disk is full"):
        store_of([str(tmp_path / "a.png")], (1, 9, 9))
    assert list(cache_folder().iterdir()) == []


def test_more_pictures_than_memory_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.data.pictures import store

    array = np.random.default_rng(0).integers(0, 256, (50, 6, 6)).astype(np.uint8)
    np.save(tmp_path / "many.npy", array)
    paths = [f"{tmp_path / 'many.npy'}#{k}" for k in range(50)]
    whole = store_of(paths, (1, 6, 6))
    wanted = paths[10:40:3]
    expected = whole.take(wanted)
    monkeypatch.setattr(store, "IN_MEMORY", 100)
    mapped = whole.take(wanted)
    assert mapped.equal(expected)
    assert any(path.name.startswith("rows-") for path in cache_folder().iterdir())


def test_many_files_are_decoded_by_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for k in range(70):
        paths.append(str(tmp_path / f"{k}.png"))
        image.fromarray(gradient(5, 5) // (k + 1)).save(paths[-1])
    (tmp_path / "3.png").write_text("broken")
    alone = np.zeros((70, 1, 5, 5), np.uint8)
    problems = decoding.decode_all(paths, (1, 5, 5), alone)
    monkeypatch.setattr(decoding, "WORTH_WORKERS", 10)
    together = np.zeros_like(alone)
    assert decoding.decode_all(paths, (1, 5, 5), together) == problems == {3: "not a picture"}
    np.testing.assert_array_equal(alone, together)


def test_the_common_shape(tmp_path: Path) -> None:
    for k, (height, width) in enumerate([(200, 100), (220, 110), (180, 90)]):
        image.fromarray(gradient(height, width)).save(tmp_path / f"{k}.png")
    paths = [str(tmp_path / f"{k}.png") for k in range(3)]
    assert common_shape(paths) == (1, 64, 32)
    assert common_shape(paths, side=100) == (1, 100, 50)
    image.fromarray(gradient(200, 100, 3)).save(tmp_path / "3.png")
    assert common_shape([*paths, str(tmp_path / "3.png")])[0] == 3


def test_a_table_with_a_column_of_paths(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for k in range(3):
        image.fromarray(gradient(8, 8) // (k + 1)).save(tmp_path / "sub" / f"{k}.png")
    table = pl.DataFrame({"file": [f"sub/{k}.png" for k in range(3)], "weight": [1.0, 2.0, 3.0]})
    table.write_csv(tmp_path / "t.csv")
    result = read_source(tmp_path / "t.csv")
    assert result.picture == "file"
    assert Path(result.frame["file"][0]).exists()
    batch = next(read_batches(tmp_path / "t.csv", 2))
    assert batch["file"].to_list() == result.frame["file"].to_list()[:2]


def test_an_encoder_comes_back_and_describes(tmp_path: Path) -> None:
    array = np.stack([np.zeros((6, 6)), np.full((6, 6), 255)]).astype(np.uint8)
    np.save(tmp_path / "two.npy", array)
    frame = pl.DataFrame({"p": [f"{tmp_path / 'two.npy'}#{k}" for k in (1, 0)]})
    encoder = PictureEncoder((Column("p", "picture", True, "told"),), (1, 6, 6))
    again = encoder_from_json(encoder.to_json())
    assert again == encoder
    inputs = again.encode(frame)
    assert {name: value.shape for name, value in inputs.items()} == {"pixels": (2, 1, 6, 6)}
    assert again.described(inputs)[0]["brightness"].tolist() == [1.0, 0.0]
    with pytest.raises(InputError, match="column of pictures, 'p', is missing"):
        again.encode(frame.rename({"p": "q"}))
    with pytest.raises(InputError, match="no picture 7"):
        again.encode(pl.DataFrame({"p": [f"{tmp_path / 'two.npy'}#7"]}))


@pytest.mark.parametrize(
    "X", [np.random.default_rng(0).normal(size=(20, 8, 8)), np.full((20, 8, 8), 300)], ids=["negative", "above 255"]
)
def test_arrays_that_are_no_pictures(X: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are not pictures"):
        luthier.fit((X, np.arange(20) % 2), run=tmp_path / "run", screen=SilentScreen())
