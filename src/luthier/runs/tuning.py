"""`luthier.tune`: search the hyper-parameters of a network of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import Unpack

from luthier.engine import part_of
from luthier.engine.api import alike, known_spec, suited
from luthier.engine.populations.loaders import numbers_in
from luthier.errors import InputError
from luthier.machine import torch_settings
from luthier.messages import Message
from luthier.nets import DeferredSpec, DenseSpec
from luthier.objective import AnyLoss, has_gaps, loss_for
from luthier.request import Config, SearchConfig
from luthier.request_types import SearchConfigOptions
from luthier.rows import Rows
from luthier.runs.screen import SearchScreen
from luthier.runs.searching import Place, effort_for, run_search
from luthier.runs.study_result import Study
from luthier.saved import RunFolder, create_run, machine_facts, open_run, timestamp
from luthier.search import REGISTRY, BuiltNetworks, DenseNetworks, Effort, Networks, Sampler, Space, space_from
from luthier.seeds import numpy_generator
from luthier.storage import plain

HELD_OUT = 0.2  # of the rows, where no validation part is given
HOW = ("spread", "memory")  # how trials are computed, which changes numbers by rounding alone
Build = Callable[[Mapping[str, Any]], nn.Module] | DenseSpec | DeferredSpec


@torch_settings()
def tune(
    build: Build,
    data: Any,
    space: Mapping[str, Any] | str | Path | Space,
    config: Config = None,
    *,
    validation: Any = None,
    loss: AnyLoss | None = None,
    sampler: str | Sampler = "random",
    layout: str | None = None,
    run: str | Path | None = None,
    screen: SearchScreen | None = None,
    **options: Unpack[SearchConfigOptions],
) -> Study:
    """Search the hyper-parameters of your own network.

    `build(h)` returns an `nn.Module` for a setting `h`, which it reads like a dictionary; a DenseSpec
    serves too. `data` is (X [N, ...], y) or (X, y, weights), or batches of them; without `validation` a
    fifth of its rows is held out. `space` maps names to ranges (a pair), options (a list), Number, Choice
    or one fixed value, or is a TOML file; the engine takes `learning_rate`, `rule`, `momentum`,
    `batch_size`, `schedule`, `weight_decay` and the rest of `luthier tune --list` by itself, everything
    else is for `build`. Options of `rule` and `schedule` may be objects, as in
    `luthier.train`. Modules of equal shapes train together.

    `loss` is as for `luthier.train`; `screen` follows the search.
    `options` are the fields of `luthier.request.SearchConfig`; `config` holds some of them, as for `luthier.fit`.
    `trials` or `budget` ("10m") bounds the search. Its first trial is the default setting. With `tiers`
    the hyper-parameters are searched in their order of importance; `sampler` is random, grid, sobol,
    coarse-to-fine, tpe or gp, or an object with `ask`; `halving` is successive or hyperband. The best few are
    refitted, and what is reported is the mean over `confirm` fresh seeds. With `run` everything is kept in that
    folder, and the same call continues where it was interrupted. `storage` writes the study live to a storage of
    Optuna's under the name `study`, which other processes may share. `on="ray"` trains on a Ray cluster.
    Networks that do not fit into `memory` ("2GiB"; half of the machine's) together train in turns. `device` is cpu,
    cuda, cuda:1 or mps, where one worker trains all; auto is the processor, whose cores share the trials.
    `layout` is stacked, vmapped or looped, as for `luthier.train`; without it a few timed steps decide.

    Raises InputError for data, spaces and modules that do not fit.

    >>> X = torch.randn(120, 4)
    >>> found = tune(
    ...     lambda h: nn.Sequential(nn.Linear(4, h["units"]), nn.ReLU(), nn.Linear(h["units"], 2)),
    ...     (X, (X[:, 0] > 0).long()), {"learning_rate": (1e-3, 1e-1), "units": [4, 8]},
    ...     trials=6, epochs=2, confirm=2, workers=1,
    ... )
    >>> sorted(found.best), len(found.outcome.searched)
    (['learning_rate', 'units'], 6)
    """
    if not isinstance(run, str | Path | None):
        raise InputError("run is not a folder", expected="its path", received=repr(run))
    ours = None if isinstance(sampler, str) else sampler
    wanted = SearchConfig.of(config, **options, sampler=sampler if ours is None and sampler != "random" else None)
    seed = wanted.seed
    whole = part_of(data, gaps=has_gaps(loss))
    given = None if validation is None else alike(whole, part_of(validation, "validation", gaps=has_gaps(loss)))
    training, held_out = _parts(whole, given, seed)
    networks: Networks
    if isinstance(build, DenseSpec | DeferredSpec):
        searched = space_from(space, taken=REGISTRY)
        chosen = loss_for(training.targets, loss, flat=True)
        kinds = numbers_in(torch.float32, training.inputs)
        training, held_out = (suited(part, kinds, chosen, torch.float32) for part in (training, held_out))
        networks = DenseNetworks(
            _flat(training), _flat(held_out), chosen, known_spec(build, training, chosen), seed=seed
        )
    else:
        searched = space_from(space)
        networks = BuiltNetworks.on(training, held_out, loss, build, searched, wanted_layout=layout, seed=seed)
    effort = effort_for(wanted, seed=seed, epochs=10, sampler=ours)
    folder = None if run is None else _folder(Path(run), searched, effort, {"data": _fingerprint(training, held_out)})
    name = wanted.study or (folder.path.name if folder else "luthier")
    place = Place(wanted.on, wanted.workers, wanted.storage, name, wanted.device)
    return run_search(networks, searched, effort, folder, place, screen or SearchScreen())


def _folder(path: Path, space: Space, effort: Effort, asked: dict[str, object]) -> RunFolder:
    """The folder of a search on data in memory: a new one, or that of the same search, interrupted."""
    spent = {name: value for name, value in effort.to_json().items() if name not in HOW}
    wanted = {"space": space.to_json(), "effort": spent, **asked}
    if (path / "run.json").exists():
        folder = open_run(path)
        result = folder.search_facts().get("search")
        if result != plain(wanted):
            different = [name for name in wanted if result is None or result.get(name) != plain(wanted)[name]]
            raise InputError(
                Message("'{path}' holds another search", path=path),
                expected="the same data, space and settings as before, to continue it",
                received="another " + " and another ".join(different),
                remedy="name another folder, or delete that one",
            )
        return folder
    folder = create_run(path, path.name)
    facts = {
        "kind": "search",
        "name": path.name,
        "created": timestamp(),
        "source": {"name": "arrays", "fingerprint": asked["data"], "origin": "memory"},
        "target": "",
        "search": wanted,
        "seed": effort.seed,
        **machine_facts(1),
        "status": "running",
    }
    folder.write_facts(facts)
    return folder


def _parts(training: Rows, validation: Rows | None, seed: int) -> tuple[Rows, Rows]:
    if validation is not None:
        return training, validation
    count = len(training)
    if count < 5:
        raise InputError("there are too few rows for a validation set", expected="at least 5", received=str(count))
    order = torch.from_numpy(numpy_generator(seed, "held out").permutation(count))
    held, rest = order[: max(1, round(HELD_OUT * count))], order[max(1, round(HELD_OUT * count)) :]

    return training.rows(rest.sort().values), training.rows(held.sort().values)


def _flat(part: Rows) -> Rows:
    return part.with_inputs(numbers=part.numbers.flatten(1))


def _fingerprint(*parts: Rows) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        for tensor in (*part.inputs.values(), part.targets):
            digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
