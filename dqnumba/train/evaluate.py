"""Predictions and scores of any model: float, fake-quantized or integer, on one graph or on a data set of graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError, GraphError
from ..graph import Graph
from .metrics import score

__all__ = ["check_task", "evaluate", "is_dataset", "predict", "split_indices", "targets", "task_of"]


def is_dataset(data: Any) -> bool:
    """True for a data set of many graphs, false for one graph (or one batch of graphs); GraphError for other things."""
    if isinstance(data, Graph):
        return False
    if not callable(getattr(data, "batches", None)):
        raise GraphError(
            f"The data must be a Graph or a GraphDataset, not {type(data).__name__}; make a data set of a list of "
            "labelled graphs with dqnumba.GraphDataset.from_graphs([...])."
        )
    return True


def task_of(data: Any) -> str:
    """``classification`` or ``regression`` (a graph with real-valued ``y``)."""
    if is_dataset(data):
        return data.task
    return "regression" if data.y is not None and data.y.dtype.kind == "f" else "classification"


def targets(data: Any, indices: np.ndarray | None = None) -> np.ndarray:
    """Labels or values of the items ``indices`` (all without it).

    Raises
    ------
    GraphError
        The data has no labels.
    """
    if data.y is None:
        raise GraphError(f"{_title(data)} has no labels (y); training and scoring need them, prediction does not.")
    return data.y if indices is None else data.y[indices]


def split_indices(data: Any, splits: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The items of each split as int64 indices: ``splits`` if given, else the masks or splits of ``data``.

    A split that is absent is absent from the result too. A boolean mask over the items is taken as one.

    Raises
    ------
    ConfigError
        The data has no fixed split, or a split names an item that is not there.
    """
    if splits is None and is_dataset(data):
        if data.splits is None:
            raise ConfigError(
                f"{_title(data)} has no fixed split; choose a fold: --fold 0 on the command line, "
                "or splits=data.fold(0) in Python."
            )
        splits = data.splits
    if splits is None:
        masks = {"train": data.train_mask, "val": data.val_mask, "test": data.test_mask}
        splits = {name: np.flatnonzero(mask) for name, mask in masks.items() if mask is not None}
    return {name: _as_indices(name, index, data) for name, index in splits.items()}


def _as_indices(name: str, split: Any, data: Any) -> np.ndarray:
    """One split as int64 indices. A mask must not become the indices 0 and 1, nor -1 the last item."""
    index, count = np.asarray(split), _count(data)
    if index.dtype == bool and index.shape == (count,):
        return np.flatnonzero(index)
    whole = index.ndim == 1 and (index.dtype.kind in "iu" or index.size == 0)
    if not whole or (index.size and not (0 <= index.min() and index.max() < count)):
        raise ConfigError(
            f"The split {name!r} (dtype {index.dtype}, shape {index.shape}) must hold numbers of items, "
            f"0 to {count - 1}, or be a boolean mask of shape ({count},)."
        )
    return index.astype(np.int64)


def _count(data: Any) -> int:
    """Number of items that a split chooses from: those with a label, or the nodes where there are none."""
    if is_dataset(data):
        return len(data)
    return data.num_nodes if data.y is None else len(data.y)


def check_task(model: Any, data: Any) -> None:
    """Hold what a model of this library predicts against the labels of ``data``; other models are passed over.

    Raises
    ------
    GraphError
        One is about nodes and the other about graphs, or the model has too few outputs for the labels.
    """
    rows, outputs = _predicts(model)
    if rows is None or data.y is None:
        return
    # Where there are as many graphs as nodes, nobody can tell which of the two the labels belong to.
    labelled = "graph" if is_dataset(data) or len(data.y) == data.num_graphs else "node"
    if labelled != rows and (is_dataset(data) or data.num_graphs != data.num_nodes):
        raise GraphError(
            f"The model predicts one row a {rows}, {_title(data)[0].lower() + _title(data)[1:]} has one label a "
            f"{labelled}. Build the model with readout=None for nodes, or with a readout such as \"mean\" for graphs."
        )
    needed = int(data.y.max(initial=0)) + 1 if data.y.dtype.kind != "f" else 1
    if outputs < needed or (outputs > 1 and data.y.dtype.kind == "f"):
        what = "real-valued targets" if data.y.dtype.kind == "f" else f"labels up to {needed - 1}"
        raise GraphError(
            f"The model has {outputs} outputs, {_title(data)[0].lower() + _title(data)[1:]} has {what}. "
            f"Build the model with out_channels={needed}, or use the data that it was built for."
        )


def _predicts(model: Any) -> tuple[str | None, int]:
    """What a row of the outputs stands for (None for a model that is not of this library), and their number."""
    program = getattr(model, "program", None)
    if program is not None:
        return program.meta["task_rows"], program.meta["out_channels"]
    config = getattr(getattr(model, "model", model), "config", None)  # the float model inside a QuantizedModel
    if not isinstance(config, dict) or not {"readout", "out_channels"} <= config.keys():
        return None, 0
    return "graph" if config["readout"] else "node", config["out_channels"]


def predict(
    model: Callable,
    data: Any,
    indices: np.ndarray | None = None,
    *,
    batch_size: int = 128,
    backend: str | None = None,
) -> np.ndarray:
    """Outputs of a model in evaluation mode.

    Parameters
    ----------
    model : Module, QuantizedModel or IntegerModel
    data : Graph or GraphDataset
    indices : (M,) integer array, optional
        Rows to give back: nodes of a graph (its graphs, where the model has a readout) or graphs of a data set; all
        without it.
    batch_size : int
        Graphs in a batch; one graph is always run whole.
    backend : str, optional
        For integer models.

    Returns
    -------
    (M, C) float32 array

    Raises
    ------
    ConfigError
        ``indices`` is empty, for a data set.
    GraphError
        ``data`` does not fit the model.
    """
    if not is_dataset(data):
        outputs = _outputs(model, data, backend)
        return outputs if indices is None else outputs[indices]
    if indices is None:
        indices = np.arange(len(data))
    if len(indices) == 0:
        raise ConfigError(f"{_title(data)}: there is nothing to predict, the split is empty; choose another split.")
    return np.concatenate([_outputs(model, batch, backend) for batch in data.batches(indices, batch_size)])


def evaluate(
    model: Callable,
    data: Any,
    *,
    split: str = "test",
    splits: Mapping[str, np.ndarray] | None = None,
    batch_size: int = 128,
    backend: str | None = None,
) -> dict[str, float]:
    """Loss and accuracy (or error) of a model on one split.

    Returns
    -------
    dict
        ``{"loss", "accuracy"}`` or, for regression, ``{"loss", "mae"}``.

    Raises
    ------
    ConfigError
        The data has no such split, or ``splits`` names an item that is not there.
    GraphError
        The data has no labels, or the model does not fit it.
    """
    check_task(model, data)
    available = split_indices(data, splits)
    if split not in available:
        raise ConfigError(f"{_title(data)} has no {split!r} split; it has {', '.join(available) or 'none'}.")
    index = available[split]
    outputs = predict(model, data, index, batch_size=batch_size, backend=backend)
    return score(task_of(data), outputs, targets(data, index))


def _outputs(model: Callable, graph: Graph, backend: str | None) -> np.ndarray:
    if hasattr(model, "parameters"):  # a training model; an integer one has none
        from ..autograd import no_grad, reuse_memory

        with no_grad(), reuse_memory():
            return model(graph).data
    return model(graph, backend=backend)


def _title(data: Any) -> str:
    kind = "The data set" if is_dataset(data) else "The graph"
    return f"{kind} {data.name!r}" if data.name else kind
