"""Model files and run folders as a forger makes them: changed inside, with every checksum made right again.

    python tests/reliability/forged.py --count 20000 --seed 1 --seconds 600

so that the code behind the checksums is reached. Whatever comes of a forgery, it is used as an honest one would be: all
that goes wrong has to be an error of ours, soon, and in bounded memory. Ends with an error where something else came.
Each half minute a line says how far it is; `--start` goes on where an earlier call has stopped.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import io
import json
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import luthier
from luthier.assess import Register
from luthier.errors import LuthierError
from luthier.messages import speaking
from luthier.recipe import checklist, read_recipe
from luthier.recipe.rows.known_rows import line_of
from luthier.report import build_report, build_search_report, ledger_lines, model_card, notebook_card, read_contents
from luthier.report.overview import write_overview
from luthier.request import RunRequest
from luthier.runs import check_run, compare, read_test, resume
from luthier.runs.multi_target import MultiTargetResult
from luthier.runs.screen import SilentScreen
from luthier.saved import SEARCH, SEVERAL, Model, open_run, runs_in
from luthier.saved.predict import AskedColumns, load_all, predictions
from luthier.studio.live import curves, growth, scatter

PATIENCE = 10.0  # seconds of the processor that a forgery may take, however busy the machine is
SAID = 30.0  # seconds between two lines on how far it is
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 10**6, 2**31, 2**63, 2**64 + 1, 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320),
    *(
        "",
        "x",
        "\0",
        "../../x",
        "/etc/passwd",
        "<script>alert(1)</script>",
        "\x1b]0;x\x07",
        "\u2028",
        "=1+1",
        "x" * 5000,
    ),
    *([], {}, [[]], [None], {"a": 1}, [1, 2, 3], ["a"], {"": {}}, [[[[[[]]]]]], [0] * 1000),
)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 300 + "]" * 300, '"\\ud800"', "01", "'x'", "")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:200]:
        yield from places(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        value = value[key]
    return value


def changed(value: Any, draw: random.Random) -> Any:
    """A JSON value with a few of its parts made odd, left out, doubled, or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        known = [path for path in places(value) if path]
        if not known:
            return copy.deepcopy(draw.choice(ODD))
        depth = draw.choice(sorted({len(path) for path in known}))  # else most of what is changed lies in long lists
        path = draw.choice([path for path in known if len(path) == depth])
        above, key = at(value, path[:-1]), path[-1]
        match draw.randrange(8):
            case 0:
                del above[key]
            case 1 if isinstance(above[key], int | float) and abs(above[key]) < 1e15:
                above[key] = draw.choice((-above[key], above[key] + 1, above[key] * 1000, above[key] - 0.5, 0))
            case 2 if isinstance(above[key], list) and above[key]:
                above[key] = draw.choice((above[key][:-1], above[key] * 2, above[key][::-1], above[key][:1]))
            case 3 if isinstance(above, dict):
                above[str(draw.choice(ODD))[:100]] = above.pop(key)
            case 4:
                above[key] = copy.deepcopy(at(value, draw.choice(known)))
            case 5 if isinstance(above[key], str):
                above[key] = draw.choice((above[key] + "x", above[key][:-1], above[key] * 200, above[key].upper()))
            case _:
                above[key] = copy.deepcopy(draw.choice(ODD))
    return value


def text_of(value: Any, draw: random.Random) -> bytes:
    """As JSON; now and then with something in it that JSON does not have."""
    text = json.dumps(value, ensure_ascii=draw.random() < 0.5)
    if draw.random() < 0.08:
        start = draw.randrange(len(text) + 1)
        text = text[:start] + draw.choice(RAW) + text[start + draw.choice((0, 1, 3)) :]
    return text.encode("utf-8", "surrogatepass")


def changed_tensors(content: bytes, draw: random.Random) -> bytes:
    """A safetensors file whose header says something else of its numbers, or whose numbers are others."""
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    shape = header[name]["shape"]
    match draw.randrange(9):
        case 0:
            header[name]["shape"] = [*shape[::-1]]
        case 1:
            header[name]["shape"] = [int(np.prod(shape))] if draw.random() < 0.5 else [1, *shape]
        case 2:
            header[draw.choice((name + "x", "nets.0.layers.99.weight", "preprocess.flags2"))] = header.pop(name)
        case 3:
            header[name]["dtype"] = draw.choice(("F16", "BF16", "I64", "F64", "F32", "I32", "U8", "F8_E4M3", "BOOL"))
        case 4 if header[name]["dtype"] in ("F32", "F64"):
            start, stop = header[name]["data_offsets"]
            number = draw.choice((float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 0.0))
            written = struct.pack("<f" if header[name]["dtype"] == "F32" else "<d", number)
            if stop - start >= len(written):
                body[start : start + len(written)] = written
        case 5 if header[name]["dtype"] == "I64":
            start, stop = header[name]["data_offsets"]
            if stop > start:
                body[start : start + 8] = struct.pack("<q", draw.choice((-1, 10**6, 2**62)))
        case 6:
            other = draw.choice(names)
            header[name], header[other] = header[other], header[name]
        case 7:
            header = changed(header, draw)
            header = header if isinstance(header, dict) else {}
        case _:
            for _ in range(draw.randrange(1, 9)):
                if body:
                    body[draw.randrange(len(body))] = draw.randrange(256)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def signed(entries: dict[str, bytes]) -> bytes:
    """A model file of these entries, with right checksums."""
    manifest = json.loads(entries["manifest.json"])
    if isinstance(manifest, dict) and isinstance(manifest.get("checksums"), dict):
        manifest["checksums"] = {
            name: hashlib.sha256(content).hexdigest() for name, content in entries.items() if name != "manifest.json"
        }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**entries, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def forged_bundle(content: bytes, draw: random.Random) -> bytes:
    """A model file with one or two of its entries changed, signed anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice(("model.json", "model.json", "encoder.json", "encoder.json", "profile.json", "metrics.json",
                            "weights.safetensors", "manifest.json"))  # fmt: skip
        before = content_of(content, name)
        if name.endswith(".safetensors"):
            entries[name] = changed_tensors(before, draw)
        elif name == "manifest.json":
            entries[name] = json.dumps(changed(json.loads(before), draw)).encode()
        else:
            entries[name] = text_of(changed(json.loads(before), draw), draw)
        if draw.random() < 0.5:
            break
    try:
        return signed(entries)
    except ValueError:
        return content[:-1]


def content_of(bundle: bytes, name: str) -> bytes:
    """An entry of a model file."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return archive.read(name)


def use_bundle(path: Path, rows: pl.DataFrame) -> None:
    """What is done with a model."""
    model = Model.load(path)
    predictions(model, rows, AskedColumns(impute_missing_columns=True, sets=True, abstain=True))
    predictions(model, rows.head(0), AskedColumns(impute_missing_columns=True))
    model.typical_row()
    for column in model.encoder.places():
        try:
            model.dependence(rows, column)
        except LuthierError:
            continue
    model.save(path.with_suffix(".again"))
    Model.load(path.with_suffix(".again"))


def forge_folder(folder: Path, draw: random.Random) -> str:
    """Change a run's folder; returns the name of what was changed."""
    kinds = (".json", ".jsonl", ".parquet", ".toml", ".luthier")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in kinds)
    named = [path for path in files if path.parent == folder and path.suffix in (".json", ".jsonl")]
    path = draw.choice(named * 4 + files)
    match path.suffix:
        case _ if draw.random() < 0.06:
            other = draw.choice(files)
            kind = draw.randrange(4)
            if kind == 0:
                path.write_bytes(path.read_bytes()[: draw.randrange(1 + path.stat().st_size)])
            elif kind == 1:
                path.unlink()
            elif other != path:
                path.unlink()
                path.symlink_to(other) if kind == 2 else shutil.copy(other, path)
        case ".json":
            path.write_bytes(text_of(changed(json.loads(path.read_text()), draw), draw))
        case ".jsonl":
            lines = path.read_bytes().splitlines()
            place = draw.randrange(len(lines))
            lines[place] = text_of(changed(json.loads(lines[place]), draw), draw)
            path.write_bytes(b"\n".join(lines) + b"\n")
        case ".parquet":
            frame, facts = pl.read_parquet(path), pl.read_parquet_metadata(path)
            facts.pop("ARROW:schema", None)
            name = draw.choice(frame.columns)
            kind = draw.randrange(5)
            if kind == 0:
                frame = frame.drop(name)
            elif kind == 1:
                frame = frame.with_columns(pl.lit(draw.choice((None, "x", -1, 1e308, float("nan"), True))).alias(name))
            elif kind == 2:
                frame = frame.head(draw.randrange(3))
            elif kind == 3 or not facts:
                frame = pl.concat([frame, frame.head(1)])
            else:
                facts = {key: json.dumps(changed(json.loads(text), draw)) for key, text in facts.items()}
            frame.write_parquet(path, metadata=facts)
        case ".toml":
            text = path.read_text()
            start = draw.randrange(len(text))
            path.write_text(text[:start] + str(draw.choice(ODD)) + text[start + draw.randrange(5) :])
        case ".luthier":
            path.write_bytes(forged_bundle(path.read_bytes(), draw))
    return str(path.relative_to(folder))


def use_folder(folder: Path, honest: Path, rows: Path, draw: random.Random) -> Counter[str]:
    """What is done with a run's folder, each after the other; returns how each ended."""

    def told() -> None:
        for one in runs_in(folder).values():
            ledger_lines(one)
            contents = read_contents(one)
            checklist(contents.records, scores=contents.scores, drift=contents.drift)

    def reported() -> None:
        kind = open_run(folder).kind
        {SEARCH: build_search_report, SEVERAL: write_overview}.get(kind, build_report)(folder)  # type: ignore[operator]

    def told_in_chinese() -> None:
        with speaking("zh"):
            told()

    def followed() -> None:
        now = growth(folder)
        curves(now.populations)
        scatter(now.populations[-1:])

    def predicted() -> None:
        frame = pl.read_csv(rows).head(5)
        for model in load_all(folder).values():
            predictions(model, frame, AskedColumns(impute_missing_columns=True, sets=True, abstain=True))

    def repeated() -> None:
        read_recipe(folder / "recipe.toml")

    def gone_on() -> None:
        if open_run(folder).facts().get("status") == "done":  # else it trains, for as long as the folder says
            resume(folder, screen=SilentScreen())

    uses: dict[str, Callable[[], object]] = {
        "show": told,
        "show in Chinese": told_in_chinese,
        "warm start": lambda: line_of(RunRequest(source=str(rows), warm_start=str(folder)), Register.none().secret),
        "report": reported,
        "card": lambda: (model_card(folder), notebook_card(folder)),
        "studio": followed,
        "predict": predicted,
        "test": lambda: read_test(folder, screen=SilentScreen()) if (folder / "scores.json").exists() else None,
        "compare": lambda: compare([honest, folder]).lines(),
        "config": repeated,
        "resume": gone_on,
        "several": lambda: repr(MultiTargetResult(folder)),
        "several, opened": lambda: [MultiTargetResult(folder)[name] for name in MultiTargetResult(folder).targets],
    }
    if draw.random() < 0.1:
        uses["check"] = lambda: check_run(folder, str(rows))
    ends: Counter[str] = Counter()
    for name, use in uses.items():
        with attempt(name):
            try:
                use()
                ends["used"] += 1
            except LuthierError:
                ends["refused"] += 1
    return ends


class attempt:  # noqa: N801 - a context manager that names what was tried in what goes wrong
    """Adds a name to what is raised inside."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt):
            error.add_note(f"while: {self.name}")


@dataclass
class Found:
    """What many forgeries came to."""

    count: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    foreign: dict[str, str] = field(default_factory=dict)  # one of each place, with how to make it again
    slow: list[str] = field(default_factory=list)
    slowest: float = 0.0
    megabytes: int = 0  # that the peak of memory has grown by

    @property
    def clean(self) -> bool:
        """Whether all went as it should."""
        return not self.foreign and not self.slow


def make_bases(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Honest runs to forge, each with a file of rows: two classes, values with text, and several targets."""
    draw = random.Random(0)
    words = ["good", "bad", "film", "rain", "town", "home", "cold", "warm"]
    table = {
        "x": [round(draw.gauss(0, 1), 3) if draw.random() > 0.1 else None for _ in range(160)],
        "kind": [draw.choice("abc") for _ in range(160)],
        "old": [draw.choice(("yes", "no")) for _ in range(160)],
        "day": [f"2024-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}" for _ in range(160)],
        "said": [" ".join(draw.choice(words) for _ in range(6)) for _ in range(160)],
    }
    frame = pl.DataFrame(table).with_columns(
        label=pl.Series([draw.choice(("up", "down")) for _ in range(160)]),
        value=pl.Series([round(draw.gauss(3, 2), 3) for _ in range(160)]),
        count=pl.Series([int(draw.expovariate(0.2)) for _ in range(160)]),
    )
    result = {}
    for name, columns, target in (
        ("classes", ["x", "kind", "old", "day", "label"], "label"),
        ("values", ["x", "kind", "said", "value"], "value"),
        ("counts", ["x", "kind", "count"], "count"),
    ):
        rows = folder / f"{name}.csv"
        frame.select(columns).write_csv(rows)
        luthier.fit(rows, target=target, budget="40steps", run=folder / name, screen=SilentScreen())
        with attempt("base"):
            check_run(folder / name, str(rows))
        result[name] = folder / name, rows
    return result


def make_more_bases(folder: Path) -> dict[str, tuple[Path, Path]]:
    """And those that take longer: several targets of two kinds that share their networks, and a search."""
    rows = folder / "several.csv"
    draw = random.Random(1)
    table = {name: [draw.gauss(0, 1) for _ in range(160)] for name in ("a", "b", "first")}
    lacking = [draw.choice(("up", "down", "down", None)) for _ in range(160)]
    pl.DataFrame(table | {"second": lacking}).write_csv(rows)
    several = luthier.fit(rows, ["first", "second"], budget="60steps", run=folder / "several", screen=SilentScreen())
    luthier.tune_table(rows, target="first", trials=4, epochs=2, confirm=2, workers=1, run=folder / "search")
    return {
        "several": (several.path, rows),
        "a head": (several.path / "second", rows),
        "search": (folder / "search", rows),
    }


def followed(numbers: Iterable[int], seconds: float, line: Callable[[], str]) -> Iterator[int]:
    """The numbers for so many seconds, with a line now and then on standard error; the last one says where to go on."""
    began = said = time.monotonic()
    at = -1
    for at in numbers:
        yield at
        now = time.monotonic()
        if now - said > SAID:
            said = now
            print(f"{at + 1:,} after {now - began:.0f} s: {line()}", file=sys.stderr, flush=True)
        if now - began > seconds:
            print(f"out of time; go on with --start {at + 1}", file=sys.stderr)
            return


def forge(
    bases: dict[str, tuple[Path, Path]],
    count: int,
    seed: int,
    *,
    bundles: float = 0.5,
    start: int = 0,
    seconds: float = float("inf"),
) -> Found:
    """Forgeries from `start` to `count`, a share of them model files alone, as many as `seconds` allow."""
    found, warmed = Found(), 0
    warnings.simplefilter("ignore")
    models = [(path / "model.luthier", rows) for path, rows in bases.values() if (path / "model.luthier").exists()]
    contents = {path: path.read_bytes() for path, _ in models}
    with tempfile.TemporaryDirectory(prefix="luthier-forged-") as place:
        for number in followed(
            range(start, count), seconds, lambda: f"slowest {found.slowest:.1f} s, {dict(found.ends)}"
        ):
            draw = random.Random(f"{seed}/{number}")
            began, what = time.process_time(), ""
            found.count += 1
            try:
                if draw.random() < bundles:
                    path, rows = draw.choice(models)
                    what = f"model of {path.parent.name}"
                    forged = Path(place) / "forged.luthier"
                    forged.write_bytes(forged_bundle(contents[path], draw))
                    use_bundle(forged, pl.read_csv(rows).head(5))
                    found.ends["models used"] += 1
                else:
                    name = draw.choice(list(bases))
                    run, rows = bases[name]
                    folder = Path(place) / "run"
                    shutil.rmtree(folder, ignore_errors=True)
                    shutil.copytree(run, folder)
                    what = f"run {name}, {forge_folder(folder, draw)}"
                    ends = use_folder(folder, run, rows, draw)
                    found.ends.update({f"folders {end}": count for end, count in ends.items()})
            except LuthierError:
                found.ends["models refused"] += 1
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a panic of Rust is no Exception
                frames = traceback.extract_tb(error.__traceback__)
                ours = next((one for one in reversed(frames) if "/luthier/" in one.filename), frames[-1])
                key = f"{Path(ours.filename).name}:{ours.lineno} {type(error).__name__}"
                notes = " ".join(getattr(error, "__notes__", ()))
                found.ends["foreign"] += 1
                found.foreign.setdefault(key, f"seed {seed}, number {number}, {what}: {str(error)[:200]} {notes}")
            taken = time.process_time() - began
            found.slowest = max(found.slowest, taken)
            if taken > PATIENCE:
                found.slow.append(f"{taken:.1f} s: seed {seed}, number {number}, {what}")
            if found.count == min(200, count // 2):
                warmed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warmed) >> 10
    return found


def main() -> int:
    """Forge, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bases", type=Path, default=None, help="where honest runs lie from before, or are left")
    parser.add_argument("--start", type=int, default=0, help="the number of the first forgery")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no other is begun")
    asked = parser.parse_args()
    folder = asked.bases or Path(tempfile.mkdtemp(prefix="luthier-bases-"))
    if (folder / "search").exists():
        rows = {name: name for name in ("classes", "values", "counts", "several")} | {"search": "several"}
        bases = {name: (folder / name, folder / f"{table}.csv") for name, table in rows.items()}
    else:
        folder.mkdir(parents=True, exist_ok=True)
        bases = make_bases(folder) | make_more_bases(folder)
    began = time.monotonic()
    found = forge(bases, asked.count, asked.seed, start=asked.start, seconds=asked.seconds)
    print(f"{found.count:,} forgeries in {time.monotonic() - began:.0f} s: {dict(found.ends)}")
    print(f"slowest {found.slowest:.1f} s, memory grew by {found.megabytes} MB after the first")
    print(*(f"FOREIGN {key}: {how}" for key, how in found.foreign.items()), *found.slow, sep="\n")
    return not found.clean


if __name__ == "__main__":
    sys.exit(main())
