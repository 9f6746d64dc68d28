"""Batch normalization (Ioffe and Szegedy 2015)."""

from __future__ import annotations

import numpy as np

from ..kernels import columns_float as kernels
from . import memory
from .tensor import Tensor, record

__all__ = ["affine_columns", "batch_norm"]


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    mean: np.ndarray | None = None,
    var: np.ndarray | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """(x - mean) / sqrt(var + eps) * gamma + beta, a channel at a time.

    Parameters
    ----------
    x : Tensor (N, C)
    gamma, beta : Tensor (C,)
    mean, var : ndarray (C,), optional
        Running statistics, for evaluation: constants. If None those of the batch are taken (``var`` biased: divided by
        N), and the gradient runs through them.
    eps : float

    Returns
    -------
    out : Tensor (N, C)
    mean, var : ndarray (C,)
        What was used, in x's dtype.
    """
    if (mean is None) != (var is None):
        raise ValueError("batch_norm got only one of mean and var; give both (evaluation) or none (training)")
    if x.shape[0] == 0 and mean is None:
        raise ValueError("batch_norm of no rows has no batch statistics; give mean and var")
    data = np.ascontiguousarray(x.data)
    from_batch = mean is None
    if from_batch:
        mean, var = _moments(data)
    inverse = (1 / np.sqrt(np.asarray(var, dtype=np.float64) + eps)).astype(x.dtype)
    mean, var = np.asarray(mean, dtype=x.dtype), np.asarray(var, dtype=x.dtype)
    factor = gamma.data * inverse
    out = memory.empty(data.shape, data.dtype)
    kernels.affine_columns(data, mean, factor, beta.data, out)

    def backward(grad):
        # With xhat = (x - mean) * inverse:  d beta = sum grad,  d gamma = sum grad * xhat,
        # d x = gamma * inverse * (grad - d beta / N - xhat * d gamma / N), without the last two terms if mean and var
        # are constants.
        grad = np.ascontiguousarray(grad)
        sums = memory.empty((2, _chunks(data), data.shape[1]), data.dtype)
        kernels.chunk_gradient_sums(data, grad, mean, inverse, sums[0], sums[1])
        to_beta, to_gamma = sums.sum(axis=1, dtype=np.float64)
        to_x = None
        if x.requires_grad:
            share = 1 / len(data) if from_batch else 0.0
            mean_grad, mean_product = (to_beta * share).astype(x.dtype), (to_gamma * share).astype(x.dtype)
            to_x = memory.empty(data.shape, data.dtype)
            kernels.batch_norm_backward(data, grad, mean, inverse, factor, mean_grad, mean_product, to_x)
        return to_x, to_gamma.astype(x.dtype), to_beta.astype(x.dtype)

    return record(out, (x, gamma, beta), backward, spare=True), mean, var


def affine_columns(x: Tensor, scale: np.ndarray, shift: np.ndarray) -> Tensor:
    """x * scale + shift with constants (C,), cast to the type of ``x``: batch normalization at evaluation."""
    data = np.ascontiguousarray(x.data)
    scale, shift = scale.astype(x.dtype), shift.astype(x.dtype)
    out = memory.empty(data.shape, data.dtype)
    kernels.affine_columns(data, np.zeros_like(scale), scale, shift, out)

    def backward(grad):
        return (grad * scale,)

    return record(out, (x,), backward, spare=True)


def _moments(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre = memory.empty((_chunks(data), data.shape[1]), data.dtype)
    square = memory.empty_like(centre)
    kernels.chunk_moments(data, centre, square)
    return kernels.combine_moments(centre, square, len(data))


def _chunks(data: np.ndarray) -> int:
    return -(-data.shape[0] // kernels.CHUNK_ROWS)
