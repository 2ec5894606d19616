"""Means of the target by level while networks learn: what a row enters with never counts its own fold.

N rows, M members, F folds, L levels, T values of a target. The means of a member that leaves out fold k are one table
[F, L, T]: those for rows of fold f are over the rows outside of k and f. So a row that it learns from enters by means
over others, and the rows of its own fold, which it does not learn from, by means over all that it does: the means that
are kept. A code of fold and level together looks them up, in training and in evaluation alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from luthier.engine.dense.dense_rows import buffer_views
from luthier.engine.members.member import Member
from luthier.engine.populations.outcome import Outcome
from luthier.engine.populations.streams import Stream
from luthier.errors import InputError
from luthier.nets import DenseSpec, LevelSums
from luthier.rows import Rows
from luthier.seeds import torch_generator

INNER = 5  # folds of the rows that all members learn from; the rows that they do not learn from are fold 0


@dataclass(frozen=True)
class CrossedMeans:
    """The members with tables of fold and level, the rows with codes for them, and the tables [F L, T] by fold."""

    members: tuple[Member, ...]
    training: Rows
    validation: Rows | None
    tables: Mapping[int, Mapping[str, Tensor]]

    @classmethod
    def of(
        cls,
        members: Sequence[Member],
        training: Rows | Stream,
        validation: Rows | None,
        folds: Tensor | None,
        seed: int = 0,
    ) -> CrossedMeans | None:
        """What members train with whose spec has means of the target; None for others. InputError for rows of a Stream.

        Without folds [N] the training rows are dealt into five.
        """
        spec = members[0].spec
        if not isinstance(spec, DenseSpec) or spec.target_encoding is None:
            return None
        encoding = spec.target_encoding
        if isinstance(training, Stream) or training.targets.ndim > 1:
            raise InputError(
                "means of the target by level need rows in memory and one target", remedy="leave out target_encoding"
            )
        if folds is None:
            order = torch.randperm(len(training), generator=torch_generator(seed, "means of the target"))
            folds = 1 + order % INNER
        count = int(folds.max()) + 1
        codes, targets = training.codes.cpu().long(), training.targets.cpu()
        weights, dealt = None if training.weights is None else training.weights.cpu(), folds.cpu()
        tables: dict[int, dict[str, Tensor]] = {fold: {} for fold in {member.fold or 0 for member in members}}
        for name, column, levels in zip(encoding.shapes(), encoding.columns, encoding.levels, strict=True):
            sums = LevelSums.of(
                codes[:, column], targets, levels=levels, width=encoding.width, weights=weights, folds=dealt
            )
            for own, named in tables.items():
                each = [sums.means({own, fold}, smoothing=encoding.smoothing) for fold in range(count)]
                named[name] = torch.cat(each)
        known = training.codes.shape[1]
        places, sizes = range(known, known + len(encoding.columns)), (count * levels for levels in encoding.levels)
        crossed = replace(spec, target_encoding=replace(encoding, columns=tuple(places), levels=tuple(sizes)))
        return cls(
            tuple(replace(member, spec=crossed) for member in members),
            _coded(training, spec, folds),
            None if validation is None else _coded(validation, spec, torch.zeros(len(validation), dtype=torch.int64)),
            tables,
        )

    def write(self, buffers: Tensor) -> None:
        """Fill the members' tables in their rows of buffers [M, Q]."""
        spec = self.members[0].dense
        for m, member in enumerate(self.members):
            named = buffer_views(spec, buffers[m : m + 1])
            for name, table in self.tables[member.fold or 0].items():
                named[name][0] = table

    def started(self, initial: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Weights to start from, with room for the tables."""
        return [{**state, **self.tables[m.fold or 0]} for state, m in zip(initial, self.members, strict=True)]

    def delivered(self, outcome: Outcome) -> Outcome:
        """The outcome of members that keep the means over all rows that they learnt from."""
        spec = outcome.members[0].dense
        encoding, crossed = spec.target_encoding, buffer_views(self.members[0].dense, outcome.buffers)
        assert encoding is not None
        width = sum(int(torch.tensor(shape).prod()) for shape in spec.buffer_shapes().values())
        buffers = outcome.buffers.new_empty(len(outcome.members), width)
        for name, kept in buffer_views(spec, buffers).items():
            if name not in encoding.shapes():
                kept.copy_(crossed[name])
                continue
            for m, member in enumerate(outcome.members):
                kept[m] = crossed[name][m].view(-1, *kept.shape[1:])[member.fold or 0]
        outcome.buffers = buffers
        return outcome


def _coded(rows: Rows, spec: DenseSpec, folds: Tensor) -> Rows:
    """The rows with codes [N, K + E] of fold and level together after their own."""
    encoding, codes = spec.target_encoding, rows.codes
    assert encoding is not None
    own = codes[:, list(encoding.columns)].long()
    more = folds.to(own.device).unsqueeze(1) * own.new_tensor(encoding.levels) + own
    return rows.with_inputs(codes=torch.cat([codes, more.to(codes.dtype)], 1))
