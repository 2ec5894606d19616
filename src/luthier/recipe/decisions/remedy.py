"""Steps 3 and 4: whether a remedy stays, by its gain over the setting that stands; and where no remedy was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording
from luthier.statistics.paired import Gain


def remedy_name(rung: str) -> str:
    """What a rung tries, as a heading."""
    return {
        "rate": tr("learning rate"),
        "Adam": tr("Adam"),
        "decay": tr("learning-rate decay"),
        "restarts": tr("warm restarts"),
        "units": tr("hidden units"),
        "batch size": tr("batch size"),
        "layers": tr("hidden layers"),
        "order": tr("LSTM over the words"),
        "together": tr("small gains together"),
        "dropout, last layer": tr("dropout, last layer"),
        "dropout, all layers": tr("dropout, all layers"),
        "L2": tr("weight decay"),
        "input normalisation": tr("input encoding"),
        "batch norm": tr("batch or layer normalisation"),
        "augmentation": tr("augmentation"),
        "augmentations together": tr("augmentations together"),
        "mix-up": tr("mix-up"),
        "clipping": tr("gradient clipping"),
        "architecture": tr("architecture"),
        "categories": tr("how categories enter"),
        "words alike": tr("equal weights of words"),
        "dropout of words": tr("word dropout"),
        "sentence vectors": tr("sentence vectors"),
        "warm start": tr("warm start"),
    }.get(rung, rung)


@dataclass(frozen=True)
class Variant:
    """One variant of a remedy: its mean validation and training loss, and its gain where something stood before."""

    label: str
    loss: float
    training: float | None
    spread: float | None = None  # of the validation loss, over seeds
    gain: Gain | None = None


@dataclass(frozen=True)
class StandingLosses:
    """The losses of the setting that stands."""

    loss: float
    training: float | None


@dataclass(frozen=True)
class RemedyEvidence(Evidence[int | None]):
    """The variants of a rung beside the setting that stood before it, where there was one."""

    code: ClassVar[str] = "remedy"
    about: ClassVar[str] = "rung"
    rung: str
    variants: tuple[Variant, ...]
    before: StandingLosses | None = None

    @property
    def best(self) -> int:
        """The place of the variant with the lowest loss."""
        return min(range(len(self.variants)), key=lambda place: self.variants[place].loss)

    def decide(self) -> int | None:
        """The best variant's place where its gain clears the interval, or where nothing stood before; else None.

        >>> gains = [Gain(0.1, 0.2, 9, False), Gain(0.3, 0.2, 9, True)]
        >>> tried = [(Variant("l", 0.4, 0.3, gain=gain),) for gain in gains]
        >>> [RemedyEvidence("L2", variants, StandingLosses(0.5, 0.3)).decide() for variants in tried]
        [None, 0]
        """
        gain = self.variants[self.best].gain
        return self.best if self.before is None or (gain is not None and gain.lowers) else None

    def render(self, choice: int | None) -> Wording:
        """The variant that stays, or what the best one gains."""
        best = self.variants[self.best]
        options = [
            Option(
                one.label,
                {
                    tr("loss"): one.loss,
                    tr("spread over seeds"): one.spread,
                    tr("training loss"): one.training,
                    tr("gain"): None if one.gain is None else one.gain.size,
                },
                place == choice,
            )
            for place, one in enumerate(self.variants)
        ]
        if self.before is not None:
            measured = {tr("loss"): self.before.loss, tr("training loss"): self.before.training}
            options.insert(0, Option(tr("not adopted"), measured, choice is None))
        if choice is not None:
            chosen = self.variants[choice].label
            gain = self.variants[choice].gain
            reason = tr("it has the lowest validation loss") if gain is None else tr("gain {gain}", gain=gain.in_words)
        else:
            chosen = tr("not adopted")
            words = "" if best.gain is None else best.gain.in_words
            reason = tr("best variant: {name}, gain {gain}", name=best.label, gain=words)
        measured_as = tr("validation loss; gains are paired over seeds and rows, with 95 % half widths")
        return Wording(remedy_name(self.rung), chosen, reason, tuple(options), measured_as)


@dataclass(frozen=True)
class NoRemedyEvidence(Evidence[None]):
    """The time ran out before any remedy of step 4 could be tried."""

    code: ClassVar[str] = "no-remedy"

    def decide(self) -> None:
        """Nothing."""

    def render(self, choice: None) -> Wording:
        """That nothing was tried."""
        return Wording(tr("remedies"), tr("none"), tr("the time ran out before any remedy could be tried"))
