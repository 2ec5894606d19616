"""Fit a table, read what was decided and why, and use the model on new rows."""

import tempfile
from pathlib import Path

import luthier


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = luthier.fit("wine", budget="300steps", run=Path(folder) / "wine")
        print(result.scores["sentence"])
        for record in result.ledger:
            if record["kind"] == "decision" and record["step"] >= 3:
                print(f"{record['topic']}: {record['chosen']}")
        result.save(Path(folder) / "wine.luthier")

        model = luthier.load(Path(folder) / "wine.luthier")
        frame = luthier.data.read_source("wine").frame.head(3)
        print(model.predict(frame))


if __name__ == "__main__":
    main()
