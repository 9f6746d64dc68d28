"""Graph convolution of Kipf and Welling."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd as ag
from ..errors import GraphError
from ..graph.normalize import gcn_coefficients
from .edge_blocks import message_sum
from .functional import dropout, gcn_norm, product, scale_rows
from .module import Context, Module, glorot

__all__ = ["GCNConv"]


class GCNConv(Module):
    r"""Graph convolution (Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", 2017).

    .. math:: X' = \hat D^{-1/2} \hat A \hat D^{-1/2} X W + b, \qquad
              x'_i = d_i^{-1/2} \sum_{j \in N(i) \cup \{i\}} w_{ji}\, d_j^{-1/2}\, x_j W + b

    with :math:`\hat A = A + I` and d_i the in-degree counting the self-loop.

    ``plan`` says in which order this is computed; the result is the same up to rounding, the sites are not:
    ``"transform_first"`` multiplies by W, scales the rows by d_j^-1/2 and then sums; ``"aggregate_first"`` scales and
    sums the input, which is cheaper where in_channels < out_channels; ``"edgewise"`` forms every message (the paper's
    layout).

    Shapes
    ------
    x (N, in_channels), dense or sparse -> (N, out_channels)
    """

    plans = ("transform_first", "aggregate_first", "edgewise")

    def __init__(
        self, in_channels: int, out_channels: int, *, input_dropout: float = 0.0, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.input_dropout = in_channels, out_channels, input_dropout
        self.plan = "transform_first"
        self.weight = ag.Tensor(glorot(rng, in_channels, out_channels), requires_grad=True)
        self.bias = ag.Tensor(np.zeros(out_channels, np.float32), requires_grad=True)

    def product_weight(self) -> np.ndarray:
        """The matrix that the layer's product multiplies by, (in_channels, out_channels)."""
        return self.weight.data

    def enter(self, x: Any, ctx: Context) -> Any:
        """The layer's input as its first quantizer sees it."""
        if self.plan == "aggregate_first":
            x = scale_rows(x, gcn_norm(ctx.graph))
        return self.site("input", x, ctx, "node")

    def propagate(self, x: Any, ctx: Context) -> ag.Tensor:
        """From what :meth:`enter` gave to the layer's output."""
        x = dropout(x, self.input_dropout, ctx)
        weight = self.site("weight", self.weight, ctx)
        adjacency = ctx.graph.adjacency("add")
        if self.plan == "edgewise":
            h = self.site("feature", product(x, weight), ctx, "node")
            coefficient = gcn_coefficients(adjacency)[:, None].astype(h.dtype, copy=False)
            coefficient = self.site("norm", ag.Tensor(coefficient), ctx)
            y = self.site("aggregate", message_sum(self, adjacency, h, coefficient, ctx), ctx, "node")
            return self.site("update", y + self.bias, ctx, "node")
        if self.hooks and adjacency.weight is not None:
            raise GraphError(
                "This graph has edge weights, and the fused layout of a quantized GCN has no site for them. "
                'Prepare the model with sites="paper", or drop the weights with graph.without_edge_weight().'
            )
        norm = gcn_norm(ctx.graph)
        if self.plan == "transform_first":
            h = self.site("feature", ag.scale_rows(product(x, weight), norm), ctx, "node")
            return ag.scale_rows(ag.neighbor_sum(adjacency, h), norm) + self.bias
        x = x if isinstance(x, ag.Tensor) else ag.Tensor(x.toarray() if hasattr(x, "toarray") else x)
        x = self.site("aggregate", ag.scale_rows(ag.neighbor_sum(adjacency, x), norm), ctx, "node")
        return product(x, weight, self.site("bias", self.bias, ctx))
