"""Steps of a stack as CUDA graphs: recorded once for each size of a batch, and replayed.

A step of small networks is bound by its launches, some twenty of a few microseconds each. A graph launches all kernels
of many steps at once. What differs from step to step lies in memory that the graph reads: batches, rates, the steps'
number. S steps, M members, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.engine.members.batches import Batch
from luthier.engine.populations.loss_buffer import LossBuffer

LENGTHS = (32, 4, 1)  # steps of one graph; a stretch is cut into as few as can be
STRETCH = 64  # steps between looks at the clock
RECORDED_BYTES = 1 << 28  # of batches that a graph reads

Run = Callable[[Sequence[Sequence[Batch]], int | Tensor, Sequence[Tensor], LossBuffer], None]
Recorder = Callable[[Callable[[], None]], Callable[[], None]]


class Recording(NamedTuple):
    """Steps that can be replayed, and what they read and write: batches [S, ...], rates [S, M, 1], losses [S, M]."""

    replay: Callable[[], None]
    batches: Batch
    rates: Tensor
    number: Tensor
    losses: Tensor


class StepGraphs:
    """The steps of a block, replayed where they are alike, else run.

    `run(batches, number, rates, losses)` makes steps; the first step of a size is run, which warms up what a recording
    may not wait for. Where steps cannot be recorded, as with a loss of the user's own that looks at its numbers, they
    are run. `failed` says why.
    """

    def __init__(self, run: Run, fresh: Callable[[], LossBuffer], recorder: Recorder | None = None) -> None:
        self._run, self._fresh, self._recorder = run, fresh, recorder or CudaRecorder()
        self._known, self._recordings = set[tuple[object, ...]](), dict[tuple[object, ...], Recording]()
        self.failed = ""

    def steps(
        self, several: Sequence[Sequence[Batch]], number: int, rates: Sequence[Tensor], losses: LossBuffer
    ) -> None:
        """Make these steps, the first of which is the `number`-th, counted from 1."""
        start = 0
        while start < len(several):
            alike = self._alike(several[start:])
            count = next((length for length in LENGTHS if length <= alike), 0)
            some = slice(start, start + max(1, count))
            recording = self._recording(several[some], rates[some]) if count else None
            if recording is None:
                self._run(several[some], number + start, rates[some], losses)
            else:
                _fill(recording, several[some], number + start, rates[some])
                recording.replay()
                losses.put(recording.losses.clone())
            start = some.stop

    def _alike(self, several: Sequence[Sequence[Batch]]) -> int:
        """How many of the next steps are alike and may be recorded: one batch each, of one size that is known."""
        kinds = [_kind(batches[0]) if len(batches) == 1 else None for batches in several[: LENGTHS[0]]]
        if self.failed or kinds[0] is None:
            return 0
        if kinds[0] not in self._known:
            self._known.add(kinds[0])
            return 0
        most = max(1, RECORDED_BYTES // max(1, several[0][0].nbytes))
        return min(most, next((i for i, kind in enumerate(kinds) if kind != kinds[0]), len(kinds)))

    def _recording(self, several: Sequence[Sequence[Batch]], rates: Sequence[Tensor]) -> Recording | None:
        key = (len(several), *_kind(several[0][0]))
        if key not in self._recordings and not self.failed:
            try:
                self._recordings[key] = self._recorded([batches[0] for batches in several], rates)
            except RuntimeError as error:  # whatever may not happen while a graph is recorded
                self.failed = str(error)
        return self._recordings.get(key)

    def _recorded(self, several: Sequence[Batch], rates: Sequence[Tensor]) -> Recording:
        batches = several[0].map(lambda value: value.new_empty(len(several), *value.shape))
        own, number = torch.stack(list(rates)), torch.ones((), dtype=torch.int64, device=rates[0].device)
        losses = self._fresh().losses().new_empty(len(several), len(rates[0]))

        def steps() -> None:
            known = self._fresh()
            for place, rate in enumerate(own):
                batch = batches.map(lambda value, place=place: value[place])  # type: ignore[misc]
                self._run([[batch]], number + place, [rate], known)
            losses.copy_(known.losses())

        return Recording(self._recorder(steps), batches, own, number, losses)


def _kind(batch: Batch) -> tuple[object, ...]:
    """What must be the same of batches that take turns in one graph."""
    return (batch.own, *((name, value.shape, value.dtype) for name, value in batch.named().items()))


def _fill(recording: Recording, several: Sequence[Sequence[Batch]], number: int, rates: Sequence[Tensor]) -> None:
    """Put these steps' batches, rates and number to where the graph reads them."""
    given = [batches[0].named() for batches in several]
    for name, target in recording.batches.named().items():
        if target.numel():
            torch.stack([named[name] for named in given], out=target)
    torch.stack(list(rates), out=recording.rates)
    recording.number.fill_(number)


class CudaRecorder:
    """Records what is launched as a CUDA graph; all graphs of a block share their memory, as one runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, steps: Callable[[], None]) -> Callable[[], None]:
        """Record what `steps` launches, without running it."""
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        with torch.cuda.stream(torch.cuda.current_stream()), recording:  # the stream is put back where recording fails
            steps()
        return graph.replay
