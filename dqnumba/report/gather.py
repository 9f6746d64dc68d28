"""Everything that the report shows, measured by running the model: plain JSON types."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..convert import verify
from ..convert.compare import check_same_model
from ..errors import ConfigError
from ..graph import Graph
from ..infer import IntegerModel
from ..qat import QuantizedModel
from ..train.build import restore_model
from ..train.checkpoint import Checkpoint
from ..train.evaluate import check_task
from ..train.source import SourceData
from .degrees import by_in_degree
from .predictions import Predictions, float_twin
from .sites import site_table
from .speed import machine, measure_speed

__all__ = ["gather"]

_BATCH = 128
_VERIFIED = 512
"""Graphs of a data set that level 3 of ``verify`` looks at: all of MNIST would take minutes."""


def gather(
    model: IntegerModel,
    source: SourceData,
    *,
    file: str | Path,
    name: str,
    checkpoint: Checkpoint | None = None,
    backend: str | None = None,
    repeats: int = 15,
    limit: int | None = None,
    progress: Callable | None = None,
) -> dict[str, Any]:
    """Run the program, and with a ``checkpoint`` the model it was converted from; returns what was found.

    Parameters
    ----------
    model : IntegerModel
    source : SourceData
        One graph, or a data set of graphs: its test split is looked at where it has one.
    file : path
        Of the model, for its name and size.
    name : str
        What the report calls the data.
    checkpoint : Checkpoint, optional
        The train file. Without it, or before its training has ended, the float and the fake-quantized model are
        missing, and ``missing`` says so.
    backend : str, optional
        Kernels of the program.
    repeats : int
        Samples of each time.
    limit : int, optional
        Look at the first so many graphs of a data set.
    progress : callable, optional
        As in :func:`dqnumba.fit`.

    Returns
    -------
    dict
        JSON types. Keys are those of the sections: ``scores``, ``confusion`` or ``fit``, ``verify``, ``sizes``,
        ``speed``, ``sites``, ``degrees``, ``program``, ``training``, and ``missing``: what could not be shown and why.

    Raises
    ------
    ConfigError, GraphError
        The model does not fit the data, or the train file is that of another model.
    """
    check_task(model, source.data)
    missing: list[dict[str, str]] = []
    qmodel, twin = _trained(model, checkpoint, missing)
    sample = source.data if isinstance(source.data, Graph) else source.data.batch(_first(source, limit)[:_BATCH])
    found: dict[str, Any] = {
        "dqnumba": __version__, "made": time.strftime("%Y-%m-%d %H:%M %Z"), "file": Path(file).name, "data": name,
        "missing": missing, "program": model.to_dict(), "machine": machine(),
    }  # fmt: skip

    def verified() -> dict[str, Any]:
        count = min(_VERIFIED, limit or _VERIFIED)
        kernels = model.bind(sample, backend=backend).backend
        kernels = "numba" if kernels == "reference" else kernels
        report = verify(model, qmodel, source.data, backend=kernels, limit=count)
        return report.to_dict()

    def predicted() -> dict[str, Any]:
        predictions = Predictions(source, {"integer": model, "fake": qmodel, "float": twin}, backend, limit)
        degrees = by_in_degree(predictions, _largest_in_degrees(source, predictions))
        return predictions.to_dict() | {"degrees": degrees}

    stages: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("predictions", predicted),
        ("checks", lambda: {"verify": verified()}),
        ("sites", lambda: {"sites": site_table(model, sample, found["verify"]["sites"], backend)}),
        ("times", lambda: {"speed": measure_speed(model, twin, _graphs(source, limit), backend, repeats)}),
    ]
    for _, stage in stages if progress is None else progress(stages, "report", len(stages)):
        found |= stage()
    found["sizes"] = _sizes(model, twin, file, found["speed"])
    found["training"] = None if checkpoint is None else _training(checkpoint)
    if found["scores"] is None:
        missing.append({"what": "Accuracy and confusion", "why": "the data have no labels (y)"})
    return _plain(found)


def _trained(model: IntegerModel, checkpoint: Checkpoint | None, missing: list) -> tuple[QuantizedModel | None, Any]:
    """The model that the program was converted from, and the same weights in float."""
    what = "The float and the fake-quantized model, levels 2 and 3 of the checks"
    if checkpoint is None:
        why = "there is no train file (F.train.safetensors) beside the model file; --against names one elsewhere"
        missing.append({"what": f"{what}, the curves of the training", "why": why})
        return None, None
    if checkpoint.model is None:
        why = "the training of the train file has not ended; `dqnumba train --resume` goes on"
        missing.append({"what": what, "why": why})
        return None, None
    qmodel = restore_model(checkpoint)
    if not isinstance(qmodel, QuantizedModel):
        raise ConfigError(
            "The train file holds a float model (--method fp32), not the one that this program was converted from. "
            "Give the right one with --against, or move this one away."
        )
    check_same_model(model, qmodel)
    return qmodel, float_twin(checkpoint)


def _plain(value: Any) -> Any:
    """The same with None for what JSON cannot say: infinities and not-a-numbers, in a file's history above all."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _first(source: SourceData, limit: int | None) -> np.ndarray:
    """The graphs of a data set that are looked at: those of the test split, or all."""
    indices = np.asarray(source.splits.get("test", np.arange(len(source.data))))
    return indices[:limit]


def _graphs(source: SourceData, limit: int | None) -> dict[str, Graph]:
    if isinstance(source.data, Graph):
        return {"whole graph": source.data}
    chosen = _first(source, limit)[:_BATCH]
    return {"one graph": source.data[int(chosen[0])], f"batch of {len(chosen)}": source.data.batch(chosen)}


def _largest_in_degrees(source: SourceData, predictions: Predictions) -> np.ndarray:
    """In-degree of each row of the outputs: of the node, or the largest one inside the graph."""
    if isinstance(source.data, Graph):
        graph = source.data
        return graph.in_degree if len(predictions.rows) == graph.num_nodes else _maxima(graph)
    return np.concatenate([_maxima(batch) for batch in source.data.batches(predictions.rows, _BATCH)])


def _maxima(graph: Graph) -> np.ndarray:
    sizes = np.diff(graph.graph_ptr) if graph.graph_ptr is not None else np.array([graph.num_nodes])
    largest = np.zeros(len(sizes), np.int64)
    np.maximum.at(largest, np.repeat(np.arange(len(sizes)), sizes), graph.in_degree)
    return largest


def _sizes(model: IntegerModel, twin: Any, file: str | Path, speed: list[dict[str, Any]]) -> dict[str, Any]:
    sizes = {
        "file": Path(file).stat().st_size, "constants": model.nbytes, "float_file": None, "float_weights": None,
        "workspace": max((row["workspace_bytes"] for row in speed if row["workspace_bytes"]), default=None),
    }  # fmt: skip
    if twin is not None:
        from safetensors.numpy import save

        state = {name: np.ascontiguousarray(array) for name, array in twin.state_dict().items()}
        sizes |= {"float_file": len(save(state)), "float_weights": sum(a.nbytes for a in state.values())}
    return sizes


def _training(checkpoint: Checkpoint) -> dict[str, Any]:
    state = checkpoint.state
    return {"history": state.history, "best_epoch": state.best_epoch, "record": checkpoint.record or {}}
