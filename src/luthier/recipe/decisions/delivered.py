"""Step 5: the spread over seeds, what is delivered, and the network distilled from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence, digits
from luthier.records import Option, Wording
from luthier.statistics.paired import Gain

Kind = Literal["one", "seeds", "best members", "folds", "bags"]


def deliverable_name(kind: str, networks: int) -> str:
    """What could be delivered, in words."""
    return {
        "one": tr("one network"),
        "seeds": tr("mean of {count} seeds", count=networks),
        "best members": tr("ensemble of the best members"),
        "folds": tr("5-fold ensemble, trained on all training and validation rows"),
        "bags": tr("ensemble over folds, trained on all training and validation rows"),
        "distilled": tr("one network distilled from the ensemble"),
    }[kind]


@dataclass(frozen=True)
class SeedsEvidence(Evidence[float | None]):
    """The validation losses of the final seeds; None where one was not finite."""

    code: ClassVar[str] = "final-seeds"
    losses: tuple[float | None, ...]

    def decide(self) -> float | None:
        """Their mean."""
        known = [loss for loss in self.losses if loss is not None]
        return sum(known) / len(known) if known else None

    def render(self, choice: float | None) -> Wording:
        """The mean, and why there are several."""
        chosen = tr("validation loss {loss}", loss=digits(choice))
        reason = tr("a single seed can be lucky; {count} seeds show the spread", count=len(self.losses))
        options = tuple(Option(str(place), {tr("loss"): loss}) for place, loss in enumerate(self.losses))
        return Wording(tr("final seeds"), chosen, reason, options)


@dataclass(frozen=True)
class Offered:
    """One thing to deliver: its networks and their weights, its validation loss (out of fold for folds), the metric
    that was asked for, and its gain over one network, paired by row."""

    kind: Kind
    loss: float
    gain: Gain
    networks: tuple[tuple[str, float], ...]
    value: float | None = None


@dataclass(frozen=True)
class DeliverableEvidence(Evidence[Kind]):
    """What could be delivered. `metric` decides where it is set and defined, the loss otherwise.

    Folds are judged by single networks: their mean is credited with what averaging gains (`credit`), and may look
    worse by the noise (`allowed`). `undefined` is a metric that was asked for and is not defined on these rows.
    """

    code: ClassVar[str] = "deliverable"
    options: tuple[Offered, ...]
    metric: str = ""
    larger_is_better: bool = False
    allowed: float | None = None
    credit: float = 0.0
    undefined: str = ""

    def cost(self, option: Offered) -> float:
        """What is to be low."""
        if not self.metric:
            return option.loss
        value = option.loss if option.value is None else option.value
        return -value if self.larger_is_better else value

    def decide(self) -> Kind:
        """The option of the lowest cost; the folds unless they are clearly worse than it."""
        costs: dict[Kind, float] = {option.kind: self.cost(option) for option in self.options}
        others = {kind: cost for kind, cost in costs.items() if kind != "folds"}
        best = min(others, key=lambda kind: others[kind])
        if "folds" not in costs or self.allowed is None:
            return best
        return "folds" if costs["folds"] - self.credit - others[best] <= self.allowed else best

    def render(self, choice: Kind) -> Wording:
        """The deliverable, why, and what it gains."""
        taken = next(option for option in self.options if option.kind == choice)
        count = len(taken.networks)
        chosen = deliverable_name(choice, count) + (tr(" ({count} networks)", count=count) if count > 1 else "")
        if choice == "folds":
            reason = tr(
                "it is trained on all training and validation rows, and by its out-of-fold predictions it is not "
                "clearly worse than the best alternative"
            )
        elif self.metric:
            reason = tr("it has the best {metric} on the validation rows", metric=tr(self.metric))
        else:
            reason = tr("it has the lowest validation loss")
        if self.undefined:
            reason += tr(" ({metric} is not defined on the validation rows)", metric=self.undefined)
        if choice != "one":
            reason += tr("; ") + tr("gain over one network, paired by row: {gain}", gain=taken.gain.in_words)
        return Wording(
            tr("deliverable"),
            chosen,
            reason,
            tuple(
                Option(
                    deliverable_name(one.kind, len(one.networks)),
                    {tr("validation loss"): one.loss, **({self.metric: one.value} if self.metric else {})},
                    one is taken,
                )
                for one in self.options
            ),
            override="--metric",
        )


@dataclass(frozen=True)
class DistilledEvidence(Evidence[str]):
    """The validation losses of one network, of the ensemble of several, and of the network that was distilled."""

    code: ClassVar[str] = "distillation"
    one: float
    ensemble: float
    kind: str
    networks: int
    distilled: float

    def decide(self) -> str:
        """One network was asked for."""
        return "distilled"

    def render(self, choice: str) -> Wording:
        """The network, and what distillation gains."""
        losses = {"one": self.one, self.kind: self.ensemble, "distilled": self.distilled}
        values = {"own": digits(self.distilled), "alone": digits(self.one)}
        return Wording(
            tr("distillation"),
            deliverable_name(choice, 1),
            tr("one network was requested; its validation loss is {own}, without distillation it is {alone}", **values),
            tuple(
                Option(deliverable_name(kind, self.networks), {tr("validation loss"): loss}, kind == choice)
                for kind, loss in losses.items()
            ),
            override="--distil",
        )
