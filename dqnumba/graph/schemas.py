"""Public layouts of graphs in npz files, told apart by the names of their arrays.

Each reader makes of a file what the code that published the layout makes of it, and says so in its notes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .adjacency import without_self_loops
from .arrays import integers, rises
from .dataset import GraphDataset
from .file import array_names, check_size, from_arrays, read_arrays, shown
from .found import GraphFile, choose_split
from .graph import Graph
from .sparse import SparseFeatures

__all__ = ["read_npz"]

_ADJACENCY = ("adj_data", "adj_indices", "adj_indptr", "adj_shape")
_ATTRIBUTES = ("attr_data", "attr_indices", "attr_indptr", "attr_shape")
_HETEROPHILOUS = ("node_features", "node_labels", "edges")
_MASKS = ("train_mask", "val_mask", "test_mask")


def read_npz(path: str | os.PathLike, *, split: int | None = None, directed: bool | None = None) -> GraphFile:
    """Read a graph file of any known layout.

    Parameters
    ----------
    path
    split : int, optional
        Which split to take, where the file holds several; default 0.
    directed : bool, optional
        Keep edges as they are listed (True) or add the reverse of each (False); default: as the layout says.

    Raises
    ------
    DataError
        No npz, or none of a known layout.
    GraphError
        Arrays that are no valid graph.
    ConfigError
        A split that is not there.
    """
    names = set(array_names(path))
    read: Callable[..., GraphFile]
    if names & {"edge_index"}:
        read = _own
    elif set(_ADJACENCY[1:]) <= names:
        read = _gnn_benchmark
    elif {"edges", "node_features"} <= names or {"edges", "node_labels"} <= names:
        read = _heterophilous
    else:
        raise DataError(
            f"{path}: no known layout of a graph. It needs edge_index (ours; dqnumba.graph.save_npz writes it), or "
            f"{', '.join(_ADJACENCY)} (gnn-benchmark), or {', '.join(_HETEROPHILOUS)} (heterophilous graphs); "
            f"it holds {shown(names)}"
        )
    found = read(path, names, split, directed)
    name = "" if isinstance(found.data, GraphDataset) or found.data.name else Path(path).stem
    return replace(found, data=found.data.replace(name=name)) if name else found


def _own(path: str | os.PathLike, names: set[str], split: int | None, directed: bool | None) -> GraphFile:
    data = from_arrays(read_arrays(path), path)
    notes = []
    if directed is False:
        if isinstance(data, GraphDataset):
            data = GraphDataset(data.union.undirected(), name=data.name, splits=data.splits)
        else:
            data = data.undirected()
        notes.append("edges taken in both directions")
    # The number is that of a fold, for a data set of graphs.
    many = isinstance(data, GraphDataset)
    splits = data.splits is not None if many else data.train_mask is not None
    chosen = choose_split(split if not many else None, 1, str(path)) if splits else None
    kind = "npz of many graphs" if many else "npz"
    return GraphFile(data, kind, tuple(notes), num_splits=int(splits), split=chosen)


def _gnn_benchmark(path: str | os.PathLike, names: set[str], split: int | None, directed: bool | None) -> GraphFile:
    """A directed CSR adjacency by source; its readers take it undirected, without weights and loops."""
    if "labels_data" in names:
        raise DataError(f"{path}: several labels a node (labels_data); one label a node can be learned here")
    wanted = {*_ADJACENCY, *_ATTRIBUTES, "attr_matrix", "labels"}
    arrays = read_arrays(path, only=wanted)
    pointer, sources_last = arrays["adj_indptr"], arrays["adj_indices"]
    shape = _shape(arrays["adj_shape"], path, "adj_shape")
    if shape[0] != shape[1]:
        raise DataError(f"{path}: adj_shape is {shape}; the adjacency of a graph is square")
    fields: dict[str, object] = {}
    if all(name in arrays for name in _ATTRIBUTES):
        attributes = _shape(arrays["attr_shape"], path, "attr_shape")
        fields["x"] = _canonical(arrays, attributes)
    elif "attr_matrix" in arrays:
        fields["x"] = arrays["attr_matrix"]
    if "labels" in arrays:
        fields["y"] = arrays["labels"]
    # Rows are sources here, so the CSR is checked as the graph whose edges are all reversed, and turned round after.
    reverse = Graph(pointer, sources_last)
    if reverse.num_nodes != shape[0]:
        raise DataError(f"{path}: adj_shape is {shape}, but adj_indptr has {reverse.num_nodes} rows")
    kept = without_self_loops(reverse.adjacency())
    loops = reverse.num_edges - kept.num_edges
    graph = Graph.from_edge_index(np.stack([kept.targets, kept.indices]), num_nodes=shape[0], **fields)
    notes = [f"{loops} self-loops left out"] if loops else []
    check_size(path, arrays, classes=graph.num_classes, features=graph.num_features)
    if not directed:
        graph = graph.undirected()
        notes.append("edges taken in both directions")
    if "adj_data" in arrays and (arrays["adj_data"] != 1).any():
        notes.append("edge weights left out")
    choose_split(split, 1, str(path))
    return GraphFile(graph, "gnn-benchmark npz", tuple(notes))


def _canonical(arrays: dict[str, NDArray], shape: tuple[int, int]) -> SparseFeatures:
    """CSR attributes with the columns of each row ascending, as public files do not always have them."""
    data, indices = arrays["attr_data"], arrays["attr_indices"]
    pointer = integers(arrays["attr_indptr"], "attr_indptr")
    if pointer.shape == (shape[0] + 1,) and data.shape == indices.shape == (int(pointer[-1]),):
        lengths = np.diff(pointer)
        if rises(pointer, 0, len(data)):
            rows = np.repeat(np.arange(shape[0]), lengths)
            order = np.lexsort((indices, rows))
            data, indices = data[order], indices[order]
    return SparseFeatures(pointer, indices, data, shape)


def _heterophilous(path: str | os.PathLike, names: set[str], split: int | None, directed: bool | None) -> GraphFile:
    """Edges (E, 2), each undirected one once; masks (K, N) of K splits."""
    arrays = read_arrays(path, only={*_HETEROPHILOUS, *(f"{name}s" for name in _MASKS)})
    edges = arrays["edges"]
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise DataError(f"{path}: edges has shape {edges.shape}; it must be (E, 2), source and target")
    fields: dict[str, object] = {"x": arrays.get("node_features"), "y": arrays.get("node_labels")}
    count, chosen = 0, None
    for name in _MASKS:
        masks = arrays.get(f"{name}s")
        if masks is None:
            continue
        masks = masks.reshape(1, -1) if masks.ndim == 1 else masks
        if masks.ndim != 2 or not len(masks) or (count and len(masks) != count):
            raise DataError(f"{path}: {name}s has shape {masks.shape}; it must be (K, N), the same K in all three")
        count = len(masks)
        chosen = choose_split(split, count, str(path))
        if masks.dtype.kind not in "biu":
            raise DataError(f"{path}: {name}s has dtype {masks.dtype}; masks are bool")
        fields[name] = masks[chosen].astype(bool)
    if not count:
        choose_split(split, 1, str(path))
    if fields["x"] is None:  # the highest id says nothing that can be trusted
        fields["num_nodes"] = np.size(fields["y"])
    graph = Graph.from_edge_index(edges.T, **fields)
    check_size(path, arrays, classes=graph.num_classes)
    notes = [f"split {chosen} of {count} (--fold)"] if count > 1 else []
    # Files of directed graphs say so in their name, and their own reader goes by it.
    if not ("directed" in Path(path).stem.replace("undirected", "") if directed is None else directed):
        graph = graph.undirected()
        notes.append("edges taken in both directions")
    return GraphFile(graph, "heterophilous-graphs npz", tuple(notes), num_splits=count, split=chosen)


def _shape(array: NDArray, path: str | os.PathLike, name: str) -> tuple[int, int]:
    if array.shape != (2,) or array.dtype.kind not in "iu" or (array < 0).any():
        raise DataError(f"{path}: {name} must be two whole numbers, rows and columns")
    return int(array[0]), int(array[1])
