"""Graphs from PyTorch Geometric's ``Data`` by the names of its attributes; neither torch nor PyG is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from .build import from_edge_index
from .found import choose_split
from .sparse import SparseFeatures

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["from_pyg"]

_MASKS = ("train_mask", "val_mask", "test_mask")


def from_pyg(
    cls: type[Graph], data: object, *, weight: str | None = None, split: int | None = None, **fields: object
) -> Graph:
    """Build a graph from a PyTorch Geometric ``Data`` or ``Batch``, or anything with the same attributes.

    Read are ``edge_index`` (or ``adj_t``), ``x``, ``y``, ``train_mask, val_mask, test_mask``, the edge weights,
    ``num_nodes``, and ``ptr`` or ``batch`` of a batch of graphs. Everything else is left alone.

    Parameters
    ----------
    data
        Its arrays may be tensors (on any device), NumPy arrays or lists. ``x`` of integers with one column means codes
        (atom types, say).
    weight : str, optional
        Attribute of the edge weights. Default ``edge_weight`` if there is one, else none: ``edge_attr`` often holds
        kinds of edges, which are no weights, so it is read only if it is named here.
    split : int, optional
        Column of masks that hold several splits, (N, K); default 0.
    **fields
        As for ``from_edge_index``; they win over the attributes.

    Raises
    ------
    GraphError
        No edges; labels of several columns; a batch whose nodes are not in the order of their graphs; anything that
        ``Graph`` refuses.
    ConfigError
        A split that is not there.
    """
    edges, weights = _edges(data, weight)
    if "x" not in fields:
        fields["x"] = _features(getattr(data, "x", None))
    if "y" not in fields:
        fields["y"] = _labels(_array(getattr(data, "y", None), "y"))
    for name in _MASKS:
        mask = _array(getattr(data, name, None), name)
        if mask is not None and name not in fields:
            fields[name] = _mask(mask, name, split)
    if "graph_ptr" not in fields:
        fields["graph_ptr"] = _pointer(data)
    if fields["x"] is None and fields.get("num_nodes") is None and getattr(data, "num_nodes", None) is not None:
        fields["num_nodes"] = int(data.num_nodes)  # type: ignore[attr-defined]
    return from_edge_index(cls, edges, edge_weight=fields.pop("edge_weight", weights), **fields)


def _array(value: object, name: str) -> NDArray | None:
    """A tensor or array as a NumPy array."""
    if value is None:
        return None
    try:
        for step in ("detach", "cpu"):
            value = getattr(value, step)() if hasattr(value, step) else value
        return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraphError(f"{name} cannot be read as a NumPy array ({reason}); convert it, with .float() say") from error


def _edges(data: object, weight: str | None) -> tuple[NDArray, NDArray | None]:
    edge_index = getattr(data, "edge_index", None)
    weights = None
    if edge_index is None and hasattr(getattr(data, "adj_t", None), "coo"):
        # A transposed adjacency: its rows are targets.
        target, source, weights = data.adj_t.coo()  # type: ignore[attr-defined]
        edge_index = np.stack([_array(source, "adj_t"), _array(target, "adj_t")])
    if edge_index is None:
        raise GraphError(
            f"from_pyg needs an object with edge_index (2, E), as torch_geometric.data.Data has; {type(data).__name__} "
            "has none. Make a heterogeneous graph homogeneous first (data.to_homogeneous())"
        )
    edges = _array(edge_index, "edge_index")
    if weight is not None and getattr(data, weight, None) is None:
        raise GraphError(f"{type(data).__name__} has no attribute {weight!r} for the edge weights; name another one")
    values = _array(getattr(data, weight or "edge_weight", None), weight or "edge_weight")
    values = _array(weights, "adj_t") if values is None else values
    if values is not None and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return edges, values


def _features(x: object) -> NDArray | SparseFeatures | None:
    layout = str(getattr(x, "layout", ""))
    if layout.endswith("sparse_coo"):
        x = x.coalesce()  # type: ignore[union-attr]  # sorted by row, and by column in it
        (rows, columns), values = _array(x.indices(), "x"), _array(x.values(), "x")
        indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=x.shape[0]))))
        return SparseFeatures(indptr, columns, values, tuple(x.shape))
    if layout.endswith("sparse_csr"):
        indptr, indices, values = (_array(part, "x") for part in (x.crow_indices(), x.col_indices(), x.values()))
        return SparseFeatures(indptr, indices, values, tuple(x.shape))
    if hasattr(x, "tocsr"):
        return SparseFeatures.from_scipy(x)
    array = _array(x, "x")
    if array is not None and array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind in "iu":
        return array[:, 0]
    return array.reshape(-1, 1) if array is not None and array.ndim == 1 and array.dtype.kind == "f" else array


def _labels(y: NDArray | None) -> NDArray | None:
    if y is None or y.ndim == 1:
        return y
    if y.ndim == 0:
        return y.reshape(1)
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    raise GraphError(
        f"y has shape {y.shape}; a node or graph has one label here. Choose one column, with y=data.y[:, 0]"
    )


def _mask(mask: NDArray, name: str, split: int | None) -> NDArray:
    if mask.ndim == 2:
        mask = mask[:, choose_split(split, mask.shape[1], name)]
    # Old releases stored masks as uint8.
    return mask.astype(bool) if mask.dtype == np.uint8 and mask.max(initial=0) <= 1 else mask


def _pointer(data: object) -> NDArray | None:
    pointer = _array(getattr(data, "ptr", None), "ptr")
    if pointer is not None:
        return pointer
    graph_of_node = _array(getattr(data, "batch", None), "batch")
    if graph_of_node is None:
        return None
    whole = graph_of_node.ndim == 1 and graph_of_node.dtype.kind in "iu"
    if not whole or (graph_of_node[1:] < graph_of_node[:-1]).any():
        raise GraphError("batch must hold the graph of each node, ascending; sort the nodes by graph first")
    count = getattr(data, "num_graphs", None)
    highest = int(graph_of_node.max(initial=-1)) + 1
    if graph_of_node.size and (graph_of_node[0] < 0 or highest > 10 * len(graph_of_node) + 1000):
        raise GraphError(f"batch holds the graph {highest - 1 if graph_of_node[0] >= 0 else graph_of_node[0]}; "
                         "graphs are numbered 0..G-1")  # fmt: skip
    sizes = np.bincount(graph_of_node, minlength=max(highest, int(count or 0)))
    return np.concatenate(([0], np.cumsum(sizes)))
