"""The notation of every numeric file, as checked types.

M members, B batch rows (or all N of a part), F features, K category columns, C classes or outputs, H hidden units,
P numbers of one member's row of parameters. Rows are samples. The annotations cost nothing in production; under pytest
jaxtyping and beartype turn them into assertions (see `tests/conftest.py`): each axis has one length in a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from luthier.optional import has

if TYPE_CHECKING or has("jaxtyping"):
    from jaxtyping import Bool, Float, Int, Shaped
else:  # the engine runs with PyTorch and NumPy alone

    class Shaped:
        """An array without a checked shape."""

        def __class_getitem__(cls, item: tuple[type, str]) -> type:
            return item[0]

    Bool = Float = Int = Shaped

PerMember = Float[Tensor, "M"]
MemberColumn = Float[Tensor, "M 1"]
Flat = Float[Tensor, "M P"]  # the parameters of all members, or something for each of them

Logits = Float[Tensor, "M B C"]  # or values, of a stack
RowLosses = Float[Tensor, "M B"]  # or scores, of single rows
Targets = Shaped[Tensor, "B"] | Shaped[Tensor, "B C"]  # class numbers, 0/1 or values; a share or value for each output
AnyTargets = Shaped[Tensor, "B *of"]  # as a user gave them: whether they go with the outputs is checked, and said
ClassNumbers = Shaped[Tensor, "B"]  # whole numbers; beside other targets they are stored as floats
OneHot = Float[Tensor, "B C"]
RowWeights = Shaped[Tensor, "B"]  # how much each row counts
RowNumbers = Float[Tensor, "B"]
Distances = Float[Tensor, "M B B"]
Pairs = Bool[Tensor, "B B"]

Features = Float[Tensor, "B F"]
Codes = Shaped[Tensor, "B K"]  # whole numbers of any width
Tokens = Shaped[Tensor, "B L"]
Embedded = Float[Tensor, "B _"]  # one category column, each with a width of its own
Hidden = Float[Tensor, "B H"]
Outputs = Float[Tensor, "B outputs"]  # of one network
Pictures = Shaped[Tensor, "B C H W"]  # numbers, or bytes
Signals = Float[Tensor, "B C T"]
Sequences = Float[Tensor, "B T F"]
Lengths = Int[Tensor, "B"]
Activations = Shaped[Tensor, "B *axes"]  # of rows of any form: numbers, or the bytes of pictures
Units = Float[Tensor, "*axes"]  # each entry for itself
Matrix = Float[Tensor, "out into"]
