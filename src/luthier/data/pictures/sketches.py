"""What a picture looks like in few numbers, by which it is known again at another size, or compressed.

A sketch holds the lowest frequencies of a picture's brightness (a cosine transform) and its mean colour. Scaling and
JPEG hardly change these; what scaling blurs weighs more the higher the frequency, and is allowed for. Two pictures look
alike if the rest of the difference is a small part of what their details amount to. N and M pictures, P pairs.
"""

from __future__ import annotations

import numpy as np

ORDERS = 8  # of the transform, in each direction: higher ones do not survive scaling
LOW = 4  # orders by which pairs are looked for
WIDTH = ORDERS * ORDERS + 2
STEP = 0.125  # of brightness or colour, of 255: a unit of a sketch
ALIKE = 0.045  # of the size of the details; of the 70,000 pictures of MNIST none is that near to another
NEAR = 0.06  # of that of the low ones, where pairs are looked for
BLUR = 0.03  # by which a frequency may be weaker, times the square of its order
FAINT = 1.0  # of details that are weaker, nothing is said
TOGETHER = 4096  # pictures, or pairs, that are looked at together
SAMPLE = 1000  # pictures by which it is seen how many others are near one
MOST_NEAR = 200  # pictures near each, on average, above which pictures of this kind look alike anyway
_SQUARES = (np.arange(ORDERS)[:, None] ** 2 + np.arange(ORDERS) ** 2).ravel().astype(np.float32)
_LOW = [down * ORDERS + across for down in range(LOW) for across in range(LOW)][1:]
_COLOURS = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], dtype=np.float32)  # of JPEG
_GREY, _TINTS = _COLOURS[0], _COLOURS[1:]


def sketches(pictures: np.ndarray) -> np.ndarray:
    """The sketches of pictures uint8 [N, C, H, W] of one size, int16 [N, WIDTH].

    >>> ramp = np.linspace(0, 255, 32).astype(np.uint8)[None, None, None].repeat(32, axis=2)
    >>> (sketches(ramp)[0, :4] * STEP).tolist()
    [127.0, -75.375, 0.0, -8.375]
    """
    height, width = pictures.shape[2:]
    down, across = _cosines(height), _cosines(width)
    result = np.zeros((len(pictures), WIDTH), dtype=np.int16)
    for start in range(0, len(pictures), TOGETHER):
        some = np.asarray(pictures[start : start + TOGETHER], dtype=np.float32)
        grey = some[:, 0] if some.shape[1] == 1 else np.tensordot(some, _GREY, (1, 0))
        shape = (down @ grey @ across.T).reshape(len(some), -1)
        tint = np.zeros((len(some), 2)) if some.shape[1] == 1 else some.mean((2, 3)) @ _TINTS.T
        result[start : start + TOGETHER] = np.round(np.concatenate([shape, tint], 1) / STEP)
    return result


def alike(one: np.ndarray, other: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of pictures that look alike, by their sketches [N, WIDTH] and [M, WIDTH]: numbers [P] of both.

    Without others they are those of some pictures among themselves, each pair once. Pictures without details are like
    no other, and none is where most are nearly the same.
    """
    mine = one.astype(np.float32) * STEP
    theirs = mine if other is None else other.astype(np.float32) * STEP
    first, second = _near(mine, None if other is None else theirs)
    starts = range(0, len(first), TOGETHER)
    parts = ((first[at : at + TOGETHER], second[at : at + TOGETHER]) for at in starts)
    same = [_differences(mine[some], theirs[others]) < ALIKE for some, others in parts]
    which = np.concatenate([np.zeros(0, dtype=bool), *same])
    return first[which], second[which]


def _near(one: np.ndarray, other: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of pictures whose lowest frequencies are nearly the same, [P] of both."""
    from scipy.spatial import KDTree

    rows = np.flatnonzero(np.minimum(_details(one), _low(one)) >= FAINT)
    others = rows if other is None else np.flatnonzero(np.minimum(_details(other), _low(other)) >= FAINT)
    none = np.zeros(0, dtype=np.intp)
    if not len(rows) or not len(others):
        return none, none
    places = _directions(one[rows])
    tree = KDTree(_directions((one if other is None else other)[others]))
    sample = places[:: -(-len(places) // SAMPLE)]
    if tree.query_ball_point(sample, NEAR, return_length=True).mean() > MOST_NEAR:
        return none, none
    if other is None:
        pairs = tree.query_pairs(NEAR, output_type="ndarray")
        return rows[pairs[:, 0]], rows[pairs[:, 1]]
    found = KDTree(places).sparse_distance_matrix(tree, NEAR, output_type="ndarray")
    return rows[found["i"]], others[found["j"]]


def _cosines(side: int) -> np.ndarray:
    """The transform along a side [ORDERS, side], such that a constant's lowest value is itself."""
    orders, places = np.arange(ORDERS)[:, None], (np.arange(side) + 0.5) / side
    result = np.cos(np.pi * orders * places) * np.where(orders, 2**0.5, 1) / side
    return np.asarray(result, dtype=np.float32)


def _details(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(values[:, 1 : ORDERS * ORDERS], axis=1))


def _low(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(values[:, _LOW], axis=1))


def _directions(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[:, _LOW] / _low(values)[:, None])


def _differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How much of the details differs, apart from a blur, of pairs of sketches [P, WIDTH]."""
    difference, blurred = one - other, np.zeros_like(one)
    blurred[:, : len(_SQUARES)] = (one + other)[:, : len(_SQUARES)] / 2 * _SQUARES
    blur = (difference * blurred).sum(1) / np.maximum((blurred**2).sum(1), 1e-9)
    rest = difference - np.clip(blur, -BLUR, BLUR)[:, None] * blurred
    return np.asarray(np.linalg.norm(rest, axis=1) / np.minimum(_details(one), _details(other)))
