"""What numbers of single precision are written as: the float64 that a file of their shortest decimals has.

0.1 in single precision is 0.10000000149; a file says 0.1. N numbers.
"""

from __future__ import annotations

import numpy as np
import polars as pl

SURE = 6  # digits that single precision keeps of any decimal; at most three more tell all of its numbers apart
SMALLEST, LARGEST = 1e-13, 1e6  # of numbers that are written by calculation
WHOLE = 2.0**24  # below it all whole numbers are there, and none is written with fewer digits
TOGETHER = 1 << 14  # numbers that stay in the processor's cache
_POWERS = 10.0 ** np.arange(SURE + 13)
_FRACTION = np.uint32((1 << 23) - 1)  # bits that are all 0 in a power of two


def as_written(values: np.ndarray) -> np.ndarray:
    """Numbers of single precision [...], also as float64, as a file says them, float64 [...].

    >>> as_written(np.array([0.1, 2.5, np.nan], dtype=np.float32)).tolist()
    [0.1, 2.5, nan]
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    result = np.empty_like(flat)
    for start in range(0, len(flat), TOGETHER):
        result[start : start + TOGETHER] = _shortest(flat[start : start + TOGETHER])
    return result.reshape(values.shape)


def _shortest(values: np.ndarray) -> np.ndarray:
    """The nearest decimal of the fewest digits that is the same number in single precision [N].

    A whole number of at most nine digits over a power of ten that is exact is rounded once, as its text would be.
    """
    size = np.abs(values)
    is_regular = (size >= SMALLEST) & (size < LARGEST)
    places = np.floor(np.log10(size, out=np.zeros_like(size), where=is_regular)).astype(np.intp)
    power = _POWERS.take(SURE - 1 - places)
    result, is_same = _rounded(values, power)
    is_same &= is_regular
    if is_same.all():
        return result
    left = np.flatnonzero(~is_same)
    values, power, is_regular = values[left], power[left], is_regular[left]
    result[left] = _longer(values, power)
    is_regular &= values.astype(np.float32).view(np.uint32) & _FRACTION != 0  # a power of two has others on one side
    if not is_regular.all():
        left, values = left[~is_regular], values[~is_regular]
        is_exact = ~(np.abs(values) < np.inf) | (values == np.rint(values)) & (np.abs(values) < WHOLE)
        result[left[is_exact]] = values[is_exact]
        texts = pl.Series(values[~is_exact].astype(np.float32)).cast(pl.String)
        result[left[~is_exact]] = texts.cast(pl.Float64).to_numpy()
    return result


def _longer(values: np.ndarray, power: np.ndarray) -> np.ndarray:
    """With up to three more digits [N]."""
    (seven, is_seven), (eight, is_eight) = (_rounded(values, power * more) for more in (10.0, 100.0))
    nine, _ = _rounded(values, power * 1000.0)
    return np.where(is_seven, seven, np.where(is_eight, eight, nine))


def _rounded(values: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values as whole numbers over a power of ten, and whether these are the same in single precision [N]."""
    decimal = np.rint(values * power) / power
    return decimal, decimal.astype(np.float32) == values
