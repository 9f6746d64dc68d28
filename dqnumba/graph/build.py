"""Builders of graphs from what people have at hand: an edge list, a scipy matrix.

They are class methods of ``Graph``, kept here and in the files beside this one so that the class itself fits on a
screen. scipy is not imported: its objects bring their own methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GraphError
from .arrays import as_array, integers
from .checks import MAX_NODES, check_weight
from .freeze import own
from .sparse import SparseFeatures

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["compress", "from_edge_index", "from_scipy", "permuted"]


def from_edge_index(
    cls: type[Graph],
    edge_index: ArrayLike,
    x: object = None,
    y: ArrayLike | None = None,
    num_nodes: int | None = None,
    edge_weight: ArrayLike | None = None,
    *,
    coalesce: bool = True,
    **fields: object,
) -> Graph:
    """Build a graph from an edge list.

    Parameters
    ----------
    edge_index : int (2, E)
        Row 0 holds the sources, row 1 the targets. An undirected graph lists both directions.
    x, y
        As in ``Graph``.
    num_nodes : int, optional
        Default: the rows of ``x``, else the end of ``graph_ptr``, else the length of a mask, else the highest
        node id + 1 (which misses nodes without edges at the end).
    edge_weight : float (E,), optional
        In the order of ``edge_index``.
    coalesce : bool
        Merge edges that are listed several times: dropped if there are no weights, their weights summed (in
        float64) if there are. With ``False`` every listed edge stays.
    **fields
        ``train_mask, val_mask, test_mask, graph_ptr, num_classes, num_categories, name``.

    Raises
    ------
    GraphError
        If an id is outside 0 .. num_nodes - 1 (the message names the edge), or anything ``Graph`` refuses.
    """
    edges = integers(edge_index, "edge_index")
    if edges.size == 0:
        edges = edges.reshape(2, 0)
    if edges.ndim != 2 or edges.shape[0] != 2:
        hint = "; transpose it" if edges.ndim == 2 and edges.shape[1] == 2 else ""
        raise GraphError(f"edge_index has shape {edges.shape}; it must be (2, E): row 0 sources, row 1 targets{hint}")
    given, num_nodes = num_nodes, _count_nodes(edges, x, num_nodes, fields)
    bad = np.flatnonzero(((edges < 0) | (edges >= num_nodes)).any(axis=0))
    if len(bad):
        source, target = edges[:, bad[0]]
        raise GraphError(
            f"edge {bad[0]} ({source} -> {target}) has an end outside the graph; nodes are 0..{num_nodes - 1}"
            + (", as many as x has rows" if given is None and x is not None else "")
            + f" ({len(bad)} such edges). Drop them, or give features (or num_nodes) for all nodes"
        )
    weight = check_weight(edge_weight, edges.shape[1])
    indptr, indices, weight = compress(edges, weight, num_nodes, coalesce)
    return cls(indptr, indices, x, y, weight, **fields)


def _count_nodes(edges: NDArray[np.int64], x: object, given: int | None, fields: dict[str, object]) -> int:
    if given is not None:
        if not isinstance(given, int | np.integer) or not 0 <= given <= MAX_NODES:
            raise GraphError(f"num_nodes is {given!r}; it must be an integer in 0..{MAX_NODES}")
        return int(given)
    # What has no length is passed over here and refused by the checks of Graph, with its own message.
    if x is not None:
        shape = x.shape if hasattr(x, "shape") else as_array(x, "x").shape
        if shape:
            return int(shape[0])
    if fields.get("graph_ptr") is not None:
        pointer = integers(fields["graph_ptr"], "graph_ptr")
        if pointer.size:
            count = int(pointer.flat[-1])
            if not 0 <= count <= MAX_NODES:
                raise GraphError(f"graph_ptr ends with {count}; it must end with the number of nodes")
            return count
    for mask in ("train_mask", "val_mask", "test_mask"):
        if fields.get(mask) is not None and np.ndim(fields[mask]):
            return len(fields[mask])
    count = int(edges.max()) + 1 if edges.size else 0
    if count > MAX_NODES:
        raise GraphError(f"edge_index holds the node id {count - 1}; number the nodes 0..N-1")
    return count


def compress(
    edges: NDArray[np.int64], weight: NDArray[np.float32] | None, num_nodes: int, coalesce: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32] | None]:
    """Sort edges by (target, source) and compress the targets into row pointers: indptr, indices, weights."""
    key = edges[1].astype(np.int64) * num_nodes + edges[0]  # below 2^62, since node counts stay below 2^31
    if weight is None:
        key.sort()  # not np.unique, which hashes integers: ten times slower on millions of edges
        if coalesce and len(key):
            key = key[np.concatenate(([True], key[1:] != key[:-1]))]
    else:
        order = np.argsort(key, kind="stable")
        key, weight = key[order], weight[order]
        if coalesce and len(key):
            first = np.flatnonzero(np.concatenate(([True], np.diff(key) != 0)))
            with np.errstate(over="ignore"):  # a sum beyond float32 becomes inf, which Graph refuses with its place
                weight = np.add.reduceat(weight.astype(np.float64), first).astype(np.float32)
            key = key[first]
        own(weight)
    target, source = np.divmod(key, max(num_nodes, 1))
    indptr = np.zeros(num_nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(target, minlength=num_nodes), out=indptr[1:])
    return own(indptr), own(source.astype(np.int32)), weight


def from_scipy(
    cls: type[Graph], matrix: object, x: object = None, y: ArrayLike | None = None, **fields: object
) -> Graph:
    """Build a graph from a square scipy.sparse matrix or array (N, N).

    ``matrix[i, j]`` is the edge *from* ``i`` *to* ``j``, as in ``scipy.sparse.csgraph`` and networkx. Stored
    zeros are no edges, duplicates are summed. Values that are all 1 give a graph without weights.
    """
    if not hasattr(matrix, "tocsc") or len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = getattr(matrix, "shape", type(matrix).__name__)
        raise GraphError(f"from_scipy needs a square scipy.sparse matrix, given {shape}")
    by_target = matrix.tocsc(copy=True)  # a column holds the edges into one node: CSC is CSR by targets
    by_target.sum_duplicates()
    by_target.eliminate_zeros()
    weight = None if (by_target.data == 1).all() else by_target.data
    return cls(by_target.indptr, by_target.indices, x, y, weight, **fields)


def permuted(graph: Graph, order: ArrayLike) -> Graph:
    """Renumber nodes: new node ``k`` is old node ``order[k]``. In a batch nodes must stay in their graph."""
    order = integers(order, "order")
    if not np.array_equal(np.sort(order), np.arange(graph.num_nodes)):
        raise GraphError(f"order must hold each of 0..{graph.num_nodes - 1} once")
    if not np.array_equal(graph.graph_index[order], graph.graph_index):
        raise GraphError("order moves a node into another graph of the batch; permute inside graph_ptr only")
    new = np.empty_like(order)
    new[order] = np.arange(graph.num_nodes)
    adjacency = graph.adjacency()
    edges = np.stack([new[adjacency.indices], new[adjacency.targets]])
    indptr, indices, weight = compress(edges, graph.edge_weight, graph.num_nodes, coalesce=False)
    changes: dict[str, object] = {}
    if graph.x is not None:
        changes["x"] = graph.x.take_rows(order) if isinstance(graph.x, SparseFeatures) else graph.x[order]
    if graph.y is not None and len(graph.y) == graph.num_nodes:
        changes["y"] = graph.y[order]
    for mask in ("train_mask", "val_mask", "test_mask"):
        if getattr(graph, mask) is not None:
            changes[mask] = getattr(graph, mask)[order]
    return graph.replace(indptr=indptr, indices=indices, edge_weight=weight, **changes)
