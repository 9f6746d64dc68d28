"""Hypothesis strategies for small graphs of every odd shape."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ...graph import Graph, SparseFeatures

__all__ = ["GRAPH_SHAPES", "csr", "edge_lists", "graphs"]


def _pairs(sources: object, targets: object) -> np.ndarray:
    return np.array([np.ravel(sources), np.ravel(targets)], np.int64).reshape(2, -1)


def _no_edges(n: int) -> np.ndarray:
    return np.zeros((2, 0), np.int64)


def _loops(n: int) -> np.ndarray:
    return _pairs(range(n), range(n))


def _hub_in(n: int) -> np.ndarray:
    """Every node but the last points to node 0: the largest in-degree, and one isolated node."""
    return _pairs(range(1, n - 1), np.zeros(max(n - 2, 0)))


def _hub_out(n: int) -> np.ndarray:
    return _hub_in(n)[::-1].copy()


def _twice(n: int) -> np.ndarray:
    """A path whose edges all come twice."""
    return np.tile(_pairs(range(n - 1), range(1, n)), 2)


def _cycle(n: int) -> np.ndarray:
    return _pairs(range(n), np.roll(np.arange(n), -1))


def _complete(n: int) -> np.ndarray:
    return _pairs(*np.nonzero(np.ones((n, n))))


def _tail_isolated(n: int) -> np.ndarray:
    """Edges among the first half of the nodes only."""
    return _complete((n + 1) // 2)


_SHAPES = {
    "no_nodes": (st.just(0), _no_edges),
    "one_node": (st.just(1), _no_edges),
    "one_node_loop": (st.just(1), _loops),
    "all_isolated": (st.integers(2, 7), _no_edges),
    "self_loops": (st.integers(2, 7), _loops),
    "hub_in": (st.integers(4, 9), _hub_in),
    "hub_out": (st.integers(4, 9), _hub_out),
    "duplicates": (st.integers(2, 6), _twice),
    "cycle": (st.integers(2, 7), _cycle),
    "complete": (st.integers(2, 5), _complete),
    "tail_isolated": (st.integers(3, 8), _tail_isolated),
}
GRAPH_SHAPES = (*_SHAPES, "random")
"""Names of the shapes that :func:`edge_lists` draws."""


@st.composite
def edge_lists(draw: st.DrawFn, *, shape: str | None = None) -> tuple[np.ndarray, int]:
    """(edge_index int64 (2, E), number of nodes): row 0 sources, row 1 targets, in any order.

    Parameters
    ----------
    shape : str, optional
        One of `GRAPH_SHAPES`; by default any.
    """
    shape = draw(st.sampled_from(GRAPH_SHAPES)) if shape is None else shape
    if shape == "random":
        num_nodes = draw(st.integers(1, 7))
        count = draw(st.integers(0, 20))
        return draw(hnp.arrays(np.int64, (2, count), elements=st.integers(0, num_nodes - 1))), num_nodes
    sizes, build = _SHAPES[shape]
    num_nodes = draw(sizes)
    edges = build(num_nodes)
    return edges[:, draw(st.permutations(range(edges.shape[1])))], num_nodes


@st.composite
def graphs(
    draw: st.DrawFn,
    *,
    shape: str | None = None,
    features: str | None = None,
    channels: int | None = None,
    weighted: bool | None = None,
) -> Graph:
    """A :class:`dqnumba.Graph` on a drawn edge list; arguments left at None are drawn.

    Parameters
    ----------
    shape : str
        One of `GRAPH_SHAPES`.
    features : {"dense", "sparse", "none"}
    channels : int
        Columns of the features, drawn from 1 to 4.
    weighted : bool
        Edge weights, zeros and negative ones among them. Duplicate edges are merged or kept, as it is drawn.
    """
    edges, num_nodes = draw(edge_lists(shape=shape))
    features = draw(st.sampled_from(("dense", "sparse", "none"))) if features is None else features
    channels = draw(st.integers(1, 4)) if channels is None else channels
    weighted = draw(st.booleans()) if weighted is None else weighted
    everyday = st.integers(-64, 64).map(lambda k: k / 16)
    x = draw(hnp.arrays(np.float32, (num_nodes, channels), elements=everyday))
    weight = draw(hnp.arrays(np.float32, edges.shape[1], elements=everyday)) if weighted else None
    x = {"dense": x, "sparse": SparseFeatures.from_dense(x), "none": None}[features]
    return Graph.from_edge_index(edges, x, None, num_nodes, weight, coalesce=draw(st.booleans()), name="drawn")


@st.composite
def csr(draw: st.DrawFn, *, max_rows: int = 8, max_degree: int = 5) -> tuple[np.ndarray, np.ndarray, int]:
    """(indptr int64, indices int32, number of sources); empty rows, repeated edges and no rows at all occur."""
    rows, sources = draw(st.integers(0, max_rows)), draw(st.integers(1, max_rows))
    degrees = draw(st.lists(st.integers(0, max_degree), min_size=rows, max_size=rows))
    indptr = np.concatenate([[0], np.cumsum(degrees, dtype=np.int64)]).astype(np.int64)
    edges = int(indptr[-1])
    indices = draw(st.lists(st.integers(0, sources - 1), min_size=edges, max_size=edges))
    return indptr, np.array(indices, dtype=np.int32), sources
