"""The zips of the TU Dortmund collection: IMDB-BINARY, MUTAG, PTC_MR and any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats import Malformed, open_zip
from ..graph import Graph, GraphDataset
from ..graph.arrays import rises
from .node_features import degree_features, one_hot
from .text import parse_integers

__all__ = ["read_tu"]

_LIMIT = 1 << 28  # bytes; text takes several times as many while it is read
_LONGEST = 64  # characters of a number


def read_tu(path: str | Path, *, features: str = "auto", name: str = "") -> GraphDataset:
    """Read a zip of the TU collection.

    Members are found by the end of their last path component (``..._A.txt``): some of these zips write two
    slashes in their names. Lines of ``A`` that occur twice count once, self-loops are dropped, and the other
    direction of every edge is added where it is missing. Classes are the sorted distinct labels.

    Parameters
    ----------
    path : path
    features : {"auto", "attributes", "degree", "one_hot_degree", "constant"}
        ``"auto"``: attributes and one-hot node labels where the set has them, else as
        ``degree_features("auto")``. ``"attributes"`` insists on the former.
    name : str

    Returns
    -------
    GraphDataset
        ``y`` int64 (G,); ``edge_data["edge_label"]`` if the set has edge labels (mapped to 0 .. by sorted
        order).

    Raises
    ------
    DataError
        If the zip is unreadable, lacks a member, or its members do not fit together.
    """
    path = Path(path)
    members, name = _members(path), name or path.stem
    indicator, labels = _integers(members, "graph_indicator", path), _integers(members, "graph_labels", path)
    edges = _integers(members, "A", path)
    num_nodes, num_graphs = len(indicator), len(labels)
    if len(edges) % 2:
        raise DataError(f"{path}: A.txt holds {len(edges)} numbers; each line must have two")
    edges = edges.reshape(-1, 2).T - 1
    ends = (indicator[0], indicator[-1]) if num_nodes else (0, 0)
    if not num_nodes or indicator[0] < 1 or indicator[-1] > num_graphs or not rises(indicator, *ends):
        raise DataError(f"{path}: graph_indicator.txt must ascend within 1..{num_graphs}, one line a node")
    if edges.size and (edges.min() < 0 or edges.max() >= num_nodes):
        raise DataError(f"{path}: A.txt names a node outside 1..{num_nodes}")
    if (indicator[edges[0]] != indicator[edges[1]]).any():
        raise DataError(f"{path}: A.txt joins two graphs by an edge")

    edge_label = _integers(members, "edge_labels", path) if "edge_labels" in members else None
    if edge_label is not None and len(edge_label) != edges.shape[1]:
        raise DataError(f"{path}: {len(edge_label)} edge labels for {edges.shape[1]} lines of A.txt")
    edges, edge_label = _tidy(edges, edge_label, num_nodes)
    graph_ptr = np.concatenate(([0], np.cumsum(np.bincount(indicator - 1, minlength=num_graphs))))
    bare = Graph.from_edge_index(edges, num_nodes=num_nodes)
    x = _features(members, bare, features, path)
    y = np.unique(labels, return_inverse=True)[1]
    union = bare.replace(x=x, y=y, graph_ptr=graph_ptr, name=name)
    return GraphDataset(union, name=name, edge_data=None if edge_label is None else {"edge_label": edge_label})


def _members(path: Path) -> dict[str, bytes]:
    """Read the text members: name after the set's name (``A``, ``node_labels``) -> content."""
    kinds = ("A", "graph_indicator", "graph_labels", "node_labels", "edge_labels", "node_attributes")
    out: dict[str, bytes] = {}

    def kind_of(filename: str) -> str | None:
        last = filename.rsplit("/", 1)[-1]
        return next((kind for kind in kinds if last.endswith(f"_{kind}.txt")), None)

    try:
        with open_zip(path, _LIMIT, lambda filename: kind_of(filename) is not None) as (archive, infos):
            for info in infos:
                kind = kind_of(info.filename) or ""
                if kind in out:
                    raise Malformed(f"two members *_{kind}.txt")
                out[kind] = archive.read(info)
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except Exception as error:  # of zipfile, zlib and struct: the ways of a damaged archive are many
        raise DataError(f"{path}: no readable zip ({error or type(error).__name__}); fetch it again") from error
    missing = [kind for kind in kinds[:3] if kind not in out]
    if missing:
        raise DataError(f"{path}: no member *_{missing[0]}.txt; a set of the TU collection has {', '.join(kinds[:3])}")
    return out


def _integers(members: dict[str, bytes], kind: str, path: Path) -> NDArray[np.int64]:
    return parse_integers(members[kind], f"{path}, {kind}.txt")


def _tidy(
    edges: NDArray[np.int64], label: NDArray[np.int64] | None, num_nodes: int
) -> tuple[NDArray[np.int64], NDArray[np.int32] | None]:
    """Make edges symmetric, drop loops and duplicates, order them as ``Graph`` does; labels follow."""
    edges = np.concatenate([edges, edges[::-1]], axis=1)
    key = edges[1] * num_nodes + edges[0]
    # np.unique gives the first place of a key, so a line of the file wins over an added direction.
    key, first = np.unique(key, return_index=True)
    edges = edges[:, first]
    other = edges[0] != edges[1]
    if label is not None:
        codes = np.unique(label, return_inverse=True)[1].astype(np.int32)
        label = np.concatenate([codes, codes])[first][other]
    return edges[:, other], label


def _features(members: dict[str, bytes], graph: Graph, features: str, path: Path) -> NDArray[np.float32]:
    parts = []
    if features in ("auto", "attributes"):
        if "node_attributes" in members:
            parts.append(_attributes(members["node_attributes"], graph.num_nodes, path))
        if "node_labels" in members:
            labels = _integers(members, "node_labels", path)
            if len(labels) != graph.num_nodes:
                raise DataError(f"{path}: {len(labels)} node labels for {graph.num_nodes} nodes")
            values, codes = np.unique(labels, return_inverse=True)
            parts.append(one_hot(codes, len(values)))
    if parts:
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    if features == "attributes":
        raise DataError(f"{path}: has neither node attributes nor node labels; use features='auto'")
    return degree_features(graph.in_degree, features)


def _attributes(text: bytes, num_nodes: int, path: Path) -> NDArray[np.float32]:
    words = text.replace(b",", b" ").split()
    if max(map(len, words), default=0) > _LONGEST:  # each word would take as much memory as the longest
        raise DataError(f"{path}: node_attributes.txt holds a word of over {_LONGEST} characters; that is no number")
    try:
        values = np.array(words, dtype="S").astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path}: node_attributes.txt must hold numbers ({error})") from error
    if len(values) == 0 or len(values) % num_nodes:
        raise DataError(f"{path}: node_attributes.txt holds {len(values)} numbers for {num_nodes} nodes")
    return values.reshape(num_nodes, -1).astype(np.float32)
