"""Whatever a DenseSpec can say is trained in a stack, saved, explained, exported and served: one table of specs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.serving.asking import ThreadServer

from luthier.assess import Profile
from luthier.data import Preprocess, TableEncoder, Task
from luthier.data.typed_columns.columns import Column
from luthier.engine import Member, Settings, train
from luthier.engine.dense.dense_rows import views
from luthier.engine.populations.crossed_means import CrossedMeans
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.nets import (
    DenseSpec,
    NumberEmbedding,
    PiecewiseEmbedding,
    TargetEncoding,
    build,
    one_head,
    quantile_edges,
    spec_from_json,
    state_of_head,
)
from luthier.objective import TargetHead, loss_named, several, shared_outputs
from luthier.recipe.experiment.first_setting import TableShape, first_network
from luthier.rows import Inputs, Rows
from luthier.saved import Model
from luthier.seeds import torch_generator

ROWS, NUMBERS, CLASSES = 90, 2, ("p", "q", "r")


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    gaps = np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(3, 1, ROWS))
    kinds = rng.choice(["flat", "house", "hut"], ROWS)
    return pl.DataFrame({"a": gaps, "b": rng.normal(size=ROWS), "kind": kinds}).with_columns(pl.col("a").fill_nan(None))


FRAME = frame()
COLUMNS = [Column("a", "number", True, ""), Column("b", "number", True, ""), Column("kind", "category", True, "")]
ENCODER = TableEncoder.fit(FRAME, COLUMNS)
CELLS, CODES = ENCODER.encode(FRAME).values()
PREPARE = Preprocess.fit(CELLS, "robust")
FLAGS, LEVELS = PREPARE.width - NUMBERS, ENCODER.category_sizes
PART = Rows(Inputs(numbers=PREPARE(CELLS).double(), codes=CODES), torch.arange(ROWS) % len(CLASSES))


def spec(*hidden: int, **options: Any) -> DenseSpec:
    return DenseSpec(PREPARE.width, hidden, len(CLASSES), embeddings=tuple((n, 3) for n in LEVELS), **options)


# fmt: off
SPECS = {
    "linear": spec(),
    "the first setting's": first_network(TableShape("multiclass", 900, NUMBERS, LEVELS, len(CLASSES), FLAGS)),
    "batch norm, skips, functions of numbers": spec(
        *(8, 8), batch_norm=True, residual=True, activation="mish", number_embedding=NumberEmbedding(NUMBERS, 3, 3)
    ),
    "layer norm, scaled inputs": spec(8, 8, layer_norm=True, activation=("gelu", "tanh"), input_scale=True),
    "an output that is the same for all rows": spec(8, activation="tanh", constant_outputs=(1,)),
    "lines between quantiles, parametric activations": spec(
        *(8, 8), activation="selu", parametric=True, residual=True,
        number_embedding=PiecewiseEmbedding(quantile_edges(PART.numbers[:, :NUMBERS], 5)),
    ),
    "normed and parametric": spec(8, activation="mish", parametric=True, batch_norm=True, input_scale=True),
    "means of the target by level, functions of numbers": spec(
        *(8,), activation="tanh", input_scale=True, number_embedding=NumberEmbedding(NUMBERS, 3, 3),
        target_encoding=TargetEncoding((0,), LEVELS, len(CLASSES)),
    ),
    "biases from data": spec(8, 8, activation="selu", residual=True, input_scale=True, biases_from_data=True),
    "weights shared by three networks": spec(8, 8, activation="mish", ensemble=3, residual=True, input_scale=True),
    "weights shared, normed": spec(
        8, 8, layer_norm=True, ensemble=2, parametric=True, number_embedding=NumberEmbedding(NUMBERS, 3, 3)
    ),
    "single neurons": spec(8, activation="leaky relu", neurons=((0, 1, "identity"),), initialiser="orthogonal"),
}
# fmt: on
every_spec = pytest.mark.parametrize("shape", SPECS.values(), ids=SPECS)
OF_HEADS = {name: shape for name, shape in SPECS.items() if shape.target_encoding is None}  # means are of one target
every_spec_of_heads = pytest.mark.parametrize("shape", OF_HEADS.values(), ids=OF_HEADS)
ORDER = torch.randperm(ROWS, generator=torch_generator(0, "order", 0))  # of the first batch: an ensemble goes by places


def trained(shape: DenseSpec, steps: int = 20) -> tuple[torch.Tensor, Any]:
    members = [Member(shape, seed=k, learning_rate=0.01 * (1 + k)) for k in range(2)]
    settings = Settings("softmax", "adam", 30, steps, steps, dtype=torch.float64)
    outcome = train(members, PART, None, settings)
    return outcome.parameters, outcome


def with_gaps() -> torch.Tensor:
    """A number, a count, three classes and three ordered levels, a quarter of each missing."""
    rng = np.random.default_rng(1)
    columns = [rng.normal(size=ROWS), rng.poisson(2.0, ROWS), rng.integers(0, 3, ROWS), rng.integers(0, 3, ROWS)]
    values = np.stack([np.asarray(column, dtype=float) for column in columns], 1)
    return torch.from_numpy(np.where(rng.random(values.shape) < 0.25, np.nan, values))


SEVERAL = with_gaps()
HEADS = several(["mse", "poisson", TargetHead("softmax", weight=2.0), "ordinal"], SEVERAL)
PLACES = [slice(0, 1), slice(1, 2), slice(2, 5), slice(5, 7)]


def with_heads(shape: DenseSpec) -> DenseSpec:
    neurons = {"neurons": ()} if any(layer == len(shape.hidden) for layer, _, _ in shape.neurons) else {}
    return replace(shape, outputs=7, constant_outputs=shared_outputs(HEADS, 7), **neurons)


def first_biases(member: Member, rows: Rows, loss: Any) -> dict[str, torch.Tensor]:
    """What a network's biases are before its first step."""
    settings = Settings(loss, "sgd", ROWS, 1, 1, dtype=torch.float64)
    state = train([replace(member, learning_rate=0.0)], rows, None, settings).state_dict(0)
    return {name: value for name, value in state.items() if name.endswith(".bias")}


@every_spec_of_heads
def test_heads_side_by_side_learn_what_autograd_learns(shape: DenseSpec) -> None:
    """A step of plain descent of rate 1, by hand in a stack and by autograd, under a loss of four targets with gaps."""
    shape, part = with_heads(shape), replace_targets(SEVERAL)
    members = [Member(shape, seed=k, learning_rate=1.0, momentum=0.0) for k in range(2)]
    outcome = train(members, part, None, Settings(HEADS, "sgd", ROWS, 1, 1, dtype=torch.float64))
    for k in range(2):
        net = build(shape, seed=k).double()
        net.load_state_dict({**shape.fresh_parameters(k), **first_biases(members[k], part, HEADS)}, strict=False)
        loss = HEADS.mean(net(part.numbers[ORDER], part.codes[ORDER]).unsqueeze(0), SEVERAL[ORDER], None).sum()
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        learnt = views(shape, outcome.parameters[k : k + 1])
        for (name, value), gradient in zip(net.named_parameters(), gradients, strict=True):
            torch.testing.assert_close(learnt[name][0], value - gradient, rtol=1e-9, atol=1e-11, msg=name)


@every_spec_of_heads
def test_one_head_says_what_the_whole_network_says_of_its_target(shape: DenseSpec) -> None:
    shape = with_heads(shape)
    members = [Member(shape, seed=k, learning_rate=0.01) for k in range(2)]
    outcome = train(members, replace_targets(SEVERAL), None, Settings(HEADS, "adam", 30, 5, 5, dtype=torch.float64))
    whole = outcome.module(1).eval()(PART.numbers, PART.codes)
    for place in PLACES:
        net = build(one_head(shape, place), seed=0).double()
        net.load_state_dict(state_of_head(shape, outcome.state_dict(1), place))
        alone = net.eval()(PART.numbers, PART.codes)
        # Products of other widths add up in another order.
        torch.testing.assert_close(alone, whole[:, place], rtol=1e-12, atol=1e-12)


def replace_targets(targets: torch.Tensor) -> Rows:
    return Rows(PART.inputs, targets)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    profile = Profile.of(
        *ENCODER.described(Inputs(numbers=CELLS, codes=CODES)), dict(zip(ENCODER.category_names, LEVELS, strict=True))
    )
    task = Task("multiclass", "y", CLASSES)
    return {
        name: Model(
            task, ENCODER, PREPARE, tuple(trained(shape)[1].module(k).float() for k in range(2)), (0.4, 0.6),
            profile=profile,
        )
        for name, shape in SPECS.items()
    }  # fmt: skip


@every_spec
def test_it_is_plain_data(shape: DenseSpec) -> None:
    assert spec_from_json(json.loads(json.dumps(shape.to_json()))) == shape


@every_spec
def test_a_stack_learns_what_autograd_learns(shape: DenseSpec) -> None:
    """A step of plain descent of rate 1 is the gradient, by hand for two members and by autograd for their modules."""
    members = [Member(shape, seed=k, learning_rate=1.0, momentum=0.0) for k in range(2)]
    outcome = train(members, PART, None, Settings("softmax", "sgd", ROWS, 1, 1, dtype=torch.float64))
    crossed = CrossedMeans.of(members, PART, None, None)
    part, learning, tables = (PART, shape, {}) if crossed is None else (
        crossed.training, crossed.members[0].dense, crossed.tables[0]
    )  # fmt: skip
    part = part.rows(ORDER)
    for k in range(2):
        biases = first_biases(members[k], PART, "softmax")
        net = build(learning, seed=k).double()
        net.load_state_dict({**shape.fresh_parameters(k), **tables, **biases}, strict=False)
        loss = loss_named("softmax").mean(net(part.numbers, part.codes).unsqueeze(0), part.targets, None).sum()
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        learnt = views(shape, outcome.parameters[k : k + 1])
        for (name, value), gradient in zip(net.named_parameters(), gradients, strict=True):
            torch.testing.assert_close(learnt[name][0], value - gradient, rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize("name", SPECS)
def test_it_is_saved_and_explained(name: str, models: dict[str, Model], tmp_path: Path) -> None:
    model = models[name]
    model.save(tmp_path / "m.luthier")
    again, some = Model.load(tmp_path / "m.luthier"), FRAME.head(20)
    told, before = (one.predict_proba(some).to_numpy() for one in (again, model))
    np.testing.assert_allclose(told, before, atol=1e-7)  # products round by how their operands are aligned
    result = again.explain(some)
    off, largest = result.shares.sum(1) - (result.answer - result.typical), np.abs(result.answer - result.typical).max()
    # 64 points of each line, which bends where units or norms do, and at each edge of a number's pieces.
    assert np.abs(off).max() < 0.03 * max(1, largest)


@pytest.mark.parametrize("name", SPECS)
def test_it_is_exported(name: str, models: dict[str, Model], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert export_torch(models[name], tmp_path / "out", FRAME) < 1e-6
    one = replace(models[name], nets=models[name].nets[:1], weights=(1.0,))
    assert export_onnx(one, tmp_path / "m.onnx", FRAME) < 1e-5


@pytest.mark.parametrize("name", SPECS)
def test_it_is_served(name: str, models: dict[str, Model]) -> None:
    server = ThreadServer(models[name])
    try:
        rows = FRAME.head(3).to_dicts()
        status, answer = server.ask(json.dumps({"rows": rows}).encode())
    finally:
        server.end()
    assert status == 200
    expected = models[name].predict_proba(FRAME.head(3)).to_numpy()
    told = np.array([list(row["probabilities"].values()) for row in answer["predictions"]])
    np.testing.assert_allclose(told, expected, atol=1e-6)
