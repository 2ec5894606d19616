"""Networks for text: packing, pooling, pairs; a long memory where an LSTM wins; gradients by finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from luthier.diagnosis import check_gradients
from luthier.engine import Member, Settings, train
from luthier.errors import ConfigError
from luthier.nets import TextSpec, build, spec_from_json
from luthier.nets.text import TextNet
from luthier.rows import Inputs, Rows, arguments

BAG = TextSpec(numbers=1, pieces=20, length=6, outputs=2, width=4, pairs=9, embeddings=((3, 2),), layers_of_units=(5,))
LSTM = TextSpec(numbers=0, pieces=20, length=6, outputs=2, reader="lstm", width=4)


def rows(spec: TextSpec, count: int = 30, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)

    def whole(high: int, columns: int) -> torch.Tensor:
        return torch.randint(0, high, (count, columns), generator=generator)

    pairs = whole(spec.pairs + 1, spec.length - 1)
    codes = torch.cat([whole(levels, 1) for levels, _ in spec.embeddings] or [whole(1, 0)], 1)
    numbers = torch.randn(count, spec.numbers, generator=generator)
    tokens = torch.cat([whole(spec.pieces, spec.length), pairs], 1).int()
    inputs = Inputs(numbers=numbers, codes=codes, tokens=tokens)
    return Rows(inputs, torch.randint(0, 2, (count,), generator=generator))


def read(net: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """A network's outputs for tokens alone."""
    inputs = Inputs(numbers=torch.zeros(len(tokens), 0, dtype=torch.float64), tokens=tokens)
    return net(*arguments(net, inputs))  # type: ignore[no-any-return]


@pytest.mark.parametrize("spec", [BAG, replace(BAG, weighted=True), LSTM], ids=["bag", "weighted", "lstm"])
def test_gradients_agree_with_finite_differences(spec: TextSpec) -> None:
    result = check_gradients(spec, rows(spec), "softmax", seed=0)
    assert result["passed"], result


@pytest.mark.parametrize("spec", [BAG, replace(BAG, weighted=True), LSTM], ids=["bag", "weighted", "lstm"])
def test_a_spec_comes_back(spec: TextSpec) -> None:
    assert spec_from_json(spec.to_json()) == spec


@pytest.mark.parametrize("pool", ["mean", "last"])
def test_what_is_not_there_is_not_read(pool: str) -> None:
    """A row reads the same however far it is filled up, by the packing; the last state is that of the last word."""
    spec = TextSpec(numbers=0, pieces=20, length=8, outputs=3, reader="lstm", width=4, pool=pool)
    net = build(spec, seed=0).double().eval()
    torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
    ids = torch.tensor([[3, 7, 5, 0, 0, 0, 0, 0]])
    short = read(net, torch.cat([ids, torch.zeros(1, 7, dtype=torch.int64)], 1))
    states, (last, _) = net.reader(net.words(ids[:, :3]))
    wanted = last[-1] if pool == "last" else states.mean(1)
    torch.testing.assert_close(short, net.head[-1](wanted), rtol=1e-12, atol=1e-12)


def test_a_bag_adds_up_words_and_pairs() -> None:
    spec = TextSpec(numbers=0, pieces=20, length=4, outputs=3, width=4, pairs=5)
    net = build(spec, seed=0).double().eval()
    torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
    row = torch.tensor([[3, 7, 0, 0, 2, 0, 0]], dtype=torch.int32)
    total = net.words.weight[3] + net.words.weight[7] + net.reader.weight[2]
    torch.testing.assert_close(read(net, row)[0], net.head[-1](total / 3**0.5), rtol=1e-12, atol=1e-12)


WEIGHTED = replace(BAG, weighted=True)


@pytest.mark.parametrize("targets", ["two", "three", "numbers"])
def test_words_count_by_how_much_they_tell(targets: str) -> None:
    """The root mean square over classes of log-ratios, counted by hand; the same in one population as alone."""
    part = rows(WEIGHTED)
    draw = torch.Generator().manual_seed(1)
    y = torch.randn(30, generator=draw) if targets == "numbers" else torch.arange(30) % (2 if targets == "two" else 3)
    net = build(WEIGHTED, seed=0)
    assert isinstance(net, TextNet)
    result = net.from_training_rows(*arguments(net, part.inputs), y)["telling"]
    classes = [int(value > y.mean()) if targets == "numbers" else int(value) for value in y]
    message = [{*row[:6]} | {20 + two for two in row[6:11] if two} for row in part.inputs.tokens.tolist()]
    counts = {
        one: [sum(c == one and word in words for c, words in zip(classes, message, strict=True)) for word in range(30)]
        for one in sorted(set(classes))
    }

    def share(of: set[int], word: int) -> float:
        smoothed = [1 + (sum(counts[one][k] for one in of) if k else 0) for k in range(30)]
        return smoothed[word] / sum(smoothed)

    everyone = set(counts)
    for word in (1, 7, 19, 21, 28):
        ratios = [math.log(share({one}, word) / share(everyone - {one}, word)) for one in everyone]
        assert float(result[word]) == pytest.approx(math.sqrt(sum(r * r for r in ratios) / len(ratios)), rel=1e-5)
    member = [Member(WEIGHTED, seed, 1e-2) for seed in range(2)]
    task = Settings("mse" if targets == "numbers" else "softmax", "adam", 10, steps=4, evaluate_every=2)
    spec = replace(WEIGHTED, outputs={"two": 2, "three": 3, "numbers": 1}[targets])
    member = [replace(one, spec=spec) for one in member]
    outcome = train(member, replace(part, targets=y), None, task)
    for place in range(2):
        torch.testing.assert_close(outcome.state_dict(place)["telling"], result)


def test_a_bag_weighs_what_it_adds_up() -> None:
    spec = TextSpec(numbers=0, pieces=20, length=4, outputs=3, width=4, pairs=5, weighted=True)
    net = build(spec, seed=0).double().eval()
    torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
    net.telling.copy_(torch.arange(26))
    row = torch.tensor([[3, 7, 0, 0, 2, 0, 0]], dtype=torch.int32)
    total = 3 * net.words.weight[3] + 7 * net.words.weight[7] + 22 * net.reader.weight[2]
    torch.testing.assert_close(read(net, row)[0], net.head[-1](total / 3**0.5), rtol=1e-12, atol=1e-12)


def test_words_are_weighed_without_their_pairs() -> None:
    """By log-ratios of two classes: word 1 is in all rows of the first and none of the second, word 2 in all."""
    spec = TextSpec(numbers=0, pieces=4, length=2, outputs=1, width=4, weighted=True)
    net = build(spec, seed=0)
    assert isinstance(net, TextNet)
    rows = Inputs(tokens=torch.tensor([[1, 2, 3], [1, 2, 3], [2, 0, 0], [2, 0, 0]]))
    result = net.from_training_rows(*arguments(net, rows), torch.tensor([0, 0, 1, 1]))["telling"]
    assert result.shape == net.telling.shape
    first, second = (
        1 + 3 + 3 + 1 + 1,
        1 + 1 + 3 + 1 + 1,
    )  # smoothed words of each class, no word and one more among them
    for word, (inside, outside) in {1: (3, 1), 2: (3, 3)}.items():
        assert float(result[word]) == pytest.approx(
            abs(math.log(inside / first) - math.log(outside / second)), rel=1e-5
        )


def test_it_reads_words_vectors_or_both() -> None:
    both = TextSpec(numbers=1, pieces=20, length=4, outputs=3, width=4, pairs=5, vectors=2, embeddings=((3, 2),))
    numbers = torch.tensor([[0.5, 0.6, 0.8]]).double()
    tokens, codes = torch.tensor([[3, 7, 0, 0, 2, 0, 0]]), torch.tensor([[1]])
    for reads, moved, muted in (("both", True, True), ("words", False, True), ("vectors", True, False)):
        spec = replace(both, reads=reads)
        net = build(spec, seed=0).double().eval()
        torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
        words = [(net.words.weight[[3, 7]].sum(0) + net.reader.weight[2]) / 3**0.5] if spec.reads_words else []
        parts = [*words, numbers[0, :1], net.tables[0].weight[1], *([numbers[0, 1:3]] if spec.vectors_read else [])]
        told = net(numbers, tokens, codes)
        torch.testing.assert_close(told[0], net.head[-1](torch.cat(parts)), rtol=1e-12, atol=1e-12)
        assert (not net(numbers * torch.tensor([1, -1, -1]), tokens, codes).equal(told)) is moved
        assert (not net(numbers, torch.zeros_like(tokens), codes).equal(told)) is muted
        assert spec.layers == {"both": 3, "words": 3, "vectors": 1}[reads]
    for wrong in ({"reads": "neither"}, {"reads": "vectors", "vectors": 0}, {"vectors": -1}):
        with pytest.raises(ConfigError):
            replace(both, **wrong)


def test_words_are_left_out_in_training_alone() -> None:
    spec = TextSpec(numbers=0, pieces=50, length=20, outputs=2, width=8, word_dropout=0.5)
    part = rows(spec)
    net = build(spec, seed=0)
    torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
    given = arguments(net, part.inputs)
    assert net.eval()(*given).equal(net(*given))
    torch.manual_seed(0)
    one = net.train()(*given)
    assert not one.equal(net(*given))


def test_the_lstm_remembers_what_a_bag_cannot_tell() -> None:
    """Which of two words came first, with others between them (S4-39): a bag has no way to know."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 20, (600, 10), generator=generator, dtype=torch.int32)
    y = torch.randint(0, 2, (600,), generator=generator)
    ids[:, 0] = torch.where(y == 1, 2, 3)
    ids[:, 9] = torch.where(y == 1, 3, 2)
    part = Rows(Inputs(tokens=torch.cat([ids, torch.zeros(600, 9, dtype=torch.int32)], 1)), y)
    training, validation = part.rows(torch.arange(400)), part.rows(torch.arange(400, 600))
    settings = Settings(loss="softmax", rule="adam", batch_size=50, steps=240, evaluate_every=24)
    losses = {}
    for reader in ("bag", "lstm"):
        spec = TextSpec(numbers=0, pieces=20, length=10, outputs=2, reader=reader, width=8)
        result = train([Member(spec, 0, 0.01)], training, validation, settings)
        losses[reader] = float(result.best_validation_loss[0])
    assert losses["lstm"] < 0.2
    assert losses["bag"] > 0.6


def test_what_cannot_be_a_network() -> None:
    with pytest.raises(ConfigError, match="reader must be one of"):
        TextSpec(numbers=0, pieces=5, length=3, outputs=2, reader="scroll")
    with pytest.raises(ConfigError, match="dropout must be at least 0"):
        TextSpec(numbers=0, pieces=5, length=3, outputs=2, dropout=1.0)
