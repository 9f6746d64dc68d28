"""What a user writes who has mypy in strict mode: tests/test_typing.py has it checked; it is not run.

``assert_type`` says what a call gives; an ``ignore`` marks what must be refused: one that is not needed is an error.
"""

from __future__ import annotations

from typing import Any, assert_type

import networkx
import numpy as np
from numpy.typing import NDArray

import dqnumba as dq
from dqnumba.convert import VerifyReport
from dqnumba.infer import BoundModel


def whole_road(path: str) -> NDArray[np.float32]:
    graph = dq.data.load("cora")
    assert_type(graph, dq.Graph)
    model = dq.nn.GCN(graph.num_features, 16, graph.num_classes, dropout=0.5, seed=0)
    qmodel = dq.prepare(model, dq.QuantConfig.degree_quant(bits=8))
    assert_type(qmodel, dq.qat.QuantizedModel)
    dq.fit(qmodel, graph, epochs=100, seed=0)
    imodel = dq.convert(qmodel)
    assert_type(imodel, dq.IntegerModel)
    assert_type(dq.verify(imodel, qmodel, graph), VerifyReport)
    assert_type(imodel.save(path), int)
    assert_type(imodel.to_bytes(), bytes)
    bound = dq.load(path).bind(graph, backend="numba")
    assert_type(bound, BoundModel)
    return bound()


def graphs_of_ones_own(edges: NDArray[np.int64], name: str) -> dq.Graph:
    graph = dq.Graph.from_edge_index(edges, x=np.ones((4, 2), np.float32), y=[0, 1, 0, 1], num_nodes=4)
    assert_type(graph.indptr, NDArray[np.int64])
    assert_type(graph.indices, NDArray[np.int32])
    assert_type(graph.num_nodes, int)
    assert_type(dq.Graph.from_networkx(networkx.karate_club_graph()), dq.Graph)
    assert_type(dq.data.load("zinc12k"), dq.GraphDataset)
    read = dq.load_graph(name)
    assert_type(read, dq.Graph | dq.GraphDataset)
    return read if isinstance(read, dq.Graph) else read[0]


def an_estimator(graph: dq.Graph) -> float:
    estimator = dq.DegreeQuantClassifier("gin", bits=4, epochs=10, random_state=0)
    return estimator.fit(graph, graph.y).score(graph, graph.y)


def arithmetic() -> NDArray[Any]:
    spec = dq.quant.QuantSpec(bits=8, signed=True)
    qparams = dq.quant.choose_qparams(-1.0, 2.0, spec)
    return dq.quant.quantize(np.linspace(-1, 2, 5), qparams)


def what_is_refused(graph: dq.Graph, imodel: dq.IntegerModel) -> None:
    dq.nn.GCN("many", 16, 7)  # type: ignore[arg-type]
    dq.nn.GCN(10, 16, 7, width=3)  # type: ignore[call-arg]
    dq.convert(imodel)  # type: ignore[arg-type]
    dq.verify(graph, None, graph)  # type: ignore[arg-type]
    imodel.bind(graph, backend=3)  # type: ignore[arg-type]
    _ = graph.nodes  # type: ignore[attr-defined]
    dq.prepare(graph, dq.QuantConfig.ptq())  # type: ignore[arg-type]
    dq.train_it(graph)  # type: ignore[attr-defined]
    try:
        dq.load("missing.safetensors")
    except dq.ModelFormatError as error:
        assert_type(error, dq.ModelFormatError)
