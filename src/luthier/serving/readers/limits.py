"""What a request may cost, and how many may cost it at once."""

from __future__ import annotations

from dataclasses import dataclass

SMALL = 16 << 10  # bytes of a body that is read at once; a larger one is read in slices, that others may speak between
LONGEST_ROW = 1 << 20  # bytes of one row, or more in a table of many thousand columns
BODIES = 4  # bodies of the largest size that are held at once, of all requests together
SHARED_COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # the variable with the folder in which several workers count together
SLICE = 0.002  # seconds that a large request works before the others have their turn


@dataclass(frozen=True)
class Limits:
    """What a request may cost (rows, bytes of its body, pixels of its pictures, seconds until the answer), and how
    many connections may be open."""

    rows: int = 10_000
    body: int = 16 << 20
    seconds: float = 30.0
    pixels: int = 40_000_000
    connections: int = 1_000
