"""Graph isomorphism convolution of Xu et al."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd as ag
from ..errors import GraphError
from .functional import as_dense, dropout, product
from .linear import Linear
from .module import Context, Module

__all__ = ["GINConv"]

#: (1 + eps) is rounded to a multiple of 2**-EPS_BITS wherever the model will run on integers, in training too.
EPS_BITS = 8


class GINConv(Module):
    r"""Graph isomorphism convolution (Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019).

    .. math:: x'_i = \mathrm{MLP}\Big((1 + \epsilon)\, x_i + \sum_{j \in N(i)} x_j\Big), \qquad
              \mathrm{MLP}(z) = \mathrm{ReLU}(z W_1 + b_1) W_2 + b_2

    with learnable eps; self-loops of the graph are removed, since the first term stands for them. ``plan``:
    ``"aggregate_first"`` is the formula; ``"transform_first"`` moves W_1 before the sum (it is linear), which is
    cheaper where in_channels exceeds the hidden width; ``"edgewise"`` is the paper's layout with a site for the
    messages.

    Shapes
    ------
    x (N, in_channels), dense or sparse -> (N, out_channels)
    """

    plans = ("transform_first", "aggregate_first", "edgewise")

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        input_dropout: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.input_dropout = in_channels, out_channels, input_dropout
        self.plan = "transform_first" if in_channels > hidden_channels else "aggregate_first"
        # "node": the degree mask reaches the MLP (an option; the official code has none).
        self.mlp_rows: str | None = None
        self.eps = ag.Tensor(np.zeros(1, np.float32), requires_grad=True)
        self.lin1 = Linear(in_channels, hidden_channels, rng=rng)
        self.lin2 = Linear(hidden_channels, out_channels, rng=rng)

    def enter(self, x: Any, ctx: Context) -> Any:
        """The layer's input as its first quantizer sees it."""
        return self.site("input", x, ctx, "node")

    def propagate(self, x: Any, ctx: Context) -> ag.Tensor:
        """From what :meth:`enter` gave to the layer's output."""
        if ctx.graph.edge_weight is not None:
            raise GraphError(
                "This graph has edge weights, which GINConv has no use for. Drop them with graph.without_edge_weight()."
            )
        adjacency = ctx.graph.adjacency("remove")
        self_weight = self.site("eps", self.eps + 1.0, ctx)
        x = dropout(x, self.input_dropout, ctx)
        if self.plan == "transform_first":
            weight = self.lin1.site("weight", self.lin1.weight, ctx)
            h = self.site("feature", product(x, weight), ctx, "node")
            z = ag.self_and_neighbor_sum(adjacency, h, self_weight) + self.lin1.bias
            return self.lin2(ag.relu(z, in_place=True), ctx, self.mlp_rows)
        x = as_dense(x)
        x = x if isinstance(x, ag.Tensor) else ag.Tensor(x)
        rows = self.mlp_rows
        if self.plan == "edgewise":
            # A message is its source row, so quantizing the row and summing equals quantizing edge by edge.
            total = ag.neighbor_sum(adjacency, self.site("message", x.keep(), ctx, "source_without_loops"))
            z = x * self_weight + self.site("aggregate", total, ctx, "node")
        else:
            z = ag.self_and_neighbor_sum(adjacency, x, self_weight)
            # lin1's input is the aggregate's site here, which the degree mask reaches: hubs are widest at this sum.
            rows = "node"
        return self.lin2(self.lin1(z, ctx, rows, relu=True), ctx, self.mlp_rows)
