"""Graph attention of Velickovic et al."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd as ag
from ..errors import GraphError
from .edge_blocks import message_sum
from .functional import dropout, product
from .module import Context, Module, glorot

__all__ = ["GATConv"]


class GATConv(Module):
    r"""Graph attention (Velickovic et al., "Graph Attention Networks", ICLR 2018).

    .. math:: e_{ji} = \mathrm{LeakyReLU}(a_{src} \cdot h_j + a_{dst} \cdot h_i), \quad
              \alpha_{ji} = \mathrm{softmax}_{j \in N(i) \cup \{i\}}(e_{ji}), \quad
              x'_i = \sum_j \alpha_{ji} h_j + b, \qquad h = x W

    per head; heads are concatenated (``concat=True``, width ``heads * out_channels``) or averaged (width
    ``out_channels``). ``dropout`` is applied to the coefficients, ``input_dropout`` to x. ``plan`` is
    ``"transform_first"`` or ``"edgewise"`` (the paper's layout: every message :math:`\alpha_{ji} h_j` is formed and
    passes a site).

    Shapes
    ------
    x (N, in_channels), dense or sparse -> (N, heads * out_channels) or (N, out_channels)
    """

    plans = ("transform_first", "edgewise")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.heads, self.concat = in_channels, out_channels, heads, concat
        self.negative_slope, self.dropout, self.input_dropout = negative_slope, dropout, input_dropout
        self.plan = "transform_first"
        self.weight = ag.Tensor(glorot(rng, in_channels, heads * out_channels), requires_grad=True)
        # Row 0 scores the source (a_src), row 1 the target (a_dst).
        self.attention = ag.Tensor(glorot(rng, 2, heads, out_channels).reshape(2, -1), requires_grad=True)
        width = heads * out_channels if concat else out_channels
        self.bias = ag.Tensor(np.zeros(width, np.float32), requires_grad=True)

    def enter(self, x: Any, ctx: Context) -> Any:
        """The layer's input as its first quantizer sees it."""
        return self.site("input", x, ctx, "node")

    def _score(self, h: ag.Tensor, attention: ag.Tensor, which: int) -> ag.Tensor:
        """a . h per head: (N, heads * C), (2, heads * C) -> (N, heads)."""
        row = ag.gather_rows(attention, np.array([which], np.int32))
        return (h * row).reshape(h.shape[0], self.heads, self.out_channels).sum(axis=2)

    def propagate(self, x: Any, ctx: Context) -> ag.Tensor:
        """From what :meth:`enter` gave to the layer's output."""
        if ctx.graph.edge_weight is not None:
            raise GraphError(
                "This graph has edge weights, which GATConv has no use for. Drop them with graph.without_edge_weight()."
            )
        x = dropout(x, self.input_dropout, ctx)
        adjacency = ctx.graph.adjacency("add")
        h = self.site("feature", product(x, self.site("weight", self.weight, ctx)), ctx, "node")
        attention = self.site("attention", self.attention, ctx)
        logits = ag.gather_source(adjacency, self._score(h, attention, 0)) + ag.gather_target(
            adjacency, self._score(h, attention, 1)
        )
        logits = self.site("alpha", logits, ctx, "edge")
        alpha = self.site("coefficient", ag.edge_softmax(adjacency, ag.leaky_relu(logits, self.negative_slope)), ctx)
        alpha = dropout(alpha, self.dropout, ctx)
        if self.plan == "edgewise":
            y = self.site("aggregate", message_sum(self, adjacency, h, alpha, ctx), ctx, "node")
        else:
            y = ag.weighted_neighbor_sum(adjacency, alpha, h)
        if not self.concat:
            y = y.reshape(y.shape[0], self.heads, self.out_channels).mean(axis=1)
        return self.site("update", y + self.bias, ctx, "node")
