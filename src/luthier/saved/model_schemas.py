"""What the entries of a model file hold; see `schemas`. What belongs together is compared in `consistency`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Discriminator, Field, Tag
from typing_extensions import TypedDict

from luthier.data import ENCODERS
from luthier.kinds import TaskKind
from luthier.saved.network_schemas import BackboneFacts, DenseFacts, Name, PositiveNumber, Shape, Size, SpecFacts
from luthier.schema_types import CLOSED, OPEN, Count, Number, Plain, Share, Text


def _different(names: list[Any]) -> list[Any]:
    if len(set(names)) < len(names):
        raise ValueError("Input should be a list without repetitions")
    return names


Different = Annotated[list[Text], AfterValidator(_different)]


class ManifestFacts(TypedDict):
    """The format of a model file, and the checksums of its other entries."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    format: Annotated[int, Field(ge=1, le=2**31)]
    checksums: dict[Text, Text]


class _Style(TypedDict, total=False):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    decimal: Literal[".", ","]
    thousands: Literal["", ",", ".", "'", " "]
    before: Name
    after: Name
    brackets: bool
    clock: bool
    minus_after: bool
    magnitudes: bool


class ParserFacts(TypedDict):
    """How cells are read."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    reads: Literal["number", "moment", "word"]
    style: _Style
    pattern: Name
    lenient: bool
    marks: Annotated[list[Text], Field(max_length=10_000)]


class _Column(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    name: Text
    kind: Literal["number", "boolean", "category", "date", "text", "identifier", "constant", "picture"]
    used: bool
    reason: Text
    otherwise: NotRequired[Text]


class TableColumn(_Column):
    """A column of a table, and the place of its parser."""

    parser: Count


class PictureColumn(_Column):
    """A column beside pictures."""

    parser: NotRequired[ParserFacts]


def _dense(ids: dict[str, int]) -> dict[str, int]:
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError("Input should be a vocabulary whose ids are numbered through")
    return ids


class _Pieces(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    type: Literal["BPE"]
    dropout: None
    unk_token: Literal["[UNK]"]
    continuing_subword_prefix: NotRequired[None]
    end_of_word_suffix: NotRequired[None]
    fuse_unk: Literal[False]
    byte_fallback: Literal[False]
    ignore_merges: NotRequired[Literal[False]]
    vocab: Annotated[dict[Text, Size], AfterValidator(_dense)]
    merges: list[Annotated[list[Text], Field(min_length=2, max_length=2)] | Text]


def _of_known_pieces(model: Any) -> Any:
    """The library panics where a merge gives no piece of the vocabulary."""
    for merge in model["merges"]:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if len(parts) != 2 or not {*parts, "".join(parts)} <= model["vocab"].keys():
            raise ValueError("Input should be a model whose merges are pairs of its pieces")
    return model


_NORMALIZER = {"type": "Sequence", "normalizers": [{"type": kind} for kind in ("NFD", "Lowercase", "StripAccents")]}


def _ours(value: Any) -> Any:
    if value != _NORMALIZER:
        raise ValueError("Input should be the normalizer that Luthier writes")
    return value


class _Whitespace(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    type: Literal["Whitespace"]


class _Added(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    id: Literal[0, 1]
    content: Literal["[PAD]", "[UNK]"]
    single_word: Literal[False]
    lstrip: Literal[False]
    rstrip: Literal[False]
    normalized: Literal[False]
    special: Literal[True]


class TokenizerFacts(TypedDict):
    """The tokenizer's own JSON, of a kind that Luthier writes: others may run slow patterns over a text."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    version: Literal["1.0"]
    truncation: None
    padding: None
    added_tokens: Annotated[list[_Added], Field(max_length=2)]
    normalizer: Annotated[dict[str, Plain], AfterValidator(_ours)]
    pre_tokenizer: _Whitespace
    post_processor: None
    decoder: None
    model: Annotated[_Pieces, AfterValidator(_of_known_pieces)]


class _BertNormalizer(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    type: Literal["BertNormalizer"]
    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool | None
    lowercase: bool


class _BertPreTokenizer(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    type: Literal["BertPreTokenizer"]


def _with_unknown(ids: dict[str, int]) -> dict[str, int]:
    if "[UNK]" not in ids:
        raise ValueError("Input should be a vocabulary with [UNK]")
    return _dense(ids)


class _WordPieces(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    type: Literal["WordPiece"]
    unk_token: Literal["[UNK]"]
    continuing_subword_prefix: Name
    max_input_chars_per_word: Annotated[int, Field(ge=1, le=1000)]
    vocab: Annotated[dict[Text, Size], AfterValidator(_with_unknown)]


class WordPieceFacts(TypedDict):
    """The same of a sentence transformer's word pieces."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    version: Literal["1.0"]
    truncation: None
    padding: None
    added_tokens: Annotated[list[_Added], Field(max_length=0)]
    normalizer: _BertNormalizer
    pre_tokenizer: _BertPreTokenizer
    post_processor: None
    decoder: None
    model: _WordPieces


def _tokenizer_kind(value: Any) -> str:
    model = value.get("model") if isinstance(value, dict) else None
    return "WordPiece" if isinstance(model, dict) and model.get("type") == "WordPiece" else "BPE"


AnyTokenizer: Any = Annotated[
    Annotated[TokenizerFacts, Tag("BPE")] | Annotated[WordPieceFacts, Tag("WordPiece")], Discriminator(_tokenizer_kind)
]


class WordsFacts(TypedDict):
    """How text becomes ids."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    length: Annotated[int, Field(ge=1, le=4096)]
    pieces: Annotated[int, Field(ge=2, le=10_000_000)]
    pairs: list[Annotated[int, Field(ge=0, le=10**14)]]
    names: Annotated[Different, Field(min_length=1)]
    tokenizer: AnyTokenizer


class VectorsFacts(TypedDict):
    """Which vectors texts have: what gives them, by name and SHA-256, and how many numbers a column has."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    names: Annotated[Different, Field(min_length=1)]
    source: Text
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, Field(ge=1, le=65_536)]


def _parsers_there(encoder: Any) -> Any:
    if any(column["parser"] >= len(encoder["parsers"]) for column in encoder["columns"]):
        raise ValueError("Input should be an encoder with a parser for each column")
    return encoder


def _known_kind(kind: str) -> str:
    if kind not in ENCODERS:
        raise ValueError(f"Input should be one of {', '.join(ENCODERS)}")
    return kind


class TableEncoderFacts(TypedDict):
    """How a table's rows become numbers and codes; of which kind the encoder is, where it is another than a table's."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: NotRequired[Annotated[str, AfterValidator(_known_kind)]]
    columns: list[TableColumn]
    parsers: list[ParserFacts]
    vocabularies: dict[Text, Different]
    truths: dict[Text, Annotated[list[Text], Field(min_length=2, max_length=2)]]
    texts: Annotated[list[WordsFacts], Field(max_length=1)]
    vectors: NotRequired[Annotated[list[VectorsFacts], Field(max_length=1)]]


class PictureEncoderFacts(TypedDict):
    """How pictures are brought to one shape."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["pictures"]
    columns: list[PictureColumn]
    shape: Shape


class MixedEncoderFacts(TypedDict):
    """How a table with a column of pictures is encoded."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["mixed rows"]
    table: Annotated[TableEncoderFacts, AfterValidator(_parsers_there)]
    picture: PictureColumn
    shape: Shape


class FrozenEncoderFacts(TypedDict):
    """How a table with pictures that a frozen backbone has seen is encoded."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: Literal["frozen pictures"]
    table: Annotated[TableEncoderFacts, AfterValidator(_parsers_there)]
    picture: PictureColumn
    shape: Shape
    backbone: BackboneFacts


def _encoder_kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else None
    return kind if kind in ("pictures", "mixed rows", "frozen pictures") else "table"


EncoderFacts: Any = Annotated[
    Annotated[PictureEncoderFacts, Tag("pictures")]
    | Annotated[MixedEncoderFacts, Tag("mixed rows")]
    | Annotated[FrozenEncoderFacts, Tag("frozen pictures")]
    | Annotated[TableEncoderFacts, AfterValidator(_parsers_there), Tag("table")],
    Discriminator(_encoder_kind),
]


class ModelTask(TypedDict):
    """What is predicted."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    kind: TaskKind
    target: Text
    classes: Different
    log_scale: bool
    reason: Text
    label_kind: Literal["text", "integer", "float", "boolean"]
    positive: NotRequired[Text]
    parser: NotRequired[ParserFacts | None]
    separator: NotRequired[Literal["", ";", "|", ","]]


class PreprocessFacts(TypedDict):
    """How numbers become features."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    method: Literal["standardise", "robust", "quantile", "piecewise", "periodic", "common"]
    columns: Size
    flagged: Size
    knots: Annotated[int, Field(ge=0, le=1024)]
    words: NotRequired[Size]
    vectors: NotRequired[Size]
    exact: NotRequired[bool]


class PixelFacts(TypedDict):
    """Pictures go on as they are."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    method: Literal["pixels"]


class _Licence(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    of: Text
    name: Text
    written: Text


class RowIntervalFacts(TypedDict):
    """The network that says how wide a row's interval is."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    spec: DenseFacts
    scale: PositiveNumber
    correction: Number


class RowQuantileFacts(TypedDict):
    """The quantiles of a row's value: of all rows alike, and of each by a network where there is one."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    levels: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1, max_length=99)]
    offsets: Annotated[list[Number], Field(min_length=1, max_length=99)]
    scale: PositiveNumber
    spec: NotRequired[DenseFacts]


class _Decision(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]
    matrix: Annotated[list[list[Number]], Field(min_length=2, max_length=1000)]
    offset: list[Number]


class ModelFacts(TypedDict):
    """The model: its task, its networks' specs, and what their answers go through."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    task: ModelTask
    preprocess: PreprocessFacts | PixelFacts
    specs: Annotated[list[SpecFacts], Field(min_length=1, max_length=10_000)]
    weights: list[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]]
    temperature: PositiveNumber
    target_mean: Number
    target_std: PositiveNumber
    smear: PositiveNumber
    half_width: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    lowest: Number
    highest: Number
    threshold: NotRequired[Annotated[float, Field(ge=0, le=1.001, allow_inf_nan=False)]]
    set_threshold: NotRequired[Number]
    decision: NotRequired[_Decision]
    label_thresholds: NotRequired[Annotated[list[Share], Field(min_length=2, max_length=1000)]]
    answer: NotRequired[Name]
    dispersion: NotRequired[Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]]
    residuals: NotRequired[Annotated[list[Number], Field(min_length=1, max_length=1000)]]
    residual_places: NotRequired[Annotated[list[Number], Field(min_length=2, max_length=20)]]
    licences: NotRequired[list[_Licence]]
    familiar_within: NotRequired[Number]
    row_intervals: NotRequired[RowIntervalFacts]
    row_quantiles: NotRequired[RowQuantileFacts]


class ProfileFacts(TypedDict):
    """What training rows looked like."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    rows: Annotated[int, Field(ge=1, le=2**53)]
    numbers: dict[Text, list[Number]]
    missing: dict[Text, Share]
    codes: dict[Text, list[Annotated[int | float, Field(ge=0, le=2**53)]]]  # sums of weights, where rows have some


class NoProfile(TypedDict):
    """Models of bare networks have none."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
