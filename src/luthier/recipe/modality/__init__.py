"""What tables, pictures and text bring to the recipe, an object each."""

from __future__ import annotations

from luthier.data import CELLS_BESIDE, TEXT_BESIDE
from luthier.recipe.modality.mixed_networks import MixedModality
from luthier.recipe.modality.modality import Modality, WholeTraining
from luthier.recipe.modality.picture_networks import PictureModality
from luthier.recipe.modality.tables import TableModality
from luthier.recipe.modality.texts import BackboneTextModality, TextModality
from luthier.recipe.preparing.problem import Problem

MODALITIES: dict[str, Modality] = {
    "table": TableModality(),
    "pictures": PictureModality(),
    "text": TextModality(),
    "mixed rows": MixedModality(),
    CELLS_BESIDE: TableModality(),
    TEXT_BESIDE: TextModality(),
}
TEXT_BACKBONE = BackboneTextModality()

__all__ = ["MODALITIES", "Modality", "WholeTraining", "modality_of"]


def modality_of(problem: Problem) -> Modality:
    """What the rows of a problem are."""
    return TEXT_BACKBONE if problem.transfers and problem.medium == "text" else MODALITIES[problem.medium]
