"""What ``X`` and ``y`` of an estimator stand for: nodes of one graph, or many graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..graph import Graph, GraphDataset, batch, random_split
from ..train.evaluate import split_indices, task_of

__all__ = ["Training", "as_data", "as_items", "node_numbers", "training_data"]

UNLABELLED = -1
_WANTED = "a Graph, a GraphDataset or list of graphs, or, with the parameter graph, an integer array of node numbers"


@dataclass(frozen=True)
class Training:
    """Data with their labels numbered, the items to learn from, and the classes that the numbers stand for."""

    data: Graph | GraphDataset
    splits: dict[str, NDArray[np.int64]]
    classes: NDArray


def training_data(
    X: Any, y: ArrayLike | None, *, graph: Graph | None, train: ArrayLike | None, val: ArrayLike | None,
    fraction: float, seed: int,
) -> Training:  # fmt: skip
    """Data, splits and classes of a call of ``fit``.

    Raises
    ------
    ConfigError
        An ``X`` of another kind, labels that do not fit it, or nothing to learn from.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"validation_fraction is {fraction}; it must be 0 or more and less than 1")
    nodes = node_numbers(X, graph)
    if nodes is not None:
        if train is not None or val is not None:
            raise ConfigError("train and val are for a whole graph; with node numbers, give those to train on as X")
        labels = _one_each(y, len(nodes), "node number in X")
        values = np.full(graph.num_nodes, labels[0], dtype=labels.dtype)
        values[nodes] = labels
        known = np.zeros(graph.num_nodes, dtype=bool)
        known[nodes] = _known(labels)
        data, labels = graph, values
        own = {}
    else:
        data, y = as_data(X, y)
        labels = _labels(data, y)
        known = _known(labels) if y is not None else np.ones(len(labels), dtype=bool)
        own = _own_splits(data)
    if not data.num_features:
        raise ConfigError("the nodes have no features (x); give them some, such as their in-degree: "
                          "graph.replace(x=graph.in_degree.reshape(-1, 1))")  # fmt: skip
    if not known.any():
        raise ConfigError(f"no item has a label: y holds nothing but {UNLABELLED}, which means unlabelled")
    if y is None:
        classes = np.arange(data.num_classes)
        numbers = labels
    else:
        classes = np.unique(labels[known])
        numbers = np.searchsorted(classes, labels)
        numbers = np.where(known, numbers, 0).astype(np.int64)
    data = _labelled(data, numbers, len(classes))
    splits = _choose(data, numbers, known, own, train, val, fraction, seed)
    return Training(data, splits, classes)


def as_data(X: Any, y: ArrayLike | None = None) -> tuple[Graph | GraphDataset, ArrayLike | None]:
    """A graph for a task of nodes, a data set for one of graphs; and ``y`` where ``X`` does not bring its own.

    A batch of graphs with one label a graph is a data set; a list of graphs is one too.
    """
    if isinstance(X, GraphDataset):
        return X, y
    if isinstance(X, Graph):
        count = len(np.asarray(y)) if y is not None else (-1 if X.y is None else len(X.y))
        if X.graph_ptr is None or count != X.num_graphs:
            return X, y
        return GraphDataset(X if y is None else X.replace(y=np.zeros(count, np.int64))), y
    if not _graphs(X):
        raise ConfigError(f"X is {_kind(X)}; it must be {_WANTED}")
    if y is None:
        if any(graph.y is None or len(graph.y) != 1 for graph in X):
            raise ConfigError("a list of graphs needs y, one label a graph, or graphs with y of one entry")
        return GraphDataset.from_graphs(X), None
    return GraphDataset(as_items(X).replace(y=np.zeros(len(X), np.int64))), y


def as_items(X: Sequence[Graph]) -> Graph:
    """Graphs as one batch without labels and masks."""
    bare = [g.replace(y=None, num_classes=None, train_mask=None, val_mask=None, test_mask=None) for g in X]
    return batch(bare)


def node_numbers(X: Any, graph: Graph | None) -> NDArray[np.int64] | None:
    """Node numbers of ``graph``, from (n,) or (n, 1); None if ``X`` is something else."""
    if isinstance(X, Graph | GraphDataset) or _graphs(X):
        return None
    array = np.asarray(X)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ConfigError(f"X is {_kind(X)}; it must be {_WANTED}")
    if graph is None:
        raise ConfigError("X holds node numbers; say of which graph with the parameter graph, or fit the graph itself")
    if not isinstance(graph, Graph):
        raise ConfigError(f"the parameter graph is {_kind(graph)}; it must be a Graph")
    if array.min() < 0 or array.max() >= graph.num_nodes:
        raise ConfigError(f"X holds the node {array.min() if array.min() < 0 else array.max()}; the nodes of the graph "
                          f"are 0..{graph.num_nodes - 1}")  # fmt: skip
    return array.astype(np.int64)


def _graphs(X: Any) -> bool:
    return isinstance(X, Sequence | np.ndarray) and len(X) > 0 and all(isinstance(graph, Graph) for graph in X)


def _kind(X: Any) -> str:
    return f"an array of dtype {X.dtype} and shape {X.shape}" if isinstance(X, np.ndarray) else f"a {type(X).__name__}"


def _one_each(y: ArrayLike | None, count: int, what: str) -> NDArray:
    if y is None:
        raise ConfigError(f"y is missing; give one label a {what}")
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise ConfigError(f"y has shape {labels.shape}; it must be ({count},), one label a {what}")
    if labels.dtype.kind == "f":
        if not (labels == np.rint(labels)).all():
            raise ConfigError("y holds real numbers, which is regression; a classifier learns classes")
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    return labels


def _known(labels: NDArray) -> NDArray[np.bool_]:
    return labels != UNLABELLED if labels.dtype.kind in "iu" else np.ones(len(labels), dtype=bool)


def _labels(data: Graph | GraphDataset, y: ArrayLike | None) -> NDArray:
    many = isinstance(data, GraphDataset)
    if y is not None:
        return _one_each(y, len(data) if many else data.num_nodes, "graph" if many else "node")
    if data.y is None:
        raise ConfigError("y is missing, and the graph has no labels of its own; give one label a node")
    if task_of(data) == "regression":
        raise ConfigError("the labels are real numbers, which is regression; a classifier learns classes")
    if not many and len(data.y) != data.num_nodes:
        raise ConfigError("the graph has one label for all its nodes; to classify graphs, give a list of them")
    return data.y


def _own_splits(data: Graph | GraphDataset) -> dict[str, NDArray[np.int64]]:
    if isinstance(data, GraphDataset) and data.splits is None:
        return {}
    return split_indices(data)


def _labelled(data: Graph | GraphDataset, numbers: NDArray[np.int64], classes: int) -> Graph | GraphDataset:
    if isinstance(data, GraphDataset):
        return GraphDataset(data.union.replace(y=numbers, num_classes=classes), name=data.name, splits=data.splits)
    return data.replace(y=numbers, num_classes=classes)


def _choose(
    data: Graph | GraphDataset, y: NDArray, known: NDArray[np.bool_], own: dict[str, NDArray[np.int64]],
    train: ArrayLike | None, val: ArrayLike | None, fraction: float, seed: int,
) -> dict[str, NDArray[np.int64]]:  # fmt: skip
    """The items to learn from and those to choose the epoch by: given, else the data's own, else all and a share."""
    given = split_indices(data, {k: v for k, v in (("train", train), ("val", val)) if v is not None})
    if "train" in given:
        unknown = [int(k) for part in given.values() for k in part if not known[k]]
        if unknown:
            raise ConfigError(f"item {unknown[0]} of train or val has no label: its y is {UNLABELLED}")
        chosen = given
    elif "train" in own:
        chosen = {"train": own["train"], "val": own.get("val", np.zeros(0, np.int64))} | given
    else:
        away = np.concatenate([np.zeros(0, np.int64), *given.values(), *own.values()])
        chosen = {"train": np.setdiff1d(np.arange(len(y)), away)} | {k: v for k, v in own.items() if k == "val"} | given
    splits = {name: index[known[index]] for name, index in chosen.items()}
    if len(splits["train"]) == 0:
        raise ConfigError("there is nothing to train on: no item of the training part has a label")
    if len(splits.get("val", ())) == 0:
        kept, held, _ = random_split(y[splits["train"]], fractions=(1 - fraction, fraction, 0.0), seed=seed)
        splits = {"train": splits["train"][kept], "val": splits["train"][held]}
    return {name: index for name, index in splits.items() if len(index)}
