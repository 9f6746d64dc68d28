"""The dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd as ag
from .functional import dropout, product
from .module import Context, Module, glorot

__all__ = ["Linear"]


class Linear(Module):
    """y = x W + b.

    Parameters
    ----------
    in_channels, out_channels : int
    bias : bool
    input_dropout : float
        Applied behind the input's quantizer.
    rng : numpy.random.Generator
        Source of the initial weights (Glorot uniform; the bias starts at zero).

    Shapes
    ------
    x (R, in_channels) -> (R, out_channels); ``weight`` is stored (in_channels, out_channels).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bias: bool = True,
        input_dropout: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.input_dropout = in_channels, out_channels, input_dropout
        self.weight = ag.Tensor(glorot(rng, in_channels, out_channels), requires_grad=True)
        self.bias = ag.Tensor(np.zeros(out_channels, np.float32), requires_grad=True) if bias else None

    def product_weight(self) -> np.ndarray:
        """The matrix that the layer's product multiplies by, (in_channels, out_channels)."""
        return self.weight.data

    def __call__(self, x: Any, ctx: Context, rows: str | None = None, *, relu: bool = False) -> ag.Tensor:
        """y, or max(y, 0) with ``relu``."""
        x = dropout(self.site("input", x, ctx, rows), self.input_dropout, ctx)
        weight = self.site("weight", self.weight, ctx)
        bias = None if self.bias is None else self.site("bias", self.bias, ctx)
        if "feature" not in self.hooks:
            return product(x, weight, bias, relu=relu)
        y = self.site("feature", product(x, weight, bias), ctx, rows)
        return ag.relu(y, in_place=True) if relu else y
