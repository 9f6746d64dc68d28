"""Ranges of rows that no edge leaves: a program may run on one of them from its first phase to its last."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...graph import Graph

__all__ = ["Ranges", "closed_boundaries", "group_rows"]

_LEAST = 192
"""Rows of a range below which its ends cost too much: blocks that are not full."""

_EDGES = 20_000
"""Edges that a range may have however few there are in all."""


@dataclass
class Ranges:
    """Consecutive ranges of the nodes of a graph.

    Attributes
    ----------
    nodes : int64 (R + 1,)
        Where they begin, and the end of the last.
    graphs : int64 (R + 1,)
        The same in graphs of the batch; zeros if the program has no rows of this kind.
    """

    nodes: NDArray[np.int64]
    graphs: NDArray[np.int64]

    @property
    def most(self) -> int:
        """Nodes of the largest."""
        return int(np.diff(self.nodes).max())

    def of(self, rows: str) -> NDArray[np.int64]:
        """In rows of kind "node" or "graph"."""
        return self.nodes if rows == "node" else self.graphs

    def blocks(self, rows: str, size: int) -> NDArray[np.int64]:
        """Bounds of blocks of at most ``size`` rows that end where ranges end."""
        firsts = self.of(rows)
        starts = [np.arange(*ends, size) for ends in itertools.pairwise(firsts.tolist())]
        return np.concatenate([*starts, firsts[-1:]])


def closed_boundaries(graph: Graph) -> NDArray[np.bool_]:
    """Whether no edge joins a row before b with one from b on, for b from 0 to the number of rows."""
    adjacency, count = graph.adjacency("keep"), graph.num_nodes
    crossing = np.zeros(count + 2, np.int64)
    rows = np.flatnonzero(np.diff(adjacency.indptr))
    if len(rows):
        starts = adjacency.indptr[rows]
        lowest = np.minimum(np.minimum.reduceat(adjacency.indices, starts), rows)
        highest = np.maximum(np.maximum.reduceat(adjacency.indices, starts), rows)
        # A row whose sources span lowest .. highest closes the boundaries between them.
        crossing += np.bincount(lowest + 1, minlength=count + 2) - np.bincount(highest + 1, minlength=count + 2)
    return np.cumsum(crossing)[: count + 1] == 0


def group_rows(
    closed: NDArray[np.bool_], indptr: NDArray[np.int64], graph_ptr: NDArray[np.int64] | None, rows: int, threads: int
) -> Ranges | None:
    """Ranges of about ``rows`` rows, fewer where each thread would not get some of them.

    Parameters
    ----------
    closed : bool (N + 1,)
        As of :func:`closed_boundaries`.
    indptr : int64 (N + 1,)
        Of the edges.
    graph_ptr : int64 (G + 1,), optional
        A range then holds whole graphs.
    rows, threads : int

    Returns
    -------
    Ranges, or None if there were only one, or one of more than twice as many rows as wanted, or of so many edges that
    the other threads would wait for it.
    """
    count = len(closed) - 1
    boundaries = np.flatnonzero(closed) if graph_ptr is None else np.unique(graph_ptr[closed[graph_ptr]])
    rows = min(rows, max(_LEAST, count // (8 * threads)))
    ends = [0]
    while ends[-1] < count:
        k = int(np.searchsorted(boundaries, ends[-1] + rows, side="right")) - 1
        if boundaries[k] <= ends[-1]:
            k += 1
        ends.append(int(boundaries[k]))
    nodes = np.array(ends, np.int64)
    most_edges = np.diff(indptr[nodes]).max(initial=0)
    if len(nodes) < 3 or np.diff(nodes).max() > 2 * rows or most_edges > max(_EDGES, indptr[-1] // (4 * threads)):
        return None
    graphs = np.zeros(len(nodes), np.int64)
    if graph_ptr is not None:
        graphs[:] = np.searchsorted(graph_ptr, nodes)
        graphs[-1] = len(graph_ptr) - 1  # graphs without a node stand there too
    return Ranges(nodes, graphs)
