"""One door to graphs on disk: it recognises what a path is, reads it, and says what it found."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError, DataError
from .dataset import GraphDataset
from .folder import edge_table, node_table, read_folder
from .found import GraphFile
from .graph import Graph
from .schemas import read_npz
from .tables import read_tables

__all__ = ["load_graph", "read_graph"]

# Formats that can run code when they are read, and what to do instead.
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".gpickle", ".joblib")
_FORMATS = "an npz, a table of edges (CSV, TSV), a folder with edges.csv and nodes.csv, or a folder of graphs"


def load_graph(
    path: str | os.PathLike,
    *,
    nodes: str | os.PathLike | None = None,
    split: int | None = None,
    directed: bool | None = None,
) -> Graph | GraphDataset:
    """Read a graph, or a data set of graphs, from a file or folder of any known format.

    The data of ``read_graph``, whose other fields say what was found beside them.
    """
    return read_graph(path, nodes=nodes, split=split, directed=directed).data


def read_graph(
    path: str | os.PathLike,
    *,
    nodes: str | os.PathLike | None = None,
    split: int | None = None,
    directed: bool | None = None,
) -> GraphFile:
    """Recognise what is at a path and read it. ``docs/graphs.md`` describes the formats.

    Parameters
    ----------
    path
        An npz file (our schema, gnn-benchmark's, or that of the heterophilous graphs), a table of edges (CSV, TSV or
        blanks), a folder with ``edges.csv`` and perhaps ``nodes.csv``, or a folder of such graphs.
    nodes : path, optional
        Table of nodes that belongs to a table of edges; in a folder ``nodes.csv`` is found by itself.
    split : int, optional
        Which split to take, where the file holds several; default 0.
    directed : bool, optional
        True: edges as they are listed. False: each edge in both directions. Default: as the format says, which is True
        but for the two public npz schemas.

    Returns
    -------
    GraphFile

    Raises
    ------
    DataError
        Nothing at the path, a format that is not known, or a file that cannot be read; the message names the place.
    GraphError
        What was read is no valid graph.
    ConfigError
        A split that is not there, or options that do not fit the format.
    """
    path = Path(path)
    if path.is_dir():
        edges = edge_table(path)
        if edges is not None:
            return _tables(edges, node_table(path) if nodes is None else nodes, split, directed, path.resolve().name)
        _no_nodes(path, nodes)
        found = read_folder(path, lambda member: read_graph(member, directed=directed))
        _check_split(split, found, path)
        return found
    if not path.is_file():
        raise DataError(f"no file {path}; give the path of {_FORMATS}")
    if path.suffix.lower() in _PICKLES:
        raise DataError(
            f"{path}: {path.suffix} files hold pickles, which can run code when they are read, so they are not. Read "
            "it yourself, make a graph with dqnumba.Graph.from_pyg or .from_networkx, and dqnumba.graph.save_npz it"
        )
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK" or path.suffix.lower() == ".npz":
        _no_nodes(path, nodes)
        return read_npz(path, split=split, directed=directed)
    if b"\0" in start or start[:1] == b"\x93":
        raise DataError(f"{path}: no known format of a graph; give {_FORMATS}")
    return _tables(path, nodes, split, directed, path.stem)


def _tables(
    edges: Path, nodes: str | os.PathLike | Path | None, split: int | None, directed: bool | None, name: str
) -> GraphFile:
    found = read_tables(edges, nodes, directed=directed)
    _check_split(split, found, edges)
    return GraphFile(**{**found.__dict__, "data": found.data.replace(name=name)})


def _check_split(split: int | None, found: GraphFile, path: Path) -> None:
    """One split at most stands in a table; a number means a fold for a data set of graphs, made after reading."""
    if split and not isinstance(found.data, GraphDataset):
        raise ConfigError(f"split (--fold) is {split}, but {path} holds no more than one split; leave it out")


def _no_nodes(path: Path, nodes: object) -> None:
    if nodes is not None:
        raise ConfigError(f"a table of nodes (--nodes) belongs to a table of edges, and {path} is none; leave it out")
