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
        "keep", "add" or "remove", as the step says.
    inline : bool
        The self-loop of "add" is not in the lists: the kernel adds each node's own row.
    """

    def __init__(self, graph: Graph, loops: str, *, inline: bool) -> None:
        self.own = loops == "add" and inline
        adjacency = graph.adjacency("remove" if self.own else loops)
        self.indptr = adjacency.indptr
        self.indices = pad_indices(adjacency.indices)

    @cached_property
    def terms(self) -> NDArray[np.int64]:
        """How many rows are added into each row."""
        return np.diff(self.indptr) + int(self.own)
