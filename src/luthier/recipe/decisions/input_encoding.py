"""Step 2: how numbers enter the network, by validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording
from luthier.statistics.paired import interval


def encoding_name(method: str) -> str:
    """A way of preprocessing in words."""
    return {
        "standardise": tr("standardised numbers"),
        "robust": tr("numbers from the median in quartile ranges, softly clipped at 3"),
        "quantile": tr("quantile transform to a normal distribution"),
        "piecewise": tr("piecewise-linear encoding of numbers in quantile bins"),
        "periodic": tr("periodic encoding of numbers (sines and cosines)"),
        "common": tr("centred numbers, all divided by one standard deviation"),
    }[method]


@dataclass(frozen=True)
class EncodingLosses:
    """The best validation loss over the rates, for each seed, behind one way of preprocessing."""

    method: str
    losses: tuple[float, ...]


@dataclass(frozen=True)
class InputsEvidence(Evidence[str]):
    """What was measured; where nothing was, why not, and what is `given` then."""

    code: ClassVar[str] = "inputs"
    measured: tuple[EncodingLosses, ...] = ()
    rates: tuple[float, ...] = ()
    given: str = "standardise"
    why: Literal["", "no numbers", "no time", "pictures"] = ""

    def decide(self) -> str:
        """The way of preprocessing with the lowest mean loss."""
        best = min(self.measured, key=lambda one: sum(one.losses) / len(one.losses), default=None)
        return self.given if best is None else best.method

    def render(self, choice: str) -> Wording:
        """The encoding, with its gain over standardised numbers."""
        if self.why == "pictures":
            reason = tr("the network scales the pixels itself, by the mean and deviation of the training pictures")
            return Wording(tr("inputs"), tr("bytes"), reason)
        if self.why == "no numbers":
            return Wording(tr("inputs"), tr("categories alone"), tr("the table has no numeric columns"))
        if self.why:
            return Wording(
                tr("inputs"), encoding_name(choice), tr("the time ran out before the encodings were compared")
            )
        losses = {one.method: one.losses for one in self.measured}
        reason = tr("this encoding has the lowest validation loss")
        if choice != "standardise" and "standardise" in losses:
            gain = interval([a - b for a, b in zip(losses["standardise"], losses[choice], strict=True)])
            reason += tr(" (gain over standardised numbers: {gain})", gain=gain.in_words)
        return Wording(
            tr("inputs"),
            encoding_name(choice),
            reason,
            tuple(
                Option(encoding_name(name), {tr("mean"): float(np.mean(one)), tr("seeds"): len(one)}, name == choice)
                for name, one in losses.items()
            ),
            tr("validation loss, the best of three rates for each seed"),
        )
