"""A project with several classes from end to end: ten digits, from pixels to a model that gives probabilities."""

import tempfile
from pathlib import Path

from sklearn.datasets import load_digits

import luthier


def main() -> None:
    digits = load_digits()
    rows, labels, new = digits.data[:1500], digits.target[:1500], digits.data[1500:]
    with tempfile.TemporaryDirectory() as folder:
        result = luthier.fit((rows, labels), budget="600steps", run=Path(folder) / "digits")
        print(result.scores["sentence"])
        predicted = result.predict(new)
        right = float((predicted.to_numpy() == digits.target[1500:]).mean())
        print(f"{len(new)} digits that came later: {right:.1%} right")


if __name__ == "__main__":
    main()
