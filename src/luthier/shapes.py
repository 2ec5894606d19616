"""The notation of every numeric file, as checked types.

M members, B batch rows, N rows of a part, F features, K category columns, C classes or outputs,
H hidden units, S steps. Rows are samples. The annotations cost nothing in production; under
pytest jaxtyping and beartype turn them into assertions (see `tests/conftest.py`).
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

PerMember = Float[Tensor, "M"]
Features = Float[Tensor, "N F"]
Codes = Int[Tensor, "N K"]
Outputs = Float[Tensor, "M N C"]
