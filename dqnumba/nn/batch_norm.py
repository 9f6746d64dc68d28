"""Batch normalization over the rows."""

from __future__ import annotations

import numpy as np

from .. import autograd as ag
from .module import Context, Module

__all__ = ["BatchNorm"]


class BatchNorm(Module):
    r"""y = gamma (x - mean) / sqrt(var + eps) + beta per channel (Ioffe and Szegedy, 2015).

    While training, mean and (biased) variance of the batch, and the running statistics move by ``momentum`` towards the
    batch's mean and unbiased variance; at evaluation the running statistics. That is also what conversion merges into
    integers.

    Shapes
    ------
    x (R, channels) -> (R, channels)
    """

    buffer_names = ("running_mean", "running_var")

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.channels, self.eps, self.momentum = channels, eps, momentum
        self.after_relu = False  # set by ``prepare``: behind a ReLU it cannot merge into the sum before it
        self.gamma = ag.Tensor(np.ones(channels, np.float32), requires_grad=True)
        self.beta = ag.Tensor(np.zeros(channels, np.float32), requires_grad=True)
        self.running_mean = np.zeros(channels, np.float32)
        self.running_var = np.ones(channels, np.float32)

    def __call__(self, x: ag.Tensor, ctx: Context) -> ag.Tensor:
        x = self.site("input", x, ctx, "node")
        if not ctx.training or x.shape[0] == 0:  # no rows have no statistics
            return ag.affine_columns(x, *self.affine())
        y, mean, var = ag.batch_norm(x, self.gamma, self.beta, eps=self.eps)
        rows = x.shape[0]
        self.running_mean += np.float32(self.momentum) * (mean - self.running_mean)
        self.running_var += np.float32(self.momentum) * (var * (rows / max(rows - 1, 1)) - self.running_var)
        return y

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift (float64, shape (channels,)) that evaluation applies."""
        scale = self.gamma.data.astype(np.float64) / np.sqrt(self.running_var.astype(np.float64) + self.eps)
        return scale, self.beta.data.astype(np.float64) - scale * self.running_mean.astype(np.float64)
