"""Networks for text: a bag of word pieces and pairs, and recurrent ones. B rows, L pieces, E width of an embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import ConfigError
from luthier.nets.recurrent import CELLS, POOLS, read_sequence
from luthier.records import JsonObject
from luthier.seeds import derive
from luthier.shapes import Codes, Features, Outputs, Targets, Tokens

READERS = ("bag", *CELLS)
READS = ("both", "words", "vectors")
SMALL = 0.01  # deviation of an embedding at the start: what training does not touch says next to nothing


@dataclass(frozen=True)
class TextSpec:
    """Numbers in, `numbers` plain ones and then V sentence `vectors` [B, numbers + V]; beside them tokens, the ids of L
    pieces and of their L - 1 pairs of neighbours (0: none) [B, 2 L - 1], and codes of K categories [B, K]. Logits out.

    It `reads` the words, the vectors or both.

    The reader `bag` adds up the embeddings of `pieces` and of known `pairs`, over the root of their number
    (Joulin and others 2017), each times how much it tells of the target where they are `weighted`; `lstm`, `gru` and
    `rnn` read the pieces in their order and give the mean of their states, or the last one. Then ReLU layers of these
    units. `dropout` acts on what was read and between the layers, `word_dropout` leaves out whole pieces in training.
    Codes are embedded beside the numbers.
    """

    numbers: int
    pieces: int
    length: int
    outputs: int
    reader: str = "bag"
    width: int = 32
    pairs: int = 0
    layers_of_units: tuple[int, ...] = ()
    pool: str = "mean"
    dropout: float = 0.0
    word_dropout: float = 0.0
    embeddings: tuple[tuple[int, int], ...] = ()
    weighted: bool = False
    vectors: int = 0
    reads: str = "both"

    def __post_init__(self) -> None:
        mistakes = []
        if self.reader not in READERS or self.pool not in POOLS:
            mistakes.append(f"reader must be one of {READERS} and pool one of {POOLS}, not {self.reader}, {self.pool}")
        if self.reads not in READS or (self.reads == "vectors" and not self.vectors):
            mistakes.append(f"reads must be one of {READS}, vectors only where there are some, not {self.reads}")
        if min(*self.sizes, 1) < 1 or min(self.numbers, self.vectors) < 0:
            mistakes.append("sizes must be positive")
        mistakes += [
            f"{name} must be at least 0 and below 1"
            for name in ("dropout", "word_dropout")
            if not 0 <= getattr(self, name) < 1
        ]
        if mistakes:
            raise ConfigError(mistakes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """What must be at least 1."""
        return self.pieces, self.length, self.outputs, self.width, *self.layers_of_units

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden layers whose dropout a member sets: none, it belongs to the spec."""
        return ()

    @property
    def layers(self) -> int:
        """Groups of weights that may have rates of their own."""
        return 1 + self.reads_words * (2 if self.reader != "bag" or self.pairs else 1)

    @property
    def reads_words(self) -> bool:
        """Whether words have a part in the output."""
        return self.reads != "vectors" and self.pieces > 0

    @property
    def vectors_read(self) -> int:
        """How many numbers of sentence vectors have a part in the output."""
        return self.vectors if self.reads != "words" else 0

    def to_json(self) -> JsonObject:
        """The spec as plain JSON values."""
        return {"kind": "text", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TextSpec:
        """The spec that `to_json` gave."""
        known = {name: item for name, item in value.items() if name != "kind"}
        known["layers_of_units"] = tuple(known["layers_of_units"])
        known["embeddings"] = tuple((int(levels), int(width)) for levels, width in known["embeddings"])
        return cls(**known)


class TextNet(nn.Module):
    """The module of a TextSpec; see there. The output's weights start at zero, the weights of words at one."""

    telling: Tensor
    takes: tuple[str, ...] = ("numbers", "tokens", "codes")

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.spec = spec
        wide = (self._add_words(spec) if spec.reads_words else 0) + self._add_others(spec)
        head: list[nn.Module] = [nn.Dropout(spec.dropout)]
        wide += spec.numbers + spec.vectors_read + sum(width for _, width in spec.embeddings)
        for units in spec.layers_of_units:
            head += [nn.Linear(wide, units), nn.ReLU(), nn.Dropout(spec.dropout)]
            wide = units
        head.append(nn.Linear(wide, spec.outputs))
        self.head = nn.Sequential(*head)
        self.tables = nn.ModuleList(nn.Embedding(levels, width) for levels, width in spec.embeddings)
        for table in self.modules():
            if isinstance(table, nn.Embedding):
                nn.init.normal_(table.weight, std=SMALL if spec.reader == "bag" else 0.1)
                if table.padding_idx is not None:
                    nn.init.zeros_(table.weight[table.padding_idx])
        for layer in self.head:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]

    def _add_words(self, spec: TextSpec) -> int:
        """What reads the words; returns how many numbers come of them."""
        self.words = nn.Embedding(spec.pieces, spec.width, padding_idx=0)
        if spec.reader != "bag":
            self.reader = CELLS[spec.reader](spec.width, 2 * spec.width, batch_first=True)
            return 2 * spec.width
        if spec.pairs:
            self.reader = nn.Embedding(spec.pairs + 1, spec.width, padding_idx=0)  # type: ignore[assignment]
        if spec.weighted:
            self.register_buffer("telling", torch.ones(spec.pieces + spec.pairs + 1))
        return spec.width

    def _add_others(self, spec: TextSpec) -> int:
        """What reads other inputs than text's; returns how many numbers come of them."""
        return 0

    def forward(self, numbers: Features, tokens: Tokens, codes: Codes) -> Outputs:
        """Logits [B, outputs] of rows; see TextSpec."""
        result: Tensor = self.head(torch.cat(self.parts(numbers, tokens, codes), 1))
        return result

    def parts(self, numbers: Features, tokens: Tokens, codes: Codes) -> list[Tensor]:
        """What comes of words, numbers, categories and vectors, side by side [B, ...]."""
        spec = self.spec
        plain, vectors = numbers[:, : spec.numbers], numbers[:, spec.numbers :]
        ids, pairs = self._pieces(tokens) if spec.pieces else (tokens, tokens)
        if self.training and spec.word_dropout and spec.pieces:
            kept = (torch.rand(ids.shape) >= spec.word_dropout).to(ids.device)
            ids, pairs = ids * kept, pairs * (kept[:, 1:] & kept[:, :-1])
        parts = [plain, *(table(codes[:, k]) for k, table in enumerate(self.tables))]
        if spec.reads_words:
            parts.insert(0, self._bag(ids, pairs) if spec.reader == "bag" else self._in_order(ids))
        if spec.vectors_read:
            parts.append(vectors)
        return parts

    def from_training_rows(
        self, numbers: Features, tokens: Tokens, codes: Codes, targets: Targets
    ) -> dict[str, Tensor]:
        """How much each word and pair tells of the targets [N], by these rows, as the buffer that weighs them.

        It is the logarithm of its share among the words of one class, over its share in all others; of several classes
        the root mean square (Wang and Manning 2012, whose ratio keeps its sign). Numbers are told from their mean on.
        """
        if not hasattr(self, "telling"):
            return {}
        ids, pairs = self._pieces(tokens)
        read = [ids, *([torch.where(pairs > 0, pairs + self.spec.pieces, 0)] if self.spec.pairs else [])]
        every = torch.cat(read, 1).sort(1).values
        once = torch.cat([torch.ones(len(tokens), 1, dtype=torch.bool), every[:, 1:] != every[:, :-1]], 1)
        several = targets.ndim > 1 and targets.shape[1] > 1  # probabilities of classes
        told = targets.argmax(1) if several else targets.reshape(-1)
        classes = (told > told.mean()).long() if told.is_floating_point() else told
        size, groups = len(self.telling), [classes == one for one in sorted(set(classes.tolist()))]
        counts = torch.stack([torch.bincount(every[group][once[group]], minlength=size) for group in groups]).double()
        inside, outside = 1.0 + counts, 1.0 + counts.sum(0) - counts
        inside[:, 0] = outside[:, 0] = 1.0  # no word
        ratios = (inside / inside.sum(1, keepdim=True)).log() - (outside / outside.sum(1, keepdim=True)).log()
        return {"telling": ratios.square().mean(0).sqrt().float() if len(counts) > 1 else torch.ones(size)}

    def _pieces(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Ids of pieces [B, L], and of pairs [B, L - 1]."""
        ids, pairs = torch.split(tokens.long(), [self.spec.length, self.spec.length - 1], 1)
        return ids, pairs

    def _bag(self, ids: Tensor, pairs: Tensor) -> Tensor:
        words, twos = self.words(ids), self.reader(pairs) if self.spec.pairs else None
        if self.spec.weighted:
            words = words * self.telling[ids].unsqueeze(2)
            twos = None if twos is None else twos * self.telling[pairs + self.spec.pieces].unsqueeze(2)
        total: Tensor = words.sum(1)
        count = (ids > 0).sum(1)
        if twos is not None:
            total, count = total + twos.sum(1), count + (pairs > 0).sum(1)
        return total / count.clamp_min(1).to(total.dtype).sqrt().unsqueeze(
            1
        )  # a longer text says more, though not in proportion

    def _in_order(self, ids: Tensor) -> Tensor:
        lengths = (ids > 0).sum(1).clamp_min(1)
        order = torch.argsort((ids == 0).long(), dim=1, stable=True)  # what was left out goes to the end
        result: Tensor = read_sequence(self.reader, self.words(ids.gather(1, order)), lengths, self.spec.pool)
        return result


def build_text(spec: TextSpec, *, seed: int) -> TextNet:
    """A fresh network; the same spec and seed give the same weights.

    >>> net = build_text(TextSpec(numbers=2, pieces=50, length=6, outputs=3), seed=0)
    >>> net(torch.zeros(4, 2), torch.zeros(4, 6 + 5, dtype=torch.int32), torch.zeros(4, 0)).shape
    torch.Size([4, 3])
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "module"))
        return TextNet(spec)
