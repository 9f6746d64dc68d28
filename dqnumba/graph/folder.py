"""A folder of graphs as one data set: a file or folder each, and perhaps a table of their labels and splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import DataError, DQError, GraphError
from .dataset import GraphDataset
from .found import GraphFile
from .graph import Graph
from .labels import number_labels
from .text_table import columns_of, read_table

__all__ = ["edge_table", "node_table", "read_folder"]

_NAME = ("graph", "file", "name", "id")
_LABEL = ("label", "y", "class")
_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}


def edge_table(folder: Path) -> Path | None:
    """The table of edges in a folder, if there is one."""
    return _table(folder, "edges")


def node_table(folder: Path) -> Path | None:
    """The table of nodes in a folder, if there is one."""
    return _table(folder, "nodes")


def _table(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}{suffix}" for suffix in (".csv", ".tsv", ".txt")]
    present = [path for path in found if path.is_file()]
    if len(present) > 1:
        raise DataError(f"{folder} holds both {present[0].name} and {present[1].name}; keep one of them")
    return present[0] if present else None


def read_folder(path: str | os.PathLike, read_one: Callable[[Path], GraphFile]) -> GraphFile:
    """Read a folder of graphs.

    A graph is an npz file or a folder with a table of edges. ``graphs.csv`` (or ``.tsv``) has a column ``graph`` with
    their names (the suffix may be left out) and the columns ``label`` and ``split``, one or both; the graphs are then
    those of the table, in its order, else all, in the order of their names, each with its own label (``y`` of one
    entry).

    Parameters
    ----------
    path
    read_one : callable
        Reads the graph at a path.

    Raises
    ------
    DataError
        No graph in the folder, a name in the table that is not there, a graph without a label, a graph that cannot be
        read; the message names it.
    GraphError
        Graphs whose features differ in width or kind.
    """
    folder = Path(path)
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    members = {entry.name: entry for entry in entries if entry.suffix == ".npz" and entry.is_file()}
    members |= {entry.name: entry for entry in entries if entry.is_dir() and edge_table(entry) is not None}
    table = _table(folder, "graphs")
    if not members:
        raise DataError(
            f"{folder} holds no graph: no edges.csv (or .tsv) of one graph, and no npz files or folders with edges.csv "
            "of many"
        )
    names, y, classes, splits = list(members), None, None, None
    if table is not None:
        names, y, classes, splits = _read_graphs(table, members)
    graphs = [_member(members[name], read_one, None if y is None else y[[k]]) for k, name in enumerate(names)]
    for name, graph in zip(names, graphs, strict=True):
        if graph.num_features != graphs[0].num_features and graphs[0].x is not None and graphs[0].x.ndim == 2:
            raise GraphError(f"{folder / name} has {graph.num_features} features a node, {names[0]} has "
                             f"{graphs[0].num_features}; all graphs of a data set have the same")  # fmt: skip
    left = [entry.name for entry in entries if entry.name not in {*members, "" if table is None else table.name}]
    notes = [f"{', '.join(left[:3])}{' ...' if len(left) > 3 else ''} left out"] if left else []
    data = GraphDataset.from_graphs(graphs, name=folder.resolve().name, splits=splits)
    return GraphFile(data, "folder of graphs", tuple(notes), classes=classes, num_splits=int(splits is not None),
                     split=None if splits is None else 0)  # fmt: skip


def _member(path: Path, read_one: Callable[[Path], GraphFile], y: np.ndarray | None) -> Graph:
    try:
        graph = read_one(path).data
    except DQError as error:
        raise type(error)(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    if not isinstance(graph, Graph) or graph.graph_ptr is not None:
        raise DataError(f"{path} holds many graphs; a file in a folder of graphs holds one. Name that file itself")
    if y is None:
        if graph.y is None or len(graph.y) != 1:
            raise DataError(f"{path} has no label of its own (y with one entry); add it, or a graphs.csv with the "
                            "columns graph and label beside the files")  # fmt: skip
        y = graph.y
    return graph.replace(y=y, num_classes=None, train_mask=None, val_mask=None, test_mask=None, name="")


def _read_graphs(
    path: Path, members: dict[str, Path]
) -> tuple[list[str], np.ndarray | None, tuple[str, ...] | None, dict[str, np.ndarray] | None]:
    """Names, labels, names of classes and splits of the graphs of a table."""
    table = read_table(path, lambda names: bool(set(names) & set(_NAME)))
    if table.names is None:
        raise DataError(f"{path} has no header; it needs the columns graph, and label or split or both")
    columns = columns_of(table, graph=_NAME, label=_LABEL, split=("split",))
    stems: dict[str, list[str]] = {}
    for name in members:
        stems.setdefault(name.removesuffix(".npz"), []).append(name)
    names: dict[str, None] = {}
    labels: list[str] = []
    parts: list[str] = []
    for line, cells in table.rows:
        given = cells[columns["graph"]]
        fits = [given] if given in members else stems.get(given, [])
        if len(fits) != 1:
            raise table.error(line, f"{'two graphs' if fits else 'no graph'} {given!r} beside this file; "
                              "name a file with its suffix, or a folder")  # fmt: skip
        if fits[0] in names:
            raise table.error(line, f"the graph {given!r} a second time; list each once")
        names[fits[0]] = None
        if columns["label"] is not None:
            if not cells[columns["label"]]:
                raise table.error(line, f"no label of the graph {given!r}; give one, or leave out the row")
            labels.append(cells[columns["label"]])
        if columns["split"] is not None:
            part = cells[columns["split"]].lower()
            if part not in _PARTS:
                raise table.error(line, f"split is {part!r}; it must be train, val, test, or empty")
            parts.append(_PARTS[part])
    if not names:
        raise DataError(f"{path} lists no graph; add rows, or remove it to take all graphs of the folder")
    try:
        y, classes = number_labels(labels) if labels else (None, None)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None
    splits = {part: np.flatnonzero(np.array(parts) == part) for part in ("train", "val", "test")} if parts else None
    return list(names), y, classes, splits
