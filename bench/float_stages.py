"""A float model as stages: products, neighbour sums, attention; each with what is fused into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqnumba.nn.functional import gcn_norm, mean_norm

__all__ = ["Attention", "Mean", "Product", "Stage", "Sum", "pad16", "stages_of"]

Edges = tuple[NDArray[np.int64], NDArray[np.int32], Any]


def pad16(columns: int) -> int:
    """The next multiple of a vector's 16 floats."""
    return -(-columns // 16) * 16


@dataclass(kw_only=True)
class Stage:
    """max(f(source) + bias, 0 with ``relu``) * post, ``post`` one factor a row."""

    columns: int
    bias: NDArray[np.float32] | None = None
    relu: bool = False
    post: NDArray[np.float64] | None = None

    @property
    def width(self) -> int:
        """Floats of a row of the result."""
        return pad16(self.columns)


@dataclass(kw_only=True)
class Product(Stage):
    """source W; with ``scores`` another product of the source into the array of attention scores."""

    weight: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        return f"product {self.weight.shape[0]}x{self.columns}"


def packed(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Panels of 64 columns, and one of what is left in multiples of 16; each panel row by row."""
    padded = np.zeros((len(weight), pad16(weight.shape[1])), np.float32)
    padded[:, : weight.shape[1]] = weight
    return np.concatenate([padded[:, i : i + 64].ravel() for i in range(0, padded.shape[1], 64)])


@dataclass(kw_only=True)
class Sum(Stage):
    """factor_i * sum_e w_e source[indices[e]] + own_weight * (columns of row i from ``own_column`` on)."""

    edges: Edges
    factor: NDArray[np.float64] | None = None
    own_weight: float | None = None
    own_column: int = 0
    beside: bool = False  # the source's row is copied beside the sum
    table: NDArray[np.float32] | None = None  # sum rows of this matrix instead of the source's: sparse features
    scores: NDArray[np.float32] | None = None

    @property
    def width(self) -> int:
        return pad16(self.columns) * (2 if self.beside else 1)

    @property
    def name(self) -> str:
        kind = "sparse product" if self.table is not None else "neighbour sum"
        return f"{kind} {self.columns}{' beside own' if self.beside else ''}"


@dataclass(kw_only=True)
class Attention(Stage):
    """Softmax over a row's edges and the weighted sum of their sources, heads side by side."""

    edges: Edges
    heads: int
    slope: float

    @property
    def name(self) -> str:
        return f"attention {self.heads}x{self.columns // self.heads}"

    def head_tables(self) -> tuple[NDArray, NDArray, NDArray]:
        """Of each vector: byte offset of its first and its last head, and which lanes (int32) belong to the last."""
        channels = self.columns // self.heads
        head = np.minimum(np.arange(self.width) // channels, self.heads - 1).reshape(-1, 16)
        if (head[:, -1] - head[:, 0] > 1).any():
            raise ValueError(f"attention with {channels} channels a head: pad them, a vector holds at most two heads")
        near, far = head[:, 0], head[:, -1]
        return 4 * near.astype(np.int64), 4 * far.astype(np.int64), (head != near[:, None]).astype(np.int32)


@dataclass(kw_only=True)
class Mean(Stage):
    """Mean over heads of ``channels`` floats that stand side by side."""

    heads: int
    channels: int

    @property
    def name(self) -> str:
        return f"mean of {self.heads} heads"


def stages_of(model: Any, graph: Any) -> tuple[list[Stage], NDArray[np.float32] | None]:
    """Stages of ``model`` and the dense features they start from; None where sparse ones are multiplied as such."""
    config = model.config
    if config["norm"] or config["residual"] or config["readout"] or config["embedding"]:
        raise ValueError("the float program covers plain stacks for nodes: no norm, residual, readout or embedding")
    sparse = None if isinstance(graph.x, np.ndarray) else graph.x
    first = model.convs[0]
    if sparse is not None and model.kind != "GAT" and not _transforms_first(first):
        sparse = None  # so many outputs that summing sparse rows would cost more than dense ones
    dense = None if sparse is not None else graph.x if isinstance(graph.x, np.ndarray) else graph.x.toarray()
    build = {"GCN": _gcn, "GIN": _gin, "GraphSAGE": _sage, "GAT": _gat}[model.kind]
    stages: list[Stage] = []
    for layer, conv in enumerate(model.convs):
        following = model.convs[layer + 1] if layer + 1 < len(model.convs) else None
        made = build(conv, following, graph, layer == 0)
        if layer == 0 and sparse is not None:
            p = made[0]
            made[0] = Sum(
                columns=p.columns, bias=p.bias, relu=p.relu, post=p.post, scores=p.scores, table=_columns16(p.weight),
                edges=(sparse.indptr, sparse.indices, sparse.data),
            )  # fmt: skip
        stages += made
    return stages, dense


def _columns16(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.zeros((len(weight), pad16(weight.shape[1])), np.float32)
    out[:, : weight.shape[1]] = weight
    return out


def _transforms_first(conv: Any) -> bool:
    """Sum the narrower side; with equal widths the input, whose sum is multiplied while it is in the cache."""
    hidden = conv.lin1.out_channels if hasattr(conv, "lin1") else conv.out_channels
    return conv.in_channels > hidden


def _edges(graph: Any, loops: str) -> Edges:
    adjacency = graph.adjacency(loops)
    if adjacency.weight is not None:
        raise ValueError("the float program takes graphs without edge weights")
    return adjacency.indptr, adjacency.indices, None


def _gcn(conv: Any, following: Any, graph: Any, first: bool) -> list[Stage]:
    norm, (indptr, indices, _) = gcn_norm(graph), _edges(graph, "add")
    weight, bias, out = conv.weight.data, conv.bias.data, conv.out_channels
    # Where the next layer sums its input, its rows are left scaled for it.
    post = norm if following is not None and not _transforms_first(following) else None
    relu = following is not None
    if _transforms_first(conv):
        return [
            Product(columns=out, weight=weight, post=norm),
            Sum(columns=out, edges=(indptr, indices, None), factor=norm, bias=bias, relu=relu, post=post),
        ]
    weights = norm.astype(np.float32)[indices] if first else None  # nobody has scaled the features
    return [
        Sum(columns=conv.in_channels, edges=(indptr, indices, weights), factor=norm),
        Product(columns=out, weight=weight, bias=bias, relu=relu, post=post),
    ]


def _gin(conv: Any, following: Any, graph: Any, first: bool) -> list[Stage]:
    one, two, edges = conv.lin1, conv.lin2, _edges(graph, "remove")
    own, relu = 1.0 + float(conv.eps.data[0]), following is not None
    second = Product(columns=two.out_channels, weight=two.weight.data, bias=two.bias.data, relu=relu)
    if _transforms_first(conv):
        return [
            Product(columns=one.out_channels, weight=one.weight.data),
            Sum(columns=one.out_channels, edges=edges, own_weight=own, bias=one.bias.data, relu=True),
            second,
        ]
    return [
        Sum(columns=one.in_channels, edges=edges, own_weight=own),
        Product(columns=one.out_channels, weight=one.weight.data, bias=one.bias.data, relu=True),
        second,
    ]


def _sage(conv: Any, following: Any, graph: Any, first: bool) -> list[Stage]:
    mean, edges, relu = mean_norm(graph), _edges(graph, "keep"), following is not None
    left, right, out = conv.weight_l.data, conv.weight_r.data, conv.out_channels
    if _transforms_first(conv):
        both = np.concatenate([_columns16(left), right], axis=1)
        return [
            Product(columns=both.shape[1], weight=both),
            Sum(columns=out, edges=edges, factor=mean, own_weight=1.0, own_column=pad16(out), bias=conv.bias.data,
                relu=relu),
        ]  # fmt: skip
    gap = np.zeros((pad16(conv.in_channels) - conv.in_channels, out), np.float32)
    return [
        Sum(columns=conv.in_channels, edges=edges, factor=mean, beside=True),
        Product(columns=out, weight=np.concatenate([left, gap, right]), bias=conv.bias.data, relu=relu),
    ]


def _gat(conv: Any, following: Any, graph: Any, first: bool) -> list[Stage]:
    heads, channels = conv.heads, conv.out_channels
    if heads not in (1, 2, 4, 8):
        raise ValueError(f"the float program's attention takes 1, 2, 4 or 8 heads, not {heads}")
    # A vector of 16 channels may hold two heads: narrow ones are widened, in columns of zeros.
    padded = channels if channels >= 16 or channels == 8 else 8 if channels < 8 else 16
    weight = np.zeros((conv.in_channels, heads, padded), np.float32)
    weight[:, :, :channels] = conv.weight.data.reshape(-1, heads, channels)
    vectors = conv.attention.data.reshape(2, heads, channels)
    scores = np.einsum("khc,shc->ksh", conv.weight.data.reshape(-1, heads, channels).astype(np.float64), vectors)
    stages: list[Stage] = [
        Product(columns=heads * padded, weight=weight.reshape(len(weight), -1),
                scores=scores.reshape(len(weight), 2 * heads).astype(np.float32)),
        Attention(columns=heads * padded, edges=_edges(graph, "add"), heads=heads, slope=conv.negative_slope),
    ]  # fmt: skip
    relu = following is not None
    if not conv.concat:
        return [*stages, Mean(columns=channels, heads=heads, channels=padded, bias=conv.bias.data, relu=relu)]
    if padded != channels:
        raise ValueError(f"the float program concatenates heads of 8 or at least 16 channels, not {channels}")
    stages[1].bias, stages[1].relu = conv.bias.data, relu
    return stages
