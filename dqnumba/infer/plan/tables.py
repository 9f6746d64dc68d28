"""Tables that belong to a graph: padded indices, and how many rows meet in each row."""

from __future__ import annotations

import numpy as np

from ...graph import Graph
from ...kernels.dot.gather_vectors import pad_indices

__all__ = ["Edges"]


class Edges:
    """CSR arrays of a graph as the kernels read them.

    Parameters
    ----------
    graph : Graph
    loops : str
        Which adjacency of the graph: "keep", "add" or "remove".
    own : bool
        The kernel adds each node's own row to what the lists say.

    Attributes
    ----------
    indptr : int64 (N + 1,)
    indices : int32, padded
    terms : int64 (N,)
        How many rows are added into each row.
    """

    def __init__(self, graph: Graph, loops: str, own: bool) -> None:
        self.own, adjacency = own, graph.adjacency(loops)
        self.indptr = adjacency.indptr
        self.indices = pad_indices(adjacency.indices)
        self.terms = np.diff(self.indptr) + int(own)
