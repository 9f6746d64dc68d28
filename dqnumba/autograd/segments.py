"""Readout over the graphs of a batch: sum, mean or maximum of contiguous segments of rows.

``ptr`` int64 (G + 1,) holds the offsets: segment g is the rows ptr[g] .. ptr[g + 1] - 1.
"""

from __future__ import annotations

import numpy as np

from ..kernels import segment_float as kernels
from . import memory
from .tensor import Tensor, record

__all__ = ["segment_max", "segment_mean", "segment_sum"]


def segment_sum(x: Tensor, ptr: np.ndarray) -> Tensor:
    """out[g] = sum of the rows of segment g; 0 if it has none. ``x`` (N, C) -> (G, C)."""
    out = memory.empty((ptr.size - 1, x.shape[1]), x.dtype)
    kernels.segment_sum(ptr, np.ascontiguousarray(x.data), out)

    def backward(grad):
        return (_spread(ptr, grad, x),)

    return record(out, (x,), backward)


def segment_mean(x: Tensor, ptr: np.ndarray) -> Tensor:
    """out[g] = mean of the rows of segment g; 0 if it has none. ``x`` (N, C) -> (G, C)."""
    out = memory.empty((ptr.size - 1, x.shape[1]), x.dtype)
    kernels.segment_sum(ptr, np.ascontiguousarray(x.data), out)
    factor = (1 / np.maximum(np.diff(ptr), 1)).astype(x.dtype)[:, None]
    out *= factor

    def backward(grad):
        return (_spread(ptr, grad * factor, x),)

    return record(out, (x,), backward)


def segment_max(x: Tensor, ptr: np.ndarray) -> Tensor:
    """out[g] = maximum of the rows of segment g a channel; 0 if it has none. The gradient goes to the first maximum."""
    out = memory.empty((ptr.size - 1, x.shape[1]), x.dtype)
    argmax = memory.empty(out.shape, np.int64)
    kernels.segment_max(ptr, np.ascontiguousarray(x.data), out, argmax)

    def backward(grad):
        result = np.zeros(x.shape, x.dtype)
        segment, channel = np.nonzero(argmax >= 0)
        result[argmax[segment, channel], channel] = grad[segment, channel]
        return (result,)

    return record(out, (x,), backward)


def _spread(ptr: np.ndarray, grad: np.ndarray, x: Tensor) -> np.ndarray:
    result = memory.empty(x.shape, x.dtype)
    kernels.segment_spread(ptr, np.ascontiguousarray(grad), result)
    return result
