"""What a model file holds of its networks, and the types that its schemas share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypedDict

from luthier.schema_types import CLOSED, Number, Share, Text

Size = Annotated[int, Field(ge=0, le=100_000_000)]
Positive = Annotated[int, Field(ge=1, le=100_000_000)]
Few = Annotated[int, Field(ge=0, le=64)]
Side = Annotated[int, Field(ge=1, le=4096)]
Name = Annotated[str, Field(max_length=100)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Shape = Annotated[list[Side], Field(min_length=3, max_length=3)]
Embeddings = Annotated[list[Annotated[list[Positive], Field(min_length=2, max_length=2)]], Field(max_length=100_000)]


class NumberEmbeddingFacts(TypedDict):
    """Learned functions of numbers."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    columns: Positive
    frequencies: Positive
    width: Positive
    deviation: PositiveNumber


class PiecewiseEmbeddingFacts(TypedDict):
    """Functions of numbers that are linear between edges."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    edges: Annotated[list[Annotated[list[Number], Field(min_length=2, max_length=1025)]], Field(min_length=1)]
    width: Positive


class TargetEncodingFacts(TypedDict):
    """Means of the target by level."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    columns: Annotated[list[Size], Field(min_length=1, max_length=100_000)]
    levels: Annotated[list[Positive], Field(min_length=1, max_length=100_000)]
    width: Positive
    smoothing: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DenseFacts(TypedDict):
    """A dense network."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    inputs: Size
    hidden: Annotated[list[Positive], Field(max_length=1000)]
    outputs: Positive
    activation: Name | list[Name]
    batch_norm: bool
    layer_norm: NotRequired[bool]
    residual: NotRequired[bool]
    embeddings: Embeddings
    initialiser: Name
    deviation: NotRequired[Number]
    neurons: NotRequired[list[tuple[Size, Size, Name]]]
    number_embedding: NotRequired[NumberEmbeddingFacts | PiecewiseEmbeddingFacts]
    input_scale: NotRequired[bool]
    constant_outputs: NotRequired[list[Size]]
    parametric: NotRequired[bool]
    target_encoding: NotRequired[TargetEncodingFacts]
    biases_from_data: NotRequired[bool]
    ensemble: NotRequired[Annotated[int, Field(ge=0, le=256)]]


class ConvFacts(TypedDict):
    """A convolutional network."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["conv"]
    inputs: Shape
    channels: Annotated[list[Positive], Field(min_length=1, max_length=16)]
    outputs: Positive
    convolutions: Few
    residual: bool
    batch_norm: bool
    dropout: Share
    units: Size
    augment: list[tuple[Name, Number]]
    mean: list[Number]
    std: list[PositiveNumber]


class TextFacts(TypedDict):
    """A network for text."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["text"]
    numbers: Size
    pieces: Positive
    length: Positive
    outputs: Positive
    reader: Name
    width: Positive
    pairs: Size
    layers_of_units: Annotated[list[Positive], Field(max_length=100)]
    pool: Name
    dropout: Share
    word_dropout: Share
    embeddings: Embeddings
    weighted: NotRequired[bool]
    vectors: NotRequired[Size]
    reads: NotRequired[Literal["both", "words", "vectors"]]


class MixedFacts(TextFacts):
    """A network for mixed rows: without text it has no pieces."""

    kind: Literal["mixed"]  # type: ignore[misc]
    pieces: Size
    length: Size
    picture: ConvFacts


class BackboneFacts(TypedDict):
    """A network that has learnt elsewhere."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["backbone"]
    backbone: Text
    inputs: Shape
    outputs: Positive
    side: Annotated[int, Field(ge=0, le=4096)]
    cut: Text
    width: Size


class TransformerSizes(TypedDict):
    """How large a sentence transformer is."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    tokens: Positive
    width: Annotated[int, Field(ge=1, le=65_536)]
    layers: Annotated[int, Field(ge=1, le=64)]
    heads: Annotated[int, Field(ge=1, le=1024)]
    inner: Annotated[int, Field(ge=1, le=1_000_000)]
    positions: Positive
    kinds: Annotated[int, Field(ge=1, le=1024)]
    epsilon: PositiveNumber
    offset: NotRequired[Size]


class TextBackboneFacts(TypedDict):
    """A sentence transformer that has learnt from the rows too."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["text backbone"]
    backbone: Text
    sizes: TransformerSizes
    pooling: Literal["mean", "cls"]
    marks: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    length: Annotated[int, Field(ge=1, le=4096)]
    outputs: Positive
    cut: Text
    width: Size


def _spec_kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else None
    return kind if kind in ("conv", "text", "mixed", "backbone", "text backbone") else "dense"


SpecFacts: Any = Annotated[
    Annotated[DenseFacts, Tag("dense")]
    | Annotated[ConvFacts, Tag("conv")]
    | Annotated[TextFacts, Tag("text")]
    | Annotated[MixedFacts, Tag("mixed")]
    | Annotated[BackboneFacts, Tag("backbone")]
    | Annotated[TextBackboneFacts, Tag("text backbone")],
    Discriminator(_spec_kind),
]
