"""The same graph with every edge in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .build import compress

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["undirected"]


def undirected(graph: Graph) -> Graph:
    """Add the reverse of each edge that has none yet.

    A new edge has the weight of the one that it reverses. Where both directions are listed, both stay as they are, so
    that an undirected graph comes back unchanged, whichever way it was written down.
    """
    adjacency = graph.adjacency()
    source, target = adjacency.indices.astype(np.int64), adjacency.targets.astype(np.int64)
    # One number an edge, below 2^62, since node counts stay below 2^31.
    missing = ~np.isin(source * graph.num_nodes + target, target * graph.num_nodes + source)
    if not missing.any():
        return graph
    edges = np.stack([np.concatenate([source, target[missing]]), np.concatenate([target, source[missing]])])
    weight = None if graph.edge_weight is None else np.concatenate([graph.edge_weight, graph.edge_weight[missing]])
    indptr, indices, weight = compress(edges, weight, graph.num_nodes, coalesce=False)
    return graph.replace(indptr=indptr, indices=indices, edge_weight=weight)
