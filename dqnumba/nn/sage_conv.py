"""GraphSAGE convolution of Hamilton et al., mean aggregator."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd as ag
from ..errors import GraphError
from .functional import as_dense, dropout, mean_norm, product, split_columns
from .module import Context, Module, glorot

__all__ = ["SAGEConv"]


class SAGEConv(Module):
    r"""GraphSAGE with the mean aggregator (Hamilton et al., "Inductive Representation Learning on Large Graphs", 2017).

    .. math:: x'_i = \operatorname{mean}_{j \in N(i)}(x_j)\, W_l + x_i W_r + b

    A node without incoming edges has mean 0. ``plan``: ``"aggregate_first"`` is one product over ``[mean | x]`` with
    the two weights stacked; ``"transform_first"`` is one product with the two weights side by side and then the mean
    of its left half; ``"edgewise"`` follows the paper's layout of sites (message, aggregate, two quantized linears,
    update).

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
        self.plan = "transform_first" if in_channels > out_channels else "aggregate_first"
        self.weight_l = ag.Tensor(glorot(rng, in_channels, out_channels), requires_grad=True)
        self.weight_r = ag.Tensor(glorot(rng, in_channels, out_channels), requires_grad=True)
        self.bias = ag.Tensor(np.zeros(out_channels, np.float32), requires_grad=True)

    def product_weight(self) -> np.ndarray:
        """The matrix of the product as the plan forms it; in the paper's layout the one that the bias is added to."""
        if self.plan == "edgewise":
            return self.weight_l.data
        side_by_side = self.plan == "transform_first"
        return np.concatenate([self.weight_l.data, self.weight_r.data], axis=1 if side_by_side else 0)

    def enter(self, x: Any, ctx: Context) -> Any:
        """The layer's input as its first quantizer sees it."""
        return self.site("input", x, ctx, "node")

    def propagate(self, x: Any, ctx: Context) -> ag.Tensor:
        """From what :meth:`enter` gave to the layer's output."""
        if ctx.graph.edge_weight is not None:
            raise GraphError(
                "This graph has edge weights, which SAGEConv has no use for. "
                "Drop them with graph.without_edge_weight()."
            )
        adjacency, norm = ctx.graph.adjacency("keep"), mean_norm(ctx.graph)
        if self.plan == "transform_first":
            x = dropout(x, self.input_dropout, ctx)
            weight = self.site("weight", ag.concat([self.weight_l, self.weight_r], axis=1), ctx)
            h = self.site("feature", product(x, weight), ctx, "node")
            left, right = split_columns(h, self.out_channels)
            return ag.scale_rows(ag.neighbor_sum(adjacency, left), norm) + right + self.bias
        x = as_dense(x)
        x = x if isinstance(x, ag.Tensor) else ag.Tensor(x)
        if self.plan == "aggregate_first":
            mean = self.site("aggregate", ag.scale_rows(ag.neighbor_sum(adjacency, x), norm), ctx, "node")
            both = dropout(ag.concat([mean, x], axis=1), self.input_dropout, ctx)
            weight = self.site("weight", ag.concat([self.weight_l, self.weight_r], axis=0), ctx)
            return product(both, weight, self.site("bias", self.bias, ctx))
        x = dropout(x, self.input_dropout, ctx)
        message = self.site("message", x.keep(), ctx, "source")
        mean = self.site("aggregate", ag.scale_rows(ag.neighbor_sum(adjacency, message), norm), ctx, "node")
        left = product(mean, self.site("weight_l", self.weight_l, ctx), self.site("bias", self.bias, ctx))
        right = product(x, self.site("weight_r", self.weight_r, ctx))
        y = self.site("feature_l", left, ctx, "node") + self.site("feature_r", right, ctx, "node")
        return self.site("update", y, ctx, "node")
