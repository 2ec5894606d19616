"""Every hyper-parameter that the engine knows: when to tune it, on which scale, from where to where, and why.

The tiers are the order in which they are worth tuning: the learning rate first; then momentum, width and batch size;
then depth and decay; Adam's own only when there are very many trials. How long to train comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.nets import ACTIVATIONS, INITIALISERS
from luthier.search.spaces.space import Choice, Dimension, Number

TIERS = {
    1: "the learning rate",
    2: "optimiser, momentum, width, batch size",
    3: "depth, decay, regularisation",
    4: "rarely tuned",
    5: "how long to train",
}
WITH_MANY, LENGTH = 4, 5  # the tier that is opened only with many trials, and that of how long to train
_MOMENTUM_RULES = ("sgd", "nesterov", "nesterov-velocity", "muon")
_MOMENTS = ("adam", "adam-uncorrected", "adamax", "nadam", "schedule-free", "muon")
_ADAMS = (*_MOMENTS, "lion")
RATES_OF = {  # hyper-parameters that multiply the rate of one kind of numbers
    "bias_rate": "biases",
    "embedding_rate": "embeddings",
    "number_rate": "numbers",
    "scale_rate": "scales",
    "norm_rate": "norms",
    "activation_rate": "activations",
    "ensemble_rate": "ensemble",
}
SCHEDULES_OF = {  # hyper-parameters that are the schedule of another one
    "dropout_schedule": "dropout",
    "decay_schedule": "weight_decay",
    "smoothing_schedule": "label_smoothing",
}
REALMLP = "Holzmueller and others 2024"
_SQUARES = ("rmsprop", "adadelta")


@dataclass(frozen=True)
class Hyper:
    """One hyper-parameter: what it is for (`use`), its usual range, and the reason for tier and scale."""

    name: str
    tier: int
    use: str  # member, settings, schedule, architecture or length
    usual: Dimension
    reason: str
    source: str = ""


_SWITCH = Choice((False, True))


def _log(low: float, high: float, default: float, **options: Any) -> Number:
    return Number(low, high, scale="log", default=default, **options)


def _window(low: float, high: float, default: float, **options: Any) -> Number:
    return Number(low, high, scale="window", default=default, **options)


_TABLE = (
    Hyper(
        "learning_rate",
        1,
        "member",
        _log(1e-4, 1.0, 3e-3),
        "matters most; its effect is multiplicative",
        "S0-02, S0-05",
    ),
    Hyper(
        "rule",
        2,
        "settings",
        Choice(("adam", "sgd", "nesterov", "rmsprop"), default="adam"),
        "each update rule has its own best learning rate, so the rate is retuned with it",
        "S2-14 to S2-24",
    ),
    Hyper(
        "momentum",
        2,
        "member",
        _window(0.5, 0.999, 0.9, when={"rule": _MOMENTUM_RULES}),
        "averages 1/(1 - beta) steps: 0.9 ten, 0.999 a thousand",
        "S0-06",
    ),
    Hyper(
        "width",
        2,
        "architecture",
        Choice((16, 32, 64, 128, 256), default=64),
        "units of each hidden layer; doubling matters, and networks of equal width train together",
        "S0-02, S0-07",
    ),
    Hyper(
        "batch_size",
        2,
        "settings",
        Choice((16, 32, 64, 128, 256), default=64),
        "sets the noise of a step and its cost; powers of two",
        "S0-02",
    ),
    Hyper(
        "depth", 3, "architecture", Number(1, 4, integer=True, default=1), "hidden layers: small whole numbers", "S0-07"
    ),
    Hyper(
        "schedule",
        3,
        "member",
        Choice(
            ("constant", "cosine", "restarts", "exponential", "one-cycle", "coslog4", "flat-cosine"), default="cosine"
        ),
        "how the learning rate falls during training",
        "S4-12 to S4-17",
    ),
    Hyper(
        "restart_period",
        3,
        "schedule",
        _log(0.05, 0.5, 0.2, when={"schedule": ("restarts",)}),
        "share of the training in the first cycle; only with restarts",
        "S4-17",
    ),
    Hyper(
        "restart_multiplier",
        3,
        "schedule",
        Number(1.0, 3.0, default=2.0, when={"schedule": ("restarts",)}),
        "how much longer each cycle is than the one before",
        "S4-17",
    ),
    Hyper(
        "decay",
        3,
        "schedule",
        _log(0.001, 0.9, 0.1, when={"schedule": ("exponential", "staircase", "inverse", "plateau", "stable-decay")}),
        "factor on the learning rate by the end of training (a staircase takes a tenth of it per stair); of "
        "stable-decay the share of the training in which the rate falls",
        "S4-13 to S4-15",
    ),
    Hyper(
        "warmup",
        3,
        "schedule",
        Number(0.0, 0.2, default=0.0),
        "share of the training in which the learning rate warms up",
        "S4-12",
    ),
    Hyper(
        "l2",
        3,
        "member",
        _log(1e-4, 100.0, 1e-2),
        "lambda of the penalty lambda/(2n) * sum w^2; multiplicative",
        "S1-86",
    ),
    Hyper(
        "l1", 3, "member", _log(1e-4, 100.0, 1e-2), "lambda of the penalty lambda/n * sum |w|; multiplicative", "S1-94"
    ),
    Hyper(
        "weight_decay",
        3,
        "member",
        _log(1e-6, 0.3, 1e-3),
        "decoupled from the gradient, so it means the same for every update rule",
        "Loshchilov and Hutter 2019",
    ),
    Hyper("dropout", 3, "member", Number(0.0, 0.6, default=0.0), "probability to drop a hidden unit", "S1-103, S4-24"),
    Hyper(
        "noise",
        3,
        "settings",
        Choice((0.0, 0.1, 0.3), default=0.0),
        "standard deviation of the noise added to standardised numbers; networks of equal value train together",
        "S4-34",
    ),
    Hyper(
        "mixup",
        3,
        "settings",
        Choice((0.0, 0.2, 0.4), default=0.0),
        "a of Beta(a, a), which mixes pairs of rows; networks of equal value train together",
        "S4-34",
    ),
    Hyper("batch_norm", 3, "architecture", _SWITCH, "before the activation", "S0-10"),
    Hyper("layer_norm", 3, "architecture", _SWITCH, "over a row's units; not with batch norm"),
    Hyper("residual", 3, "architecture", _SWITCH, "skip connections around the hidden layers", "S4-07"),
    Hyper(
        "activation",
        3,
        "architecture",
        Choice(tuple(ACTIVATIONS), default="relu"),
        "activation function of the hidden units",
    ),
    Hyper(
        "initialiser",
        3,
        "architecture",
        Choice(tuple(INITIALISERS), default="he"),
        "initialisation of the weights",
        "S1-117",
    ),
    Hyper(
        "number_frequencies",
        3,
        "architecture",
        Choice((0, 8, 16), default=0),
        "waves of each number, of which learned functions enter beside it (PBLD); 0: none. What changes fast with a "
        "number is learnt by it",
        REALMLP,
    ),
    Hyper(
        "number_pieces",
        3,
        "architecture",
        Choice((0, 8, 16, 48), default=0, when={"number_frequencies": (0,)}),
        "pieces between quantiles of each number, over which learned functions are linear (PLE); 0: none. Thresholds "
        "are learnt by them, and a skewed number is spread out",
        "Gorishniy and others 2022",
    ),
    Hyper(
        "target_encoding",
        4,
        "architecture",
        _SWITCH,
        "means of the target at each level of a category of many levels, out of fold, enter beside its embedding",
        "Micci-Barreca 2001",
    ),
    Hyper(
        "biases_from_data",
        4,
        "architecture",
        _SWITCH,
        "first biases from the rows: the answer begins at the best constant, and each unit bends among the rows",
        REALMLP,
    ),
    Hyper(
        "parametric",
        4,
        "architecture",
        _SWITCH,
        "each hidden unit learns how much of its activation it takes: from none (linear) past all of it",
        REALMLP,
    ),
    Hyper(
        "ensemble",
        4,
        "architecture",
        Choice((0, 2, 4, 8), default=0, when={"batch_norm": (False,)}),
        "networks that share weights but for factors (BatchEnsemble), each taught by its share of a batch; 0: none",
        "Wen, Tran and Ba 2020",
    ),
    Hyper(
        "number_width",
        4,
        "architecture",
        Choice((2, 4, 8), default=4, when={"number_frequencies": (8, 16)}),
        "values that each number enters as, its own included; costs a wider first layer",
        REALMLP,
    ),
    Hyper(
        "number_deviation",
        4,
        "architecture",
        Choice((0.03, 0.1, 0.3, 1.0), default=0.1, when={"number_frequencies": (8, 16)}),
        "standard deviation of the first frequencies: small ones are long waves",
        REALMLP,
    ),
    Hyper(
        "input_scale",
        3,
        "architecture",
        _SWITCH,
        "a learned factor of each value that enters the first layer, so that what matters is heard",
        REALMLP,
    ),
    Hyper(
        "width_scaled",
        4,
        "member",
        _SWITCH,
        "rates divided by the root of a layer's inputs: one rate serves all widths (with it rates are some ten times "
        "larger)",
        REALMLP,
    ),
    *(
        Hyper(
            name, 4, "member", _log(0.01, 10.0, 1.0), f"multiplies the learning rate of {what}; multiplicative", REALMLP
        )
        for name, what in (
            ("bias_rate", "biases; 0.1 keeps them near their start"),
            ("embedding_rate", "categories' embeddings"),
            ("number_rate", "learned functions of numbers; 0.1 where rows are few"),
            ("scale_rate", "the inputs' factors; 6 lets them choose early"),
            ("norm_rate", "scales and shifts of batch or layer norm"),
            ("ensemble_rate", "factors of networks that share their weights"),
            ("activation_rate", "how much of each unit's function is taken; 0.1 as in RealMLP"),
        )
    ),
    *(
        Hyper(
            name,
            4,
            "member",
            Choice(("constant", "flat-cosine", "coslog4", "linear"), default="constant"),
            f"how the {SCHEDULES_OF[name].replace('_', ' ')} changes over the training: {why}",
            REALMLP,
        )
        for name, why in (
            ("dropout_schedule", "flat-cosine lets the last steps see whole networks"),
            ("decay_schedule", "flat-cosine leaves the last weights as large as they fit"),
            ("smoothing_schedule", "coslog4 comes and goes with the rate"),
        )
    ),
    Hyper("clip_norm", 3, "member", _log(0.1, 100.0, 10.0), "maximum norm of the gradient", "S4-41"),
    Hyper("clip_value", 3, "member", _log(0.01, 10.0, 1.0), "bound on each entry of the gradient", "S4-41"),
    Hyper(
        "ema_decay",
        3,
        "member",
        _window(0.9, 0.9999, 0.99),
        "decay of the moving average of the weights: 1/(1 - ema_decay) steps",
        "S0-23",
    ),
    Hyper(
        "label_smoothing",
        3,
        "member",
        _log(0.005, 0.2, 0.1),
        "share of each label that is spread over all classes; helps accuracy, harms log loss and ROC AUC",
        "Szegedy and others 2016",
    ),
    Hyper(
        "beta1",
        4,
        "member",
        _window(0.5, 0.99, 0.9, when={"rule": _ADAMS}),
        "Adam's decay of the mean gradient; rarely tuned",
        "S0-02",
    ),
    Hyper(
        "beta2",
        4,
        "member",
        _window(0.9, 0.9999, 0.999, when={"rule": _ADAMS}),
        "Adam's decay of the mean squared gradient; rarely tuned",
        "S0-02",
    ),
    Hyper(
        "epsilon",
        4,
        "member",
        _log(1e-10, 1e-3, 1e-8, when={"rule": (*_MOMENTS, *_SQUARES, "adagrad")}),
        "keeps the division finite; rarely tuned",
        "S0-02",
    ),
    Hyper(
        "rho",
        4,
        "member",
        _window(0.8, 0.999, 0.99, when={"rule": _SQUARES}),
        "decay of the mean squared gradient of RMSProp and Adadelta",
        "S2-21",
    ),
    Hyper(
        "epochs",
        5,
        "length",
        Number(1, 1000, scale="log", integer=True, default=10),
        "tuned last: doubled while the best setting still improves at the end of training",
    ),
)
REGISTRY: dict[str, Hyper] = {hyper.name: hyper for hyper in _TABLE}
