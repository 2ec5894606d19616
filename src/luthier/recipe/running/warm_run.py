"""The run that a warm start goes on from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from luthier.errors import InputError, LuthierError, in_a_line
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.recipe.planning.setting import Setting
from luthier.recipe.rows.parts import parts_of
from luthier.recipe.rows.reading import model_of
from luthier.recipe.rows.run_data import reread
from luthier.recipe.running.memo import Memo
from luthier.request import RunRequest
from luthier.rows import Rows
from luthier.saved import Model, open_run


@dataclass(frozen=True)
class Earlier:
    """The run that is gone on from: its model, the setting it came to, and its open rows where they can be had."""

    run: str
    model: Model
    setting: Setting
    training: Rows | None = None
    validation: Rows | None = None
    missing: str = ""  # why its rows cannot be had


def earlier_run(asked: RunRequest) -> Earlier:
    """What a warm start begins with. InputError for a run that has come to no setting or model."""
    folder = open_run(asked.warm_start)
    model = model_of(asked.warm_start)
    heaviest = model.nets[int(np.argmax(model.weights))].spec
    if not isinstance(heaviest, DenseSpec):
        template = "'{warm_start}' was trained on pictures or text; a warm start works with tables only"
        raise InputError(Message(template, warm_start=asked.warm_start), remedy="fit the new and the old rows together")
    known = folder.checkpoint / "closed.json"
    if not known.exists():
        raise InputError(
            Message("'{warm_start}' has no final setting yet", warm_start=asked.warm_start),
            remedy="name a run that finished step 4",
        )
    setting = Setting.from_json(Memo(folder.checkpoint, lambda: 0.0).json("closed", dict))
    same = len(heaviest.hidden) == len(setting.member.dense.hidden)
    member = replace(setting.member, dropout=setting.member.dropout if same else (), spec=heaviest)
    setting = replace(setting, method=model.preprocess.method, member=member)
    try:
        before, read = reread(folder, "fit --warm-start")
    except LuthierError as error:
        return Earlier(asked.warm_start, model, setting, missing=in_a_line(error))
    parts = parts_of(read, before, folder)
    return Earlier(asked.warm_start, model, setting, parts.training, parts.validation)
