"""What several layers do alike, for dense tensors and for sparse input features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from ..graph import SparseFeatures, normalize
from .module import Context

__all__ = ["as_dense", "dropout", "gcn_norm", "mean_norm", "product", "scale_rows", "split_columns"]


def as_dense(x: Any) -> Any:
    """Sparse features as a dense array, everything else unchanged."""
    return x.toarray() if isinstance(x, SparseFeatures) else x


def product(x: Any, weight: ag.Tensor, bias: ag.Tensor | None = None, *, relu: bool = False) -> ag.Tensor:
    """``x @ weight + bias`` for a dense ``x`` (N, K) or sparse features of that shape; weight (K, M), bias (M,).

    With ``relu``, the positive part of it.
    """
    if not isinstance(x, SparseFeatures):
        return ag.linear(x, weight, bias, relu=relu)
    y = ag.sparse_matmul(x, weight)
    y = y if bias is None else y + bias
    return ag.relu(y) if relu else y


def scale_rows(x: Any, factor: NDArray[np.float64]) -> Any:
    """Row i of ``x`` times ``factor[i]``, which is first rounded to the type of ``x``."""
    if isinstance(x, SparseFeatures):
        return x.with_data(x.data * factor.astype(np.float32)[x.row_ids])
    return ag.scale_rows(x if isinstance(x, ag.Tensor) else ag.Tensor(x), factor)


def dropout(x: Any, probability: float, ctx: Context) -> Any:
    """Inverted dropout while training; of sparse features, the stored entries are dropped."""
    if not ctx.training or probability == 0.0:
        return x
    if isinstance(x, SparseFeatures):
        keep = ctx.rng.random(x.data.shape, dtype=np.float32) >= np.float32(probability)
        return x.with_data(x.data * keep * np.float32(1.0 / (1.0 - probability)))
    return ag.dropout(x if isinstance(x, ag.Tensor) else ag.Tensor(x), probability, ctx.rng)


def gcn_norm(graph: Any) -> NDArray[np.float64]:
    """d_i^-1/2 with d_i the weighted in-degree counting the self-loop (Kipf and Welling 2017, eq. 2); (N,)."""
    return normalize.gcn_norm(graph.adjacency("add"))


def mean_norm(graph: Any) -> NDArray[np.float64]:
    """1 / in-degree, 0 for a node without incoming edges; (N,)."""
    degree = graph.adjacency("keep").in_degree
    return np.divide(1.0, degree, out=np.zeros(degree.shape), where=degree > 0)


def split_columns(x: ag.Tensor, width: int) -> tuple[ag.Tensor, ag.Tensor]:
    """The first ``width`` columns of ``x`` and the others."""

    def part(columns: slice) -> ag.Tensor:
        def backward(grad: NDArray) -> tuple[NDArray]:
            whole = np.zeros(x.shape, grad.dtype)
            whole[:, columns] = grad
            return (whole,)

        return ag.record(np.ascontiguousarray(x.data[:, columns]), (x,), backward)

    return part(slice(0, width)), part(slice(width, None))
