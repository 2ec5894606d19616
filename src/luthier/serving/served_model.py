"""A model as it is served: how its requests are read, and how they are answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from luthier.data import BESIDE_FROZEN
from luthier.saved import Model
from luthier.serving.predictions import Answers
from luthier.serving.readers.batching import RequestBatches, others_first
from luthier.serving.readers.limits import Limits
from luthier.serving.readers.mixed_reader import MixedReader
from luthier.serving.readers.picture_reader import PictureReader
from luthier.serving.readers.requests import Reader
from luthier.serving.readers.row_reader import RowReader

JSON = "application/json"


class ServedModel:
    """A model with its reader, its answers and its turns; a request keeps to the one that it began with."""

    def __init__(self, model: Model, runtime: str) -> None:
        self.model, self.runtime = model, runtime
        self.reader = reader_of(model)
        self.content = dict(self.reader.content)  # the bodies, as OpenAPI describes them
        self.answers = Answers(model, self.reader, runtime)
        self.batches = RequestBatches(self.answers, quick=self.reader.quick)

    async def answers_a_typical_row(self) -> bool:
        """Whether a row like those of training is predicted; of pictures, that the model is there."""
        example = self.content[JSON].get("example")
        if example is None:
            return True
        body = json.dumps(example).encode()
        return None not in await self.batches.answers(
            await self.reader.read_in_turns(JSON, body, Limits(), others_first)
        )


def _of_rows(model: Any) -> Reader:
    return RowReader(model.encoder, model.typical_row())


def _of_pictures(model: Any) -> Reader:
    return PictureReader(model.encoder)


def _of_mixed_rows(model: Any) -> Reader:
    return MixedReader(model.encoder, model.typical_row())


READERS: Mapping[str, Callable[[Model], Reader]] = {  # of all others: rows of cells
    "pictures": _of_pictures,
    **dict.fromkeys(("mixed rows", *BESIDE_FROZEN), _of_mixed_rows),
}


def reader_of(model: Model) -> Reader:
    reads: Callable[[Model], Reader] = READERS.get(model.encoder.medium, _of_rows)
    return reads(model)
