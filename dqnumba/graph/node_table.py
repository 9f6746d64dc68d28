"""A table of nodes: ids, features, labels and split, a row each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from .splits import split_masks
from .text_table import TextTable, columns_of, notes_of, parse_number, read_table

__all__ = ["NodeTable", "read_nodes"]

_ID = ("id", "node", "node_id")
_LABEL = ("label", "y", "class")
_SPLIT = ("split",)
_CODE = ("code",)
_TRUTH = {"true": 1, "false": 0}  # as pandas writes columns of get_dummies
_LARGEST = 1 << 31  # numbers in a dense feature table


@dataclass
class NodeTable:
    """Columns of a table of nodes."""

    ids: list[str] = field(default_factory=list)
    number: dict[str, int] = field(default_factory=dict)
    x: NDArray | None = None
    labels: list[str] | None = None
    splits: list[str] | None = None
    lines: list[int] = field(default_factory=list)
    path: Path = field(default_factory=Path)
    notes: list[str] = field(default_factory=list)


def read_nodes(path: str | os.PathLike) -> NodeTable:
    table = read_table(path, lambda names: bool(set(names) & set(_ID)))
    columns = columns_of(table, id=_ID, label=_LABEL, split=_SPLIT) if table.names else {
        "id": 0, "label": table.width - 1 if table.width > 1 else None, "split": None}  # fmt: skip
    # A column without a name is what pandas makes of its index: no feature.
    named = [k for k in range(table.width) if table.names is None or table.names[k]]
    features = [k for k in named if k not in columns.values()]
    names = [table.names[k] if table.names else f"column {k + 1}" for k in features]
    out = NodeTable(path=table.path, notes=notes_of(table, {*columns.values(), *features}))
    out.labels = None if columns["label"] is None else []
    out.splits = None if columns["split"] is None else []
    rows: list[NDArray[np.float32]] = []
    for line, cells in table.rows:
        name = cells[columns["id"]]
        if not name:
            raise table.error(line, "a node without an id; give each one")
        if name in out.number:
            raise table.error(line, f"the node {name!r} again, which is in line {out.lines[out.number[name]]} already")
        out.number[name] = len(out.ids)
        out.ids.append(name)
        out.lines.append(line)
        if out.labels is not None:
            out.labels.append(cells[columns["label"]])
        if out.splits is not None:
            out.splits.append(_part(table, line, cells[columns["split"]]))
        if features:
            if len(out.ids) * len(features) > _LARGEST:
                raise table.error(line, f"more than {_LARGEST} features in all; write an npz with sparse ones")
            rows.append(_feature_row(table, line, [cells[k] for k in features], names))
    if features:
        x = np.array(rows, dtype=np.float32).reshape(len(rows), len(features))
        out.x = _codes(table, x, out.lines) if tuple(names) == _CODE else x
    return out


def _feature_row(table: TextTable, line: int, cells: list[str], names: Sequence[str]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            row = np.array([float(cell) for cell in cells]).astype(np.float32)
        if np.isfinite(row).all():
            return row
    except ValueError:
        pass
    values = [_TRUTH.get(cell.lower(), cell) for cell in cells]
    numbers = [parse_number(table, line, str(value), f"feature {name!r}")
               for value, name in zip(values, names, strict=True)]  # fmt: skip
    return np.array(numbers, dtype=np.float32)


def _part(table: TextTable, line: int, text: str) -> str:
    try:
        split_masks([text], "split")
    except GraphError:
        raise table.error(line, f"split is {text!r}; it must be train, val, test, or empty") from None
    return text


def _codes(table: TextTable, x: NDArray[np.float32], lines: list[int]) -> NDArray[np.int32]:
    codes = x[:, 0]
    wrong = np.flatnonzero((codes < 0) | (codes >= 2**24) | (codes != np.rint(codes)))
    if len(wrong):
        raise table.error(lines[wrong[0]], f"code is {codes[wrong[0]]:g}; codes are whole numbers, 0 to {2**24 - 1}")
    return codes.astype(np.int32)
