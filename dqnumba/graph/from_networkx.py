"""Graphs from networkx by the names of node and edge attributes; networkx is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from .build import from_edge_index
from .labels import number_words
from .splits import split_masks

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["from_networkx"]

_MASKS = ("train_mask", "val_mask", "test_mask")


def from_networkx(
    cls: type[Graph],
    graph: object,
    *,
    features: str | Sequence[str] | None = "x",
    labels: str | None = "y",
    weight: str | None = "weight",
    split: str | None = "split",
    **fields: object,
) -> Graph:
    """Build a graph from a networkx graph; nodes are numbered in the order of ``graph.nodes``.

    An undirected edge becomes two directed ones. Parallel edges of a multigraph are merged (weights summed).

    Parameters
    ----------
    features : str, sequence of str, or None
        Name of the node attribute that holds the features, a number or a vector; of several names each gives its
        numbers, side by side.
    labels : str or None
        Node attribute; words are numbered in their sorted order.
    weight : str or None
        Edge attribute; an edge without it, among others that have it, counts 1.
    split : str or None
        Node attribute with ``"train"``, ``"val"``, ``"test"``; a node without it, or with None, is in no part. The
        boolean attributes ``train_mask, val_mask, test_mask`` are read too, and win over it.
    **fields
        As for ``from_edge_index``; they win over the attributes.

    Raises
    ------
    GraphError
        A name other than the default which nothing has; features or labels that only some nodes have; anything that
        ``Graph`` refuses.

    Notes
    -----
    ``None`` leaves an attribute out. A default name that no node (edge) has is passed over.
    """
    if not hasattr(graph, "nodes") or not hasattr(graph, "is_directed"):
        raise GraphError(f"from_networkx needs a networkx graph, given {type(graph).__name__}")
    number = {node: k for k, node in enumerate(graph.nodes)}
    nodes = [data for _, data in graph.nodes(data=True)]
    if "x" not in fields and features is not None:
        fields["x"] = _features(graph, features)
    if "y" not in fields:
        fields["y"] = _labels(_node_attribute(graph, labels, default="y"))
    for name in _MASKS:
        if name not in fields and any(name in data for data in nodes):
            fields[name] = _node_attribute(graph, name, default=name)
    if split is not None and any(split in data for data in nodes):
        fields = split_masks([data.get(split) for data in nodes], f"the node attribute {split!r}") | fields
    elif split not in (None, "split"):
        raise _unknown("node", split, nodes)
    edges, weights = _edges(graph, number, weight)
    fields.setdefault("num_nodes", len(number))
    return from_edge_index(cls, edges, edge_weight=fields.pop("edge_weight", weights), **fields)


def _edges(graph: object, number: dict[object, int], weight: str | None) -> tuple[NDArray, list | None]:
    edges, weights, weighted = [], [], False
    for source, target, data in graph.edges(data=True):
        weighted |= weight is not None and weight in data
        value = data.get(weight, 1.0)
        edges.append((number[source], number[target]))
        weights.append(value)
        if not graph.is_directed() and source != target:
            edges.append((number[target], number[source]))
            weights.append(value)
    if weight not in (None, "weight") and not weighted and edges:
        raise _unknown("edge", weight, [data for _, _, data in graph.edges(data=True)])
    return np.array(edges, dtype=np.int64).reshape(-1, 2).T, weights if weighted else None


def _features(graph: object, names: str | Sequence[str]) -> NDArray | None:
    if isinstance(names, str):
        values = _node_attribute(graph, names, default="x")
        # A whole number a node is a code; a real one is a feature of one column.
        return values.reshape(-1, 1) if values is not None and values.ndim == 1 and values.dtype.kind == "f" else values
    columns = [np.asarray(_node_attribute(graph, name, default=None)) for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.dtype.kind not in "iufb" or column.ndim > 2:
            raise GraphError(f"the node attribute {name!r} has dtype {column.dtype}; features are numbers or vectors")
    return np.concatenate([column.reshape(len(graph), -1) for column in columns], axis=1) if columns else None


def _labels(values: NDArray | None) -> NDArray | None:
    return number_words(values)[0] if values is not None and values.dtype.kind == "U" else values


def _node_attribute(graph: object, attribute: str | None, *, default: str | None) -> NDArray | None:
    if attribute is None:
        return None
    values = [data[attribute] for _, data in graph.nodes(data=True) if attribute in data]
    if not values:
        if attribute == default or not len(graph):
            return None
        raise _unknown("node", attribute, [data for _, data in graph.nodes(data=True)])
    if len(values) != len(graph):
        missing = next(node for node, data in graph.nodes(data=True) if attribute not in data)
        raise GraphError(
            f"node {missing!r} has no attribute {attribute!r}, but {len(values)} of {len(graph)} nodes have; "
            "give it to all nodes or to none"
        )
    try:
        return np.array(values)
    except ValueError as error:
        raise GraphError(f"the node attribute {attribute!r} has not the same length on every node") from error


def _unknown(kind: str, attribute: str, data: Sequence[dict]) -> GraphError:
    known = sorted({str(name) for one in data for name in one})
    return GraphError(f"no {kind} has the attribute {attribute!r}; there is {', '.join(known[:8]) or 'none at all'}")
