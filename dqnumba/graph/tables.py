"""Graphs from text tables: one of edges, and one of the nodes with their features, labels and split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, GraphError
from .found import GraphFile
from .graph import Graph
from .labels import number_labels
from .node_table import NodeTable, read_nodes
from .splits import split_masks
from .text_table import columns_of, header_hint, notes_of, parse_number, read_table
from .undirected import one_way

__all__ = ["read_tables"]

_SOURCE = ("source", "src", "from", "u", "src_id", "source_id")
_TARGET = ("target", "dst", "to", "v", "dst_id", "target_id", "destination")
_WEIGHT = ("weight", "edge_weight", "w")


def read_tables(
    edges: str | os.PathLike, nodes: str | os.PathLike | None = None, *, directed: bool | None = None
) -> GraphFile:
    """Read a graph from a table of edges and, if there is one, a table of nodes.

    Parameters
    ----------
    edges : path
        One edge a row. With a header: columns ``source`` and ``target``, and ``weight`` if edges have one; others are
        left out. Without one: source, target, and perhaps weight.
    nodes : path, optional
        One node a row. With a header: a column ``id``; ``label``, ``split`` (train, val, test, or empty) if there are;
        every other column is a feature. A column ``code`` that is the only one holds whole numbers for an embedding.
        Without a header: id, features, label. Without this table the nodes are those that the edges name, in sorted
        order, and have neither features nor labels.
    directed : bool, optional
        False adds the reverse of each edge that has none; an edge is read as one from source to target otherwise.

    Returns
    -------
    GraphFile
        With ``node_ids``, for ids are any text: words, or numbers with gaps.

    Raises
    ------
    DataError
        A file that cannot be read, or a row that cannot be understood; the message names file and line.
    GraphError
        Labels that are no classes, or anything else that ``Graph`` refuses.
    """
    table = NodeTable() if nodes is None else read_nodes(nodes)
    source, target, weight, notes = _read_edges(edges, table.number if nodes is not None else None)
    if nodes is None:
        table.ids = _sorted_ids({*source, *target})
        table.number = {name: k for k, name in enumerate(table.ids)}
        source, target = ([table.number[name] for name in side] for side in (source, target))
    y, classes, labelled = _labels(table)
    fields: dict[str, object] = {}
    if table.splits is not None:
        fields |= split_masks(table.splits, f"{nodes}: split")
        _check_labelled(table, fields, labelled)
    graph = Graph.from_edge_index(
        np.array([source, target], dtype=np.int64).reshape(2, -1), table.x, y, len(table.ids), weight,
        name=Path(edges).stem if nodes is None else "", **fields,
    )  # fmt: skip
    notes = [*table.notes, *notes]
    if directed is False:
        graph = graph.undirected()
        notes.append("edges taken in both directions")
    elif directed is None and one_way(graph):
        notes.append("no edge is listed in both directions (--undirected adds the reverse)")
    if classes is not None:
        shown = ", ".join(classes[:6]) + (", ..." if len(classes) > 6 else "")
        notes.append(f"labels numbered in the order {shown}")
    if labelled is not None:
        notes.append(f"{int(labelled.sum())} of {len(labelled)} nodes have a label")
    return GraphFile(
        graph, "edge list" if nodes is None else "edge list and node table", tuple(notes),
        np.array(table.ids, dtype=str), classes, labelled, num_splits=int(table.splits is not None),
        split=None if table.splits is None else 0,
    )  # fmt: skip


def _read_edges(
    path: str | os.PathLike, number: dict[str, int] | None
) -> tuple[list, list, NDArray[np.float64] | None, list[str]]:
    """Ends of the edges, numbers if the nodes are known and texts otherwise, and the weights."""
    table = read_table(
        path, lambda names: bool(set(names) & set(_SOURCE)) and bool(set(names) & set(_TARGET)),
        may_be_empty=number is not None,
    )  # fmt: skip
    if table.width == 1:
        raise DataError(f"{table.path} has one column; an edge needs a source and a target, with a comma between")
    columns = columns_of(table, source=_SOURCE, target=_TARGET, weight=_WEIGHT) if table.names else {
        "source": 0, "target": 1, "weight": 2 if table.width > 2 else None}  # fmt: skip
    first, second, third = columns["source"], columns["target"], columns["weight"]
    source: list = []
    target: list = []
    weight: list[float] = []
    for line, cells in table.rows:
        ends = cells[first], cells[second]
        if not all(ends):
            raise table.error(line, "an edge without a source or a target; give both")
        if number is not None:
            unknown = next((end for end in ends if end not in number), None)
            if unknown is not None:
                raise table.error(line, f"no node {unknown!r} in the node table{header_hint(table)}")
            ends = number[ends[0]], number[ends[1]]
        source.append(ends[0])
        target.append(ends[1])
        if third is not None:
            weight.append(parse_number(table, line, cells[third], "weight"))
    if number is None and table.names is None and _looks_like_header(source, target):
        raise DataError(f"{table.path}: the first row ({source[0]}, {target[0]}) looks like a header; "
                        "name two of its columns source and target")  # fmt: skip
    return source, target, np.array(weight) if third is not None else None, notes_of(table, columns.values())


def _labels(table: NodeTable) -> tuple[NDArray | None, tuple[str, ...] | None, NDArray[np.bool_] | None]:
    """Labels with 0 where there is none, the words that they stand for, and who has one (None: all)."""
    if table.labels is None or not any(table.labels):
        return None, None, None
    labelled = np.array([bool(text) for text in table.labels])
    try:
        known, classes = number_labels([text for text in table.labels if text])
    except GraphError as error:
        raise GraphError(f"{table.path}: {error}") from None
    if known.dtype.kind == "f" and not np.isfinite(known).all():
        line = np.array(table.lines)[labelled][np.argmin(np.isfinite(known))]
        raise DataError(f"{table.path}, line {line}: a label that is no finite float32 number")
    y = np.zeros(len(labelled), dtype=known.dtype)
    y[labelled] = known
    return y, classes, None if labelled.all() else labelled


def _check_labelled(table: NodeTable, masks: dict[str, object], labelled: NDArray[np.bool_] | None) -> None:
    if labelled is None:
        return
    wrong = np.flatnonzero(~labelled & np.logical_or.reduce([masks[name] for name in masks]))
    if len(wrong):
        raise DataError(f"{table.path}, line {table.lines[wrong[0]]}: the node {table.ids[wrong[0]]!r} is in a split, "
                        "but has no label; give it one, or leave its split empty")  # fmt: skip


def _sorted_ids(ids: set[str]) -> list[str]:
    """Whole numbers by their value, other ids as text."""
    if all(name.isdecimal() and name.isascii() for name in ids):
        return sorted(ids, key=lambda name: (int(name) if len(name) < 1000 else 0, name))
    return sorted(ids)


def _looks_like_header(source: list[str], target: list[str]) -> bool:
    """Words in the first row and whole numbers in all others."""
    rest = source[1:], target[1:]
    numbers = all(name.isdecimal() for side in rest for name in side)
    return len(source) > 1 and numbers and not source[0].isdecimal() and not target[0].isdecimal()
