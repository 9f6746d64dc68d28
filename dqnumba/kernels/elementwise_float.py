"""Float kernels that touch every element once: sums, ReLU and dropout with their gradients. NumPy would use one thread.

All but those of rows work on flat, contiguous arrays. Elements are independent, so threads cannot change a bit of the
result.
"""

from __future__ import annotations

from numba import prange

from ._twin import twin

__all__ = [
    "add",
    "add_row",
    "add_to_rows",
    "dropout",
    "leaky_relu",
    "leaky_relu_backward",
    "masked_scale",
    "relu",
    "relu_backward",
]


@twin(lambda x, out: out.size)
def relu(x, out):
    """out = max(x, 0); NaN stays NaN."""
    zero = out.dtype.type(0)
    for k in prange(x.size):
        out[k] = zero if x[k] <= zero else x[k]


@twin(lambda grad, y, out: out.size)
def relu_backward(grad, y, out):
    """out = grad where the ReLU's output y > 0, else 0."""
    zero = out.dtype.type(0)
    for k in prange(grad.size):
        out[k] = grad[k] if y[k] > zero else zero


@twin(lambda x, y, out: out.size)
def add(x, y, out):
    """out = x + y."""
    for k in prange(x.size):
        out[k] = x[k] + y[k]


@twin(lambda x, row, out: out.size)
def add_row(x, row, out):
    """out = x + row for ``x`` and ``out`` (N, C) and ``row`` (C,)."""
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] + row[j]


@twin(lambda row, out: out.size)
def add_to_rows(row, out):
    """out += row for ``row`` (C,) and ``out`` (N, C)."""
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += row[j]


@twin(lambda x, slope, out: out.size)
def leaky_relu(x, slope, out):
    """out = x where x > 0, else slope * x."""
    for k in prange(x.size):
        out[k] = x[k] if x[k] > 0 else slope * x[k]


@twin(lambda grad, x, slope, out: out.size)
def leaky_relu_backward(grad, x, slope, out):
    """out = grad where the input x > 0, else slope * grad."""
    for k in prange(grad.size):
        out[k] = grad[k] if x[k] > 0 else slope * grad[k]


@twin(lambda x, draw, p, factor, out, keep: out.size)
def dropout(x, draw, p, factor, out, keep):
    """keep = draw >= p; out = x * factor where kept, else 0.

    ``draw`` float32 uniform in [0, 1), ``p`` float32, ``factor`` = 1 / (1 - p) in x's dtype, ``keep`` bool.
    """
    zero = out.dtype.type(0)
    for k in prange(x.size):
        kept = draw[k] >= p
        keep[k] = kept
        out[k] = x[k] * factor if kept else zero


@twin(lambda grad, keep, factor, out: out.size)
def masked_scale(grad, keep, factor, out):
    """out = grad * factor where ``keep``, else 0: the gradient of `dropout`."""
    zero = out.dtype.type(0)
    for k in prange(grad.size):
        out[k] = grad[k] * factor if keep[k] else zero
