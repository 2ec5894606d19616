"""Step 2: the first architecture, of a table, of pictures, of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.citations import cited_in_words
from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording

NARROWEST, WIDEST = 32, 128  # the range in which a stack of members is cheap and a table is learnt
FIRST_CHANNELS = 16
LEAST_SIDE = 2  # pixels of a side after the last stage, where pictures are large enough
MOST_STAGES = 5


def midpoint_width(inputs: int, outputs: int) -> int:
    """Halfway between the numbers of inputs and outputs.

    >>> midpoint_width(784, 10)
    397
    """
    return (inputs + outputs) // 2


def sample_width(samples: int, inputs: int, outputs: int, alpha: float) -> float:
    """As many units as the training rows can determine: Ns / (alpha (Ni + No)), alpha from 2 to 10.

    >>> round(sample_width(50_000, 784, 10, 2), 1), round(sample_width(50_000, 784, 10, 10), 1)
    (31.5, 6.3)
    """
    return samples / (alpha * (inputs + outputs))


def first_width(samples: int, inputs: int, outputs: int) -> int:
    """The larger of both heuristics, within the range in which a stack is cheap.

    >>> first_width(1078, 64, 10), first_width(32_000, 26, 1)
    (37, 128)
    """
    wanted = max(midpoint_width(inputs, outputs), round(sample_width(samples, inputs, outputs, 2)))
    return max(NARROWEST, min(WIDEST, wanted))


def stages_for(height: int, width: int) -> int:
    """How often sides are halved: until two or three pixels are left, at least once.

    >>> stages_for(28, 28), stages_for(64, 64), stages_for(8, 8)
    (3, 5, 2)
    """
    count, side = 0, min(height, width)
    while count < MOST_STAGES and side // 2 >= LEAST_SIDE:
        side //= 2
        count += 1
    return max(1, count)


def channels_for(height: int, width: int) -> tuple[int, ...]:
    """Filters of each stage: sixteen, doubled where sides are halved, so that each stage costs about the same."""
    return tuple(FIRST_CHANNELS << stage for stage in range(stages_for(height, width)))


@dataclass(frozen=True)
class WidthEvidence(Evidence[int]):
    """Inputs (widths of embeddings included), outputs, and training rows."""

    code: ClassVar[str] = "first-width"
    inputs: int
    outputs: int
    rows: int

    def decide(self) -> int:
        """Hidden units."""
        return first_width(self.rows, self.inputs, self.outputs)

    def render(self, choice: int) -> Wording:
        """The network beside what both heuristics say."""
        sizes = self.rows, self.inputs, self.outputs
        return Wording(
            tr("first architecture"),
            tr("one hidden layer of {units} ReLU units, He initialisation", units=choice),
            tr(
                "step 3 must fit the training set and step 4 can shrink the network, so the wider heuristic is used, "
                "between {least} and {most} units",
                least=NARROWEST,
                most=WIDEST,
            ),
            (
                _heuristic(tr("midpoint of inputs and outputs"), midpoint_width(*sizes[1:]), "S4-05"),
                _heuristic(tr("rows over 2 (inputs + outputs)"), round(sample_width(*sizes, 2), 1), "S4-06"),
                _heuristic(tr("rows over 10 (inputs + outputs)"), round(sample_width(*sizes, 10), 1), "S4-06"),
            ),
        )


def _heuristic(name: str, units: float, source: str) -> Option:
    return Option(name, {tr("units"): units, tr("source"): cited_in_words(source)})


@dataclass(frozen=True)
class ConvnetEvidence(Evidence[tuple[int, ...]]):
    """The sides of the pictures, in pixels."""

    code: ClassVar[str] = "first-convnet"
    height: int
    width: int

    def decide(self) -> tuple[int, ...]:
        """Filters of each stage."""
        return channels_for(self.height, self.width)

    def render(self, choice: tuple[int, ...]) -> Wording:
        """The stages."""
        return Wording(
            tr("first architecture"),
            tr("stages of one convolution, {filters} filters", filters=" - ".join(map(str, choice))),
            tr(
                "a small convolutional network with batch norm is enough to start with: its stages halve the sides "
                "down to two or three pixels; step 3 may make it wider or deeper"
            ),
        )


@dataclass(frozen=True)
class MixedNetworkEvidence(ConvnetEvidence):
    """The sides of the pictures, in pixels, and what is beside them: numbers, pieces of words, numbers of sentence
    vectors; the units in front of the output."""

    code: ClassVar[str] = "first-mixed-network"
    numbers: int
    pieces: int
    vectors: int
    units: int

    def render(self, choice: tuple[int, ...]) -> Wording:
        """The parts."""
        network = tr("a ConvNet of {filters} filters for the picture", filters=" - ".join(map(str, choice)))
        if self.pieces:
            network += tr("; a bag of words and pairs for the text")
        if self.vectors:
            network += tr("; beside it {count} numbers of pretrained sentence vectors", count=self.vectors)
        network += tr("; with all other columns in front of {units} units", units=self.units)
        return Wording(
            tr("first architecture"),
            network,
            tr("each part becomes a few numbers, so that one layer can weigh them together; step 3 varies it"),
        )


@dataclass(frozen=True)
class TextNetworkEvidence(Evidence[str]):
    """The width of the embeddings of words and pairs, and how many numbers of sentence vectors are beside them."""

    code: ClassVar[str] = "first-text-network"
    width: int
    vectors: int = 0

    def decide(self) -> str:
        """What reads the words."""
        return "bag"

    def render(self, choice: str) -> Wording:
        """The network."""
        network = tr(
            "a bag of words and pairs, {width}-dimensional embeddings, weighted by log-ratios", width=self.width
        )
        if self.vectors:
            network += tr("; beside it {count} numbers of pretrained sentence vectors", count=self.vectors)
        return Wording(
            tr("first architecture"),
            network,
            tr(
                "a weighted sum of word and word-pair embeddings is hard to beat on texts of a few sentences (Wang and "
                "Manning 2012); step 3 tries hidden units and an LSTM, step 4 equal weights"
            ),
        )
