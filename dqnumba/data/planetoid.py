"""Planetoid citation graphs: Cora, CiteSeer, PubMed, from the original eight files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats import read_bytes
from ..graph import Graph, SparseFeatures
from ..graph.arrays import rises
from .registry import fetch
from .restricted_pickle import CsrParts, load_pickle

__all__ = ["load_planetoid", "read_planetoid"]

_PARTS = ("y", "allx", "ally", "tx", "ty", "graph", "test.index")  # `x` repeats the first rows of `allx`
_NUM_VAL = 500
_MOST_TEXT, _MOST_FREE = 1 << 24, 1 << 20


def load_planetoid(name: str, *, root: str | None = None, verify: bool = True) -> Graph:
    """Load ``cora``, ``citeseer`` or ``pubmed`` from the registered files; see ``read_planetoid``."""
    paths = {part: fetch(name, f"ind.{name}.{part}", root=root, verify=verify) for part in _PARTS}
    return _assemble(paths.__getitem__, name)


def read_planetoid(folder: str | Path, name: str) -> Graph:
    """Read the files ``ind.<name>.{y,allx,ally,tx,ty,graph,test.index}`` of a folder.

    Nodes ``0 .. len(allx) - 1`` are the rows of ``allx``; row ``k`` of ``tx`` is node ``test.index[k]``. Ids
    between the smallest and largest test id which are in no file (CiteSeer has 15) are nodes with a zero
    feature row and class 0, in no mask. Edges are made symmetric, duplicates and self-loops dropped.

    Returns
    -------
    Graph
        ``x`` is ``SparseFeatures`` with the raw values (0/1 for Cora and CiteSeer), ``y`` int64 (N,), and the
        public split: the first ``len(y)`` nodes to train, the next 500 to validate, the nodes of
        ``test.index`` to test.

    Raises
    ------
    DataError
        If a file is missing, is not what it should be, or the files do not fit together.

    References
    ----------
    Yang, Cohen, Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML 2016.
    """

    def path(part: str) -> Path:
        out = Path(folder) / f"ind.{name}.{part}"
        if not out.is_file():
            raise DataError(f"{name}: no file {out}; all of {', '.join(_PARTS)} are needed")
        return out

    return _assemble(path, name)


def _assemble(path: Callable[[str], Path], name: str) -> Graph:
    known, test = _features(path("allx")), _features(path("tx"))
    known_labels, test_labels = _labels(path("ally")), _labels(path("ty"))
    num_train = len(_labels(path("y")))
    test_ids = _test_ids(path("test.index"), first=known.shape[0])
    lengths = (known.shape[0], len(known_labels), test.shape[0], len(test_labels), len(test_ids))
    if lengths[0] != lengths[1] or len(set(lengths[2:])) != 1 or known.shape[1] != test.shape[1]:
        raise DataError(
            f"{path('allx').parent}: the files of {name} do not fit together: rows of allx, ally, tx, "
            f"ty, test.index are {lengths}, widths {known.shape[1]} and {test.shape[1]}"
        )
    num_nodes = int(test_ids.max()) + 1

    # Row of each node in the stack (allx, tx, one empty row for the ids that are in no file).
    row = np.full(num_nodes, sum(lengths[::2][:2]), dtype=np.int64)
    row[: lengths[0]] = np.arange(lengths[0])
    row[test_ids] = lengths[0] + np.arange(len(test_ids))
    x = _stack(known, test).take_rows(row)
    y = np.concatenate([known_labels, test_labels, [0]])[row]

    masks = {key: np.zeros(num_nodes, dtype=bool) for key in ("train_mask", "val_mask", "test_mask")}
    masks["train_mask"][:num_train] = True
    masks["val_mask"][num_train : min(num_train + _NUM_VAL, lengths[0])] = True
    masks["test_mask"][test_ids] = True
    edges = _edges(path("graph"), num_nodes)
    num_classes = int(max(known_labels.max(), test_labels.max())) + 1
    return Graph.from_edge_index(edges, x, y, num_nodes, num_classes=num_classes, name=name, **masks)


def _features(path: Path) -> SparseFeatures:
    parts = load_pickle(path)
    if not isinstance(parts, CsrParts):
        raise DataError(f"{path}: holds no sparse matrix")
    if max(parts.shape) > _MOST_FREE + 16 * len(parts.data):
        raise DataError(f"{path}: a matrix of {parts.shape} with {len(parts.data)} entries; this is no bag of words")
    indptr, indices, data = parts.indptr, parts.indices, parts.data
    rows_fit = len(indptr) == parts.shape[0] + 1 and len(data) == len(indices) and rises(indptr, 0, len(indices))
    if rows_fit and indices.dtype.kind == "i" and indices.size and indices.min() >= 0:
        rows = np.repeat(np.arange(parts.shape[0]), np.diff(indptr))
        if ((np.diff(indices) < 0) & (np.diff(rows) == 0)).any():
            order = np.lexsort((indices, rows))
            indices, data = indices[order], data[order]
    try:
        return SparseFeatures(indptr, indices, data, parts.shape)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _stack(first: SparseFeatures, second: SparseFeatures) -> SparseFeatures:
    """Stack two matrices and one empty row."""
    return SparseFeatures(
        np.concatenate([first.indptr, second.indptr[1:] + first.nnz, [first.nnz + second.nnz]]),
        np.concatenate([first.indices, second.indices]),
        np.concatenate([first.data, second.data]),
        (first.shape[0] + second.shape[0] + 1, first.shape[1]),
    )


def _labels(path: Path) -> NDArray[np.int64]:
    onehot = load_pickle(path)
    if not isinstance(onehot, np.ndarray) or onehot.ndim != 2 or onehot.size == 0 or (onehot.sum(axis=1) > 1).any():
        raise DataError(f"{path}: holds no one-hot labels (nodes, classes)")
    return onehot.argmax(axis=1)


def _test_ids(path: Path, first: int) -> NDArray[np.int64]:
    try:
        ids = np.array(read_bytes(path, _MOST_TEXT).decode("ascii").split(), dtype=np.int64)
    except (ValueError, OverflowError, OSError) as error:
        raise DataError(f"{path}: must hold one decimal node id a line ({error})") from error
    # The span is bounded so that one absurd id cannot ask for a graph of 10^15 empty nodes.
    if not len(ids) or ids.min() < first or len(np.unique(ids)) < len(ids) or ids.max() - first > 10 * len(ids):
        raise DataError(f"{path}: must hold each test node once, ids from {first} on, without large gaps")
    return ids


def _edges(path: Path, num_nodes: int) -> NDArray[np.int64]:
    neighbours = load_pickle(path)
    if not isinstance(neighbours, dict):
        raise DataError(f"{path}: holds no neighbour lists")
    lists = list(neighbours.values())
    # One list that many nodes share is small in a pickle; so is a list of lists that are one and the same.
    if not all(type(v) is list for v in lists) or sum(map(len, lists)) > path.stat().st_size:
        raise DataError(f"{path}: holds no list of neighbours for each node")
    if not all(type(j) is int for v in ([*neighbours], *lists) for j in v):
        raise DataError(f"{path}: neighbour lists must hold integers")
    sources = np.repeat(np.array(list(neighbours), dtype=np.int64), [len(v) for v in lists])
    targets = np.array([j for v in lists for j in v], dtype=np.int64)
    if sources.size and (min(sources.min(), targets.min()) < 0 or max(sources.max(), targets.max()) >= num_nodes):
        raise DataError(f"{path}: names a node outside 0..{num_nodes - 1}")
    other = sources != targets
    edges = np.stack([sources[other], targets[other]])
    return np.concatenate([edges, edges[::-1]], axis=1)
