"""Speed and quality of searching: `luthier.tune` beside Optuna, scikit-learn, Ray Tune and KerasTuner.

`python -m benchmarks.search [speed halving quality many]` prints Markdown tables and writes
`benchmarks/results/search.json`. The same trials for everyone: 784-30-10 sigmoid, batch 64, three epochs of 10,000
MNIST images; learning rate, momentum and L2 are searched.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import luthier
from benchmarks.engine import RESULTS, machine, write
from benchmarks.ranks import TARGETS as TABLE_TARGETS
from benchmarks.works import labels, pictures
from luthier.nets import DenseSpec
from luthier.search import space_from

TRIALS, EPOCHS, BATCH, ROWS = 32, 3, 64, 10_000
SPACE = {
    "rule": "sgd",
    "learning_rate": (0.01, 3.0),
    "momentum": (0.5, 0.99),
    "l2": (1e-3, 10.0),
    "batch_size": BATCH,
}
SPEC = DenseSpec(784, (30,), 10, activation="sigmoid")
TARGETS = {
    "Optuna + PyTorch loop": 7.0,
    "Optuna, n_jobs=2": 9.0,
    "RandomizedSearchCV, n_jobs=2": 5.0,
    "Ray Tune, 2 CPUs": 50.0,
    "KerasTuner": 40.0,
}
TURNS = 3
SLOW = ("Ray Tune, 2 CPUs", "KerasTuner")  # a minute and more: one turn
QUALITY_SECONDS, QUALITY_SEEDS = 20.0, 5


@cache
def parts() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """10,000 training and 2,000 validation images."""
    X, y = pictures()[: ROWS + 2000], labels()[: ROWS + 2000]
    return X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:]


def ours(trials: int = TRIALS, **options: Any) -> Any:
    """The search with the public call."""
    X, y, Xv, yv = parts()
    chosen = {"trials": trials, "epochs": EPOCHS, "tiers": False, "confirm": 0, **options}
    return luthier.tune(SPEC, (X, y), SPACE, validation=(Xv, yv), **chosen)


def settings(trials: int = TRIALS) -> list[dict[str, float]]:
    """The settings that `luthier.tune` draws, for the others to train."""
    from luthier.search.spaces.samplers import Random, Request

    space = space_from(SPACE)
    drawn = Random().ask(Request(space, trials, 0, trials, [], 0)).settings
    return [{name: float(s[name]) for name in ("learning_rate", "momentum", "l2")} for s in drawn]


def loop(setting: dict[str, float], report: Callable[[int, float], bool] = lambda epoch, loss: False) -> float:
    """A training as anyone writes it; validation loss after every epoch; lowest of them."""
    X, y, Xv, yv = parts()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 30), nn.Sigmoid(), nn.Linear(30, 10))
    decay = setting["l2"] / ROWS
    optimiser = torch.optim.SGD(
        net.parameters(), lr=setting["learning_rate"], momentum=setting["momentum"], weight_decay=decay
    )
    best = math.inf
    for epoch in range(EPOCHS):
        order = torch.randperm(ROWS)
        for start in range(0, ROWS, BATCH):
            rows = order[start : start + BATCH]
            optimiser.zero_grad()
            F.cross_entropy(net(X[rows]), y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            loss = float(F.cross_entropy(net(Xv), yv))
        best = min(best, loss if math.isfinite(loss) else math.inf)
        if report(epoch, loss):
            break
    return best if math.isfinite(best) else 1e9


def with_optuna(jobs: int) -> Callable[[], float]:
    """Optuna asks, a loop trains; the settings are ours."""

    def run() -> float:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study()
        for setting in settings():
            study.enqueue_trial(setting)

        def objective(trial: Any) -> float:
            rate = trial.suggest_float("learning_rate", 0.01, 3.0, log=True)
            momentum = trial.suggest_float("momentum", 0.5, 0.99)
            return loop(
                {"learning_rate": rate, "momentum": momentum, "l2": trial.suggest_float("l2", 1e-3, 10.0, log=True)}
            )

        study.optimize(objective, n_trials=TRIALS, n_jobs=jobs)
        return float(study.best_value)

    return run


def with_sklearn() -> float:
    """scikit-learn's own network and search."""
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV
    from sklearn.neural_network import MLPClassifier

    X, y, Xv, yv = parts()
    fold = PredefinedSplit(np.r_[np.full(len(X), -1), np.zeros(len(Xv), dtype=int)])
    net = MLPClassifier((30,), activation="logistic", solver="sgd", batch_size=BATCH, max_iter=EPOCHS)
    names = {"learning_rate": "learning_rate_init", "momentum": "momentum", "l2": "alpha"}
    grid = [{names[name]: [value] for name, value in setting.items()} for setting in settings()]
    search = RandomizedSearchCV(net, grid, n_iter=TRIALS, cv=fold, n_jobs=2, refit=False, scoring="neg_log_loss")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(torch.cat([X, Xv]).numpy(), torch.cat([y, yv]).numpy())
    return float(-search.best_score_)


def with_ray() -> float:
    """Ray Tune on two processors, the loop as its trainable."""
    import ray
    from ray import tune

    here = {"env_vars": {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}}
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, runtime_env=here)
    held = ray.put([part.numpy() for part in parts()])
    wanted = settings()

    def trainable(config: dict[str, Any]) -> None:
        from benchmarks import search

        torch.set_num_threads(1)
        given = tuple(torch.from_numpy(part.copy()) for part in ray.get(held))
        search.parts = lambda: given  # type: ignore[assignment]
        tune.report({"loss": search.loop(wanted[config["place"]])})

    space = {"place": tune.grid_search(list(range(TRIALS)))}
    with tempfile.TemporaryDirectory() as folder:
        run = tune.RunConfig(storage_path=folder, verbose=0)
        found = tune.Tuner(trainable, param_space=space, run_config=run).fit()
        best = min(float(result.metrics["loss"]) for result in found if result.metrics and "loss" in result.metrics)
    ray.shutdown()
    return best


def with_keras() -> float:
    """KerasTuner's random search over the same settings, Keras on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    import keras_tuner

    X, y, Xv, yv = (part.numpy() for part in parts())
    wanted = settings()

    def build(hp: Any) -> Any:
        setting = wanted[hp.Choice("place", list(range(TRIALS)))]
        net = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(30, "sigmoid"), keras.layers.Dense(10)])
        rule = keras.optimizers.SGD(setting["learning_rate"], momentum=setting["momentum"])
        net.compile(rule, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return net

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(build, "val_loss", max_trials=TRIALS, directory=folder, overwrite=True)
        tuner.search(X, y, validation_data=(Xv, yv), epochs=EPOCHS, batch_size=BATCH, verbose=0)
        return float(tuner.oracle.get_best_trials(1)[0].score)


def speed() -> list[dict[str, Any]]:
    """Seconds of the same 32 trials, everyone in turns."""
    contenders: dict[str, Callable[[], float]] = {
        "ours": lambda: ours().value,
        "Optuna + PyTorch loop": with_optuna(1),
        "Optuna, n_jobs=2": with_optuna(2),
        "RandomizedSearchCV, n_jobs=2": with_sklearn,
        "Ray Tune, 2 CPUs": with_ray,
        "KerasTuner": with_keras,
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    best: dict[str, float] = {}
    ours(4)
    for turn in range(TURNS):
        for name, run in contenders.items():
            if turn and name in SLOW:
                continue
            torch.set_num_threads(2 if name == "KerasTuner" else 1)
            began = time.perf_counter()
            best[name] = run()
            times[name].append(time.perf_counter() - began)
    mine = statistics.median(times["ours"])
    print(
        f"\n| search of {TRIALS} trials | seconds | ours | ratio | target | its best loss |\n|---|---|---|---|---|---|"
    )
    print(f"| luthier.tune | {mine:.2f} | | | | {best['ours']:.4f} |")
    rows = []
    for name, target in TARGETS.items():
        theirs = statistics.median(times[name])
        print(
            f"| {name} | {theirs:.2f} | {mine:.2f} | {theirs / mine:.1f} | {target:g} | {best[name]:.4f} |", flush=True
        )
        rows.append(row("32 trials, seconds", "784-30-10", name, mine, theirs, theirs / mine, target))
    return rows


def row(
    figure: str, work: str, peer: str, mine: float, theirs: float, ratio: float, target: float | None
) -> dict[str, Any]:
    """A line of the results."""
    rounded = {"ours": round(mine, 4), "theirs": round(theirs, 4), "ratio": round(ratio, 3)}
    return {"figure": figure, "work": work, "peer": peer, **rounded, "target": target}


def halving() -> list[dict[str, Any]]:
    """256 trials with Hyperband inside the stacks, and what Optuna's Hyperband gets done in the same time."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    print("\n| seed | ours: trials | seconds | best loss | Optuna Hyperband: trials | best loss | ratio of trials |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(TURNS):
        began = time.perf_counter()
        mine = ours(256, halving="hyperband", seed=seed)
        taken = time.perf_counter() - began
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed), pruner=pruner)

        def objective(trial: Any) -> float:
            rate = trial.suggest_float("learning_rate", 0.01, 3.0, log=True)
            momentum = 1 - 10 ** -trial.suggest_float("window", 0.301, 2.0)
            l2 = trial.suggest_float("l2", 1e-3, 10.0, log=True)

            def report(epoch: int, loss: float, trial: Any = trial) -> bool:
                trial.report(loss, epoch + 1)
                return bool(trial.should_prune())

            return loop({"learning_rate": rate, "momentum": momentum, "l2": l2}, report)

        study.optimize(objective, timeout=taken)
        done = len(study.trials)
        ratio = len(mine.outcome.searched) / done
        print(
            f"| {seed} | 256 | {taken:.2f} | {mine.value:.4f} | {done} | {study.best_value:.4f} | {ratio:.1f} |",
            flush=True,
        )
        rows.append(
            row("trials in equal time", f"256 with halving, seed {seed}", "Optuna Hyperband", 256, done, ratio, 5.0)
        )
        rows.append(
            row(
                "best loss", f"256 with halving, seed {seed}", "Optuna Hyperband", mine.value, study.best_value, 1, None
            )
        )
    return rows


def quality() -> list[dict[str, Any]]:
    """The best validation loss in equal time on real tables: ours, and Optuna's TPE with a loop."""
    rows = []
    print(f"\nBest validation loss in {QUALITY_SECONDS:g} s each, {QUALITY_SEEDS} seeds:\n")
    print("| table | ours | Optuna TPE + loop | gain, 95 % interval |\n|---|---|---|---|")
    for table in ("diamonds", "churn", "ames"):
        result = [quality_of(table, seed) for seed in range(QUALITY_SEEDS)]
        from luthier.statistics.paired import by_seed

        mine, theirs = [a for a, _ in result], [b for _, b in result]
        gain = by_seed(theirs, mine)
        means = statistics.mean(mine), statistics.mean(theirs)
        print(f"| {table} | {means[0]:.4f} | {means[1]:.4f} | {gain} |", flush=True)
        rows.append(
            row("best validation loss in equal time", table, "Optuna TPE + loop", *means, means[1] / means[0], 1.0)
        )
        rows[-1]["gain"] = gain.to_json()
    return rows


def quality_of(table: str, seed: int) -> tuple[float, float]:
    """Both searches on one table and split."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path, target = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{table}.csv", TABLE_TARGETS[table]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        mine = luthier.tune_table(
            path, target=target, budget=f"{QUALITY_SECONDS:g}s", seed=seed, confirm=0, run=Path(folder) / "run"
        )
        taken = time.perf_counter() - began
    networks, space, epochs = mine.networks, mine.outcome.space, mine.outcome.effort.epochs
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))

    def objective(trial: Any) -> float:
        values = {
            name: trial.suggest_categorical(name, d.options)
            if hasattr(d, "options")
            else d.at(trial.suggest_float(name, 0.0, 1.0))
            for name, d in space.dimensions.items()
        }
        return table_loop(networks, space.pruned({**space.fixed, **values}), epochs)

    study.optimize(objective, timeout=max(1.0, taken))
    return mine.value, float(study.best_value)


class TableNet(nn.Module):
    """A dense network on numbers and categories, as anyone writes it."""

    def __init__(self, spec: DenseSpec, dropout: float) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(levels, width) for levels, width in spec.embeddings)
        layers: list[nn.Module] = []
        inputs = spec.fan_in(0)
        for units in spec.hidden:
            layers += [nn.Linear(inputs, units, bias=not spec.batch_norm)]
            layers += [nn.BatchNorm1d(units)] if spec.batch_norm else []
            layers += [nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
            inputs = units
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, spec.outputs))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        embedded = [table(codes[:, k]) for k, table in enumerate(self.tables)]
        return self.layers(torch.cat([*embedded, numbers], 1))


def table_loop(networks: Any, values: dict[str, Any], epochs: int) -> float:
    """The same setting trained one at a time by PyTorch, with its own optimisers."""
    from luthier.search.network_jobs import schedule_of

    torch.manual_seed(0)
    net = TableNet(networks.spec(values), float(values.get("dropout", 0.0)))
    rate, decay = float(values["learning_rate"]), {"weight_decay": float(values.get("weight_decay", 0.0))}
    betas = (float(values.get("beta1", 0.9)), float(values.get("beta2", 0.999)))
    momentum = float(values.get("momentum", 0.9))
    rules: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adam": lambda: torch.optim.AdamW(net.parameters(), rate, betas, float(values.get("epsilon", 1e-8)), **decay),
        "sgd": lambda: torch.optim.SGD(net.parameters(), rate, momentum, **decay),
        "nesterov": lambda: torch.optim.SGD(net.parameters(), rate, momentum, nesterov=True, **decay),
        "rmsprop": lambda: torch.optim.RMSprop(net.parameters(), rate, **decay),
    }
    part, held = networks.training, networks.validation
    rule, batch = rules[str(values["rule"])](), min(int(values["batch_size"]), len(part))
    kinds = {"mse": F.mse_loss, "softmax": F.cross_entropy, "binary": F.binary_cross_entropy_with_logits}

    def loss_of(out: Tensor, targets: Tensor) -> Tensor:
        kind = kinds[networks.loss]
        return kind(out, targets) if networks.loss == "softmax" else kind(out[:, 0], targets.float())

    total = epochs * -(-len(part) // batch)
    schedule, step, best = schedule_of(values, total), 0, math.inf
    for _ in range(epochs):
        net.train()
        order = torch.randperm(len(part))
        for start in range(0, len(part), batch):
            rows = order[start : start + batch]
            if net.training and len(rows) == 1:
                continue  # batch norm needs two rows
            for group in rule.param_groups:
                group["lr"] = rate * schedule.factor(step, total)
            rule.zero_grad()
            loss_of(net(part.numbers[rows], part.codes[rows]), part.targets[rows]).backward()
            rule.step()
            step += 1
        net.eval()
        with torch.no_grad():
            loss = float(loss_of(net(held.numbers, held.codes), held.targets))
        best = min(best, loss) if math.isfinite(loss) else best
    return best if math.isfinite(best) else 1e9


def many() -> list[dict[str, Any]]:
    """10,000 trials in one study: the share of the time that is not training."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = ours(10_000, epochs=1, run=Path(folder) / "run")
        wall = time.perf_counter() - began
    outcome = result.outcome
    share = 1 - outcome.trained_seconds / outcome.seconds
    whole = 1 - outcome.trained_seconds / wall
    print(f"\n10,000 trials: {wall:.1f} s, {outcome.trained_seconds:.1f} s of it training;")
    print(f"{share:.1%} of the search is not (target: under 5 %), {whole:.1%} with sensitivities, study.db and report")
    return [row("share of the search that is not training", "10,000 trials", "itself", share, 0.05, share, 0.05)]


PARTS = {"speed": speed, "halving": halving, "quality": quality, "many": many}


def main(names: list[str] | None = None) -> None:
    """Print the tables and write the results."""
    print(machine())
    rows = [row for name in names or list(PARTS) for row in PARTS[name]()]
    known = RESULTS / "search.json"
    kept = json.loads(known.read_text()) if names and known.exists() else []
    fresh = {(row["figure"], row["work"], row["peer"]) for row in rows}
    write("search", [row for row in kept if (row["figure"], row["work"], row["peer"]) not in fresh] + rows)


if __name__ == "__main__":
    main(sys.argv[1:] or None)
