"""The same graph with every edge in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .build import compress

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["one_way", "undirected"]


def undirected(graph: Graph) -> Graph:
    """Add the reverse of each edge that has none yet.

    A new edge has the weight of the one that it reverses. Where both directions are listed, both stay as they are, so
    that an undirected graph comes back unchanged, whichever way it was written down.
    """
    source, target, missing = _reverses(graph)
    if not missing.any():
        return graph
    edges = np.stack([np.concatenate([source, target[missing]]), np.concatenate([target, source[missing]])])
    weight = None if graph.edge_weight is None else np.concatenate([graph.edge_weight, graph.edge_weight[missing]])
    indptr, indices, weight = compress(edges, weight, graph.num_nodes, coalesce=False)
    return graph.replace(indptr=indptr, indices=indices, edge_weight=weight)


def one_way(graph: Graph) -> bool:
    """Tell whether no edge has its reverse, as in a list of an undirected graph that names each edge once."""
    source, target, missing = _reverses(graph)
    between = source != target
    return bool(between.any() and missing[between].all())


def _reverses(graph: Graph) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Sources and targets of the edges, and which of them have no reverse; a self-loop is its own."""
    adjacency = graph.adjacency()
    source, target = adjacency.indices.astype(np.int64), adjacency.targets.astype(np.int64)
    # One number an edge, below 2^62, since node counts stay below 2^31.
    return source, target, ~np.isin(source * graph.num_nodes + target, target * graph.num_nodes + source)
