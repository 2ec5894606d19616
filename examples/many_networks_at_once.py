"""Train twelve networks in one program: four learning rates, three seeds each, on the same batches."""

import torch
from sklearn.datasets import load_digits

from luthier.engine import Member, Settings, train
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows


def main() -> None:
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    features = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    targets = torch.tensor(digits.target)[order]
    training, validation = (
        Rows(Inputs(numbers=features[part]), targets[part]) for part in (slice(1300), slice(1300, None))
    )

    spec = DenseSpec(inputs=64, hidden=(30,), outputs=10)
    members = [Member(spec, seed, learning_rate=rate) for rate in (0.01, 0.03, 0.1, 0.3) for seed in range(3)]
    settings = Settings(loss="softmax", rule="sgd", batch_size=20, steps=600, evaluate_every=65)
    outcome = train(members, training, validation, settings)
    for member, score in zip(members, outcome.best_validation_score, strict=True):
        print(f"rate {member.learning_rate:<5} seed {member.seed}  accuracy {score:.3f}")


if __name__ == "__main__":
    main()
