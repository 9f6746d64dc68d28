"""Calibration and evaluation record nothing, and never hold one row of channels for every edge."""

import tracemalloc

import naive_graphs as many
import numpy as np
import pytest

import dqnumba as dq
from dqnumba import autograd as ag
from dqnumba.autograd import tensor
from dqnumba.nn import edge_blocks
from dqnumba.qat import ExactModel
from dqnumba.train import evaluate, predict

NODES, EDGES, WIDTH = 1000, 100_000, 256
KINDS = ["GCN", "GAT", "GIN", "GraphSAGE"]
RULES = ["dq", "qat", "ptq"]  # percentiles, a moving average of the extremum, a moving average of percentiles


def hub_graph():
    """Half of the edges end in one node, so that blocks cut through its row."""
    rng = np.random.default_rng(0)
    ends = rng.integers(0, NODES, (2, EDGES))
    ends[1, ::2] = 7
    x = rng.standard_normal((NODES, 8)).astype(np.float32)
    masks = {name: np.arange(NODES) % 3 == k for k, name in enumerate(("train_mask", "val_mask", "test_mask"))}
    return dq.Graph.from_edge_index(ends, x, y=ends[0, :NODES] % 3, num_nodes=NODES, coalesce=False, **masks)


GRAPH = hub_graph()


def model_of(kind, graph, width=WIDTH):
    heads = {"heads": 2} if kind == "GAT" else {}
    return getattr(dq.nn, kind)(graph.num_features, width, 3, num_layers=3, norm="batch", **heads)


def uses(qmodel, graph):
    """Every way to run a model without training it."""
    return [
        lambda: dq.calibrate(qmodel, graph),
        lambda: evaluate(qmodel, graph),
        lambda: predict(qmodel, graph),
        lambda: evaluate(qmodel.model, graph),
        lambda: ExactModel(qmodel)(graph),
    ]


@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_operation_is_recorded(kind, sites, monkeypatch):
    graph = many.graph().replace(test_mask=np.ones(12, bool))
    qmodel = dq.prepare(model_of(kind, graph, 8), dq.QuantConfig.degree_quant(8, sites=sites))

    def refuse(*args):
        raise AssertionError("an operation was recorded")

    monkeypatch.setattr(tensor, "_Node", refuse)
    for use in uses(qmodel, graph):
        use()
    with pytest.raises(AssertionError, match="recorded"):
        qmodel(graph, training=True, rng=np.random.default_rng(0))


@pytest.mark.parametrize("sites", ["fused", "paper"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_array_of_edges_by_channels(kind, sites):
    qmodel = dq.prepare(model_of(kind, GRAPH), dq.QuantConfig.degree_quant(8, sites=sites))
    dq.calibrate(qmodel, GRAPH)  # compiles, and makes the tables that a graph keeps
    for use in uses(qmodel, GRAPH):
        tracemalloc.start()
        try:
            use()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < EDGES * WIDTH * 4 / 3, "more than a third of an array of edges x channels in float32"


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("block", [64, 1 << 18])
@pytest.mark.parametrize("kind", ["GCN", "GAT"])
def test_blocks_of_edges_give_what_the_whole_array_gives(kind, block, method, monkeypatch):
    """Ranges and outputs, bit for bit, also where a block ends within the row of a node."""
    config = dq.QuantConfig.preset(method, 8, sites="paper")
    results = []
    for blocks in (True, False):
        monkeypatch.setattr(dq.qat.ActivationQuantizer, "takes_blocks", blocks)
        monkeypatch.setattr(edge_blocks, "_BLOCK", block)
        graphs = [many.batch_of_three(y=None), many.graph(5, nodes=9, edges=0)]
        if block > 64:
            graphs.append(dq.Graph.from_edge_index(np.stack(np.divmod(np.arange(3000), 60)), GRAPH.x[:60, :5]))
        qmodel = dq.prepare(model_of(kind, graphs[0], 8), config)
        for graph in graphs:
            dq.calibrate(qmodel, graph)
        with ag.no_grad():
            results.append([qmodel(graph).data for graph in graphs] + list(qmodel.buffers().values()))
    for got, wanted in zip(*results, strict=True):
        assert np.array_equal(got, wanted)
