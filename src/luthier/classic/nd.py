"""Gluon's arrays: PyTorch's tensors behind `NDArray`'s names, its printing included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.classic import autograd
from luthier.errors import InputError


class NDArray:
    """An array of numbers.

    >>> array([[1, 2]])
    <BLANKLINE>
    [[1. 2.]]
    <NDArray 1x2 @cpu(0)>
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes; a single number has one of length 1."""
        return tuple(self._tensor.shape) or (1,)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return self._tensor.numel()

    @property
    def grad(self) -> NDArray | None:
        """The gradient that `backward` left, after `attach_grad`."""
        return None if self._tensor.grad is None else NDArray(self._tensor.grad)

    @property
    def T(self) -> NDArray:
        """The array with its axes reversed."""
        return _of(lambda t: t.permute(*reversed(range(t.ndim))), self)

    def attach_grad(self) -> None:
        """Ask for this array's gradient; what it was computed from is forgotten."""
        self._tensor = self._tensor.detach().requires_grad_()

    def backward(self) -> None:
        """Differentiate the sum of this array by all that asked for it."""
        if self._tensor.grad_fn is None:
            raise InputError("nothing was recorded to differentiate", remedy="compute it inside autograd.record()")
        self._tensor.sum().backward()

    def asnumpy(self) -> np.ndarray:
        """A copy as a NumPy array."""
        result: np.ndarray = self._tensor.detach().numpy().copy()
        return result

    def asscalar(self) -> float:
        """The number of an array of one."""
        return float(self._tensor.detach())

    def exp(self) -> NDArray:
        """e to each number."""
        return _of(torch.exp, self)

    def log(self) -> NDArray:
        """The natural logarithm of each."""
        return _of(torch.log, self)

    def abs(self) -> NDArray:
        """Sizes."""
        return _of(torch.abs, self)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> NDArray:
        """The sum over all axes, or over some."""
        return self._over(torch.sum, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> NDArray:
        """The mean over all axes, or over some."""
        return self._over(torch.mean, axis, keepdims)

    def max(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> NDArray:
        """The largest over all axes, or over some."""
        return self._over(torch.amax, axis, keepdims)

    def argmax(self, axis: int) -> NDArray:
        """Where the largest along an axis is, as numbers of the array's own type."""
        return NDArray(self._tensor.argmax(axis).to(self._tensor.dtype))

    def reshape(self, *shape: int | tuple[int, ...]) -> NDArray:
        """The same numbers in another shape."""
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        return _of(lambda t: t.reshape(wanted), self)

    def astype(self, kind: str) -> NDArray:
        """The numbers in another type, such as float32."""
        return NDArray(self._tensor.to(getattr(torch, kind)))

    def _over(self, f: Callable[..., Tensor], axis: int | tuple[int, ...] | None, keepdims: bool) -> NDArray:
        axes = tuple(range(self._tensor.ndim)) if axis is None else axis
        return _of(lambda t: f(t, dim=axes, keepdim=keepdims), self)

    def __add__(self, other: Any) -> NDArray:
        return _of(torch.add, self, other)

    def __sub__(self, other: Any) -> NDArray:
        return _of(torch.sub, self, other)

    def __mul__(self, other: Any) -> NDArray:
        return _of(torch.mul, self, other)

    def __truediv__(self, other: Any) -> NDArray:
        return _of(torch.div, self, other)

    def __radd__(self, other: Any) -> NDArray:
        return self + other

    def __rmul__(self, other: Any) -> NDArray:
        return self * other

    def __rsub__(self, other: Any) -> NDArray:
        return -self + other

    def __rtruediv__(self, other: Any) -> NDArray:
        return _of(lambda t: _tensor(other) / t, self)

    def __pow__(self, other: Any) -> NDArray:
        return _of(torch.pow, self, other)

    def __neg__(self) -> NDArray:
        return _of(torch.neg, self)

    def __eq__(self, other: object) -> Any:
        return NDArray((self._tensor == _tensor(other)).to(self._tensor.dtype))

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, key: Any) -> NDArray:
        return _of(lambda t: t[key.asnumpy().astype(int) if isinstance(key, NDArray) else key], self)

    def __len__(self) -> int:
        return len(self._tensor)

    def __float__(self) -> float:
        return self.asscalar()

    def __repr__(self) -> str:
        return f"\n{self.asnumpy().reshape(self.shape)}\n<NDArray {'x'.join(map(str, self.shape))} @cpu(0)>"


def array(values: Any, dtype: str = "float32") -> NDArray:
    """An array of these values."""
    return NDArray(torch.as_tensor(np.array(values)).to(getattr(torch, dtype)))


def zeros(shape: int | Sequence[int]) -> NDArray:
    """Zeros."""
    return NDArray(torch.zeros(shape))


def ones(shape: int | Sequence[int]) -> NDArray:
    """Ones."""
    return NDArray(torch.ones(shape))


def dot(a: NDArray, b: NDArray) -> NDArray:
    """The product of matrices."""
    return _of(torch.matmul, a, b)


def exp(a: NDArray) -> NDArray:
    """e to each number."""
    return a.exp()


def log(a: NDArray) -> NDArray:
    """The natural logarithm of each."""
    return a.log()


def relu(a: NDArray) -> NDArray:
    """The larger of each number and zero."""
    return _of(torch.relu, a)


def pick(a: NDArray, index: NDArray) -> NDArray:
    """Of each row of a [N, C] the number at its index [N].

    >>> pick(array([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]), array([0, 2])).asnumpy().round(2).tolist()
    [0.10000000149011612, 0.5]
    """
    return _of(lambda t: t.gather(1, _tensor(index).long().reshape(-1, 1))[:, 0], a)


class random:
    """Random arrays; `seed` makes them repeatable."""

    _generator = torch.Generator().manual_seed(0)

    @classmethod
    def seed(cls, value: int) -> None:
        """Begin anew."""
        cls._generator.manual_seed(value)

    @classmethod
    def normal(cls, loc: float = 0.0, scale: float = 1.0, shape: int | Sequence[int] = 1) -> NDArray:
        """Numbers from N(loc, scale^2)."""
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        return NDArray(torch.randn(sizes, generator=cls._generator) * scale + loc)


def _tensor(value: Any) -> Any:
    return value._tensor if isinstance(value, NDArray) else value


def _of(f: Callable[..., Tensor], *arguments: Any) -> NDArray:
    """A result that is recorded inside `autograd.record()` only."""
    with torch.set_grad_enabled(autograd.is_recording()):
        return NDArray(f(*map(_tensor, arguments)))
