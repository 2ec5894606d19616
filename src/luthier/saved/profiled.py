"""What a training profile counts of a model's predictions. N rows, C classes."""

from __future__ import annotations

import numpy as np

from luthier.data import Task
from luthier.data.typed_columns.label_lists import NONE
from luthier.rows import Inputs
from luthier.saved.model import Model


def profiled_classes(model: Model, inputs: Inputs) -> np.ndarray:
    """Class numbers [N] as the training profile counts them: those delivered; of earlier versions the likeliest.

    Of labels it is the likeliest that a row is answered with, C where it is answered with none.
    """
    probabilities = model.probabilities(inputs)
    if model.task.traits.is_labels:
        taken = model.classes_of(probabilities)
        return np.asarray(np.where(taken.any(1), (probabilities * taken).argmax(1), taken.shape[1]))
    delivered = bool(model.task.positive) or model.threshold == 0.5
    return model.classes_of(probabilities) if delivered else np.asarray(probabilities.argmax(1))


def profiled_names(task: Task) -> tuple[str, ...]:
    """What these numbers stand for."""
    return (*task.classes, NONE) if task.traits.is_labels else task.classes
