"""ZINC-12k: molecules with a float target, from three npz files (format in ``datasets/README.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..graph import Graph, GraphDataset
from ..graph.arrays import rises
from ..graph.file import read_arrays
from .registry import fetch

__all__ = ["NUM_ATOM_TYPES", "load_zinc", "read_zinc"]

NUM_ATOM_TYPES = 28
_PARTS = ("train", "val", "test")
_NAMES = ("node_ptr", "edge_ptr", "atom_type", "edge_index", "bond_type", "target")


def load_zinc(*, root: str | None = None, verify: bool = True) -> GraphDataset:
    """Load the registered files; see ``read_zinc``. The train part is not the draw of the published
    benchmark."""
    return read_zinc({part: fetch("zinc12k", f"zinc12k_{part}.npz", root=root, verify=verify) for part in _PARTS})


def read_zinc(paths: Mapping[str, Path]) -> GraphDataset:
    """Read the files ``train``, ``val`` and ``test``.

    Returns
    -------
    GraphDataset
        ``x`` int32 atom codes (N,) of 28 kinds, ``y`` float32 (G,), splits in the order of the files,
        ``edge_data["bond_type"]`` uint8 (E,): 1 single, 2 double, 3 triple. The models here do not read bond
        types.
    """
    parts = {part: _check(paths[part], read_arrays(paths[part], limit=1 << 30)) for part in _PARTS}
    merged = {name: np.concatenate([parts[part][name] for part in _PARTS], axis=-1) for name in _NAMES[2:]}
    graph_ptr = _join_pointers([parts[part]["node_ptr"] for part in _PARTS])
    edge_ptr = _join_pointers([parts[part]["edge_ptr"] for part in _PARTS])
    edges = merged["edge_index"].astype(np.int64) + np.repeat(graph_ptr[:-1], np.diff(edge_ptr))
    num_nodes = len(merged["atom_type"])
    order = np.argsort(edges[1] * num_nodes + edges[0], kind="stable")
    union = Graph.from_edge_index(
        edges[:, order],
        merged["atom_type"].astype(np.int32),
        merged["target"].astype(np.float32),
        num_nodes,
        coalesce=False,
        graph_ptr=graph_ptr,
        num_categories=NUM_ATOM_TYPES,
        name="zinc12k",
    )
    ends = np.cumsum([len(parts[part]["target"]) for part in _PARTS])
    splits = dict(zip(_PARTS, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    return GraphDataset(union, name="zinc12k", splits=splits, edge_data={"bond_type": merged["bond_type"][order]})


def _join_pointers(pointers: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.concatenate([np.diff(p) for p in pointers]))))


def _check(path: Path, arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """Check one file and return its arrays with int64 pointers; ``DataError`` names what does not fit."""
    missing = [name for name in _NAMES if name not in arrays]
    if missing:
        raise DataError(f"{path}: no array {missing[0]}; a file must hold {', '.join(_NAMES)}")
    wrong = [name for name in _NAMES if arrays[name].dtype.kind not in ("f" if name == "target" else "iu")]
    if wrong:
        raise DataError(f"{path}: {wrong[0]} has dtype {arrays[wrong[0]].dtype}")
    out = {**arrays, "node_ptr": arrays["node_ptr"].astype(np.int64), "edge_ptr": arrays["edge_ptr"].astype(np.int64)}
    if out["target"].ndim != 1:
        raise DataError(f"{path}: target has shape {out['target'].shape}; it must be one number a graph")
    graphs = len(out["target"])
    for name, end in (("node_ptr", out["atom_type"].shape), ("edge_ptr", out["bond_type"].shape)):
        pointer = out[name]
        if len(end) != 1 or pointer.shape != (graphs + 1,) or not rises(pointer, 0, end[0]):
            raise DataError(f"{path}: {name} must rise from 0 to {end} in {graphs + 1} entries")
    if out["edge_index"].shape != (2, len(out["bond_type"])):
        raise DataError(f"{path}: edge_index has shape {out['edge_index'].shape}, for {len(out['bond_type'])} bonds")
    sizes = np.repeat(np.diff(out["node_ptr"]), np.diff(out["edge_ptr"]))
    if (out["edge_index"].astype(np.int64) >= sizes).any() or (out["edge_index"].astype(np.int64) < 0).any():
        raise DataError(f"{path}: edge_index names a node outside its graph")
    return out
