"""Which rows the runs of this machine have read and learnt from: a folder with a small file for each run.

Nothing is refused for it: independent runs on the same rows are counted, and what was counted is said on every number.
Files are written whole, under a run's own name, so that runs at the same time do not meet. N rows.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luthier import storage
from luthier.assess.fingerprints import ArrangedRows, Secret, secret_of
from luthier.assess.row_record import OPEN, SEALED, RowRecord
from luthier.errors import InputError, LuthierError, in_a_line
from luthier.messages import Message, joined, with_messages
from luthier.records import JsonObject


@dataclass(frozen=True)
class SealHistory:
    """What is known of the rows that a run is scored on: how many there are, how often one of them was read (this
    reading included; 0 where none is sealed), the shares of them that were read and that were open before, and by how
    many earlier runs. `counted` says whether a register was asked, `damaged` how many of its entries cannot be read.
    """

    rows: int
    readings: int = 1
    read: float = 0.0
    opened: float = 0.0
    runs: int = 0
    counted: bool = False
    damaged: int = 0

    @property
    def sentence(self) -> str:
        """What is said of every number from these rows; empty where nothing before has seen them.

        >>> SealHistory(100, readings=4, read=1.0, opened=0.8, runs=5, counted=True).sentence
        'these rows were read 4 times; earlier runs had 80 % of them open'
        """
        parts = list[str]()
        if self.read == 1 or (self.readings > 1 and not self.read):
            parts.append(Message("these rows were read {count} times", count=self.readings))
        elif self.read:
            parts.append(Message("{share} of these rows were read before", share=_percent(self.read)))
        if 0 < self.read < 1 and self.readings > 2:
            parts.append(Message("some of them {count} times in all", count=self.readings))
        if self.opened and parts:
            parts.append(Message("earlier runs had {share} of them open", share=_percent(self.opened)))
        elif self.opened:
            parts.append(Message("earlier runs had {share} of these rows open", share=_percent(self.opened)))
        if self.damaged:
            parts.append(Message("{count} runs are not counted, as the register is damaged", count=self.damaged))
        return joined(parts)

    @property
    def in_words(self) -> str:
        """How often these rows were measured on, as far as it is known."""
        if not self.readings:
            return Message("an estimate by rows that also chose the settings; nothing is sealed")
        if self.sentence:
            return self.sentence
        if self.counted:
            return Message("measured once, on rows that no earlier run on this machine has read or learnt from")
        return Message("measured once by this run; whether other runs have seen these rows is not counted")

    def to_json(self) -> JsonObject:
        """The history as plain JSON values, with its sentence."""
        content: JsonObject = with_messages({**asdict(self), "sentence": self.sentence})
        return content

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SealHistory:
        """The history that `to_json` gave."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def is_registered(wanted: bool | None, run: str | Path | None) -> bool:
    """Whether a run is kept in the register: as wanted, else where its folder was named; never where that is off."""
    return (run is not None if wanted is None else wanted) and not os.environ.get("LUTHIER_NO_REGISTER")


@dataclass(frozen=True)
class Register:
    """The register in a folder, of rows behind a secret; `problem` says why it cannot be used."""

    folder: Path
    secret: Secret
    problem: str = ""

    @classmethod
    def opened(cls, home: Path) -> Register:
        """The register of a home; never an error."""
        secret, problem = secret_of(home, make=True)
        return cls(home / "register", secret, problem)

    @classmethod
    def none(cls) -> Register:
        """No register: nothing is kept or counted, and fingerprints are those of this machine where it has a secret."""
        home = storage.home_folder()
        return cls(home / "register", secret_of(home, make=False)[0], "no register is kept")

    def keep(self, record: RowRecord) -> str:
        """Keep what a run has to do with its rows. Returns why that was not possible, or nothing."""
        if self.problem:
            return self.problem
        try:
            storage.write_bytes(self._path(record.run), record.own.shortened().to_bytes())
        except (LuthierError, OSError) as error:
            return in_a_line(error)
        return ""

    def forget(self, run: str) -> None:
        """Let go of a run that came to nothing."""
        self._path(run).unlink(missing_ok=True)

    def note_reading(self, run: str, times: int) -> None:
        """Keep how often a run has read its sealed rows; what cannot be written was said when the run began."""
        try:
            self.keep(RowRecord.from_bytes(self._path(run).read_bytes()).read_again(times))
        except (OSError, InputError):
            return

    def history(self, record: RowRecord, own: int) -> SealHistory:
        """What other runs have done with the sealed rows of a run, which has read them so often itself.

        What the runs that it comes from have done with them is in its record; what they have learnt from since, by a
        refit, is asked of the register.
        """
        counted = not self.problem and record.key == self.secret.id
        is_sealed = record.state == SEALED
        rows = record.rows.rows(is_sealed).veiled(self.secret)
        arranged = ArrangedRows(rows)
        readings = record.before[is_sealed].astype(np.int64)
        opened, runs, damaged = np.zeros(len(rows), dtype=bool), 0, 0
        for entry in self._entries({record.run}) if counted else ():
            if entry is None:
                damaged += 1
                continue
            seen = (entry.of(state).veiled(self.secret) for state in (SEALED, OPEN))
            among_sealed, among_open = (arranged.are_among(some) for some in seen)
            read = 0 if entry.run in record.line else entry.readings
            readings[among_sealed] += read
            opened |= among_open
            runs += bool(among_open.any() or (read and among_sealed.any()))
        count, most = max(1, len(rows)), int(readings.max(initial=0))
        shares = float((readings > 0).sum() / count), float(opened.sum() / count)
        return SealHistory(len(rows), own + most, *shares, runs, counted, damaged)

    def _entries(self, besides: Collection[str]) -> Iterator[RowRecord | None]:
        """The other runs of this machine, None for what cannot be read."""
        for path in sorted(self.folder.glob("*.parquet")):
            if path.name.startswith(".") or path.stem in besides:
                continue
            try:
                record = RowRecord.from_bytes(path.read_bytes())
            except (OSError, InputError):
                yield None
                continue
            if record.key == self.secret.id:
                yield record

    def _path(self, run: str) -> Path:
        return self.folder / f"{run}.parquet"
