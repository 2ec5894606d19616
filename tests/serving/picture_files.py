"""Pictures as files, by a module that imports little: neighbours of a server are started many times."""

from __future__ import annotations

import io

import numpy as np

SIDE = 16  # of a picture


def picture(side: int = SIDE, kind: str = "PNG", mode: str = "L") -> bytes:
    """A picture as a file: of noise where it is small, else of one colour, which takes no room in a file."""
    from PIL import Image

    content = io.BytesIO()
    if side <= 256:
        pixels = np.random.default_rng(side).integers(0, 255, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(content, kind)
    else:
        Image.new(mode, (side, side)).save(content, kind)
    return content.getvalue()
