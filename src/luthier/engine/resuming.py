"""Training under way as a snapshot, and on from one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace

import torch

from luthier.engine.members.devices import CPU
from luthier.engine.members.member import Member
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.settings import Settings, Snapshot
from luthier.engine.populations.population import Population
from luthier.engine.run_record import RunRecord
from luthier.engine.standing import Standing
from luthier.errors import InputError
from luthier.identity import identity
from luthier.records import JsonObject

NUMBERS = 2  # raised when the same plan gives other numbers than before: its checkpoints do not fit together then
_STANDING = ("best", "lowest_of_group", "reference", "waited", "lowest", "stalled", "drops")


def plan_of(members: Sequence[Member], settings: Settings, rows: int) -> str:
    """A short name of what is trained and how; a module counts by its shapes, what is the user's own by its code."""
    names = [field.name for field in fields(Member) if field.name != "spec"]
    each = [[getattr(member, name) for name in names] for member in members]
    own = [identity(one) for one in (settings.rule, *settings.metrics) if not isinstance(one, str)]
    rule = settings.rule if isinstance(settings.rule, str) else "adam"
    named = tuple(metric for metric in settings.metrics if isinstance(metric, str))
    plain = replace(settings, loss="softmax", rule=rule, metrics=named)
    known = [NUMBERS, plain, identity(settings.loss), rows, *own, *each]
    specs = {str(m.spec.shapes) if isinstance(m.spec, ModuleSpec) else str(m.spec) for m in members}
    return hashlib.blake2b(repr([known, sorted(specs)]).encode(), digest_size=6).hexdigest()


def snapshot(population: Population, standing: Standing, record: RunRecord, plan: str) -> Snapshot:
    """Everything that the next step depends on."""
    state = population.state
    tensors = {
        "parameters": state.parameters,
        "buffers": state.buffers,
        "losses": population.losses(),
        **{name: getattr(standing, name) for name in _STANDING},
        "best_parameters": standing.parameters,
        "best_buffers": standing.buffers,
        "step_losses": record.step_losses(),
        **{f"rule.{name}": value for name, value in state.rule.items()},
    }
    facts: JsonObject = {
        "done": standing.done,
        "layout": population.kind.layout,
        "plan": plan,
        "blocks": population.settings.blocks,
        "alive": standing.alive.tolist(),
        **record.facts(),
    }
    return Snapshot({name: value.to(CPU, copy=True) for name, value in tensors.items()}, dict(facts))


def restored(saved: Snapshot, population: Population, plan: str) -> tuple[Population, Standing, RunRecord]:
    """What training goes on with from a snapshot of whatever device, by the population as it began."""
    tensors, facts, device = saved.tensors, saved.facts, population.settings.device
    if facts.get("plan") != plan:
        raise InputError(
            "the checkpoint belongs to another training",
            expected=f"networks, settings and rows as now ({plan})",
            received=f"those of {facts.get('plan')}",
            remedy="delete it, or choose another file",
        )
    standing = Standing.first(population)._replace(
        done=facts["done"],
        alive=torch.tensor(facts["alive"], dtype=torch.int64),
        parameters=tensors["best_parameters"].to(device, copy=True),
        buffers=tensors["best_buffers"].to(device, copy=True),
        **{name: tensors[name].clone() for name in _STANDING},
    )
    record = RunRecord.resumed(population.members, population.settings, facts, tensors["step_losses"])
    if len(standing.alive):
        population = population.keep(facts["alive"])
        state = population.state
        state.parameters.copy_(tensors["parameters"])
        state.buffers.copy_(tensors["buffers"])
        for name, value in state.rule.items():
            value.copy_(tensors[f"rule.{name}"])
        population.restart_losses(tensors["losses"].clone())
    return population, standing, record
