"""Graphs in npz files: plain arrays, no pickles, readable by anybody with NumPy.

``edge_index`` (2, E) with row 0 sources and row 1 targets; ``x`` (N, F) or (N,) codes, or the four arrays
``x_indptr, x_indices, x_data, x_shape`` of sparse features; optional ``y, edge_weight, train_mask, val_mask,
test_mask, graph_ptr, num_nodes, num_classes, num_categories, name``. A data set of many graphs (``graph_ptr``, and
``y`` with one label a graph) may have ``train_index, val_index, test_index``, numbers of graphs. ``docs/graphs.md``
says it at length.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, GraphError
from ..files import whole_file
from ..formats import Malformed, open_zip, read_npy
from .dataset import GraphDataset
from .graph import Graph
from .sparse import SparseFeatures

__all__ = [
    "array_names", "check_size", "from_arrays", "load_npz", "read_arrays", "save_npz", "shown",
    "write_arrays",
]  # fmt: skip

_LIMIT = 4 << 30
_FREE = 1 << 20  # nodes, features, classes that the smallest file may ask for
_ARRAYS = ("y", "train_mask", "val_mask", "test_mask", "graph_ptr")
_NUMBERS = ("num_nodes", "num_classes", "num_categories")
_SPARSE = ("x_indptr", "x_indices", "x_data", "x_shape")
_INDEX = ("train_index", "val_index", "test_index")


def save_npz(data: Graph | GraphDataset, path: str | os.PathLike) -> None:
    """Write a graph, or a data set of graphs with its splits; the file is in its place only when it is complete."""
    graph = data.union if isinstance(data, GraphDataset) else data
    adjacency = graph.adjacency()
    arrays: dict[str, object] = {"edge_index": np.stack([adjacency.indices, adjacency.targets])}
    if isinstance(graph.x, SparseFeatures):
        arrays |= dict(zip(_SPARSE, (graph.x.indptr, graph.x.indices, graph.x.data, graph.x.shape), strict=True))
    elif graph.x is not None:
        arrays["x"] = graph.x
    for name in ("edge_weight", *_ARRAYS):
        if getattr(graph, name) is not None:
            arrays[name] = getattr(graph, name)
    for name in _NUMBERS:
        arrays[name] = getattr(graph, name)
    if isinstance(data, GraphDataset) and data.splits is not None:
        arrays |= {f"{part}_index": index for part, index in data.splits.items()}
    if data.name:
        arrays["name"] = data.name
    same = (np.diff(adjacency.indices) == 0) & (np.diff(adjacency.targets) == 0)
    if same.any():
        arrays["multigraph"] = True  # so that reading does not merge what was kept apart
    write_arrays(path, arrays)


def load_npz(path: str | os.PathLike) -> Graph:
    """Read one graph, or one batch of graphs, from a file of this schema.

    Edges listed several times are merged, as in ``Graph.from_edge_index``. ``load_graph`` reads other schemas too.

    Raises
    ------
    DataError
        If the file is missing, is no npz, holds pickles, or lacks ``edge_index``.
    GraphError
        If its arrays are no valid graph.
    """
    data = from_arrays(read_arrays(path), path)
    if isinstance(data, GraphDataset) and data.splits is not None:
        raise DataError(f"{path} holds a data set of graphs with its splits; read it with dqnumba.load_graph")
    return data.union if isinstance(data, GraphDataset) else data


def from_arrays(arrays: Mapping[str, NDArray], path: str | os.PathLike) -> Graph | GraphDataset:
    """Make a graph of the arrays of a file; a data set, where there is one label a graph."""
    if "edge_index" not in arrays:
        raise DataError(f"{path}: no array edge_index (2, E); the file holds {shown(arrays)}")
    known = {"edge_index", "x", "edge_weight", "name", "multigraph", *_ARRAYS, *_NUMBERS, *_SPARSE, *_INDEX}
    if set(arrays) - known:
        odd = sorted(set(arrays) - known)[0]
        raise DataError(f"{path}: unknown array {odd[:40]!r}; a graph file may hold {', '.join(sorted(known))}")
    fields: dict[str, object] = {name: arrays[name] for name in (*_ARRAYS, "edge_weight", "x") if name in arrays}
    present = [name for name in _SPARSE if name in arrays]
    try:
        if present:
            if len(present) < len(_SPARSE) or "x" in arrays:
                raise DataError(f"{path}: give x, or all of {', '.join(_SPARSE)}")
            shape = tuple(int(n) for n in arrays["x_shape"])
            fields["x"] = SparseFeatures(*(arrays[name] for name in _SPARSE[:3]), shape)
        for name in _NUMBERS:
            if name in arrays and (name != "num_categories" or int(arrays[name])):
                fields[name] = int(arrays[name])
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError | GraphError):
            raise
        raise DataError(f"{path}: x_shape and the counts {', '.join(_NUMBERS)} must be integers ({error})") from error
    count = max(fields.get("num_nodes", 0), _beyond(arrays["edge_index"]), _beyond(arrays.get("graph_ptr")))
    check_size(path, arrays, nodes=count)
    graph = Graph.from_edge_index(
        arrays["edge_index"], coalesce="multigraph" not in arrays, name=str(arrays.get("name", "")), **fields
    )
    check_size(path, arrays, classes=graph.num_classes, features=graph.num_features)
    splits = {name.removesuffix("_index"): arrays[name] for name in _INDEX if name in arrays}
    if graph.graph_ptr is not None and graph.y is not None and len(graph.y) == graph.num_graphs:
        return GraphDataset(graph, splits=splits or None)
    if splits:
        raise DataError(f"{path}: {', '.join(_INDEX)} are for many graphs (graph_ptr, and y with one label a graph); "
                        "the split of one graph is train_mask, val_mask, test_mask")  # fmt: skip
    return graph


def shown(names: Collection[str]) -> str:
    """Names of a file in a message: some of them, short, and without line ends or what moves a cursor."""
    plain = [name[:40] if name.isprintable() else repr(name[:40]) for name in sorted(names)[:8]]
    return ", ".join(plain) or "nothing"


def check_size(path: str | os.PathLike, arrays: Mapping[str, NDArray], **counts: int) -> None:
    """Refuse a small file that asks for billions of nodes, features or classes, by a count or by one high number."""
    stored = sum(array.size for array in arrays.values())
    for what, count in counts.items():
        if count > _FREE + 16 * stored:
            raise DataError(
                f"{path}: asks for {count} {what} with {stored} stored numbers; number them 0, 1, 2, ... without gaps"
                + (", or give the nodes features" if what == "nodes" else "")
            )


def _beyond(array: NDArray | None) -> int:
    """One more than the highest of some integers; 0 where there are none."""
    return int(array.max()) + 1 if array is not None and array.size and array.dtype.kind in "iu" else 0


def array_names(path: str | os.PathLike) -> list[str]:
    """Names of the arrays of an npz, in the order of the file; nothing is unpacked. Errors as ``read_arrays``."""
    with _members(path, None, None) as (_, members):
        return list(members)


def read_arrays(
    path: str | os.PathLike, *, only: Collection[str] | None = None, limit: int = _LIMIT
) -> dict[str, NDArray]:
    """Read the arrays of an npz without pickles; ``DataError`` on anything that is not such a file.

    The sizes that the zip directory announces are summed before anything is unpacked, and each array's shape is held
    against them before it gets memory, so that a small file cannot fill the memory. With ``only`` other members are not
    touched: public files keep names of nodes beside the graph, as pickles.
    """
    with _members(path, only, limit) as (archive, members):
        arrays = {}
        for name, info in members.items():
            with archive.open(info) as stream:
                arrays[name] = read_npy(stream, info.file_size)
        return arrays


@contextmanager
def _members(
    path: str | os.PathLike, only: Collection[str] | None, limit: int | None
) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The zip archive of an npz, and its members by the names of their arrays; what goes wrong is a ``DataError``."""

    def wanted(filename: str) -> bool:
        return only is None or filename.removesuffix(".npy") in only

    try:
        with open_zip(path, limit, wanted) as (archive, infos):
            members = {info.filename.removesuffix(".npy"): info for info in infos}
            if len(members) < len(infos):
                raise Malformed("an array is in the archive twice")
            yield archive, members
    except FileNotFoundError as error:
        raise DataError(f"no file {path}; give the path of an npz file") from error
    except Exception as error:  # zlib, struct, tokenizer and value errors: the ways of a damaged file are many
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise DataError(f"{path}: no readable npz without pickles ({reason}); "
                        "write it again with numpy.savez") from error


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, object]) -> None:
    """Write an npz, whole or not at all."""
    with whole_file(path) as stream:
        np.savez(stream, **arrays)
