"""Steps 3 and 4 by designed experiments: the setting that is adopted, and what each question of the recipe came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import as_message, spoken, tr
from luthier.recipe.decisions.decision import Evidence, digits
from luthier.recipe.decisions.remedy import remedy_name
from luthier.records import Option, Wording

SHARING = "sharing: "  # the question of each of several targets, its name behind that


@dataclass(frozen=True)
class FirstSettingEvidence(Evidence[str]):
    """The strong setting that the experiments start from, and the table's shape that it follows from."""

    code: ClassVar[str] = "first-setting"
    label: str
    rows: int
    numbers: int
    categories: int

    def decide(self) -> str:
        """The setting, in a line."""
        return self.label

    def render(self, choice: str) -> Wording:
        """The setting, and what it follows from."""
        template = (
            "the best setting of other tables of this shape (rows to learn from: {rows}, numbers: {numbers}, "
            "categories: {categories}); the experiments of steps 3 and 4 vary it"
        )
        return Wording(tr("first setting"), spoken(self.label), tr(template, **vars(self)))


@dataclass(frozen=True)
class Effect:
    """What a factor does to the loss from its low to its high end, as a share of it, with its standard error."""

    name: str
    size: float
    error: float


@dataclass(frozen=True)
class Tried:
    """A setting that was trained whole: its out-of-fold loss, and the one expected of it by all that was tried.

    Where a metric was asked for, its `value`, and by how much it may be better than the best one: the upper end of
    the 95 % interval, below 0 where it is clearly worse. Where several targets share the networks it is the mean of
    each one's own metric relative to that of its best constant answer (`of_targets`): 1 is as good as that, lower is
    better.
    """

    label: str
    measured: float
    expected: float
    value: float | None = None
    at_most: float | None = None
    of_targets: tuple[float, ...] = ()


def adopted_place(tried: Sequence[Tried]) -> int:
    """The place of the setting with the lowest expected loss, of those whose metric is not clearly worse than the best.

    >>> adopted_place([Tried("a", 0.50, 0.52, 0.7, -0.01), Tried("b", 0.51, 0.53, 0.8, 0.0)])
    1
    """
    judged = any(one.value is not None for one in tried)  # else the loss alone decides
    as_good = [
        place
        for place, one in enumerate(tried)
        if not judged or (one.value is not None and (one.at_most is None or one.at_most >= 0))
    ]
    return min(as_good or range(len(tried)), key=lambda place: tried[place].expected)


@dataclass(frozen=True)
class ExperimentEvidence(Evidence[int]):
    """The designed experiment of a step: how large it was, the factors' effects, and the best settings tried whole."""

    code: ClassVar[str] = "experiment"
    about: ClassVar[str] = "step"
    step: int
    shapes: int
    settings: int
    networks: int
    folds: int
    diverged: int  # settings of which a network diverged
    first: float | None  # out-of-fold loss of the setting that the step started from
    effects: tuple[Effect, ...]
    tried: tuple[Tried, ...]
    reference: str = ""  # the documents' first architecture, trained as they begin
    reference_loss: float | None = None
    metric: str = ""  # that was asked for
    yardstick: str = ""  # the metric in whose terms losses are, where settings learn by several
    shaped: tuple[str, ...] = ()  # what differed between shapes
    targets: tuple[str, ...] = ()  # that share the networks, and each one's own metric
    target_metrics: tuple[str, ...] = ()

    @property
    def varied(self) -> tuple[str, ...]:
        """The factors that varied, those of shapes first."""
        return (*self.shaped, *(effect.name for effect in self.effects))

    def decide(self) -> int:
        """The place of the setting with the lowest expected loss, as `adopted_place` says.

        >>> tried = Tried("a", 0.50, 0.52), Tried("b", 0.51, 0.51)
        >>> ExperimentEvidence(3, 8, 64, 320, 5, 0, 0.6, (), tried).decide()
        1
        """
        return adopted_place(self.tried)

    def render(self, choice: int) -> Wording:
        """The adopted setting, and the factors that matter."""
        chosen = self.tried[choice]
        template = "lowest expected loss of {settings} settings in {shapes} shapes: {loss} on the validation set"
        if self.folds > 1:
            template = (
                "lowest expected loss of {settings} settings in {shapes} shapes, {networks} networks over {folds} "
                "folds: {loss} out of fold"
            )
        reasons = [tr(template, **vars(self), loss=digits(chosen.measured))]
        if chosen.of_targets:
            reasons.append(self._by_targets(chosen))
        if self.yardstick:
            template = "loss means {metric} of answers here, since networks learn by several losses"
            reasons.append(tr(template, metric=tr(self.yardstick)))
        if self.metric:
            reasons.append(tr("of those whose {metric} is not clearly worse than the best", metric=tr(self.metric)))
        if self.first is not None:
            reasons.append(tr("the first setting has {loss}", loss=digits(self.first)))
        if self.reference:
            known = {"name": as_message(self.reference), "loss": digits(self.reference_loss)}
            reasons.append(tr("{name} has {loss}", **known))
        if self.diverged:
            reasons.append(tr("{count} settings diverged", count=self.diverged))
        options = [
            Option(
                spoken(one.label),
                {
                    tr("loss"): one.measured,
                    tr("expected loss"): one.expected,
                    **({self.metric: one.value} if self.metric else {}),
                    **{
                        tr("{target} beside the constant", target=target): value
                        for target, value in zip(self.targets, one.of_targets, strict=False)
                    },
                },
                place == choice,
            )
            for place, one in enumerate(self.tried)
        ]
        options += [
            Option(factor_name(one.name), {tr("effect from low to high"): f"{one.size:+.1%} ± {2 * one.error:.1%}"})
            for one in sorted(self.effects, key=lambda one: -abs(one.size))
        ]
        topic = tr("setting adopted in step {step}", step=self.step)
        return Wording(topic, spoken(chosen.label), tr("; ").join(reasons), tuple(options))

    def _by_targets(self, chosen: Tried) -> str:
        """The mean over targets of their metrics beside the constant's, and each of them."""
        known = zip(self.targets, self.target_metrics, chosen.of_targets, strict=True)
        return tr(
            "of those whose mean over targets of each one's metric, relative to the best constant answer's, is not "
            "clearly worse than the best: {value} (1 is as good as the constant, lower is better; {each})",
            value=digits(chosen.value),
            each=", ".join(f"{target}: {tr(metric)} {value:.4f}" for target, metric, value in known),
        )


def loss_name(loss: str) -> str:
    """A loss that settings learn by, in words."""
    if loss.startswith("quantiles "):
        return tr("pinball loss of the quantile {q}", q=loss.removeprefix("quantiles "))
    if loss.startswith("negative binomial "):
        dispersion = loss.removeprefix("negative binomial ")
        return tr("the likelihood of a negative binomial law of dispersion {d}", d=dispersion)
    return {
        "poisson": tr("Poisson deviance"),
        "mae": tr("absolute error"),
        "mse": tr("squared error"),
        "ordinal": tr("cross-entropy of cumulative logits"),
        "softmax": tr("softmax cross-entropy"),
    }.get(loss, loss)


def factor_name(name: str) -> str:
    """A factor or question in words."""
    if name.startswith(SHARING):
        return tr("shared networks: {target}", target=name.removeprefix(SHARING))
    return {
        "memory": tr("memory of squared gradients"),
        "dropout, other layers": tr("dropout, other layers"),
        "decoupled decay": tr("decoupled weight decay"),
        "averaging": tr("averages of weights"),
        "label smoothing": tr("label smoothing"),
        "initialisation": tr("He initialisation"),
        "width": tr("width of embeddings"),
        "mirrored": tr("mirrored pictures"),
        "loss": tr("loss"),
    }.get(name) or remedy_name(name)


@dataclass(frozen=True)
class EnsembleSize:
    """An ensemble of at most so many bags: its loss on folds that it was not chosen on."""

    bags: int
    loss: float
    error: float  # standard error over rows of the difference to the best size
    value: float | None = None  # the metric that was asked for


@dataclass(frozen=True)
class BagsEvidence(Evidence[int]):
    """Ensembles of one bag, at most two and so on, chosen greedily. A `metric` decides where it is set.

    A round may take again what an earlier one took: `delivered` are the bags of the chosen ensemble.
    """

    code: ClassVar[str] = "bags"
    sizes: tuple[EnsembleSize, ...]
    candidates: int
    folds: int
    allowed: float = 0.5  # standard errors by which a smaller ensemble may look worse
    metric: str = ""
    larger_is_better: bool = False
    delivered: int = 0  # 0 in runs of before it was kept

    def decide(self) -> int:
        """The smallest number of bags within half a standard error of the lowest loss, or that of the best metric.

        >>> sizes = EnsembleSize(1, 0.5, 0.01), EnsembleSize(2, 0.482, 0.01), EnsembleSize(3, 0.48, 0.0)
        >>> BagsEvidence(sizes, 40, 5).decide()
        2
        """
        if self.metric:
            sign = -1.0 if self.larger_is_better else 1.0
            return min(self.sizes, key=lambda one: sign * (one.value or 0.0)).bags
        lowest = min(one.loss for one in self.sizes)
        return next(one.bags for one in self.sizes if one.loss - lowest <= self.allowed * one.error)

    def render(self, choice: int) -> Wording:
        """How many bags, and what they gain."""
        taken = next(one for one in self.sizes if one.bags == choice)
        bags = self.delivered or choice
        one = tr("one network for each fold") if self.folds > 1 else tr("one network")
        template = (
            "a greedy ensemble of {bags} of {candidates} settings; its loss on validation rows that it was not chosen "
            "on is {loss}"
        )
        if self.folds > 1:
            template = (
                "a greedy ensemble of {bags} of {candidates} settings, {folds} folds each; its out-of-fold loss is "
                "{loss}"
            )
        reason = tr(template, **vars(self), bags=bags, loss=digits(taken.loss))
        chosen = tr("{count} networks", count=bags * self.folds) if bags > 1 else one
        options = tuple(
            Option(
                tr("at most {count} settings", count=one.bags) if one.bags > 1 else tr("one setting"),
                {tr("loss"): one.loss, **({self.metric: one.value} if self.metric else {})},
                one is taken,
            )
            for one in self.sizes
        )
        if self.metric:
            reason += tr("; ") + tr("of these sizes it has the best {metric}", metric=tr(self.metric))
        return Wording(tr("deliverable"), chosen, reason, options, override="--metric")
