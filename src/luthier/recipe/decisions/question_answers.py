"""Step 4: what each question about the adopted setting came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.recipe.decisions.experiment import SHARING, factor_name, loss_name
from luthier.records import Wording

Answered = Literal["helps", "hurts", "no-difference", "unknown"]


def compared_with(question: str, value: str, *, used: bool) -> str:
    """The setting that the adopted one is compared with, in words."""
    if question == "loss":
        return loss_name(value)
    if question.startswith(SHARING):
        return tr("networks that learn {target} alone", target=question.removeprefix(SHARING))
    undone, done = {
        "rate": (tr("a third of the rate"), ""),
        "Adam": (tr("SGD with momentum at a usual rate") if value else tr("SGD with momentum"), tr("Adam")),
        "decay": (tr("a constant rate"), tr("a cosine")),
        "restarts": (tr("one cosine"), tr("four cosine cycles")),
        "units": (tr("half as many units"), ""),
        "batch size": (tr("batches of {size}", size=value), ""),
        "layers": (tr("one layer fewer"), tr("one layer more")),
        "dropout, last layer": (tr("no dropout there"), tr("dropout {p} there", p=value)),
        "dropout, all layers": (tr("no dropout"), tr("dropout {p} in all layers", p=value)),
        "L2": (tr("no weight decay"), f"λ/n = {value}"),
        "input normalisation": (tr("inputs: {method}", method=value), tr("inputs: {method}", method=value)),
        "batch norm": (tr("no norm"), tr("batch norm")),
        "augmentation": (tr("no augmentation"), value),
        "clipping": (tr("no clipping"), tr("gradient norm at most {norm}", norm=value)),
        "initialisation": ("Xavier", "He"),
        "order": (tr("a bag of words and pairs"), ""),
        "sentence vectors": (tr("words alone"), tr("sentence vectors beside the words")),
        "words alike": (tr("weights of words by log-ratios"), tr("equal weights of words")),
        "dropout of words": (tr("no word dropout"), tr("word dropout {p}", p=value)),
        "mirrored": (tr("no mirrored pictures"), tr("mirrored pictures")),
        "mix-up": (tr("no mix-up"), tr("mix-up {a}", a=value)),
        "architecture": (tr("no skip connections"), tr("skip connections")),
    }.get(question, (value, value))
    return undone if used else done


@dataclass(frozen=True)
class AnswerEvidence(Evidence[Answered]):
    """A question of the recipe: the adopted setting beside itself with one thing undone (or done).

    `size`, `low` and `high` are by how much of the loss the thing lowers it, with the 95 % interval; all networks see
    the same rows in the same order, on `partitions` of the rows into `folds`; of one fold these are seeds.
    """

    code: ClassVar[str] = "answer"
    about: ClassVar[str] = "question"
    question: str
    used: bool  # whether the adopted setting has it
    value: str  # what the other setting has in its place, where that has a value
    size: float
    low: float | None
    high: float | None
    partitions: int
    margin: float
    folds: int = 5

    def decide(self) -> Answered:
        """What the interval says.

        >>> def answer(low, high):
        ...     return AnswerEvidence("L2", True, "", (low + high) / 2, low, high, 2, 0.03).decide()
        >>> answer(0.01, 0.05), answer(-0.05, -0.01), answer(-0.01, 0.02), answer(-0.02, 0.09)
        ('helps', 'hurts', 'no-difference', 'unknown')
        """
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0:
            return "helps"
        if self.high < 0:
            return "hurts"
        return "no-difference" if max(-self.low, self.high) <= self.margin else "unknown"

    def render(self, choice: Answered) -> Wording:
        """One of three answers."""
        values = {
            "size": f"{abs(self.size):.1%}",
            "low": f"{min(abs(self.low or 0), abs(self.high or 0)):.1%}",
            "high": f"{max(abs(self.low or 0), abs(self.high or 0)):.1%}",
            "margin": f"{self.margin:.0%}",
        }
        chosen = {
            "helps": tr("helps: without it the loss is {size} higher ({low} to {high})", **values),
            "hurts": tr("hurts: without it the loss is {size} lower ({low} to {high})", **values),
            "no-difference": tr("changes the loss by less than {margin}", **values),
            "unknown": tr("not known from these rows"),
        }[choice]
        what = compared_with(self.question, self.value, used=self.used)
        template = "the adopted setting beside {what}, from {seeds} seeds, on the validation set"
        if self.folds > 1:
            template = "the adopted setting beside {what}, on {partitions} partitions of the rows into folds"
        reason = tr(template, what=what, partitions=self.partitions, seeds=self.partitions)
        if self.low is not None and self.high is not None:
            reason += tr("; ") + tr("95 % interval {low} to {high}", low=f"{self.low:+.1%}", high=f"{self.high:+.1%}")
        if not self.question.startswith(SHARING):
            return Wording(factor_name(self.question), chosen, reason)
        target = self.question.removeprefix(SHARING)
        reason += tr("; ") + tr("by the loss of {target}; its ensemble may take either", target=target)
        return Wording(factor_name(self.question), chosen, reason, override="--separate" if choice == "hurts" else "")
