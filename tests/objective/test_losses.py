"""What is particular to losses: weights, scores, pairs of rows."""

from __future__ import annotations

import pytest
import torch
from tests.oracles.losses import LABELS, MANY, ONE, SIDES, C, Z
from torch.nn import functional as F

from luthier.errors import InputError
from luthier.objective import (
    LOSSES,
    class_weights,
    mean_loss,
    one_hot,
)
from luthier.seeds import torch_generator


def test_class_weights_are_pytorchs_weighted_mean() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 0, 0, 3, 0, 0])
    counts = torch.bincount(labels)
    oracle = F.cross_entropy(Z[0], labels, weight=(len(labels) / (C * counts)).double())
    weights = class_weights(labels, C).double()
    torch.testing.assert_close(mean_loss(LOSSES["softmax"].rows(Z, labels), weights)[0], oracle, rtol=1e-6, atol=0)


def test_one_hot_refuses_labels_that_are_no_classes() -> None:
    assert one_hot(torch.tensor([2, 0]), 4).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    for labels in ([4], [-1]):
        with pytest.raises(InputError, match="a label is not a class"):
            one_hot(torch.tensor(labels), 4)


def test_scores() -> None:
    right = (Z.argmax(-1) == LABELS).double()
    for name in ("softmax", "focal", "quadratic"):
        torch.testing.assert_close(LOSSES[name].score(Z, LABELS), right)
    assert torch.equal(LOSSES["binary"].score(ONE, SIDES), ((ONE[..., 0] > 0) == (SIDES > 0)).double())
    assert torch.equal(LOSSES["binary"].score(Z, MANY), ((Z > 0) == (MANY > 0)).all(-1).double())


def test_losses_over_pairs_take_no_weights_of_rows() -> None:
    import luthier

    X = torch.randn(20, 3)
    with pytest.raises(InputError, match="cannot use sample weights"):
        luthier.train(luthier.DenseSpec(3, (4,), 2), (X, torch.arange(20) % 2, torch.ones(20)), loss="triplet", steps=1)


@pytest.mark.parametrize("name", ["contrastive", "triplet"])
def test_embeddings_learn_to_tell_classes_apart(name: str) -> None:
    """Two interleaved classes: the nearest other row is of the same class far more often than before."""
    import luthier

    g = torch_generator(3, "rings")
    X = torch.randn(300, 2, generator=g)
    y = (X.norm(dim=1) > 1.1).long()
    spec = luthier.DenseSpec(2, (32,), 2, activation="tanh")
    result = luthier.train(spec, (X, y), validation=(X, y), loss=name, learning_rate=0.01, epochs=40)
    scores = result.history.to_frame()["validation_score"]
    assert scores.max() > 0.9
    assert scores.max() > scores[0]


def test_softmax_over_many_rows_is_the_same() -> None:
    """Where softmax goes along another axis the residual is still autograd's, for class numbers and for shares."""
    from luthier.objective.losses import FEW_CLASSES, MANY_OUTPUTS

    generator = torch.Generator().manual_seed(0)
    for classes in (FEW_CLASSES, FEW_CLASSES + 1, 10):
        Z = torch.randn(2, MANY_OUTPUTS, classes, generator=generator, dtype=torch.float64, requires_grad=True)
        numbers = torch.randint(0, classes, (MANY_OUTPUTS,), generator=generator)
        loss = LOSSES["softmax"]
        for targets in (numbers, torch.nn.functional.one_hot(numbers, classes).double()):
            (wanted,) = torch.autograd.grad(loss.by_row(Z, targets, loss.rows).sum(), Z)
            torch.testing.assert_close(loss.residual(Z.detach(), targets), wanted, rtol=1e-12, atol=1e-12)
