"""Operations along the edges of a graph, and products with sparse features.

An ``adjacency`` is any object with the attributes of `dqnumba.graph.Adjacency`: a CSR whose rows are the targets
(``indptr``, ``indices``, ``weight`` or None) and its transpose (``transposed``: row pointer over the sources, targets,
edge numbers). Gradients run along the transpose, so that here too every row is written by one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import attention_float, columns_float, csr_float, segment_float
from . import memory
from .tensor import Tensor, record

__all__ = [
    "edge_softmax",
    "edge_sum",
    "embedding",
    "gather_rows",
    "gather_source",
    "gather_target",
    "neighbor_sum",
    "scale_rows",
    "self_and_neighbor_sum",
    "sparse_matmul",
    "sparse_neighbor_sum",
    "weighted_neighbor_sum",
]


def neighbor_sum(adjacency: Any, x: Tensor) -> Tensor:
    """out[i] = sum over the edges e into i of weight[e] * x[source of e]; weight None is 1. (N, C) -> (N, C)."""
    out = _csr_sum(adjacency.indptr, adjacency.indices, adjacency.weight, x.data)

    def backward(grad):
        pointer, targets, edges = adjacency.transposed
        weight = None if adjacency.weight is None else adjacency.weight[edges]
        return (_csr_sum(pointer, targets, weight, grad),)

    return record(out, (x,), backward, spare=True)


def self_and_neighbor_sum(adjacency: Any, x: Tensor, self_weight: Tensor) -> Tensor:
    """out[i] = self_weight * x[i] + `neighbor_sum` (x)[i], the sum of GIN. (N, C) and (1,) -> (N, C)."""
    if self_weight.shape != (1,) or self_weight.dtype != x.dtype:
        raise ValueError(f"self_weight is {self_weight.dtype} {self_weight.shape}; it must be {x.dtype} of shape (1,)")
    data, factor = np.ascontiguousarray(x.data), np.ascontiguousarray(self_weight.data)
    out = memory.empty(x.shape, x.dtype)
    csr_float.csr_sum_with_self(adjacency.indptr, adjacency.indices, adjacency.weight, factor, data, out)

    def backward(grad):
        grad = np.ascontiguousarray(grad)
        to_x = to_weight = None
        if x.requires_grad:
            pointer, targets, edges = adjacency.transposed
            weight = None if adjacency.weight is None else adjacency.weight[edges]
            to_x = memory.empty(x.shape, x.dtype)
            csr_float.csr_sum_with_self(pointer, targets, weight, factor, grad, to_x)
        if self_weight.requires_grad:
            partial = np.empty(-(-len(data) // columns_float.CHUNK_ROWS))
            columns_float.chunk_dots(data, grad, partial)
            to_weight = np.array([partial.sum()], x.dtype)
        return to_x, to_weight

    return record(out, (x, self_weight), backward, spare=True)


def weighted_neighbor_sum(adjacency: Any, coef: Tensor, x: Tensor) -> Tensor:
    """out[i, h] = sum over the edges e into i of coef[e, h] * x[source of e, h], the sum of graph attention (GAT).

    Parameters
    ----------
    coef : Tensor (E, H)
        In the edge order of the adjacency.
    x : Tensor (N, H * C)

    Returns
    -------
    Tensor (N, H * C)
    """
    values, source = np.ascontiguousarray(coef.data), np.ascontiguousarray(x.data)
    out = memory.empty((adjacency.indptr.size - 1, x.shape[1]), x.dtype)
    attention_float.csr_weighted_sum(adjacency.indptr, adjacency.indices, values, source, out)

    def backward(grad):
        grad = np.ascontiguousarray(grad)
        to_coef = to_x = None
        if coef.requires_grad:
            to_coef = memory.empty(coef.shape, coef.dtype)
            attention_float.edge_dot(adjacency.indptr, adjacency.indices, grad, source, to_coef)
        if x.requires_grad:
            pointer, targets, edges = adjacency.transposed
            to_x = memory.empty(x.shape, x.dtype)
            attention_float.csr_weighted_sum(pointer, targets, _take(values, edges), grad, to_x)
        return to_coef, to_x

    return record(out, (coef, x), backward, spare=True)


def gather_source(adjacency: Any, x: Tensor) -> Tensor:
    """out[e] = x[source of e]. (N, C) -> (E, C)."""

    def backward(grad):
        pointer, _, edges = adjacency.transposed
        return (_csr_sum(pointer, edges, None, grad),)

    return record(_take(x.data, adjacency.indices), (x,), backward, spare=True)


def gather_target(adjacency: Any, x: Tensor) -> Tensor:
    """out[e] = x[target of e]. (N, C) -> (E, C)."""

    def backward(grad):
        return (_segment_sum(adjacency.indptr, grad),)

    return record(_segment_spread(adjacency.indptr, x.data), (x,), backward, spare=True)


def edge_sum(adjacency: Any, messages: Tensor) -> Tensor:
    """out[i] = sum of the messages of the edges into i. (E, C) -> (N, C)."""

    def backward(grad):
        return (_segment_spread(adjacency.indptr, grad),)

    return record(_segment_sum(adjacency.indptr, messages.data), (messages,), backward, spare=True)


def edge_softmax(adjacency: Any, logits: Tensor) -> Tensor:
    """Softmax over the edges into each node, a head at a time. (E, H) -> (E, H).

    With alpha the output: d logits = alpha * (grad - sum over the same node's edges of alpha * grad).
    """
    alpha = memory.empty(logits.shape, logits.dtype)
    attention_float.edge_softmax(adjacency.indptr, np.ascontiguousarray(logits.data), alpha)

    def backward(grad):
        result = memory.empty(logits.shape, logits.dtype)
        attention_float.edge_softmax_backward(adjacency.indptr, alpha, np.ascontiguousarray(grad), result)
        return (result,)

    return record(alpha, (logits,), backward)


def sparse_matmul(features: Any, weight: Tensor) -> Tensor:
    """features @ weight for sparse features (N, F) and weight (F, M); only the weight gets a gradient.

    ``features`` has the attributes of `dqnumba.graph.SparseFeatures`: ``indptr``, ``indices``, ``data``,
    ``transposed``.
    """
    values = features.data.astype(weight.dtype, copy=False)
    out = _csr_sum(features.indptr, features.indices, values, weight.data)

    def backward(grad):
        pointer, rows, order = features.transposed
        return (_csr_sum(pointer, rows, values[order], grad),)

    return record(out, (weight,), backward, spare=True)


def sparse_neighbor_sum(adjacency: Any, features: Any) -> np.ndarray:
    """Neighbour sum of sparse features as a dense array (N, F): a constant, so it has no gradient and can be kept."""
    out = memory.empty((adjacency.indptr.size - 1, features.shape[1]), features.data.dtype)
    csr_float.csr_sum_of_sparse(
        adjacency.indptr, adjacency.indices, adjacency.weight, features.indptr, features.indices, features.data, out
    )
    return out


def scale_rows(x: Tensor, factor: np.ndarray) -> Tensor:
    """out[i] = factor[i] * x[i] with a constant ``factor`` (N,). (N, C) -> (N, C)."""
    factor = np.ascontiguousarray(factor, dtype=x.dtype)

    def scaled(array):
        out = memory.empty(x.shape, x.dtype)
        csr_float.scale_rows(np.ascontiguousarray(array), factor, out)
        return out

    def backward(grad):
        return (scaled(grad),)

    return record(scaled(x.data), (x,), backward, spare=True)


def gather_rows(x: Tensor, index: np.ndarray) -> Tensor:
    """out[k] = x[index[k]] for ``index`` int (K,), repeats allowed. (V, C) -> (K, C)."""
    index = np.asarray(index)
    if index.size and (index.min() < 0 or index.max() >= x.shape[0]):
        raise IndexError(
            f"gather_rows got indices from {index.min()} to {index.max()}; allowed are 0 to {x.shape[0] - 1}"
        )

    def backward(grad):
        # Group the rows of the gradient by where they go; a short integer type lets NumPy sort by radix.
        keys = index.astype(np.uint16) if x.shape[0] <= 1 << 16 else index
        pointer = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=x.shape[0]))])
        return (_csr_sum(pointer, np.argsort(keys, kind="stable"), None, grad),)

    return record(_take(x.data, index), (x,), backward)


def embedding(weight: Tensor, codes: np.ndarray) -> Tensor:
    """Row ``codes[i]`` of the table ``weight`` (V, C) for every i: `gather_rows` by the name models use."""
    return gather_rows(weight, codes)


def _csr_sum(indptr: np.ndarray, indices: np.ndarray, weight: np.ndarray | None, x: np.ndarray) -> np.ndarray:
    out = memory.empty((indptr.size - 1, x.shape[1]), x.dtype)
    csr_float.csr_sum(indptr, indices, weight, np.ascontiguousarray(x), out)
    return out


def _segment_sum(ptr: np.ndarray, x: np.ndarray) -> np.ndarray:
    out = memory.empty((ptr.size - 1, x.shape[1]), x.dtype)
    segment_float.segment_sum(ptr, np.ascontiguousarray(x), out)
    return out


def _segment_spread(ptr: np.ndarray, x: np.ndarray) -> np.ndarray:
    out = memory.empty((int(ptr[-1]), x.shape[1]), x.dtype)
    segment_float.segment_spread(ptr, np.ascontiguousarray(x), out)
    return out


def _take(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    out = memory.empty((index.size, x.shape[1]), x.dtype)
    csr_float.gather_rows(index, np.ascontiguousarray(x), out)
    return out
