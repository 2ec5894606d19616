"""Steps 2 to 4 with a pretrained network: which one, where it ends, whose averages it has, what of it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording
from luthier.statistics.paired import Gain


@dataclass(frozen=True)
class BackboneEvidence(Evidence[str]):
    """The backbone that was asked for, the side of its pictures in pixels and the file of its weights; of text how many
    tokens it reads."""

    code: ClassVar[str] = "backbone"
    name: str
    side: int = 0
    weights: str = ""
    tokens: int = 0

    def decide(self) -> str:
        """The backbone."""
        return self.name

    def render(self, choice: str) -> Wording:
        """The backbone, its pictures or texts, and its weights."""
        weights = tr("weights from '{file}'", file=self.weights) if self.weights else tr("its own weights")
        reason = tr("it was requested, with {weights}; its last layer is replaced", weights=weights)
        if self.tokens:
            return Wording(tr("backbone"), tr("{name}, {tokens} tokens", name=choice, tokens=self.tokens), reason)
        return Wording(tr("backbone"), tr("{name}, {side} pixels", name=choice, side=self.side), reason)


@dataclass(frozen=True)
class CutHead:
    """A head on the output of a block, and its gain over one on the whole backbone."""

    block: str
    loss: float
    score: float
    gain: Gain | None = None

    def option(self, name: str, taken: bool) -> Option:
        """What was measured."""
        gain = None if self.gain is None else self.gain.size
        return Option(name, {tr("loss"): self.loss, tr("score"): self.score, tr("gain"): gain}, taken)


@dataclass(frozen=True)
class EndEvidence(Evidence[str]):
    """Heads on earlier blocks."""

    code: ClassVar[str] = "backbone-end"
    heads: tuple[CutHead, ...]

    def decide(self) -> str:
        """The block with the lowest loss where that clearly gains; else empty, the last layer."""
        best = min(self.heads, key=lambda head: head.loss, default=None)
        return best.block if best is not None and best.gain is not None and best.gain.lowers else ""

    def render(self, choice: str) -> Wording:
        """The last block that is used."""
        last = tr("the last layer")
        reason = tr(
            "a head is trained on the output of each block, and an earlier block is used if it gains more than "
            "the noise"
        )
        heads = tuple(head.option(head.block, head.block == choice) for head in self.heads)
        options = (Option(last, {}, not choice), *heads)
        return Wording(tr("last block of the backbone"), choice or last, reason, options)


@dataclass(frozen=True)
class AveragesEvidence(Evidence[bool]):
    """What the moving averages of the new pictures gain over the backbone's own."""

    code: ClassVar[str] = "backbone-averages"
    gain: Gain

    def decide(self) -> bool:
        """Whether the batch norms get new averages."""
        return self.gain.lowers

    def render(self, choice: bool) -> Wording:
        """Whose averages, and the gain."""
        chosen = tr("moving averages of the new pictures") if choice else tr("the backbone's own moving averages")
        reason = tr("gain of new averages: {gain}", gain=self.gain.in_words)
        return Wording(tr("batch norm of the backbone"), chosen, reason)


@dataclass(frozen=True)
class Depth:
    """How many blocks are unfrozen, with the gain over the best before; `whole` where nothing was cut off."""

    unfrozen: int
    loss: float
    score: float
    gain: Gain | None = None
    whole: bool = False


@dataclass(frozen=True)
class UnfrozenEvidence(Evidence[int]):
    """Depths in the order in which they were tried, what rules of thumb say, and whether heads alone fit the time."""

    code: ClassVar[str] = "unfrozen-blocks"
    depths: tuple[Depth, ...]
    advice: str
    heads_alone: bool = False

    def decide(self) -> int:
        """The deepest that clearly gained over what stood before it."""
        chosen = self.depths[0]
        for depth in self.depths[1:]:
            chosen = depth if depth.gain is not None and depth.gain.lowers else chosen
        return chosen.unfrozen

    def render(self, choice: int) -> Wording:
        """How many, and how it was found."""
        reasons = [
            tr(
                "blocks are unfrozen from the last one back, each at the rate of its own range test, as long as the "
                "gain is more than the noise"
            )
        ]
        if self.heads_alone:
            reasons.append(tr("the time allows heads alone"))
        options = tuple(
            CutHead("", one.loss, one.score, one.gain).option(self._name(one), one.unfrozen == choice)
            for one in self.depths
        )
        return Wording(tr("unfrozen blocks"), str(choice), "; ".join([*reasons, self.advice]), options)

    @property
    def nothing_tried(self) -> bool:
        """Whether heads alone were trained."""
        return self.heads_alone or len(self.depths) < 2

    @property
    def in_short(self) -> str:
        """The depth that is used, or the best of those that are not, beside heads alone."""
        if self.nothing_tried:
            return tr("the time allows heads alone")
        heads, *deeper = self.depths
        used = [one for one in deeper if one.unfrozen == self.decide()]
        best = min(used or deeper, key=lambda one: one.loss)
        template = "{depth}: loss {loss:.4f}, {heads:.4f} by heads alone"
        return tr(template, depth=self._name(best), loss=best.loss, heads=heads.loss)

    @staticmethod
    def _name(depth: Depth) -> str:
        if depth.whole:
            return tr("{count} unfrozen of the whole", count=depth.unfrozen)
        return tr("{count} unfrozen", count=depth.unfrozen)
