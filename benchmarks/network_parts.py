"""What each part of a network of today costs beside a step without it, and what it gains over the first setting.

    python -m benchmarks.network_parts costs
    python -m benchmarks.network_parts gains [TABLE ...]

Costs are processor time on one thread: 32 networks of 3 x 256 units, batches of 256 rows, 20 numbers, Adam. The limit
is what large products reach on the same core; a step's share of it counts the products of all layers and of learned
functions of numbers, three times each (forwards, by the weights, by what is below). Gains are mean test losses of five
seeds on outer splits of tables cut to 3,000 rows, of networks that differ in one part. Both write
`benchmarks/results/network_parts.json`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import first_setting as tables
from benchmarks.ranks import TARGETS
from luthier.engine import Member, Settings
from luthier.engine.feed import batches_for
from luthier.engine.populations.population import Population
from luthier.nets import DenseSpec, NumberEmbedding, PiecewiseEmbedding, TargetEncoding, many_levelled, quantile_edges
from luthier.objective import USUAL_LOSSES
from luthier.recipe.experiment.first_setting import TableShape, first_setting
from luthier.recipe.planning.setting import Setting
from luthier.rows import Inputs, Rows

RESULTS = Path(__file__).parent / "results" / "network_parts.json"
MEMBERS, BATCH, NUMBERS, UNITS, LEVELS = 32, 256, 20, (256, 256, 256), 40
STEPS, TURNS, LARGE = 2, 3, 1024
SMALL, SPLITS = 3_000, 2
PLAIN = DenseSpec(NUMBERS, UNITS, 2, embeddings=((LEVELS, 4),))
Changes = tuple[dict[str, Any], dict[str, Any], str]  # of the spec, of a member, the rule


def rows() -> Rows:
    """Four batches of numbers, and a category of many levels."""
    torch.manual_seed(0)
    count = 4 * BATCH
    return Rows(
        Inputs(numbers=torch.randn(count, NUMBERS), codes=torch.randint(LEVELS, (count, 1))), torch.arange(count) % 2
    )


def parts(training: Rows) -> dict[str, Changes]:
    """Each part alone, and all that go together."""
    waves = {"number_embedding": NumberEmbedding(NUMBERS)}
    kinds = (("biases", 0.1), ("embeddings", 0.3), ("numbers", 0.1), ("scales", 6.0))
    shaped = {"input_scale": True, "activation": "mish", "parametric": True}
    learnt = {"rate_factors": kinds, "width_scaled": True, "weight_decay": 0.02, "dropout": (0.15,) * len(UNITS)}
    of_spec: dict[str, dict[str, Any]] = {
        "waves of numbers (PBLD)": waves,
        "lines of numbers (PLE)": {"number_embedding": PiecewiseEmbedding(quantile_edges(training.numbers, 16))},
        "input scale": {"input_scale": True},
        "means of the target by level": {"target_encoding": TargetEncoding((0,), (LEVELS,), 1)},
        "SELU": {"activation": "selu"},
        "Mish": {"activation": "mish"},
        "parametric activations": {"parametric": True},
        "four networks that share weights": {"ensemble": 4},
        "batch norm": {"batch_norm": True},
        "layer norm": {"layer_norm": True},
    }
    of_members: dict[str, dict[str, Any]] = {
        "dropout": {"dropout": learnt["dropout"]},
        "rates by kind": {"rate_factors": kinds},
        "rates by width": {"width_scaled": True},
        "decoupled decay": {"weight_decay": 0.02},
        "moving average (EMA)": {"ema_decay": 0.99},
        "label smoothing": {"label_smoothing": 0.1},
        "clipping": {"clip_norm": 1.0},
    }
    return {
        "none": ({}, {}, "adam"),
        **{name: (changes, {}, "adam") for name, changes in of_spec.items()},
        **{name: ({}, changes, "adam") for name, changes in of_members.items()},
        "Muon": ({}, {}, "muon"),
        "all": ({**waves, **shaped}, {**learnt, "ema_decay": 0.99, "label_smoothing": 0.1}, "adam"),
    }


def stepping(training: Rows, changes: Changes) -> tuple[Callable[[], None], float]:
    """A function that makes a few steps of all networks, and the products' operations of one step."""
    of_spec, of_member, rule = changes
    spec = replace(PLAIN, **of_spec)
    members = [Member(spec, seed=k, learning_rate=1e-3, **of_member) for k in range(MEMBERS)]
    settings = Settings("softmax", rule, BATCH, 1000, 1000)
    population = Population.of(members, settings, len(training))
    batch, rates, numbers = batches_for(population, training).at(0), population.rates.at(0), iter(range(1, 1 << 30))

    def steps() -> None:
        for _ in range(STEPS):
            population.step([batch], next(numbers), rates)
        population.restart_losses()

    sizes = sum(spec.columns(i) * units for i, units in enumerate((*spec.hidden, spec.outputs)))
    waves = spec.number_embedding
    inner = 0 if waves is None else waves.inner * (waves.width - 1)
    return steps, 3 * 2.0 * BATCH * MEMBERS * (sizes + inner)


def least_seconds(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least processor seconds of each of several functions, which take turns after one call of each."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(TURNS + 1):
        for name, one in work.items():
            began = time.process_time()
            one()
            if turn:
                taken[name].append(time.process_time() - began)
    return {name: min(times) for name, times in taken.items()}


def costs() -> dict[str, Any]:
    """Milliseconds of a step with each part, its time over that of a step without, its share of the limit."""
    training, left = rows(), torch.randn(LARGE, LARGE)
    made = {name: stepping(training, changes) for name, changes in parts(training).items()}
    work: dict[str, Callable[[], object]] = {name: one for name, (one, _) in made.items()}
    taken = least_seconds({**work, "limit": partial(torch.mm, left, left)})
    limit = 2 * LARGE**3 / taken.pop("limit")
    return {
        "limit, GFLOP/s": round(limit / 1e9, 1),
        "parts": {
            name: {
                "ms a step": round(1e3 * seconds / STEPS, 2),
                "beside none": round(seconds / taken["none"], 3),
                "share of the limit": round(made[name][1] * STEPS / seconds / limit, 3),
            }
            for name, seconds in taken.items()
        },
    }


def gains(names: tuple[str, ...]) -> dict[str, Any]:
    """Of each table, the mean log of the loss with a part over the loss without, and its standard error over splits."""
    tables.ROWS = SMALL
    result: dict[str, dict[str, Any]] = {}
    for name in names or tuple(TARGETS):
        logs: dict[str, list[float]] = {}
        for seed in range(SPLITS):
            split = tables.table(name, seed)
            flags, sizes = split.prepared("robust")[0].numbers.shape[1] - split.numbers, split.encoder.category_sizes
            count = len(split.parts[0])
            first = first_setting(TableShape(split.kind, count, split.numbers, sizes, split.outputs, flags))
            steps, losses = first.epochs * -(-count // first.setting.batch_size), dict[str, float]()
            for part, changes in _changes(split).items():
                member = first.setting.member
                changed = replace(member, spec=replace(member.dense, **changes))
                losses[part] = tables.trained(split, _with(first.setting, changed), steps)["loss"]
            for part, loss in losses.items():
                logs.setdefault(part, []).append(float(np.log(loss / losses["none"])))
        result[name] = {
            part: [round(float(np.mean(own)), 4), round(float(np.std(own, ddof=1) / len(own) ** 0.5), 4)]
            for part, own in logs.items()
            if part != "none"
        }
        print(name, result[name], flush=True)
    return result


def _changes(split: tables.Table) -> dict[str, dict[str, Any]]:
    means = many_levelled(split.encoder.category_sizes, split.outputs, USUAL_LOSSES[split.kind])
    more = {} if means is None else {"means of the target by level": {"target_encoding": means}}
    return {"none": {}, "biases from data": {"biases_from_data": True}, **more}


def _with(setting: Setting, member: Member) -> Setting:
    return replace(setting, member=member)


def main(what: str, *names: str) -> None:
    """Measure, print and write down."""
    torch.set_num_threads(1)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measured = costs() if what == "costs" else {**known.get("gains", {}), **gains(names)}
    RESULTS.write_text(json.dumps({**known, what: measured}, indent=1) + "\n")
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
