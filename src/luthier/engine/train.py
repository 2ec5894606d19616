"""The training loop: many members, one program, readable from top to bottom.

M members alive of N, B batch, S steps, P parameters. What a member gets does not depend on its company:
its initial weights and dropout masks follow from its own seed, and its arithmetic is its own
rows of the stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from luthier.engine.block_threads import BlockThreads, in_one_thread_each
from luthier.engine.evaluating import held_out_rows, measured
from luthier.engine.feed import batches_for, check
from luthier.engine.members.batches import Batch, BatchSource
from luthier.engine.members.devices import within_memory
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Checkpointer, Evaluation, Settings, Stop, never
from luthier.engine.populations.crossed_means import CrossedMeans
from luthier.engine.populations.first_biases import write_first_biases
from luthier.engine.populations.outcome import Outcome
from luthier.engine.populations.population import Population
from luthier.engine.populations.streams import Stream
from luthier.engine.resuming import plan_of, restored, snapshot
from luthier.engine.run_record import RunRecord
from luthier.engine.standing import RUNG, Standing, groups_of, judged, kept
from luthier.engine.torch_modules.modules import Modules
from luthier.errors import InputError, TerminatedError
from luthier.rows import Rows

FINISHED, CUT, PAUSED = "finished", "cut", "paused"


@within_memory()
@in_one_thread_each
def train(
    members: Sequence[Member],
    training: Rows | Stream,
    validation: Rows | None,
    settings: Settings,
    *,
    stop: Stop = never,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    checkpoint: Checkpointer | None = None,
    pause_at: int | None = None,
    survivors: Collection[int] | None = None,
    initial: Sequence[Mapping[str, Tensor]] | None = None,
    folds: Tensor | None = None,
) -> Outcome:
    """Train members together and keep each one's best weights.

    A training part may be a Stream, whose rows stay on the disk. Members start from their seeds' own
    initialisation, or from the named weights in `initial`, one state for each.
    `stop` is asked with the steps done, and ends training there: before every step, or before every few
    where the members are so many that blocks of them take turns (see Population.multi_step_length). With a
    `checkpoint`, training goes on from its saved state bit for bit. It may also pause at the first
    evaluation from `pause_at` steps on, to be compared with other populations: the state is saved, and a
    later call goes on with the `survivors` alone, the others' status being that they were cut at a rung.

    With `folds` [N], a number from 0 for each training row, members have rows of their own: each learns from the rows
    outside of its `fold`, counts those as its n, and is evaluated on the rows inside; there is no validation part then.
    Members that differ in fold and label alone are one setting: the mean loss over all its rows decides when its
    weights are kept, and it stops as one. Blocks of members step in the settings' `threads`, to the same numbers.
    """
    own, saved = _folds_of(members, training, validation, folds), None if checkpoint is None else checkpoint.load()
    if saved is not None:
        settings = replace(settings, blocks=saved.facts.get("blocks", 1))
    settled, means = members, CrossedMeans.of(members, training, validation, folds, settings.batch_seed)
    if means is not None:
        settled, training, validation = means.members, means.training, means.validation
        initial = None if initial is None else means.started(initial)
    population = Population.of(settled, settings, _rows_of(members, training, folds), initial, own)
    if means is not None:
        means.write(population.state.buffers)
    if initial is None:
        write_first_biases(population, training, folds)
    if initial is None and isinstance(population.kind, Modules) and isinstance(training, Rows):
        population.kind.inform(population.state.buffers, training)
    batches, held_out = batches_for(population, training, folds), held_out_rows(population, training, validation, folds)
    for part, what in ((training, "training"), (validation, "validation")):
        if isinstance(part, Rows):
            check(population, part, what)
    standing, record, groups = Standing.first(population), RunRecord.of(members, settings), groups_of(members, own)
    plan, threads = plan_of(members, settings, len(training)), BlockThreads(settings.threads)

    def leave(places: Mapping[int, str]) -> tuple[Population, Standing]:
        record.leave(standing, places)
        return kept(population, standing, list(places))

    def save() -> None:
        if checkpoint is not None:
            checkpoint.save(snapshot(population, standing, record, plan))

    if saved is not None:
        population, standing, record = restored(saved, population, plan)
    if survivors is not None:
        population, standing = leave(
            {place: RUNG for place, i in enumerate(standing.alive.tolist()) if i not in survivors}
        )
    if pause_at is not None and pause_at <= standing.done and standing.done % settings.evaluate_every == 0:
        population, standing = leave(dict.fromkeys(range(len(standing.alive)), PAUSED))  # it waited there
    while len(standing.alive) and standing.done < settings.steps:
        try:
            over = stop(standing.done)
        except TerminatedError:
            save()
            raise
        if over:
            population, standing = leave(dict.fromkeys(range(len(standing.alive)), CUT))
            break
        several, rates = _next_steps(population, batches, standing)
        threads.step(population.lanes, several, standing.done + 1, rates)
        standing = standing._replace(done=standing.done + len(several))
        if standing.done % settings.evaluate_every == 0 or standing.done == settings.steps:
            losses, validated = population.losses(), held_out is not None
            record.add_steps(losses, standing)
            figures = measured(population, held_out, losses)
            population.restart_losses()
            (rate,) = standing.rates(population, [standing.done - 1])
            standing, leaving = judged(standing, population, figures, groups, settings, validated=validated)
            record.add(standing, figures, rate, batches.epoch_steps, on_evaluation)
            population, standing = leave(leaving)
            if pause_at is not None and pause_at <= standing.done < settings.steps:
                save()
                population, standing = leave(dict.fromkeys(range(len(standing.alive)), PAUSED))
                break
        if checkpoint is not None and checkpoint.due():
            save()
    population, standing = leave(dict.fromkeys(range(len(standing.alive)), FINISHED))
    outcome = record.outcome(standing)
    return outcome if means is None else means.delivered(outcome)


def _next_steps(
    population: Population, batches: BatchSource, standing: Standing
) -> tuple[list[list[Batch]], list[Tensor]]:
    """The batches and the rates [M, 1] of the next step, or of several where blocks of members take turns."""
    settings, done, each = population.settings, standing.done, population.settings.accumulate
    wanted = min(
        population.multi_step_length, settings.evaluate_every - done % settings.evaluate_every, settings.steps - done
    )
    count = 1 if wanted == 1 else max(1, min(wanted, batches.left(done * each) // each))
    steps = range(done, done + count)
    several = [_together(batches, step * each, each) for step in steps]
    return several, standing.rates(population, steps)


def _together(batches: BatchSource, first: int, count: int) -> list[Batch]:
    """Batches of one step; those that cannot be held at the same time are copied."""
    if batches.left(first) >= count:
        return [batches.at(number) for number in range(first, first + count)]
    return [batches.at(number).clone() for number in range(first, first + count)]


def _folds_of(
    members: Sequence[Member], training: Rows | Stream, validation: Rows | None, folds: Tensor | None
) -> Tensor | None:
    """The fold that each member leaves out [M]. InputError where folds and members do not go together."""
    own = [member.fold for member in members]
    if folds is None and all(fold is None for fold in own):
        return None
    present = set() if folds is None else set(folds.tolist())
    wrong = folds is None or len(folds) != len(training) or any(fold not in present for fold in own)
    if wrong or validation is not None or len(present) < 2:
        raise InputError(
            "the folds do not go with the members and rows",
            expected=f"a fold from 0 for each of {len(training)} rows, two folds or more, one of them for each member, "
            "and no validation part",
            received=f"folds {sorted(present)[:10]}, members of {sorted({str(fold) for fold in own})[:10]}",
            remedy="folds=torch.arange(rows) % 5, and Member(fold=0) to Member(fold=4)",
        )
    return torch.tensor(own)


def _rows_of(members: Sequence[Member], training: Rows | Stream, folds: Tensor | None) -> list[int]:
    """How many rows each member learns from [M]."""
    left_out = Counter([] if folds is None else folds.tolist())
    return [len(training) - left_out[member.fold] for member in members]
