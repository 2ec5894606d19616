"""Any module: the layouts against each other, against a plain PyTorch loop, and in other company."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import luthier
from luthier.engine import Batch, Evaluation, ModuleSpec, Outcome, Schedule
from luthier.engine.api import loss_for
from luthier.engine.members.checkpoint import FileCheckpoint
from luthier.engine.members.masks import mask_seeds
from luthier.engine.members.state import TrainState
from luthier.engine.torch_modules.module_learners import LoopedLearner
from luthier.engine.torch_modules.modules import Modules
from luthier.errors import InputError, LuthierError
from luthier.objective import custom_loss, loss_named
from luthier.optimise import RULES
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

g = torch_generator(0, "modules")
IMAGES, LABELS = torch.randn(150, 1, 6, 6, generator=g, dtype=torch.float64), torch.randint(0, 3, (150,), generator=g)
IMAGES += LABELS[:, None, None, None] * 0.5
TABLE, VALUES = torch.randn(150, 5, generator=g), torch.randn(150, generator=g)
LAYOUTS = ("vmapped", "looped")


def convnet() -> nn.Module:
    layers = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten()
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(64, 3)).double()


def dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)).double()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(x[:, 0])[0][:, -1])


class Drawing(nn.Module):
    """Draws random numbers by itself, outside of any dropout layer."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.dropout(x.flatten(1), 0.3, self.training))


def train(network: Callable[[], nn.Module] | nn.Module, **options: object) -> Outcome:
    chosen = {"seeds": 3, "steps": 12, "batch_size": 32, "learning_rate": 0.01, "evaluate_every": 4, **options}
    return luthier.train(network, (IMAGES.clone(), LABELS), validation=(IMAGES[:60], LABELS[:60]), **chosen)


def same(one: Outcome, other: Outcome) -> None:
    """Every member's weights agree to rounding, whatever the layouts."""
    for m in range(len(one.members)):
        torch.testing.assert_close(one.state_dict(m), other.state_dict(m), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_vmapped_equals_looped(rule: str) -> None:
    options = {"rule": rule, "l2": [0.0, 0.5], "clip_norm": [1.0, 0.1], "layer_rates": [(), (0.5, 1.0, 1.0)]}
    one, other = (train(convnet, layout=layout, **options) for layout in LAYOUTS)
    assert (one.layout, other.layout) == LAYOUTS
    torch.testing.assert_close(one.parameters, other.parameters, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(one.best_validation_loss, other.best_validation_loss, rtol=1e-8)
    for name, value in one.state_dict(1).items():
        torch.testing.assert_close(value, other.state_dict(1)[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("layout", ["vmapped", "looped", "stacked"])
def test_a_member_does_not_depend_on_its_company(layout: str) -> None:
    network = dense if layout == "stacked" else convnet
    together = train(network, layout=layout, seeds=[3, 1, 2])
    alone = train(network, layout=layout, seeds=[1])
    shared = train(network, layout=layout, seeds=[2, 3, 1], processes=2)
    for other, place in ((alone, 0), (shared, 2)):
        torch.testing.assert_close(together.parameters[1], other.parameters[place], rtol=1e-9, atol=1e-9)
        curves = [o.history.to_frame().filter(member=m)["train_loss"] for o, m in ((together, 1), (other, place))]
        np.testing.assert_allclose(*(curve.to_numpy() for curve in curves), rtol=1e-9)
    assert shared.status == ["finished"] * 3


@pytest.mark.parametrize("network", [convnet, Recurrent, Drawing])
def test_looped_members_do_not_depend_on_their_company(network: Callable[[], nn.Module]) -> None:
    build = lambda: network().double()  # noqa: E731
    together, alone = train(build, layout="looped", seeds=[3, 1]), train(build, layout="looped", seeds=[1])
    torch.testing.assert_close(together.parameters[1], alone.parameters[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", ["vmapped", "looped", "stacked"])
def test_training_equals_a_plain_loop(layout: str) -> None:
    module = dense()
    result = train(module, layout=layout, seeds=1, weight_decay=0.01)
    copy = dense()
    copy.load_state_dict(module.state_dict())
    decayed = [p for p in copy.parameters() if p.ndim > 1]
    plain = [p for p in copy.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.01)
    orders = [torch.randperm(150, generator=torch_generator(0, "order", epoch)) for epoch in range(3)]
    batches = [rows for order in orders for rows in order.split(32)][:12]
    for rows in batches:
        optimiser.zero_grad()
        F.cross_entropy(copy(IMAGES[rows]), LABELS[rows]).backward()
        optimiser.step()
    last = train(module, layout=layout, seeds=1, weight_decay=0.01, evaluate_every=12)
    for name, value in copy.state_dict().items():
        torch.testing.assert_close(last.state_dict(0)[name], value, rtol=1e-9, atol=1e-11)
    assert type(result.module()) is nn.Sequential
    assert result.best_step[0] in (4, 8, 12)


def test_the_module_given_stays_as_it_was() -> None:
    module = convnet()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    train(module)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert module.training
    assert all(p.grad is None for p in module.parameters())


def test_frozen_parameters_do_not_move_even_under_decay() -> None:
    module = convnet()
    module[0].weight.requires_grad_(False)
    for layout in LAYOUTS:
        result = train(module, layout=layout, weight_decay=0.1)
        assert torch.equal(result.module(0)[0].weight, module[0].weight)
        assert not torch.equal(result.module(0)[-1].weight, module[-1].weight)


def test_modules_that_vmap_cannot_run_are_looped_and_it_is_said() -> None:
    for network, reason in ((Recurrent, "vmap cannot run it"), (Drawing, "draws its own random numbers")):
        result = train(lambda network=network: network().double())
        assert result.layout == "looped"
        assert reason in result.findings[0].sentence


@pytest.mark.parametrize("layout", LAYOUTS)
def test_resume_is_exact(layout: str, tmp_path: Path) -> None:
    from luthier.engine import FileCheckpoint, Member, ModuleSpec, Settings
    from luthier.engine import train as loop

    spec = ModuleSpec(convnet, layout=layout)
    members = [Member(spec, seed=k, learning_rate=0.01) for k in range(2)]
    part = Rows(Inputs(numbers=IMAGES), LABELS)
    settings = Settings("softmax", "adam", 32, 12, 5, dtype=torch.float64)
    whole = loop(members, part, part, settings)
    saved = FileCheckpoint(tmp_path / "state", seconds=0.0)
    loop(members, part, part, settings, checkpoint=saved, stop=lambda step: step >= 7)
    resumed = loop(members, part, part, settings, checkpoint=saved)
    assert torch.equal(whole.parameters, resumed.parameters)
    assert torch.equal(whole.buffers, resumed.buffers)
    assert whole.history.rows == resumed.history.rows


def test_accumulated_batches_equal_a_large_one() -> None:
    for network, layout in ((dense, "stacked"), (dense, "vmapped"), (dense, "looped")):
        small = train(network, layout=layout, batch_size=10, accumulate=5, steps=6)
        large = train(network, layout=layout, batch_size=50, steps=6)
        same(small, large)


def test_one_batch_is_learnt_by_heart() -> None:
    result = train(dense, only_first_batch=True, steps=300, batch_size=16, learning_rate=0.02)
    assert result.history.to_frame()["train_loss"].tail(1).item() < 0.05


def test_mixed_precision_learns_nearly_the_same() -> None:
    for network, layout in ((dense, "stacked"), (convnet, "vmapped"), (convnet, "looped")):
        build = lambda network=network: network().float()  # noqa: E731
        exact, low = (
            luthier.train(build, (IMAGES.float(), LABELS), layout=layout, steps=20, mixed_precision=mixed, seeds=2)
            for mixed in (False, True)
        )
        assert not torch.equal(exact.parameters, low.parameters)
        assert low.parameters.dtype == torch.float32
        difference = (exact.parameters - low.parameters).norm() / exact.parameters.norm()
        assert difference < 0.05


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler of C++ here")
@pytest.mark.filterwarnings("ignore")
def test_compiled_modules_learn_what_they_learn_alone() -> None:
    """Of two networks with dropout of their own, over two shapes of a batch."""
    network = lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)).double()  # noqa: E731
    how = {"steps": 12, "batch_size": 16, "seeds": 2, "learning_rate": 0.01}
    alone, compiled = (
        luthier.train(network, (TABLE, VALUES), layout="looped", compile=c, **how) for c in (False, True)
    )
    assert compiled.layout == "looped"
    torch.testing.assert_close(compiled.parameters, alone.parameters, rtol=1e-9, atol=1e-12)
    with pytest.raises(InputError, match="vmapped networks are not compiled"):
        luthier.train(network, (TABLE, VALUES), layout="vmapped", compile=True, **how)


def test_large_pictures_are_measured_a_few_at_a_time() -> None:
    """The layers of pictures hold many times their numbers: 512 of them at once take gigabytes."""
    sizes = list[int]()

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                sizes.append(len(x))
            return self.head(x.mean((1, 2, 3))[:, None])

    pictures, labels = torch.zeros(300, 3, 64, 64), torch.arange(300) % 2
    luthier.train(Watched(), (pictures, labels), validation=(pictures, labels), steps=2, batch_size=8)
    assert sum(sizes) >= 300  # and what is tried before
    assert max(sizes) * 3 * 64 * 64 <= 2**21


def test_losses_of_ones_own() -> None:
    assert loss_for(LABELS, nn.CrossEntropyLoss()) == "softmax"
    assert loss_for(VALUES[:, None], F.mse_loss, flat=True) == "mse"
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    by_hand = train(dense, loss=smoothed, layout="vmapped")
    by_name = train(dense, loss="smoothed softmax")
    same(by_hand, by_name)
    cubed = custom_loss(lambda Z, targets: (Z[..., 0] - targets).abs() ** 3)
    table = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
    for loss in (cubed, lambda outputs, targets: ((outputs[:, 0] - targets).abs() ** 3).mean()):
        result = luthier.train(
            table, (TABLE, VALUES), loss=loss, steps=50, rule="sgd", momentum=0.0, learning_rate=0.01
        )
        assert result.best_train_loss[0] < 4


def test_metrics_and_lists_of_settings_go_into_the_history() -> None:
    result = train(dense, learning_rate=[0.001, 0.01], momentum=[0.5, 0.9], metrics=("accuracy", "auc", "r2")[:1])
    assert len(result.members) == 6
    assert [m.learning_rate for m in result.members[::3]] == [0.001, 0.01]
    last = result.history.to_frame().filter(member=5).tail(1)
    truth = (result.module(5)(IMAGES[:60]).argmax(1) == LABELS[:60]).double().mean().item()
    if result.best_step[5] == 12:
        assert last["accuracy"].item() == pytest.approx(truth)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": [0.1, 0.2], "momentum": [0.1, 0.2, 0.3]}, "same length"),
        ({"learnin_rate": 0.1}, "did you mean 'learning_rate'"),
        ({"loss": "softmx"}, "did you mean 'softmax'"),
        ({"rule": "adm"}, "did you mean 'adam'"),
        ({"metrics": ("acuracy",)}, "did you mean 'accuracy'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"layout": "wide"}, "not a layout"),
        ({"layer_rates": (1.0,)}, "layer_rates has 1 entries; the network has 2 layers"),
        ({"seeds": 0}, "no networks to train"),
        ({"ema_decay": 1.5}, "ema_decay must be at least 0 and below 1"),
        ({"learning_rate": "fast"}, "learning_rate must be a number of at least 0, not 'fast'"),
        ({"learning_rate": [0.1, -1.0]}, "not -1.0"),
        ({"betas": 0.9}, "betas must be two numbers"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"processes": 2, "on_evaluation": print}, "on_evaluation cannot be combined"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(LuthierError, match=message):
        train(dense, **change)


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        (dense, (IMAGES, LABELS[:7]), "differ in length"),
        (dense, (IMAGES[:0], LABELS[:0]), "at least one"),
        (dense, (IMAGES * torch.nan, LABELS), "NaN or infinity in 150 of 150 rows"),
        (dense, (IMAGES[:, :, :5], LABELS), "36 numbers, as many as the network has inputs"),
        (convnet, (TABLE.double(), LABELS), "fails on the data"),
        (dense, 3, "is not understood"),
        (dense, (IMAGES, LABELS + 1), "labels from 1 to 3"),
        (convnet, (IMAGES, LABELS + 1), "labels from 1 to 3"),
        (convnet, (IMAGES, LABELS - 1), "labels from -1 to 1"),
        (lambda: nn.Flatten(), (IMAGES, LABELS), "no parameters to train"),
    ],
)
def test_wrong_data_and_modules_are_named(network: Callable[[], nn.Module], data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        luthier.train(network, data, steps=2)


def test_a_loader_and_arrays_give_what_tensors_give() -> None:
    table = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(TABLE, VALUES), batch_size=40)
    sources = ((TABLE, VALUES), (TABLE.numpy(), VALUES.numpy()), loader)
    result = [luthier.train(table, source, steps=5, schedule=Schedule("cosine")) for source in sources]
    assert torch.equal(result[0].parameters, result[1].parameters)
    assert torch.equal(result[0].parameters, result[2].parameters)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_history_of_every_step_is_kept_and_written(processes: int, tmp_path: Path) -> None:
    import polars as pl

    result = train(dense, every_step=True, history=tmp_path / "curves.parquet", processes=processes, steps=10)
    curves, steps = (pl.read_parquet(tmp_path / name) for name in ("curves.parquet", "curves.steps.parquet"))
    assert curves.equals(result.history.to_frame())
    assert steps.height == 10 * 3
    for row in curves.iter_rows(named=True):
        start = (row["step"] - 1) // 4 * 4
        some = steps.filter(pl.col("member") == row["member"], pl.col("step").is_between(start + 1, row["step"]))
        assert some["train_loss"].mean() == pytest.approx(row["train_loss"], rel=1e-12)


def test_processes_go_on_from_their_checkpoints(tmp_path: Path) -> None:
    """A second call finds both processes done, and hands back the same."""
    whole, again = (train(dense, processes=2, checkpoint=tmp_path / "state") for _ in range(2))
    assert torch.equal(whole.parameters, again.parameters)
    assert whole.history.rows == again.history.rows


@pytest.mark.parametrize("layout", ["vmapped", "looped", "stacked"])
def test_dropping_members_changes_no_survivor(layout: str) -> None:
    from luthier.engine import Member, ModuleSpec, Settings
    from luthier.engine import train as loop

    spec = ModuleSpec(dense if layout == "stacked" else convnet, layout=layout)
    features = IMAGES.flatten(1) if layout == "stacked" else IMAGES
    part = Rows(Inputs(numbers=features), LABELS)
    members = [Member(spec, seed=k, learning_rate=0.01 * 3.0**-k) for k in range(5)]
    settings = Settings("softmax", "adam", 32, 20, 4, dtype=torch.float64)
    whole = loop(members, part, part, settings)
    halved = loop(members, part, part, replace(settings, rungs=((8, 3), (12, 1))))
    (survivor,) = [m for m, status in enumerate(halved.status) if status == "finished"]
    torch.testing.assert_close(halved.parameters[survivor], whole.parameters[survivor], rtol=1e-9, atol=1e-9)
    broken = [*members[:2], replace(members[2], learning_rate=1e308), *members[3:]]
    result = loop(broken, part, part, replace(settings, rule="sgd"))
    healthy = loop(members, part, part, replace(settings, rule="sgd"))
    assert result.status[2].startswith("diverged")
    for m in (0, 1, 3, 4):
        torch.testing.assert_close(result.parameters[m], healthy.parameters[m], rtol=1e-9, atol=1e-9)


@pytest.fixture
def saved_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileCheckpoint, "due", lambda self: True)


@pytest.mark.usefixtures("saved_always")
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(convnet, checkpoint=tmp_path / "state", layout="looped")
    with pytest.raises(InputError, match="belongs to another training"):
        train(convnet, checkpoint=tmp_path / "state", layout="looped", learning_rate=0.02)
    (tmp_path / "state").write_bytes(b"no checkpoint")
    with pytest.raises(LuthierError, match="damaged"):
        train(convnet, checkpoint=tmp_path / "state")


@pytest.mark.usefixtures("saved_always")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_training_keeps_its_layout(tmp_path: Path, layout: str) -> None:
    def interrupt(evaluation: Evaluation) -> None:
        if evaluation.step == 8:
            raise KeyboardInterrupt

    whole = train(convnet, layout=layout)
    with pytest.raises(KeyboardInterrupt):
        train(convnet, checkpoint=tmp_path / "state", layout=layout, on_evaluation=interrupt)
    resumed = train(convnet, checkpoint=tmp_path / "state")
    assert resumed.layout == layout
    assert torch.equal(whole.parameters, resumed.parameters)


class Both(nn.Module):
    """Has a dropout layer, and draws by itself too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Dropout(0.5), nn.Linear(36, 3)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        dropped = self.layer(torch.ones_like(x.flatten(1)))
        self.seen.append(dropped.detach())
        return self.out(F.dropout(x.flatten(1), 0.3, self.training) * dropped)


def test_a_module_that_draws_by_itself_gets_a_new_mask_each_step() -> None:
    from luthier.engine import Batch, ModuleSpec
    from luthier.engine.members.masks import mask_seeds
    from luthier.engine.members.state import TrainState
    from luthier.engine.torch_modules.module_learners import LoopedLearner
    from luthier.engine.torch_modules.modules import Modules
    from luthier.objective import loss_named

    spec = ModuleSpec(lambda: Both().double())
    assert spec.draws
    parameters, buffers = Modules(spec).fresh([0], torch.float64)
    state = TrainState(parameters, buffers, torch.zeros_like(parameters), {})
    learner = LoopedLearner(spec, state, mask_seeds([0]), torch.zeros(1, 0), loss_named("softmax"))
    batch = Batch(Inputs(numbers=IMAGES[:32]), LABELS[:32])
    for number in range(2):
        learner.gradients(batch, number)
    first, second = learner._called[0].seen[-2:]
    assert not torch.equal(first, second)


class Prototypes(nn.Module):
    """Tells classes apart by the means of their rows, which are counted and not learnt."""

    def __init__(self, name: str = "means") -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(3, 36))
        self.scale, self.name = nn.Parameter(torch.ones(())), name

    def forward(self, x: Tensor) -> Tensor:
        return -self.scale * torch.cdist(x.flatten(1), self.means)

    def from_training_rows(self, rows: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {self.name: torch.stack([rows.flatten(1)[targets == k].mean(0) for k in range(3)]).to(rows.dtype)}


def test_what_is_counted_from_the_training_rows_is_there_before_the_first_step() -> None:
    result = luthier.train(Prototypes, (IMAGES, LABELS), learning_rate=0.1, seeds=2, epochs=1)
    wanted = torch.stack([IMAGES.flatten(1)[k == LABELS].mean(0) for k in range(3)])
    for member in range(2):
        torch.testing.assert_close(result.module(member).means, wanted.to(result.module(member).means.dtype))
    with pytest.raises(InputError, match=r"(?s)'mean' \[3, 36\].*means \[3, 36\]"):
        luthier.train(lambda: Prototypes("mean"), (IMAGES, LABELS), learning_rate=0.1, epochs=1)


def test_modules_with_memory_of_their_own_give_their_rows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on devices whose kernels want tensors at even places; a convolution's filters, a norm's buffers, dropout."""
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(108, 2)
    )
    kind = Modules(ModuleSpec(net))
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(4, 1, 8, 8, generator=generator)
    batch = Batch(Inputs(numbers=pictures), torch.tensor([0, 1, 1, 0]))
    states = []
    for apart in (False, True):
        parameters, buffers = kind.fresh([0, 1], torch.float32)
        state = TrainState(parameters, buffers, torch.zeros_like(parameters), {})
        place = "luthier.engine.torch_modules.module_learners.has_own_memory"
        monkeypatch.setattr(place, lambda device, apart=apart: apart)
        learner = LoopedLearner(kind.spec, state, mask_seeds([0, 1]), torch.zeros(2, 0), loss_named("softmax"))
        assert bool(learner._apart) == apart
        for number in range(2):  # the second step sees what the first did to rows and buffers
            learner.gradients(batch, number)
            state.parameters.sub_(state.gradients)
        states.append(state)
    for ours, theirs in zip(states[0][:3], states[1][:3], strict=True):
        assert torch.equal(ours, theirs)
