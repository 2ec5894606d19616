"""A strong first setting of a table's networks, before anything is measured.

`first_setting(shape)` is a pure function of the table's shape: it gives a `Setting` (how numbers enter, the rule, the
batch size, a member with its spec and hyper-parameters; seeds are given by `seeded`) and for how many epochs it trains.
Its parts are those of RealMLP (Holzmueller and others, 2024) that paid on `ames`, `churn`, `titanic` and scikit-learn's
tables at equal seconds on one core; `benchmarks/first_setting.py` judges it on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.engine import Member, Schedule
from luthier.nets import DenseSpec, NumberEmbedding
from luthier.recipe.planning.plan import PlanSize
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import embeddings_of

METHOD = "robust"
EMBEDDED = 200  # numbers; of very many, such as pixels, each says little
EPOCHS, FEWEST_STEPS = 20, 600
TINY, SMALL, LARGE = 300, 1_200, 12_000  # rows


@dataclass(frozen=True)
class TableShape:
    """What the first setting depends on: the task, training rows, numbers, the levels of each category, outputs.

    `flags` are the indicators of missing values, which come beside the numbers; `constant` numbers of outputs that are
    the same for all rows.
    """

    kind: str
    rows: int
    numbers: int
    levels: Sequence[int] = ()
    outputs: int = 1
    flags: int = 0
    constant: tuple[int, ...] = ()


@dataclass(frozen=True)
class FirstSetting:
    """A setting, its member of seed 0, and how many epochs it trains."""

    setting: Setting
    epochs: int


def first_setting(shape: TableShape) -> FirstSetting:
    """The setting to begin with.

    >>> first = first_setting(TableShape("binary", rows=3000, numbers=17, levels=(53, 5)))
    >>> first.setting.method, first.setting.batch_size, first.epochs, first.setting.member.spec.hidden
    ('robust', 128, 25, (128, 128))
    """
    spec, small = first_network(shape), shape.rows < SMALL
    dropout = 0.4 if shape.rows < TINY else 0.3 if small else 0.0 if shape.kind == "regression" else 0.15
    # Functions of numbers pay most where they learn as fast as the rest, and overfit few rows.
    factors = (("biases", 0.1), ("embeddings", 0.3), ("numbers", 0.1 if small else 1.0), ("scales", 6.0))
    member = Member(
        spec,
        seed=0,
        learning_rate=0.015,
        schedule=Schedule("coslog4"),
        betas=(0.9, 0.95),
        weight_decay=0.02,
        rate_factors=factors,
        width_scaled=True,
        dropout=(dropout,) * len(spec.hidden),
    )
    size = PlanSize(shape.rows)
    epochs = max(EPOCHS, -(-FEWEST_STEPS // size.epoch_steps))
    return FirstSetting(Setting(METHOD, "adam", size.batch_size, member, "first setting"), epochs)


def first_network(shape: TableShape) -> DenseSpec:
    """Two hidden layers of SELU units behind scaled inputs, and learned functions of numbers that are not very many.

    From fewer than 300 rows such functions are not learnt: without them the loss is lower.
    """
    embedded = shape.rows >= TINY and 0 < shape.numbers <= EMBEDDED
    width = 64 if shape.rows < SMALL else 128 if shape.rows < LARGE else 256
    return DenseSpec(
        inputs=shape.numbers + shape.flags,
        hidden=(width, width),
        outputs=shape.outputs,
        constant_outputs=shape.constant,
        activation="selu",
        embeddings=embeddings_of(shape.levels),
        number_embedding=NumberEmbedding(shape.numbers) if embedded else None,
        input_scale=True,
    )
