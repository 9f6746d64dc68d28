"""Degree-Quant on NumPy and Numba: train quantized graph neural networks, run them with integer kernels on a CPU.

The six verbs::

    import dqnumba as dq

    graph = dq.data.load("synthetic")
    model = dq.nn.GCN(graph.num_features, 16, graph.num_classes, seed=0)
    qmodel = dq.prepare(model, dq.QuantConfig.degree_quant(bits=8))
    dq.fit(qmodel, graph, epochs=100, seed=0)
    imodel = dq.convert(qmodel)
    dq.verify(imodel, qmodel, graph)
    imodel.save("model.safetensors")
    logits = dq.load("model.safetensors")(graph)

Names are resolved on first use (PEP 562): ``import dqnumba.infer`` loads nothing that only training needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives. `convert` is none of them: it is a subpackage that can be called.
_HOMES = {
    "DegreeQuantClassifier": "estimator",
    "Graph": "graph",
    "GraphDataset": "graph",
    "IntegerModel": "infer",
    "QuantConfig": "qat",
    "calibrate": "qat",
    "evaluate": "train",
    "fit": "train",
    "load": "infer",
    "load_graph": "graph",
    "predict": "train",
    "prepare": "qat",
    "verify": "convert",
    **dict.fromkeys(
        (
            "ConfigError",
            "ConversionError",
            "DQError",
            "DataError",
            "GraphError",
            "MemoryRiskError",
            "MissingExtraError",
            "ModelFormatError",
            "NotCalibratedError",
            "OverflowRiskError",
        ),
        "errors",
    ),
}
_ROOMS = (
    "autograd", "convert", "data", "errors", "estimator", "graph", "infer", "nn", "qat", "quant", "testing", "train",
)  # fmt: skip

__all__ = [
    "ConfigError",
    "ConversionError",
    "DQError",
    "DataError",
    "DegreeQuantClassifier",
    "Graph",
    "GraphDataset",
    "GraphError",
    "IntegerModel",
    "MemoryRiskError",
    "MissingExtraError",
    "ModelFormatError",
    "NotCalibratedError",
    "OverflowRiskError",
    "QuantConfig",
    "__version__",
    "autograd",
    "calibrate",
    "convert",
    "data",
    "errors",
    "estimator",
    "evaluate",
    "fit",
    "graph",
    "infer",
    "load",
    "load_graph",
    "nn",
    "predict",
    "prepare",
    "qat",
    "quant",
    "train",
    "verify",
]

if TYPE_CHECKING:  # functions from their own files: a package that holds a file of the same name confuses mypy
    from . import autograd, data, errors, estimator, graph, infer, nn, qat, quant, train
    from . import testing as testing  # needs an extra, so it is not in __all__
    from .convert import CallablePackage
    from .convert.verify import verify
    from .errors import (
        ConfigError,
        ConversionError,
        DataError,
        DQError,
        GraphError,
        MemoryRiskError,
        MissingExtraError,
        ModelFormatError,
        NotCalibratedError,
        OverflowRiskError,
    )
    from .estimator import DegreeQuantClassifier
    from .graph import Graph, GraphDataset, load_graph
    from .infer import IntegerModel, load
    from .qat.calibrate import calibrate
    from .qat.config import QuantConfig
    from .qat.prepare import prepare
    from .train.evaluate import evaluate, predict
    from .train.loop import fit

    convert: CallablePackage


if not TYPE_CHECKING:  # a type checker that saw it would take any name for an attribute

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
            globals()[name] = value
            return value
        if name in _ROOMS:
            return importlib.import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
