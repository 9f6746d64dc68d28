"""Tables that belong to a graph: padded indices, and how many rows meet in each row."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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
    """

    def __init__(self, graph: Graph, loops: str, own: bool) -> None:
        self.own, adjacency = own, graph.adjacency(loops)
        self.indptr = adjacency.indptr
        self.indices = pad_indices(adjacency.indices)

    @cached_property
    def terms(self) -> NDArray[np.int64]:
        """How many rows are added into each row."""
        return np.diff(self.indptr) + int(self.own)
