"""Arithmetic with broadcasting, products of matrices, reductions and changes of shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import elementwise_float, matmul_float, matmul_tile
from ..kernels.columns_float import CHUNK_ROWS, chunk_sums
from . import activations, memory
from .tensor import Tensor, as_tensor, record

__all__ = [
    "add",
    "concat",
    "divide",
    "exp",
    "linear",
    "log",
    "matmul",
    "mean",
    "multiply",
    "negative",
    "reshape",
    "subtract",
    "sum",
    "transpose",
]

_FEW_COLUMNS = 8
_MANY = 1 << 16  # elements from which on our threads add faster than NumPy
Axis = int | tuple[int, ...] | None


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    a, b = _pair(a, b)

    def backward(grad):
        return _reduced(grad, a), _reduced(grad, b)

    return record(_sum(a.data, b.data), (a, b), backward, spare=True)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    a, b = _pair(a, b)

    def backward(grad):
        return _reduced(grad, a), _reduced(-grad, b) if b.requires_grad else None

    return record(_apply(np.subtract, a.data, b.data), (a, b), backward)


def multiply(a: Any, b: Any) -> Tensor:
    """a * b, element by element."""
    a, b = _pair(a, b)

    def backward(grad):
        to_a = _reduced(_apply(np.multiply, grad, b.data), a) if a.requires_grad else None
        to_b = _reduced(_apply(np.multiply, grad, a.data), b) if b.requires_grad else None
        return to_a, to_b

    return record(_apply(np.multiply, a.data, b.data), (a, b), backward)


def divide(a: Any, b: Any) -> Tensor:
    """a / b, element by element."""
    a, b = _pair(a, b)
    out = a.data / b.data

    def backward(grad):
        to_a = _reduced(grad / b.data, a) if a.requires_grad else None
        to_b = _reduced(-grad * out / b.data, b) if b.requires_grad else None
        return to_a, to_b

    return record(out, (a, b), backward)


def negative(x: Tensor) -> Tensor:
    """-x."""

    def backward(grad):
        return (-grad,)

    return record(-x.data, (x,), backward)


def exp(x: Tensor) -> Tensor:
    """e to the x."""
    out = np.exp(x.data)

    def backward(grad):
        return (grad * out,)

    return record(out, (x,), backward)


def log(x: Tensor) -> Tensor:
    """Natural logarithm."""

    def backward(grad):
        return (grad / x.data,)

    return record(np.log(x.data), (x,), backward)


def matmul(a: Any, b: Any) -> Tensor:
    """a @ b for matrices (N, K) and (K, M)."""
    a, b = _pair(a, b)
    _check_product(a, b)

    def backward(grad):
        to_a = _product(grad, b.data.T) if a.requires_grad else None
        to_b = _sum_of_products(a.data, grad) if b.requires_grad else None
        return to_a, to_b

    return record(_product(a.data, b.data), (a, b), backward, spare=True)


def linear(x: Any, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x @ weight + bias, then max(., 0) if ``relu``: one pass for the three. x (N, K), weight (K, M), bias (M,)."""
    x = as_tensor(x, weight.dtype)
    parents = (x, weight) if bias is None else (x, weight, bias)
    for parent in parents:
        _same_dtype(parent, weight)
    _check_product(x, weight)
    if bias is not None and bias.shape != weight.shape[1:]:
        raise ValueError(f"linear with a bias of shape {bias.shape} for {weight.shape[1]} columns; allowed is (M,)")
    out = _product(x.data, weight.data, None if bias is None else bias.data, relu)

    def backward(grad):
        to_x = _product(grad, weight.data.T) if x.requires_grad else None
        to_weight = _sum_of_products(x.data, grad) if weight.requires_grad else None
        if bias is None:
            return to_x, to_weight
        return to_x, to_weight, _column_sums(grad) if bias.requires_grad else None

    y = record(out, parents, backward, spare=True)
    return activations.relu_of(y, out) if relu else y


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over ``axis`` (all of them if None)."""
    out = np.asarray(x.data.sum(axis=axis, keepdims=keepdims))

    def backward(grad):
        return (_spread(grad, x.shape, axis, keepdims),)

    return record(out, (x,), backward)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over ``axis`` (all of them if None)."""
    out = np.asarray(x.data.mean(axis=axis, keepdims=keepdims))
    count = x.dtype.type(x.size / max(out.size, 1))

    def backward(grad):
        return (_spread(grad / count, x.shape, axis, keepdims),)

    return record(out, (x,), backward)


def reshape(x: Tensor, shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape, as a view where NumPy can."""

    def backward(grad):
        return (grad.reshape(x.shape),)

    return record(x.data.reshape(shape), (x,), backward)


def transpose(x: Tensor) -> Tensor:
    """All axes reversed."""

    def backward(grad):
        return (grad.T,)

    return record(x.data.T, (x,), backward)


def concat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an axis that exists."""
    first = next((t for t in tensors if isinstance(t, Tensor)), None)
    tensors = tuple(as_tensor(t, first.dtype if first is not None else None) for t in tensors)
    for other in tensors[1:]:
        _same_dtype(tensors[0], other)
    ends = np.cumsum([t.shape[axis] for t in tensors])[:-1]

    def backward(grad):
        return np.split(grad, ends, axis=axis)

    return record(np.concatenate([t.data for t in tensors], axis=axis), tensors, backward)


def _apply(function: np.ufunc, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``function(a, b)`` in memory that may be used again."""
    return function(a, b, out=memory.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype))


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a + b``; by our threads where that is worth it: two equal shapes, or a row added to every row."""
    rows = a.ndim == 2 and b.shape == a.shape[1:]
    if a.size < _MANY or not (rows or a.shape == b.shape) or not (a.flags.c_contiguous and b.flags.c_contiguous):
        return _apply(np.add, a, b)
    out = memory.empty(a.shape, a.dtype)
    if rows:
        elementwise_float.add_row(a, b, out)
    else:
        elementwise_float.add(_flat(a), _flat(b), _flat(out))
    return out


def _pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one dtype: a constant adopts that of the tensor it meets."""
    if not isinstance(a, Tensor):
        a = as_tensor(a, b.dtype if isinstance(b, Tensor) else None)
    b = as_tensor(b, a.dtype)
    _same_dtype(a, b)
    return a, b


def _check_product(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"product of shapes {a.shape} and {b.shape}; allowed are (N, K) and (K, M): reshape first")


def _same_dtype(a: Tensor, b: Tensor) -> None:
    if a.dtype != b.dtype:
        raise TypeError(f"tensors of {a.dtype} and {b.dtype} meet in one operation; make both float32 or both float64")


def _reduced(grad: np.ndarray, parent: Tensor) -> np.ndarray | None:
    """Sum a gradient over the axes along which ``parent`` was broadcast, so that it gets the parent's shape."""
    if not parent.requires_grad or grad.shape == parent.shape:
        return grad if parent.requires_grad else None
    if grad.ndim == 2 and parent.shape == grad.shape[1:]:
        return _column_sums(grad)
    extra = grad.ndim - parent.ndim
    axes = tuple(range(extra)) + tuple(
        extra + k for k, n in enumerate(parent.shape) if n == 1 and grad.shape[extra + k] != 1
    )
    return grad.sum(axis=axes, keepdims=True).reshape(parent.shape)


def _column_sums(x: np.ndarray) -> np.ndarray:
    """Sum over the rows of (N, C): threads over fixed chunks, the chunks joined in their order."""
    x = np.ascontiguousarray(x)
    partial = memory.empty((-(-x.shape[0] // CHUNK_ROWS), x.shape[1]), dtype=x.dtype)
    chunk_sums(x, partial)
    return partial.sum(axis=0, dtype=np.float64).astype(x.dtype)


def _product(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None, relu: bool = False) -> np.ndarray:
    """x @ w + bias, then max(., 0) if ``relu``.

    NumPy's product is left with the shapes that do not fit our tiles, but for those of so few columns of x that it
    would only pack and wait.
    """
    out = memory.empty((x.shape[0], w.shape[1]), x.dtype)
    if matmul_tile.fits(x, w):
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
        start = np.empty(0, x.dtype) if bias is None else np.ascontiguousarray(bias)
        matmul_tile.product(x, w, start, int(relu), matmul_tile.tile_columns(), out)
        return out
    if w.shape[0] > _FEW_COLUMNS:
        np.matmul(x, w, out=out)
        if bias is not None:
            elementwise_float.add_to_rows(np.ascontiguousarray(bias), out)
    else:
        matmul_float.affine(np.ascontiguousarray(x), np.ascontiguousarray(w), bias, out)
    if relu:
        elementwise_float.relu(_flat(out), _flat(out))
    return out


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)


def _sum_of_products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x.T @ y for many rows: threads over fixed chunks of rows, the chunks joined in their order."""
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    partial = memory.empty((-(-x.shape[0] // matmul_float.CHUNK_ROWS), x.shape[1], y.shape[1]), x.dtype)
    if matmul_tile.fits(x, y):
        matmul_tile.transposed_chunks(x, y, matmul_tile.tile_columns(), partial)
    else:
        matmul_float.chunk_products(x, y, partial)
    return partial[0] if len(partial) == 1 else partial.sum(axis=0, dtype=np.float64).astype(x.dtype)


def _spread(grad: np.ndarray, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> np.ndarray:
    """The gradient of a sum: repeat it along the summed axes."""
    if not keepdims and axis is not None:
        grad = np.expand_dims(grad, axis)
    return np.broadcast_to(grad, shape)
