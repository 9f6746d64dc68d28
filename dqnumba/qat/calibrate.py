"""``calibrate``: fill the ranges without training."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import reuse_memory
from ..errors import ConfigError
from ..graph import Graph
from .prepare import QuantizedModel

__all__ = ["calibrate"]


def calibrate(
    qmodel: QuantizedModel, data: Any, *, indices: np.ndarray | None = None, batch_size: int = 128
) -> QuantizedModel:
    """Run evaluation passes over ``data`` and let every observer see them (post-training quantization).

    Parameters
    ----------
    qmodel : QuantizedModel
        Its ranges are updated in place.
    data : Graph or GraphDataset
        A graph is seen whole. Of a data set, the graphs of ``indices`` are seen in batches; None takes its training
        split.
    indices : ndarray of int, optional
    batch_size : int
        Graphs a pass.

    Returns
    -------
    QuantizedModel
        ``qmodel`` itself.

    Raises
    ------
    ConfigError
        If ``qmodel`` is not prepared, ``data`` is neither of the two, there is no graph to look at, or ``batch_size``
        is below 1.
    GraphError
        If ``data`` does not fit the model.
    """
    if not isinstance(qmodel, QuantizedModel):
        raise ConfigError(f"calibrate takes the result of dqnumba.prepare, not {type(qmodel).__name__}.")
    if isinstance(data, Graph):
        qmodel.observe(data)
        return qmodel
    if not callable(getattr(data, "batch", None)):
        raise ConfigError(
            f"calibrate takes a Graph or a GraphDataset, not {type(data).__name__}; "
            "join a list of graphs with dqnumba.graph.batch([...])."
        )
    if indices is None:
        indices = data.splits["train"] if data.splits else np.arange(len(data))
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be a whole number, at least 1.")
    if len(indices) == 0:
        raise ConfigError(
            "calibrate got no graphs to look at; give indices of some, or a data set with a training split."
        )
    with reuse_memory():
        for start in range(0, len(indices), batch_size):
            qmodel.observe(data.batch(indices[start : start + batch_size]))
    return qmodel
