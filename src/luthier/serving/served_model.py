"""A model as it is served: how its requests are read, and how they are answered."""

from __future__ import annotations

import json

from luthier.data import PictureEncoder, TableEncoder
from luthier.saved import Model
from luthier.serving.batching import RequestBatches
from luthier.serving.limits import Limits
from luthier.serving.picture_reader import PictureReader
from luthier.serving.predictions import Answers
from luthier.serving.requests import Reader
from luthier.serving.row_reader import RowReader

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
        if not isinstance(self.reader, RowReader):
            return True
        body = json.dumps(self.content[JSON]["example"]).encode()
        return None not in await self.batches.answers(await self.reader.read_in_turns(JSON, body, Limits()))


def reader_of(model: Model) -> Reader:
    if isinstance(model.encoder, PictureEncoder):
        return PictureReader(model.encoder)
    assert isinstance(model.encoder, TableEncoder)
    return RowReader(model.encoder, model.typical_row())
