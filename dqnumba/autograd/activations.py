"""Non-linear functions of one tensor: ReLU, leaky ReLU, dropout, log-softmax."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..kernels import elementwise_float as kernels
from . import memory
from .recording import is_recording
from .tensor import Tensor, record

__all__ = ["dropout", "leaky_relu", "log_softmax", "relu", "relu_of"]


def relu(x: Tensor, *, in_place: bool = False) -> Tensor:
    """max(x, 0). The gradient passes where the output is positive, so the input need not be kept.

    With ``in_place`` the result takes over the memory of ``x`` if that is ``spare``; nothing else may be made of ``x``
    then. Where nothing is recorded, memory is not short and ``x`` stays as it is.
    """
    in_place = in_place and x.spare and is_recording() and x.data.flags.c_contiguous
    out = x.data if in_place else memory.empty(x.shape, x.dtype)
    kernels.relu(_flat(x.data), out.reshape(-1))
    return relu_of(x, out)


def relu_of(x: Tensor, out: np.ndarray) -> Tensor:
    """Record ``out`` as the ReLU of ``x``, for an operation that has computed both at once."""

    def backward(grad):
        result = memory.empty(out.shape, out.dtype)
        kernels.relu_backward(_flat(grad), out.reshape(-1), result.reshape(-1))
        return (result,)

    result = record(out, (x,), backward)
    result.before_relu = x if result.requires_grad else None
    return result


def leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor:
    """x where x > 0, else slope * x."""
    data, slope = _flat(x.data), x.dtype.type(slope)
    out = memory.empty(x.shape, x.dtype)
    kernels.leaky_relu(data, slope, out.reshape(-1))

    def backward(grad):
        result = memory.empty(x.shape, x.dtype)
        kernels.leaky_relu_backward(_flat(grad), data, slope, result.reshape(-1))
        return (result,)

    return record(out, (x,), backward)


def dropout(x: Tensor, p: float, rng: np.random.Generator) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p) (inverted dropout).

    Parameters
    ----------
    x : Tensor
    p : float
        In [0, 1); 0 gives back ``x`` and draws nothing.
    rng : numpy.random.Generator
        One float32 is drawn for every element, in C order.
    """
    if not 0 <= p < 1:
        raise ConfigError(f"dropout probability {p}; allowed are 0 <= p < 1")
    if p == 0:
        return x
    out = memory.empty(x.shape, x.dtype)
    keep = memory.empty((x.size,), np.bool_)
    factor = x.dtype.type(1 / (1 - p))
    kernels.dropout(_flat(x.data), rng.random(x.size, dtype=np.float32), np.float32(p), factor, out.reshape(-1), keep)

    def backward(grad):
        result = memory.empty(x.shape, x.dtype)
        kernels.masked_scale(_flat(grad), keep, factor, result.reshape(-1))
        return (result,)

    return record(out, (x,), backward)


def log_softmax(x: Tensor) -> Tensor:
    """x - log(sum(exp(x))) over the last axis, with the maximum taken out first."""
    shifted = x.data - x.data.max(axis=-1, keepdims=True)
    out = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    def backward(grad):
        return (grad - np.exp(out) * grad.sum(axis=-1, keepdims=True),)

    return record(out, (x,), backward)


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1)
