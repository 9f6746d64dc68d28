"""Features, weights and memory at the edge of what float32 and a processor can do: a right answer or a clear error."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import FEATURES, build, random_graph, trained

import dqnumba as dq
from dqnumba.graph import SparseFeatures

BACKENDS = ("reference", "numba", "dot")
MODELS = ("gcn", "gat", "gin", "sage")
TINY = np.float32(1e-45)


def check(imodel, graph, x=None):
    """Finite logits, the same by every backend."""
    logits = [imodel.bind(graph, backend=backend)(x=x) for backend in BACKENDS]
    assert np.isfinite(logits[0]).all()
    assert all(found.tobytes() == logits[0].tobytes() for found in logits)
    return logits[0]


@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.filterwarnings("ignore:.*collapse")
def test_features_of_no_size(model, sites):
    """Denormal and signed zeros: to codes that stand for zero, in training's ranges too."""
    graph = random_graph(31)
    for x in (np.full((24, FEATURES), TINY), np.full((24, FEATURES), np.float32(-0.0)), -graph.x * np.float32(1e-40)):
        tiny, zero = graph.replace(x=x), graph.replace(x=np.zeros_like(x))
        qmodel = build(model=model, sites=sites)
        dq.calibrate(qmodel, tiny)
        imodel = dq.convert(qmodel)
        report = dq.verify(imodel, qmodel, tiny)
        assert report.levels["kernels"] and report.levels["sites"], report.to_text()
        assert check(imodel, tiny).tobytes() == check(imodel, zero).tobytes()
    imodel = trained(graph, epochs=0, model=model, sites=sites)[1]
    assert check(imodel, graph, np.full_like(graph.x, TINY)).tobytes() == check(imodel, graph, graph.x * 0).tobytes()


@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.filterwarnings("ignore:.*collapse")
def test_one_feature_far_beyond_all_others(model, sites):
    """Either the program holds what training did, or the range or the factor that is impossible is named."""
    graph = random_graph(32)
    for value in (1e12, 1e30, 3e38):
        x = graph.x.copy()
        x[3, 2] = value
        wild = graph.replace(x=x)
        qmodel = build(model=model, sites=sites)
        try:
            dq.calibrate(qmodel, wild)
            imodel = dq.convert(qmodel)
        except (dq.ConfigError, dq.ConversionError) as error:
            assert any(text in str(error) for text in ("not usable", "cannot be reached", "cannot be expressed"))
            continue
        report = dq.verify(imodel, qmodel, wild)
        assert report.levels["kernels"] and report.levels["sites"], report.to_text()
        check(imodel, wild)


@pytest.mark.parametrize("model", MODELS)
def test_saturated_from_end_to_end(model):
    """All codes at one end of their ranges."""
    graph = random_graph(33)
    for bits in ((8, 8), (2, 2)):
        imodel = trained(graph, epochs=1, model=model, bits=bits)[1]
        for value in (3e38, -3e38, 1e6):
            check(imodel, graph, np.full_like(graph.x, value))
            check(imodel, graph, np.where(graph.x > 0, np.float32(value), -np.float32(value)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_what_is_no_float32_is_named(kind, value):
    """At the graph, at a bound model, at every backend; and the model works on afterwards."""
    graph = random_graph(34, kind=kind)
    imodel = trained(graph, epochs=0, kind=kind)[1]
    dense = (graph.x if kind == "dense" else graph.x.toarray()).astype(np.float64)
    dense[7, 3] = value
    give = SparseFeatures.from_dense if kind == "sparse" else np.asarray
    with pytest.raises(dq.GraphError, match="node 7, column 3"):
        graph.replace(x=give(dense))
    if kind == "dense":
        for backend in BACKENDS:
            bound = imodel.bind(graph, backend=backend)
            before = bound()
            with pytest.raises(dq.GraphError, match="node 7, column 3"):
                bound(x=dense)
            assert bound().tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "weights", [[1e-38], [3e-5], [1e5], [-1.0], [0.0], [TINY, 1.0], [1.0, -1.0], [0.0, 1e-30, 2.0]], ids=str
)
def test_weights_of_edges(weights):
    graph = random_graph(35)
    weighted = graph.replace(edge_weight=np.resize(np.array(weights, np.float32), graph.num_edges))
    qmodel = build(sites="paper")
    dq.calibrate(qmodel, weighted)
    imodel = dq.convert(qmodel)
    report = dq.verify(imodel, qmodel, weighted)
    assert report.levels["kernels"] and report.levels["sites"], report.to_text()
    check(imodel, weighted)


def test_weights_too_small_to_normalize_by():
    """Two nodes whose only weights are denormal: the product of their factors leaves float32."""
    x = np.ones((3, FEATURES), np.float32)
    edges = [[0, 1, 0, 1, 2], [0, 1, 1, 0, 2]]
    graph = dq.Graph.from_edge_index(edges, x=x, edge_weight=[TINY, TINY, TINY, TINY, 1.0])
    plain = graph.replace(edge_weight=np.ones(5, np.float32))
    qmodel = build(sites="paper")
    dq.calibrate(qmodel, plain)
    imodel = dq.convert(qmodel)
    for refused in (lambda: qmodel(graph), lambda: dq.calibrate(qmodel, graph), lambda: imodel(graph),
                    lambda: imodel.bind(graph, backend="reference")):  # fmt: skip
        with pytest.raises(dq.GraphError, match=r"edge weights into node 0.*larger factor"):
            refused()
    larger = graph.replace(edge_weight=graph.edge_weight * np.float32(2.0**100))
    check(imodel, larger)


def off_by_a_byte(array):
    """A copy one byte beyond where the processor would put it."""
    out = np.frombuffer(bytearray(array.nbytes + 1), array.dtype, offset=1).reshape(array.shape)
    out[...] = array
    assert not out.flags.aligned and out.flags.c_contiguous
    return out


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", MODELS)
def test_features_and_results_in_odd_memory(model, backend):
    graph = random_graph(36, 150)
    imodel = trained(graph, epochs=0, model=model, hidden=16)[1]
    want, bound = imodel(graph, backend="reference"), imodel.bind(graph, backend=backend)
    for x in (off_by_a_byte(graph.x), graph.x.astype(">f4"), np.asfortranarray(graph.x), graph.x.astype(np.float64)):
        out = off_by_a_byte(np.full_like(want, np.nan))
        assert bound(x=x, out=out) is out and out.tobytes() == want.tobytes()
    with pytest.raises(dq.GraphError, match="out has"):
        bound(out=np.empty(want.shape, ">f4"))
