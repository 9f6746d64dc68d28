"""What the integer program, fake quantization and the float model say about the same items, and how right they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import nn
from ..errors import GraphError
from ..qat import ExactModel
from ..train.checkpoint import Checkpoint
from ..train.evaluate import predict, task_of
from ..train.metrics import metric_name, score
from ..train.source import SourceData

__all__ = ["MODELS", "Predictions", "float_twin"]

#: Models in the order in which they are shown, with their names.
MODELS = {"float": "float32", "fake": "fake quantization", "integer": "integer program"}
_MOST_CLASSES, _MOST_PAIRS, _MOST_POINTS, _BINS = 24, 12, 1500, 31


def float_twin(checkpoint: Checkpoint) -> nn.GNN:
    """The float model with the trained weights of a train file: what its quantizers stand on, without rounding."""
    twin = nn.build_model(checkpoint.model_config)
    names = twin.state_dict().keys() & checkpoint.model.keys()
    twin.load_state_dict({name: checkpoint.model[name] for name in names})
    return twin


class Predictions:
    """Outputs of the models that are at hand, row by row.

    Attributes
    ----------
    outputs : dict of (R, C) float arrays
        By ``"integer"``, ``"fake"``, ``"float"``.
    rows : (R,) integer array
        The item that a row stands for: all items of one graph, of a data set those that are looked at.
    scored : (S,) integer array
        Positions in ``rows`` whose labels count: the test split where there is one, else all that have a label.
    split : str
        ``"test"``, ``"labelled"`` or ``"all"``.
    """

    def __init__(
        self, source: SourceData, models: Mapping[str, Any], backend: str | None, limit: int | None
    ) -> None:  # fmt: skip
        self.source, self.task = source, task_of(source.data)
        self.split = "test" if len(source.splits.get("test", ())) else "all"
        indices = None
        if source.many_graphs:
            indices = source.splits["test"] if self.split == "test" else np.arange(len(source.data))
            indices = indices[:limit]
        self.outputs = {
            name: predict(model, source.data, indices, backend=backend)
            for name, model in models.items() if model is not None
        }  # fmt: skip
        self.exact = None if models.get("fake") is None else predict(_Exact(models["fake"]), source.data, indices)
        self.rows = np.arange(len(self.outputs["integer"])) if indices is None else indices
        whole = np.arange(len(self.rows))
        self.scored = whole if source.many_graphs or self.split == "all" else source.splits["test"]
        if self.split == "all" and source.file is not None and source.file.labelled is not None:
            self.split, self.scored = "labelled", np.flatnonzero(source.file.labelled[self.rows])
        y = source.data.y
        if y is not None and indices is None and len(y) != len(self.rows):
            raise GraphError(f"The data have {len(y)} labels, the model gives {len(self.rows)} rows.")
        self.y = None if y is None else y[self.rows]

    def to_dict(self) -> dict[str, Any]:
        """``scores``, ``agreement``, ``confusion`` and ``fit``; None where there are no labels or another task."""
        regression = self.task == "regression"
        return {
            "task": self.task, "items": len(self.rows), "split": self.split, "scored": len(self.scored),
            "outputs": self.outputs["integer"].shape[1],
            "nodes": int(self.source.data.num_nodes) if not self.source.many_graphs else None,
            "edges": int(self.source.data.num_edges) if not self.source.many_graphs else None,
            "scores": None if self.y is None else self._scores(),
            "changed": None if regression else self._changed(),
            "confusion": None if self.y is None or regression else self._confusion(),
            "fit": self._fit() if self.y is not None and regression else None,
        }  # fmt: skip

    def _scores(self) -> dict[str, Any]:
        """The metric of each model by split; a data set is looked at in its test split alone."""
        splits = {self.split: self.scored}
        if not self.source.many_graphs and self.split == "test":
            splits = {name: self.source.splits[name] for name in ("train", "val", "test") if
                      len(self.source.splits.get(name, ()))}  # fmt: skip
        metric = metric_name(self.task)
        rows = {
            name: {split: score(self.task, outputs[index], self.y[index])[metric] for split, index in splits.items()}
            for name, outputs in self.outputs.items()
        }
        return {"metric": metric, "counts": {split: len(index) for split, index in splits.items()}, "models": rows}

    def _changed(self) -> dict[str, float]:
        """Share of all rows whose predicted class differs from the integer program's."""
        classes = self.outputs["integer"].argmax(axis=1)
        others = {"float": self.outputs.get("float"), "fake": self.exact}
        return {
            name: float(np.mean(out.argmax(axis=1) != classes)) for name, out in others.items() if out is not None
        }  # fmt: skip

    def _confusion(self) -> dict[str, Any]:
        """Counts of (label, predicted class) over the scored rows; with many classes only the pairs mixed up most."""
        wanted = self.y[self.scored].astype(np.int64)
        given = self.outputs["integer"][self.scored].argmax(axis=1).astype(np.int64)
        classes = max(self.outputs["integer"].shape[1], int(wanted.max(initial=0)) + 1)
        pairs, counts = np.unique(np.stack([wanted, given]), axis=1, return_counts=True)
        wrong = np.flatnonzero(pairs[0] != pairs[1])
        worst = wrong[np.argsort(-counts[wrong], kind="stable")][:_MOST_PAIRS]
        matrix = None
        if classes <= _MOST_CLASSES:
            table = np.zeros((classes, classes), np.int64)
            table[pairs[0], pairs[1]] = counts
            matrix = table.tolist()
        found = {"classes": classes, "matrix": matrix}
        return found | {"pairs": [[int(pairs[0, k]), int(pairs[1, k]), int(counts[k])] for k in worst]}

    def _fit(self) -> dict[str, Any]:
        """Targets and predictions of at most 1,500 rows, evenly spread, and a histogram of all residuals."""
        wanted = self.y[self.scored].astype(np.float64)
        given = self.outputs["integer"][self.scored, 0].astype(np.float64)
        kept = np.unique(np.linspace(0, len(wanted) - 1, min(len(wanted), _MOST_POINTS)).astype(np.int64))
        residuals = given - wanted
        counts, edges = np.histogram(residuals, bins=_BINS)
        return {
            "target": wanted[kept].tolist(), "predicted": given[kept].tolist(), "shown": len(kept),
            "residual_counts": counts.tolist(), "residual_middles": ((edges[1:] + edges[:-1]) / 2).tolist(),
            "bias": float(residuals.mean()), "quartiles": np.percentile(residuals, [5, 25, 50, 75, 95]).tolist(),
        }  # fmt: skip


class _Exact:
    """Fake quantization without float32's rounding noise, as ``verify`` compares; called as ``predict`` calls."""

    def __init__(self, qmodel: Any) -> None:
        self.model = ExactModel(qmodel)

    def __call__(self, graph: Any, backend: str | None = None) -> np.ndarray:
        return self.model(graph)
