"""Shares add up, know what was planted, and equal closed forms and scikit-learn's curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence

import luthier
from luthier import optional
from luthier.assess import Profile
from luthier.data import Preprocess, TableEncoder, Task
from luthier.data.preprocess import METHODS
from luthier.data.target_transform import TargetTransform
from luthier.data.typed_columns.columns import Column
from luthier.errors import InputError, MissingExtraError
from luthier.nets import DenseSpec, build
from luthier.rows import Inputs
from luthier.runs.screen import SilentScreen
from luthier.saved import AskedColumns, Model, predict_file
from luthier.saved.explanation import explain_columns

pytest.importorskip("captum")


def rows(count: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=count), "b": rng.lognormal(size=count), "kind": rng.choice(["x", "y", "z"], count)}
    return pl.DataFrame(frame).with_columns(
        pl.when(pl.int_range(pl.len()) % 9 == 0).then(None).otherwise("a").alias("a")
    )


def model_of(task: str, method: str, hidden: tuple[int, ...] = (16, 8), *, log: bool = False) -> Model:
    """A model of two networks with drawn weights over two numbers, one of them with gaps, and a category."""
    frame = rows()
    columns = tuple(
        Column(name, kind, True, "") for name, kind in (("a", "number"), ("b", "number"), ("kind", "category"))
    )
    encoder = TableEncoder.fit(frame, columns)
    inputs = encoder.encode(frame)
    prepare = Preprocess.fit(inputs.numbers, method)
    classes = {"regression": (), "binary": ("no", "yes"), "multiclass": ("p", "q", "r")}[task]
    outputs = len(classes) if len(classes) > 2 else 1
    spec = DenseSpec(inputs=prepare.width, hidden=hidden, outputs=outputs, embeddings=((5, 2),), activation="tanh")
    nets = tuple(build(spec, seed=seed).eval() for seed in (1, 2))
    for net in nets:
        with torch.no_grad():
            for value in net.parameters():
                value.add_(0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel())))
    described = encoder.described(inputs)
    profile = Profile.of(*described, {"kind": 5})
    job = Task(task, "y", classes, log_scale=log)
    return Model(
        job,
        encoder,
        prepare,
        nets,
        (0.25, 0.75),
        temperature=1.7,
        transform=TargetTransform(2.0, 0.5, log, smear=1.1),
        profile=profile,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_shares_add_up_to_the_answer_less_the_typical_one(kind: str, method: str) -> None:
    made, frame = model_of(kind, method, log=method == "quantile"), rows()[:40]
    result = made.explain(frame)
    inputs = made.encode(frame)
    if kind == "regression":
        assert np.abs(result.answer - made.values(inputs)).max() < 1e-5
    else:
        assert np.abs(expit(result.answer) - made.probabilities(inputs).max(1)).max() < 1e-5
        assert result.told == tuple(str(one) for one in made.predict(frame))
    assert np.abs(result.shares.sum(1) - (result.answer - result.typical)).max() < 1e-3
    assert result.columns == ("a", "b", "kind")


def test_of_a_linear_network_a_share_is_weight_times_distance() -> None:
    made, frame = model_of("regression", "standardise", hidden=()), rows()[:40]
    result = made.explain(frame)
    numbers, codes = made.encode(frame).values()
    features, typical = made.preprocess(numbers), made.preprocess(torch.full((1, 2), torch.nan))
    wanted = np.zeros((40, 3))
    usual = int(np.argmax(made.profile.codes["kind"])) if made.profile else 0
    typical[:, 2] = 0  # a median is no gap
    for weight, net in zip(made.weights, made.nets, strict=True):
        state = {name: value.detach() for name, value in net.named_parameters()}
        table, w = state["embeddings.0.weight"], state["layers.0.weight"][0]
        moved = (features - typical) * w[2:]
        wanted[:, 0] += weight * (moved[:, 0] + moved[:, 2]).numpy()  # the mark of a gap belongs to its column
        wanted[:, 1] += weight * moved[:, 1].numpy()
        wanted[:, 2] += weight * ((table[codes[:, 0]] - table[usual]) @ w[:2]).numpy()
    assert result.shares == pytest.approx(wanted * made.transform.std, abs=1e-5)


def test_many_rows_are_explained_in_pieces_and_none_at_all() -> None:
    made = model_of("multiclass", "standardise")
    many = pl.concat([rows()] * 7)
    whole, few = made.explain(many).shares, made.explain(rows()).shares
    assert np.allclose(whole, np.tile(few, (7, 1)), atol=1e-5)
    none = made.explain(rows().head(0))
    assert none.shares.shape == (0, few.shape[1])
    assert none.to_frame().height == 0


def test_a_class_can_be_named(tmp_path: Path) -> None:
    made, frame = model_of("multiclass", "standardise"), rows()[:10]
    result = made.explain(frame, of="q")
    assert result.told == ("q",) * 10
    assert expit(result.answer) == pytest.approx(made.predict_proba(frame)["q"].to_numpy(), abs=1e-5)
    with pytest.raises(InputError, match="no class 'other'"):
        made.explain(frame, of="other")
    assert result.to_frame().columns == ["explained", "answer", "typical", "+ a", "+ b", "+ kind"]


class AsEstimator(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A model for scikit-learn's own curves: column 2 holds codes."""

    def __init__(self, made: Model) -> None:
        self.made = made
        self.fitted_ = True

    def fit(self, X: np.ndarray, y: np.ndarray) -> AsEstimator:
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        numbers, codes = torch.from_numpy(X[:, :2]).float(), torch.from_numpy(X[:, 2:]).long()
        return self.made.values(Inputs(numbers=numbers, codes=codes))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_dependence_equals_scikit_learns(column: int) -> None:
    made, frame = model_of("regression", "standardise"), rows().fill_null(0.3)
    numbers, codes = made.encode(frame).values()
    table = np.concatenate([numbers.numpy(), codes.numpy()], 1).astype(float)
    name = ("a", "b", "kind")[column]
    result = made.dependence(frame, name)
    if name == "kind":
        levels = ["(unknown)", "(missing)", "x", "y", "z"]
        grid = [levels.index(value) for value in result["value"]]
    else:
        grid = result["value"].to_list()
    wanted = partial_dependence(AsEstimator(made), table, [column], custom_values={column: grid}, method="brute")
    assert result["mean"].to_numpy() == pytest.approx(wanted["average"][0], abs=1e-6)
    assert (result["low"] <= result["mean"] + 1e-9).all()
    assert (result["mean"] <= result["high"] + 1e-9).all()


def test_columns_that_cannot_be_set_are_refused() -> None:
    made = model_of("regression", "standardise")
    with pytest.raises(InputError, match="does not use a column 'knd'"):
        made.dependence(rows(), "knd")


def test_without_captum_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match="captum"):
        model_of("binary", "standardise").explain(rows()[:3])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    rng = np.random.default_rng(0)
    a, kind = rng.normal(size=400), rng.choice(["red", "green", "blue"], 400)
    y = 3 * a + np.where(kind == "red", 5, 0) + 0.1 * rng.normal(size=400)
    frame = pl.DataFrame({"a": a, "noise": rng.normal(size=400), "kind": kind, "y": y})
    result = luthier.fit(
        frame, target="y", budget="2000steps", run=tmp_path_factory.mktemp("runs") / "run", screen=SilentScreen()
    )
    assert result is not None
    return result


def test_what_was_planted_is_found_and_shown(run: luthier.Result, tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [0.0, 2.0], "noise": [0.0, 0.0], "kind": ["red", "blue"]})
    result = run.model.explain(pl.concat([frame, frame.with_columns(kind=pl.lit("green"))])).to_frame()
    by_kind = result["+ kind"].to_numpy()
    assert by_kind[0] - by_kind[2] == pytest.approx(5, abs=1)
    assert result["+ a"][1] - result["+ a"][0] == pytest.approx(6, abs=1)
    assert result["+ noise"].abs().max() < 0.7
    (tmp_path / "new.csv").write_text(frame.write_csv())
    predict_file(run.path, str(tmp_path / "new.csv"), tmp_path / "out.csv", AskedColumns(explain=True))
    out = pl.read_csv(tmp_path / "out.csv")
    # Sums of float32 over two rows and over four: a few roundings of 1.2e-7 of the value apart.
    assert out["+ a"].to_numpy() == pytest.approx(result["+ a"].to_numpy()[:2], rel=1e-6, abs=1e-6)
    assert {row["column"] for row in run.scores["dependence"][:2]} == {"a", "kind"}
    page = run.report().read_text()
    assert "Partial dependence" in page
    assert "largest attributions" in page


def test_of_a_picture_the_place_that_tells_is_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 60, (240, 12, 12)).astype(np.uint8)
    y = np.arange(240) % 2
    X[y == 1, 2:5, 2:5] += 180
    result = luthier.fit((X, y), budget="300steps", run=tmp_path / "run", screen=SilentScreen())
    assert result is not None
    told = result.model.explain(Inputs(pixels=torch.from_numpy(X[:20, None])), of="1")
    assert told.shares.shape == (20, 12, 12)
    mass = np.abs(told.shares)[y[:20] == 1]
    inside = mass[:, 1:6, 1:6].sum((1, 2)) / mass.sum((1, 2))
    assert inside.mean() > 0.5  # 17 % of the picture
    assert np.abs(told.shares.sum((1, 2)) / (told.answer - told.typical) - 1).max() < 0.05
    with pytest.raises(InputError, match="cannot be a table"):
        told.to_frame()


def places_of(count: int) -> dict[str, dict[str, list[int]]]:
    return {f"x{k}": {"numbers": [k]} for k in range(count)}


def test_shares_of_whole_columns_are_shapley_values() -> None:
    """Of a product each factor has half of what only both together add; what adds up is each column's own."""
    X = torch.tensor([[2.0, 3.0, 5.0], [1.0, 4.0, -1.0]])
    typical = Inputs(numbers=torch.tensor([[1.0, 1.0, 0.0]]))
    answer = lambda inputs: (inputs.numbers[:, :1] * inputs.numbers[:, 1:2]) + inputs.numbers[:, 2:]  # noqa: E731
    told = torch.zeros(2, dtype=torch.int64)
    answers, starts, shares = explain_columns(answer, Inputs(numbers=X), typical, places_of(3), told)
    assert answers.tolist() == [11.0, 3.0]
    assert starts.tolist() == [1.0, 1.0]
    for row, (a, b, c) in zip(shares.tolist(), X.tolist(), strict=True):
        assert row == pytest.approx([(a - 1) * (1 + b) / 2, (b - 1) * (1 + a) / 2, c])


def test_of_many_columns_orders_are_drawn_and_shares_still_add_up() -> None:
    g = torch.Generator().manual_seed(0)
    X, w = torch.randn(5, 8, generator=g), torch.randn(8, generator=g)
    calls = 0

    def answer(inputs: Inputs) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return (inputs.numbers @ w + inputs.numbers.prod(1))[:, None]

    told = torch.zeros(5, dtype=torch.int64)
    typical = Inputs(numbers=torch.zeros(1, 8))
    answers, starts, shares = explain_columns(answer, Inputs(numbers=X), typical, places_of(8), told)
    torch.testing.assert_close(shares.sum(1), answers - starts)
    torch.testing.assert_close(shares.sum(1), (X @ w + X.prod(1)).double(), rtol=1e-5, atol=1e-5)
    luck = (shares - X * w) / X.prod(1)[:, None]  # who completes the product: each about an eighth of the orders
    assert float(luck.min()) >= -1e-4
    assert float(luck.max()) < 0.5
    assert calls < 24 * 8
