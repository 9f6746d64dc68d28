"""The protective mask of Degree-Quant: high in-degree nodes stay in full precision more often (paper, algorithm 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_mask", "protection_probability"]


def protection_probability(graph: Any, low: float, high: float) -> NDArray[np.float64]:
    r"""Probability of protecting each node in one pass.

    .. math:: p(v) = p_{low} + (p_{high} - p_{low}) \cdot \frac{|\{u : d(u) \le d(v)\}|}{n}

    where d is the in-degree before self-loops are added and u runs over the n nodes of v's own graph. Ties share one
    value and the nodes of the largest in-degree get exactly ``high`` (official code, ``dq/transforms.py``).

    Parameters
    ----------
    graph : Graph
        One graph or a batch; ranks are taken within each graph of a batch.
    low, high : float
        0 <= low <= high <= 1.

    Returns
    -------
    ndarray, float64, shape (num_nodes,)
    """
    degree = graph.in_degree
    if degree.size == 0:
        return np.zeros(0)
    if graph.graph_ptr is None:
        start, size, key = 0, degree.size, degree
    else:
        # Degrees of different graphs are kept apart by a stride larger than any degree, so one sort ranks all graphs.
        index = graph.graph_index.astype(np.int64)
        sizes = np.diff(graph.graph_ptr)
        start, size = graph.graph_ptr[:-1][index], sizes[index]
        key = index * (int(degree.max()) + 1) + degree
    if key.max() <= 16 * key.size:  # a table of all keys is small: count instead of sorting
        not_larger = np.cumsum(np.bincount(key))[key] - start
    else:
        not_larger = np.searchsorted(np.sort(key), key, side="right") - start
    share = not_larger / size
    # The last bit of low + (high - low) * 1 can miss ``high``, on either side.
    return np.where(share == 1.0, high, np.minimum(low + (high - low) * share, high))


def draw_mask(probability: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Fresh Bernoulli draws, True where a node is protected; shape of ``probability``."""
    return rng.random(probability.shape) < probability
