"""Error against in-degree: the hubs are where quantization hurts first (the paper's argument)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .predictions import Predictions

__all__ = ["buckets", "by_in_degree"]

_MOST_EXACT = 6


def buckets(degrees: NDArray[np.integer]) -> NDArray[np.int64]:
    """Bucket of each in-degree: 0, 1, 2, 3-4, 5-8, 9-16 and so on, int64 (N,)."""
    degrees = np.asarray(degrees, np.int64)
    above = np.ceil(np.log2(np.maximum(degrees, 1))).astype(np.int64) + 1  # exact up to 2**53: powers of two are
    return np.where(degrees > 0, above, 0)


def by_in_degree(predictions: Predictions, degrees: NDArray[np.integer]) -> dict[str, Any]:
    """For each in-degree, or bucket of in-degrees, how far integer is from float, and how right both are.

    Parameters
    ----------
    predictions : Predictions
    degrees : (R,) integer array
        In-degree (self-loops aside) of each row of the outputs, or the largest one of its graph.

    Returns
    -------
    dict
        ``of`` (``"node"`` or ``"graph"``), ``spread`` (standard deviation of the float outputs, the unit of the
        errors) and ``buckets``: ``name, count, error`` (quartiles; None without a float model), ``scored`` and
        ``scores`` (the metric of each model over the scored rows). Up to six different degrees stand for themselves.
    """
    distinct = np.unique(degrees)
    exact_degrees = len(distinct) <= _MOST_EXACT
    place = np.asarray(degrees, np.int64) if exact_degrees else buckets(degrees)
    outputs, error, spread = predictions.outputs, None, None
    if "float" in outputs:
        exact = outputs["float"].astype(np.float64)
        spread = float(exact.std())
        error = np.abs(outputs["integer"] - exact).mean(axis=1) / (spread or 1.0)
    is_scored = np.zeros(len(place), bool)
    is_scored[predictions.scored] = True
    found = []
    for bucket in np.unique(place):
        inside = place == bucket
        rows = np.flatnonzero(inside & is_scored)
        entry: dict[str, Any] = {
            "name": str(bucket) if exact_degrees else _name(int(bucket), int(degrees[inside].max())),
            "count": int(inside.sum()),
            "error": None if error is None else np.percentile(error[inside], [25, 50, 75]).tolist(),
            "scored": len(rows), "scores": {},
        }  # fmt: skip
        if predictions.y is not None and len(rows):
            entry["scores"] = {name: _mean_score(predictions, out, rows) for name, out in outputs.items()}
        found.append(entry)
    of = "graph" if predictions.source.many_graphs or len(place) != predictions.source.data.num_nodes else "node"
    return {"of": of, "spread": spread, "buckets": found}


def _mean_score(predictions: Predictions, outputs: NDArray, rows: NDArray) -> float:
    from ..train.metrics import metric_name, score

    return score(predictions.task, outputs[rows], predictions.y[rows])[metric_name(predictions.task)]


def _name(bucket: int, largest: int) -> str:
    if bucket <= 2:
        return str(bucket)
    low, high = 2 ** (bucket - 2) + 1, min(2 ** (bucket - 1), largest)
    return str(low) if low == high else f"{low}–{high}"
