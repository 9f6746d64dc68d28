"""Plans whose codes have 16 bits or whose sums leave 32: the bytes of the reference, all of it on vector kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import CLASSES, FEATURES, random_batch
from small_models import MODELS as NETS
from test_plan_bits import check, threads_at_once  # noqa: F401 - a fixture that holds here too

import dqnumba as dq
from dqnumba.graph import SparseFeatures

MODELS = ("gcn", "gat", "gin", "sage")


def program(graph, model, *, bits=8, input_bits=None, hidden=8, layers=2, **options):
    config = dq.QuantConfig.preset("ptq", bits, input_bits=input_bits)
    qmodel = dq.prepare(NETS[model](graph.num_features, hidden, CLASSES, num_layers=layers, seed=0, **options), config)
    return dq.convert(dq.calibrate(qmodel, graph))


def checked(imodel, graph, **options):
    bound = check(imodel, graph, repeats=1, **options)
    assert bound.backend == "dot", bound.reason
    return bound


def hub(edges, nodes=300, width=FEATURES, seed=0, row=7):
    """A graph with one row of very many, repeated edges; large features, so that sums are."""
    rng = np.random.default_rng(seed)
    degree = rng.integers(0, 5, nodes)
    degree[row], degree[row + 1] = edges, 0
    indptr = np.append(0, np.cumsum(degree)).astype(np.int64)
    x = rng.uniform(0.5, 1, (nodes, width)).astype(np.float32)
    return dq.Graph(indptr, rng.integers(0, nodes, indptr[-1]).astype(np.int32), x)


def sums(imodel, graph, op):
    """The largest sum, and the type, of the first step of a kind."""
    bound = imodel.bind(graph, backend="numba")
    bound()
    array = bound.binding.registers[next(s.output for s in imodel.program.steps if s.op == op)].array
    return int(np.abs(array.astype(np.int64)).max()), array.dtype


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("edges", [60_000, 140_000, 900_000])
def test_own_codes_join_the_sum_of_a_hub(edges, bits):
    """GIN's sum times 2**8 leaves 32 bits, then 33, then 36; with 4 bits later."""
    graph = hub(edges)
    imodel = program(graph, "gin", bits=bits, hidden=16)
    assert next(s.op for s in imodel.program.steps if s.op in ("matmul", "add_self")) == "add_self"
    checked(imodel, graph)
    largest, kind = sums(imodel, graph, "add_self")
    if bits == 8:
        assert kind == np.int64 and largest > {60_000: 2**31, 140_000: 2**32, 900_000: 2**35}[edges]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("readout", [None, "mean"])
def test_one_feature_has_16_bits_by_default(model, readout):
    """As REDDIT-BINARY's degrees; also a batch whose graphs have one node or no edge."""
    if readout:
        graph = random_batch(0, "dense", (9, 1, 70, 2, 5, 90))[0]
        graph = graph.replace(x=np.ascontiguousarray(graph.x[:, :1]))
    else:
        graph = hub(3000, width=1)
    imodel = program(graph, model, layers=3, hidden=16, readout=readout, norm="batch")
    assert imodel.program.steps[0].attributes["qmax"] == 32767
    bound = checked(imodel, graph)
    checked(imodel, graph, x=graph.x[::-1] * np.float32(3))
    assert bound.graph.num_graphs == (6 if readout else 1)


@pytest.mark.parametrize("model", ["gcn", "gin", "sage"])
@pytest.mark.parametrize("width", [1, 20])
def test_neighbour_sums_of_16_bits_beyond_32(model, width):
    graph = hub(150_000, width=width)
    imodel = program(graph, model, input_bits=16, hidden=32)
    largest, kind = sums(imodel, graph, "neighbor_sum")
    assert kind == np.int64 and largest > 2**32, "the case is not the one meant"
    checked(imodel, graph)
    checked(imodel, graph, x=-graph.x)


@pytest.mark.parametrize(("model", "width"), [("gcn", 2), ("gin", 2), ("sage", 2), ("sage", 9)])
def test_a_hub_of_more_edges_than_32_bits_can_sum(model, width):
    """Codes of 8 bits; SAGE transforms 9 features first, and means of hubs then join the own codes."""
    graph = hub(16_000_000, nodes=40, width=width)
    imodel = program(graph, model, layers=1)
    largest, kind = sums(imodel, graph, "neighbor_sum")
    assert kind == np.int64 and (largest > 2**31 or width == 9)
    bound = imodel.bind(graph, backend="dot")
    assert bound.backend == "dot", bound.reason
    assert bound().tobytes() == imodel.bind(graph, backend="numba")().tobytes()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_products_of_16_bits_beyond_32(model, kind):
    """Each half fits 32 bits, their sum does not."""
    rng, nodes, width = np.random.default_rng(1), 70, 1500
    x = rng.uniform(0.5, 1, (nodes, width)).astype(np.float32) * (rng.random((nodes, width)) < 0.9)
    x[rng.random(nodes) < 0.2] = 0
    graph = dq.Graph.from_edge_index(rng.integers(0, nodes, (2, 300)), x=x, num_nodes=nodes)
    graph = graph.replace(x=SparseFeatures.from_dense(x)) if kind == "sparse" else graph
    net = NETS[model](width, 8, CLASSES, num_layers=2, seed=0)
    for name, tensor in net.parameters().items():
        tensor.data[...] = np.abs(tensor.data) if "weight" in name else tensor.data
    qmodel = dq.prepare(net, dq.QuantConfig.ptq(8, input_bits=16))
    imodel = dq.convert(dq.calibrate(qmodel, graph))
    largest, dtype = sums(imodel, graph, "matmul")
    assert dtype == np.int64 and largest > 2**31, "the case is not the one meant"
    checked(imodel, graph)
    other = x[::-1] * np.float32(0.7)
    checked(imodel, graph, x=SparseFeatures.from_dense(other) if kind == "sparse" else other)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_product_of_16_bits_right_before_the_exit(layers):
    """One layer of SAGE: nothing rounds the sums, which meet in 32 bits."""
    graph = hub(100, width=3)
    imodel = program(graph, "sage", input_bits=16, layers=layers, hidden=5)
    checked(imodel, graph)
    wide = hub(100, width=2)
    checked(program(wide, "sage", input_bits=12, layers=layers, hidden=70), wide)


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (8, 3)])
@pytest.mark.parametrize("model", MODELS)
def test_sparse_features_that_neighbours_read(model, bits):
    """Written as dense rows: with rows without an entry, rows without an edge, one node alone, other entries later."""
    rng = np.random.default_rng(2)
    for nodes, width in ((1, 5), (130, 40), (60, 129)):
        dense = (rng.standard_normal((nodes, width)) * (rng.random((nodes, width)) < 0.1)).astype(np.float32)
        dense[::7] = 0
        edges = rng.integers(0, max(1, nodes // 2), (2, 3 * nodes if nodes > 1 else 0))
        graph = dq.Graph.from_edge_index(edges, x=SparseFeatures.from_dense(dense), num_nodes=nodes)
        hidden = -(-(width + 1) // 8) * 8
        net = NETS[model](width, hidden, CLASSES, num_layers=2, residual=width == 40, seed=0)
        config = dq.QuantConfig.preset("dq", weight_bits=bits[0], activation_bits=bits[1])
        imodel = dq.convert(dq.calibrate(dq.prepare(net, config), graph))
        checked(imodel, graph)
        for density in (0.0, 0.02, 1.0):
            x = rng.standard_normal((nodes, width)) * (rng.random((nodes, width)) < density)
            checked(imodel, graph, x=SparseFeatures.from_dense(x.astype(np.float32)))


def changed(imodel, op, **attributes):
    """The same program with other attributes at the first step of a kind."""
    steps = list(imodel.program.steps)
    k = next(k for k, step in enumerate(steps) if step.op == op)
    steps[k] = replace(steps[k], attributes=steps[k].attributes | attributes)
    return dq.infer.IntegerModel(replace(imodel.program, steps=tuple(steps)))


def test_programs_that_no_table_of_sites_gives():
    """A sum that takes off another zero point than sparse codes have; attention over codes of 16 bits."""
    rng = np.random.default_rng(4)
    dense = (rng.standard_normal((30, 10)) * (rng.random((30, 10)) < 0.3)).astype(np.float32)
    graph = dq.Graph.from_edge_index(rng.integers(0, 30, (2, 90)), x=dense, num_nodes=30)
    sparse = graph.replace(x=SparseFeatures.from_dense(dense))
    for data, model, op, attributes, reason in (
        (sparse, "gin", "neighbor_sum", {"zero_in": 17}, "another zero point"),
        (sparse, "gin", "add_self", {"zero_in": 17}, "another zero point"),
        (graph, "gat", "requantize", {"high": 255}, "more than 8 bits"),
    ):
        imodel = changed(program(data, model, hidden=16), op, **attributes)
        bound = check(imodel, data, repeats=1)
        assert bound.backend == "numba" and reason in bound.reason
