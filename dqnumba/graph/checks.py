"""What a graph must satisfy, and what is said when it does not.

Every function returns the value in the form in which ``Graph`` keeps it (read-only, right dtype) or raises
``GraphError`` with what was given, what is allowed and what to do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GraphError
from .arrays import as_array, integers, rises
from .freeze import frozen
from .sparse import SparseFeatures

__all__ = [
    "MAX_NODES",
    "check_features",
    "check_graph_ptr",
    "check_labels",
    "check_mask",
    "check_rows",
    "check_weight",
]

MAX_NODES = 2**31 - 1  # node ids are int32


def check_rows(indptr: ArrayLike, indices: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Check a square CSR pattern and return both arrays as integers, not yet frozen or narrowed."""
    pointer, sources = integers(indptr, "indptr"), integers(indices, "indices")
    if pointer.ndim != 1 or len(pointer) == 0 or pointer[0] != 0:
        raise GraphError(f"indptr has shape {pointer.shape}; it must be one-dimensional, N + 1 long and start with 0")
    if sources.ndim != 1:
        raise GraphError(f"indices has shape {sources.shape}; it must be one-dimensional, one source an edge")
    if len(pointer) - 1 > MAX_NODES:
        raise GraphError(f"the graph has {len(pointer) - 1} nodes; at most {MAX_NODES} fit its int32 indices")
    falls = np.flatnonzero(pointer[1:] < pointer[:-1])
    if len(falls):
        row = int(falls[0])
        raise GraphError(f"indptr falls from {pointer[row]} to {pointer[row + 1]} at row {row}; it must never fall")
    if pointer[-1] != len(sources):
        raise GraphError(f"indptr ends at {pointer[-1]}, but there are {len(sources)} indices; the two must be equal")
    bad = np.flatnonzero((sources < 0) | (sources >= len(pointer) - 1))
    if len(bad):
        row = int(np.searchsorted(pointer, bad[0], side="right")) - 1
        raise GraphError(
            f"the edge {sources[bad[0]]} -> {row} starts outside the graph; nodes are 0..{len(pointer) - 2} "
            f"({len(bad)} such edges)"
        )
    return pointer, sources


def check_features(x: object, num_nodes: int) -> NDArray | SparseFeatures | None:
    """Check node features: float32 (N, F), sparse (N, F), or int32 codes (N,)."""
    if x is None:
        return None
    if isinstance(x, SparseFeatures):
        features = x
    elif hasattr(x, "tocsr"):
        features = SparseFeatures.from_scipy(x)
    else:
        features = _dense_features(as_array(x, "x"))
    if features.shape[0] != num_nodes:
        raise GraphError(
            f"x has {features.shape[0]} rows, but the graph has {num_nodes} nodes; give one row a node "
            "(and num_nodes=, if the last nodes have no edge)"
        )
    return features


def _dense_features(x: NDArray) -> NDArray:
    if x.dtype.kind not in "iufb":
        raise GraphError(f"x has dtype {x.dtype}; features must be real numbers (or integer codes, one a node)")
    if x.ndim == 1 and (x.dtype.kind in "iu" or x.size == 0):
        codes = integers(x, "x")
        if codes.size and (codes.min() < 0 or codes.max() > np.iinfo(np.int32).max):
            node = int(np.argmax((codes < 0) | (codes > np.iinfo(np.int32).max)))
            raise GraphError(f"x holds the code {codes[node]} at node {node}; codes must be 0 or more and fit int32")
        return frozen(codes, np.int32)
    if x.ndim != 2:
        raise GraphError(
            f"x has shape {x.shape}; it must be (N, F), or (N,) for integer codes. "
            "For one number a node use x.reshape(-1, 1)"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows float32 is reported below, with its place
        features = frozen(x, np.float32)
    finite = np.isfinite(features)
    if not finite.all():
        node, column = (int(k) for k in np.argwhere(~finite)[0])
        raise GraphError(
            f"x holds {x[node, column]} at node {node}, column {column}; features must be finite float32 numbers: "
            f"replace or drop it ({int((~finite).sum())} such values)"
        )
    return features


def check_labels(
    y: ArrayLike | None, num_nodes: int, num_graphs: int, num_classes: int | None
) -> tuple[NDArray | None, int]:
    """Return labels and the number of classes: int64 labels, or float32 targets and 0 for regression."""
    if num_classes is not None and (not isinstance(num_classes, int | np.integer) or num_classes < 0):
        raise GraphError(f"num_classes is {num_classes!r}; it must be an integer, 0 or more")
    if y is None:
        return None, int(num_classes or 0)
    labels = as_array(y, "y")
    if labels.ndim != 1 or len(labels) not in (num_nodes, num_graphs):
        raise GraphError(
            f"y has shape {labels.shape}; it must be ({num_nodes},) with one label a node"
            + (f", or ({num_graphs},) with one a graph" if num_graphs != num_nodes else "")
        )
    if labels.dtype.kind == "f" and labels.size:
        return _targets(labels, num_classes)
    labels = integers(labels.astype(np.int64) if labels.dtype.kind == "b" else labels, "y")
    highest = int(labels.max()) if labels.size else -1
    classes = highest + 1 if num_classes is None else int(num_classes)
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise GraphError(
            f"y holds the label {labels[bad[0]]} at position {bad[0]}; labels are 0..{classes - 1} for "
            f"{classes} classes ({len(bad)} such labels). "
            "Give unlabelled nodes any class and leave them out of the masks"
        )
    return frozen(labels, np.int64), classes


def _targets(y: NDArray, num_classes: int | None) -> tuple[NDArray[np.float32], int]:
    if num_classes:
        raise GraphError(f"y has dtype {y.dtype}, which means regression, but num_classes is {num_classes}; "
                         "give integer labels, or leave num_classes out")
    with np.errstate(over="ignore"):
        targets = frozen(y, np.float32)
    if not np.isfinite(targets).all():
        place = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise GraphError(f"y holds {y[place]} at position {place}; regression targets must be finite float32 numbers")
    return targets, 0


def check_mask(mask: ArrayLike | None, name: str, num_nodes: int) -> NDArray[np.bool_] | None:
    """Check a node mask: bool (N,)."""
    if mask is None:
        return None
    array = as_array(mask, name)
    if array.dtype != bool:
        raise GraphError(
            f"{name} has dtype {array.dtype}; masks are bool, one entry a node. "
            "To make one from node ids: mask = np.zeros(num_nodes, bool); mask[ids] = True"
        )
    if array.shape != (num_nodes,):
        raise GraphError(
            f"{name} has shape {array.shape}; it must be ({num_nodes},), one entry a node "
            "(a split of whole graphs is train_index, val_index, test_index in a file, splits= in a GraphDataset)"
        )
    return frozen(array, bool)


def check_weight(weight: ArrayLike | None, num_edges: int) -> NDArray[np.float32] | None:
    """Check edge weights: finite float32 (E,)."""
    if weight is None:
        return None
    array = as_array(weight, "edge_weight")
    if array.dtype.kind not in "iufb" or array.shape != (num_edges,):
        raise GraphError(f"edge_weight has dtype {array.dtype} and shape {array.shape}; it must be ({num_edges},) real "
                         "numbers, one an edge")
    with np.errstate(over="ignore"):
        values = frozen(array, np.float32)
    if not np.isfinite(values).all():
        edge = int(np.flatnonzero(~np.isfinite(values))[0])
        raise GraphError(f"edge_weight holds {array[edge]} at edge {edge}; weights must be finite float32 numbers")
    return values


def check_graph_ptr(graph_ptr: ArrayLike | None, num_nodes: int) -> NDArray[np.int64] | None:
    """Check the node offsets of a batch: int64 (G + 1,), from 0 to N, never falling."""
    if graph_ptr is None:
        return None
    pointer = integers(graph_ptr, "graph_ptr")
    if not rises(pointer, 0, num_nodes):
        raise GraphError(
            "graph_ptr must be one-dimensional, start with 0, never fall and end with the number of nodes, "
            f"{num_nodes}; given shape {pointer.shape}" + (f", ending with {pointer.flat[-1]}" if pointer.size else "")
        )
    return frozen(pointer, np.int64)
