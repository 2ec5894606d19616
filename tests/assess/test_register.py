"""The register: what is kept of a run's rows, counted for the next one, and never in the way."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from luthier.assess import Register, SealHistory
from luthier.assess.fingerprints import TARGET, ArrangedKeys, Fingerprints, Secret, secret_of
from luthier.assess.row_record import GROUP, MOST_ROWS, OPEN, SEALED, WAS_OPEN, WAS_READ, RowRecord
from luthier.data.near_rows import NearGrid, Rounding
from luthier.data.pictures.sketches import WIDTH
from luthier.errors import InputError


def record(register: Register, run: str, rows: range, sealed: range, **facts: object) -> RowRecord:
    """A run on the rows of these numbers."""
    keys = register.secret.keyed(np.array(rows, dtype=np.uint64))
    state = np.where(np.isin(rows, sealed), SEALED, OPEN).astype(np.uint8)
    before = np.zeros(len(keys), dtype=np.uint16)
    return RowRecord(run, register.secret.id, Fingerprints.by_keys(keys), state, before, **facts)  # type: ignore[arg-type]


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register.opened(tmp_path / "home")


def test_runs_on_the_same_rows_are_counted(register: Register) -> None:
    """The truth by hand: rows 0 to 99; two runs read 80 to 99, a third one had 60 to 95 open and read 96 to 115."""
    for name, rows, sealed in (("a", range(100), range(80, 100)), ("b", range(100), range(80, 100))):
        assert register.keep(record(register, name, rows, sealed)) == ""
        register.note_reading(name, 1)
    register.keep(record(register, "c", range(60, 116), range(96, 116)))
    register.note_reading("c", 2)
    history = register.history(record(register, "new", range(100), range(80, 100)), own=1)
    assert history == SealHistory(rows=20, readings=5, read=1.0, opened=16 / 20, runs=3, counted=True)
    assert history.sentence == "these rows were read 5 times; earlier runs had 80 % of them open"
    other = register.history(record(register, "new", range(200), range(90, 190)), own=1)
    assert (other.read, other.opened) == (0.26, 0.06)
    fresh = register.history(record(register, "new", range(500, 600), range(580, 600)), own=1)
    assert fresh == SealHistory(rows=20, counted=True)
    assert "no earlier run" in fresh.in_words


def drawn(seed: int, rows: int, numbers: int, *, pictures: bool) -> Fingerprints:
    """Rows whose fingerprints repeat, each by itself; of pictures some look like others of another name."""
    rng = np.random.default_rng(seed)
    keys = Secret(bytes(32)).keyed(np.arange(numbers, dtype=np.uint64))
    looks = np.random.default_rng(0).normal(0, 300, (numbers, WIDTH))[rng.integers(0, numbers, rows)]
    looks = np.c_[looks + rng.normal(0, 2, looks.shape), rng.integers(0, 2, (rows, 1)).repeat(TARGET, 1)].astype("<i2")
    cells, inputs = (keys[rng.integers(0, numbers, rows)] for _ in range(2))
    return Fingerprints(cells, inputs, inputs, looks=looks if pictures else None)


def one_by_one(register: Register, mine: RowRecord, runs: list[RowRecord]) -> SealHistory:
    """The history by looking for every sealed row in every run."""
    sealed = mine.of(SEALED)

    def among(others: Fingerprints) -> np.ndarray:
        known = np.isin(sealed.cells, others.cells) | np.isin(sealed.inputs, others.inputs)
        left = np.flatnonzero(~known)
        known[left[sealed.rows(left).alike(others)[0]]] = True
        return known

    readings, opened, count = mine.before[mine.state == SEALED].astype(int), np.zeros(len(sealed), dtype=bool), 0
    for run in runs:
        times = 0 if run.run in mine.line else run.readings
        readings += times * among(run.of(SEALED))
        opened |= among(run.of(OPEN))
        count += bool(among(run.of(OPEN)).any() or (times and among(run.of(SEALED)).any()))
    return SealHistory(len(sealed), 1 + max(readings), (readings > 0).mean(), opened.mean(), count, counted=True)


@pytest.mark.parametrize(("numbers", "pictures"), [(40, False), (4000, False), (10**6, False), (4000, True)])
def test_one_lookup_over_all_runs_finds_what_each_by_itself_would(
    register: Register, numbers: int, pictures: bool
) -> None:
    rng = np.random.default_rng(numbers)

    def run(name: str, seed: int, rows: int, readings: int) -> RowRecord:
        state, before = rng.integers(SEALED, WAS_READ + 1, rows), rng.integers(0, 3, rows)
        key, some = register.secret.id, drawn(seed, rows, numbers, pictures=pictures)
        stored = state.astype(np.uint8), before.astype(np.uint16)
        return RowRecord(name, key, some, *stored, line=("1",), readings=readings)

    runs = [run(str(seed), seed, int(rng.integers(0, 800)), readings=seed % 3) for seed in range(8)]
    mine = run("mine", 100, 1500, readings=0)
    for one in runs:
        register.keep(replace(one, rows=one.rows.veiled(register.secret)))
    found = register.history(replace(mine, rows=mine.rows.veiled(register.secret)), own=1)
    assert found == one_by_one(register, mine, runs)
    assert numbers == 10**6 or found.runs
    assert numbers > 40 or found.opened


def test_a_run_and_its_line_are_not_counted_twice(register: Register) -> None:
    for name in ("parent", "own"):
        register.keep(record(register, name, range(50), range(40, 50)))
        register.note_reading(name, 1)
    child = record(register, "own", range(50), range(40, 50), line=("parent",))
    child.before[40:] = 1  # as its parent's record says
    assert register.history(child, own=1).readings == 2


@pytest.mark.parametrize("largest", [3, 2**43, 2**45, 2**64])
def test_keys_are_found_however_close_they_lie(largest: int) -> None:
    """Keys that share their first bits are told apart by the rest, also at both ends of all keys."""
    rng = np.random.default_rng(largest % 97)
    keys, others = (rng.integers(0, largest, 200, dtype=np.uint64, endpoint=largest < 2**64) for _ in range(2))
    others = np.r_[others, keys[:20], np.uint64(0), np.uint64(2**64 - 1)]
    for mine in (np.r_[keys, keys[50:60]], np.r_[keys, np.uint64(2**64 - 1)], keys[:0]):
        for some in (others, others[:0]):
            assert (ArrangedKeys(mine).are_among(some) == np.isin(mine, some)).all()


def test_the_secret_is_this_users_alone_and_made_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: secret_of(home, make=True)[0].key, range(32)))
    assert len(set(found)) == 1
    assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["secret"]
    assert secret_of(tmp_path / "none", make=False)[0].key != found[0]
    assert not (tmp_path / "none").exists()


def test_fingerprints_of_another_key_say_nothing(register: Register) -> None:
    hashes = np.arange(1000, dtype=np.uint64)
    one, other = Secret(bytes(32)).keyed(hashes), Secret(bytes([1] * 32)).keyed(hashes)
    assert not np.isin(one, other).any()
    assert len(np.unique(one)) == 1000
    assert (one == Secret(bytes(32)).keyed(hashes)).all()
    theirs = record(Register(register.folder, Secret(bytes(32))), "theirs", range(9), range(4))
    register.keep(theirs)
    assert register.history(record(register, "new", range(9), range(4)), own=1).runs == 0
    assert not register.history(theirs, own=1).counted


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    register = Register.opened(tmp_path / "file" / "home")
    assert "cannot be written" in register.keep(record(register, "a", range(9), range(3)))
    register.note_reading("a", 1)
    assert not register.history(record(register, "a", range(9), range(3)), own=1).counted
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "secret").write_bytes(b"abc")
    assert "damaged: 3 bytes" in Register.opened(tmp_path / "short").problem


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\0" * 500, b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_a_damaged_entry_is_said_and_left_out(register: Register, content: bytes) -> None:
    register.keep(record(register, "good", range(9), range(3)))
    register.note_reading("good", 1)
    (register.folder / "bad.parquet").write_bytes(content)
    history = register.history(record(register, "new", range(9), range(3)), own=1)
    assert (history.readings, history.damaged) == (2, 1)
    assert "1 runs are not counted" in history.sentence
    whole = (register.folder / "good.parquet").read_bytes()
    for end in range(0, len(whole), 97):
        with pytest.raises(InputError):
            RowRecord.from_bytes(whole[:end])


def test_a_record_comes_back_as_it_went(register: Register) -> None:
    state = np.array([SEALED, OPEN, WAS_OPEN, WAS_READ, GROUP], dtype=np.uint8)
    five = np.arange(5, dtype=np.uint64)
    keys = Fingerprints(five, five + np.uint64(2**63), five + np.uint64(2**62))
    grid = NearGrid(("x", "k"), {"x": 0.5}, {"x": Rounding(0.01, 3)})
    before = np.array([3, 0, 0, 2, 0], dtype=np.uint16)
    kept = RowRecord(
        "run", "key", keys, state, before, ("a", "b"), ("why",), readings=2, complete=False, near_grid=grid
    )
    found = RowRecord.from_bytes(kept.to_bytes())
    assert (found.run, found.key, found.line, found.unknown) == ("run", "key", ("a", "b"), ("why",))
    assert (found.readings, found.complete) == (2, False)
    for name in ("state", "before", "times"):
        assert getattr(found, name).tolist() == getattr(kept, name).tolist()
    assert found.times.tolist() == [5, 0, 0, 2, 0]
    for name in ("cells", "inputs", "near"):
        assert getattr(found.rows, name).tolist() == getattr(keys, name).tolist()
    assert found.near_grid == grid
    assert found.own.state.tolist() == [SEALED, OPEN]


def test_of_very_many_rows_the_sealed_ones_are_kept() -> None:
    rows = MOST_ROWS + 1
    keys = np.arange(rows, dtype=np.uint64)
    state = np.where(keys % 5 == 0, SEALED, OPEN).astype(np.uint8)
    kept = RowRecord("run", "key", Fingerprints.by_keys(keys), state, np.zeros(rows, dtype=np.uint16)).shortened()
    assert len(kept.rows) == (rows + 4) // 5
    assert not kept.complete
    assert set(kept.state) == {SEALED}
