"""Step 5: the temperature, the interval, and the threshold of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording


@dataclass(frozen=True)
class CalibrationEvidence(Evidence[float]):
    """What was fitted, and on which rows: predictions out of fold, or the validation rows."""

    code: ClassVar[str] = "calibration"
    of_what: Literal["temperature", "interval", "deviations", "scores"]
    value: float
    out_of_fold: bool
    dispersion: float = 0.0

    def decide(self) -> float:
        """The temperature, or the half width: on the scale of the model, in deviations around a mean, or in normal
        scores of a law around it."""
        return self.value

    def render(self, choice: float) -> Wording:
        """What was fitted."""
        rows = tr("the out-of-fold predictions") if self.out_of_fold else tr("the validation rows")
        reason, half = tr("split-conformal on {rows}", rows=rows), f"{choice:.3g}"
        if self.of_what == "interval":
            chosen = tr("90 % interval of ± {half} on the scale of the model", half=half)
        elif self.of_what == "deviations":
            chosen = tr("90 % interval of ± {half} deviations around the mean", half=half)
        elif self.of_what == "scores":
            law = tr("negative binomial law of dispersion {value}", value=f"{self.dispersion:.3g}")
            chosen = tr("90 % interval of ± {half} normal scores of a {law}", half=half, law=law)
        else:
            chosen = tr("temperature {value}", value=f"{choice:.3f}")
            reason = tr("it has the lowest log loss on {rows}", rows=rows)
        return Wording(tr("calibration"), chosen, reason)


@dataclass(frozen=True)
class PredictionEvidence(Evidence[str]):
    """The metric, the answer that it asks for ("classes": another class than the likeliest, "labels": other
    thresholds than one half), and its value with the
    usual answer and with this one."""

    code: ClassVar[str] = "prediction"
    metric: str
    answer: str
    usual: float | None
    value: float | None

    def decide(self) -> str:
        """What the metric asks for."""
        return self.answer

    def render(self, choice: str) -> Wording:
        """The answer, and what the usual one would come to."""
        first, second = tr("the mean"), _in_words(str(choice))
        if choice == "classes":
            first = tr("the likeliest class")
        elif choice == "labels":
            first = tr("the labels that are likelier than not")
        options = (Option(first, {self.metric: self.usual}, False), Option(second, {self.metric: self.value}, True))
        reason = tr("{metric} asks for it; both are measured on rows not learnt from", metric=tr(self.metric))
        return Wording(tr("answer"), second, reason, options, override="--metric")


def _in_words(answer: str) -> str:
    if answer.startswith("q"):
        return tr("the quantile {share}", share=answer[1:])
    known = {
        "mean": tr("the mean"),
        "median": tr("the median"),
        "relative median": tr("the median by relative size"),
        "mean of logarithms": tr("the mean of logarithms"),
        "middle of the shortest half": tr("the middle of the shortest half"),
        "least symmetric error": tr("the value of the least symmetric error"),
        "labels": tr("the labels that reach thresholds of their own"),
        "classes": tr("the class that the metric is best served by"),
    }
    return known.get(answer, answer)


@dataclass(frozen=True)
class Threshold:
    """A threshold of the positive class, and what it costs."""

    at: float
    cost: float


@dataclass(frozen=True)
class ThresholdEvidence(Evidence[float]):
    """Thresholds with their costs: by `costs` such as 1:5 (`exact` is the threshold of exact probabilities), or by a
    `metric`, negative where larger is better."""

    code: ClassVar[str] = "threshold"
    positive: str
    options: tuple[Threshold, ...]
    costs: str = ""
    exact: float | None = None
    metric: str = ""

    def decide(self) -> float:
        """The last one of the lowest cost.

        >>> ThresholdEvidence("yes", (Threshold(0.5, 0.3), Threshold(0.2, 0.3)), "1:5").decide()
        0.2
        """
        return min(reversed(self.options), key=lambda option: option.cost).at

    def render(self, choice: float) -> Wording:
        """The threshold, and by what it is the best."""
        reason = tr(
            "rows with at least this probability are predicted as '{name}', the positive class", name=self.positive
        )
        if self.metric:
            reason += tr("; ") + tr("it has the best {metric} on the rows that calibrate", metric=tr(self.metric))
        else:
            template = "it has the lowest cost on the validation rows (with exact probabilities: {exact})"
            reason += tr("; ") + tr(template, exact="-" if self.exact is None else f"{self.exact:.3g}")
        options = tuple(Option(f"{one.at:.4g}", {tr("cost"): one.cost}, one.at == choice) for one in self.options)
        return Wording(tr("threshold"), f"{choice:.4g}", reason, options, override="--cost")
