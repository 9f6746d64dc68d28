"""Per-column statistics and batch normalization over the rows of a matrix.

Rows are cut into chunks of a fixed size, each chunk is reduced by one thread, and the chunks are combined in their
order, in float64. So the result depends neither on the number of threads nor much on the number of rows.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._twin import twin

__all__ = [
    "CHUNK_ROWS",
    "affine_columns",
    "batch_norm_backward",
    "chunk_dots",
    "chunk_gradient_sums",
    "chunk_moments",
    "chunk_sums",
    "combine_moments",
]

CHUNK_ROWS = 256


@twin(lambda x, out: x.size)
def chunk_sums(x, out):
    """out[k] = column sums of rows 256 k .. 256 (k + 1) - 1 of x (N, C); ``out`` (ceil(N / 256), C), overwritten."""
    for chunk in prange(out.shape[0]):
        row = out[chunk]
        row[:] = 0
        for i in range(chunk * CHUNK_ROWS, min(x.shape[0], (chunk + 1) * CHUNK_ROWS)):
            for j in range(x.shape[1]):
                row[j] += x[i, j]


@twin(lambda x, y, out: x.size)
def chunk_dots(x, y, out):
    """out[k] = sum of x * y over rows 256 k .. 256 (k + 1) - 1, float64; x and y (N, C), out (ceil(N / 256),).

    A row is added up in four running sums, which join in a fixed order.
    """
    channels = x.shape[1]
    for chunk in prange(out.shape[0]):
        total = 0.0
        for i in range(chunk * CHUNK_ROWS, min(x.shape[0], (chunk + 1) * CHUNK_ROWS)):
            a, b = x[i], y[i]
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for j in range(channels // 4):
                s0 += np.float64(a[4 * j]) * b[4 * j]
                s1 += np.float64(a[4 * j + 1]) * b[4 * j + 1]
                s2 += np.float64(a[4 * j + 2]) * b[4 * j + 2]
                s3 += np.float64(a[4 * j + 3]) * b[4 * j + 3]
            for j in range(channels - channels % 4, channels):
                s0 += np.float64(a[j]) * b[j]
            total += (s0 + s1) + (s2 + s3)
        out[chunk] = total


@twin(lambda x, mean, square: x.size * 2)
def chunk_moments(x, mean, square):
    """Per chunk and column: the mean, and the sum of squared distances from it.

    ``mean`` and ``square`` (ceil(N / 256), C), overwritten. The first row is taken out of the sum, so that
    values far from zero lose nothing; the second sweep over a chunk finds it in cache.
    """
    for chunk in prange(mean.shape[0]):
        first = chunk * CHUNK_ROWS
        last = min(x.shape[0], first + CHUNK_ROWS)
        centre, spread = mean[chunk], square[chunk]
        centre[:] = 0
        spread[:] = 0
        for i in range(first, last):
            for j in range(x.shape[1]):
                centre[j] += x[i, j] - x[first, j]
        for j in range(x.shape[1]):
            centre[j] = x[first, j] + centre[j] / x.dtype.type(last - first)
        for i in range(first, last):
            for j in range(x.shape[1]):
                distance = x[i, j] - centre[j]
                spread[j] += distance * distance


@twin(lambda x, grad, mean, inverse, sum_grad, sum_product: x.size * 3)
def chunk_gradient_sums(x, grad, mean, inverse, sum_grad, sum_product):
    """Per chunk and column: the sum of grad, and the sum of grad * (x - mean) * inverse.

    ``x`` and ``grad`` (N, C), ``mean`` and ``inverse`` (C,), the two sums (ceil(N / 256), C), overwritten.
    """
    for chunk in prange(sum_grad.shape[0]):
        first, second = sum_grad[chunk], sum_product[chunk]
        first[:] = 0
        second[:] = 0
        for i in range(chunk * CHUNK_ROWS, min(x.shape[0], (chunk + 1) * CHUNK_ROWS)):
            for j in range(x.shape[1]):
                first[j] += grad[i, j]
                second[j] += grad[i, j] * ((x[i, j] - mean[j]) * inverse[j])


@twin(lambda x, centre, factor, shift, out: x.size)
def affine_columns(x, centre, factor, shift, out):
    """out = (x - centre) * factor + shift, the three (C,). The centre goes first, so that nothing cancels later."""
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - centre[j]) * factor[j] + shift[j]


@twin(lambda x, grad, mean, inverse, factor, mean_grad, mean_product, out: x.size * 2)
def batch_norm_backward(x, grad, mean, inverse, factor, mean_grad, mean_product, out):
    """out = factor * (grad - mean_grad - xhat * mean_product) with xhat = (x - mean) * inverse; the rest (C,)."""
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            normal = (x[i, j] - mean[j]) * inverse[j]
            out[i, j] = factor[j] * ((grad[i, j] - mean_grad[j]) - normal * mean_product[j])


def combine_moments(mean: np.ndarray, square: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Join the chunks of `chunk_moments` into the mean and biased variance of all rows, float64 (C,).

    With n_k rows in chunk k: mean = sum n_k mean_k / N, var = (sum square_k + sum n_k (mean_k - mean)^2) / N
    (Chan, Golub, LeVeque 1983).
    """
    counts = np.full((mean.shape[0], 1), CHUNK_ROWS, dtype=np.float64)
    counts[-1] = rows - CHUNK_ROWS * (mean.shape[0] - 1)
    chunk_mean = mean.astype(np.float64)
    total = (counts * chunk_mean).sum(axis=0) / rows
    between = (counts * (chunk_mean - total) ** 2).sum(axis=0)
    return total, (square.astype(np.float64).sum(axis=0) + between) / rows
