"""Whole programs as a plan: the bytes of the reference, whatever the model, the graph, the features, the threads."""

from __future__ import annotations

import itertools
import random
import threading
import tracemalloc

import numpy as np
import pytest
from plan_checks import check
from small_models import CATEGORIES, CLASSES, FEATURES, features, random_batch, random_graph, trained
from small_models import MODELS as NETS

import dqnumba as dq
from dqnumba.graph import SparseFeatures
from dqnumba.infer.plan import Plan
from dqnumba.kernels import integer_threads
from dqnumba.kernels.dot import hubs

MODELS = ("gcn", "gat", "gin", "sage")
BITS = ((8, 8), (4, 4), (2, 2), (6, 6), (4, 8), (8, 4))
PRODUCT = list(itertools.product(
    MODELS, BITS, (None, "sum", "mean", "max"), (None, "batch"), (False, True), ("dense", "sparse", "embedding"),
    (1, 2, 3), (2, 8, 16, 40, 72), (3, 17),
))  # fmt: skip
CASES = random.Random(11).sample(PRODUCT, 24)


@pytest.fixture(autouse=True)
def threads_at_once(monkeypatch):
    """Every plan may use threads, however small its graph."""
    monkeypatch.setattr(integer_threads, "PARALLEL_WORK", 1)


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda k: "-".join(map(str, CASES[k])))
def test_any_model(index):
    model, bits, readout, norm, residual, kind, layers, hidden, out = CASES[index]
    data = random_batch(index, kind, (9, 1, 70, 2, 5, 90))[0] if readout else random_graph(index, 170, kind)
    imodel = trained(
        data, epochs=0, model=model, bits=bits, readout=readout, norm=norm, residual=residual, kind=kind,
        num_layers=layers, hidden=hidden, out=out,
    )[1]  # fmt: skip
    bound = check(imodel, data)
    assert bound.backend == "dot", bound.reason
    other = features(np.random.default_rng(index), data.num_nodes, kind)
    if kind == "dense":
        other = other * np.float32(50)
    check(imodel, data, x=other)
    wide = np.full((*bound().shape, 2), np.nan, np.float32)
    assert bound(out=wide[..., 0]) is not None and np.isnan(wide[..., 1]).all()
    assert np.array_equal(wide[..., 0], bound())


def graphs():
    """(name, graph): what breaks aggregations and blocks of rows."""
    rng, none = np.random.default_rng(0), np.zeros((2, 0), np.int64)
    x = lambda nodes: rng.standard_normal((nodes, 10)).astype(np.float32)  # noqa: E731
    loops = np.tile(np.arange(40), (2, 1))
    star = np.stack([np.arange(1, 9000), np.zeros(8999, np.int64)])
    heavy = (rng.pareto(1.1, 30_000) * 3).astype(np.int64) % 700
    yield "no edges", dq.Graph.from_edge_index(none, x=x(65))
    yield "one node", dq.Graph.from_edge_index(none, x=x(1))
    yield "one node of many loops", dq.Graph.from_edge_index(np.zeros((2, 5000), np.int64), x=x(1), num_nodes=1)
    yield "loops only", dq.Graph.from_edge_index(loops, x=x(40))
    yield "duplicates", dq.Graph.from_edge_index(rng.integers(0, 5, (2, 3000)), x=x(300), num_nodes=300)
    yield (
        "a hub of all",
        dq.Graph.from_edge_index(np.concatenate([star, star[::-1]], axis=1), x=x(9000), num_nodes=9000),
    )
    yield (
        "power law",
        dq.Graph.from_edge_index(np.stack([rng.integers(0, 700, 30_000), heavy]), x=x(700), num_nodes=700),
    )


GRAPHS = dict(graphs())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("bits", [(8, 8), (4, 4)])
def test_any_graph(model, bits):
    data = random_graph(1, 150)
    imodel = trained(data, epochs=0, model=model, bits=bits, hidden=16)[1]
    assert np.bincount(GRAPHS["a hub of all"].adjacency("keep").indices).max() > hubs.LEAST
    for name, graph in GRAPHS.items():
        bound = check(imodel, graph, repeats=1)
        assert bound.backend == "dot", f"{name}: {bound.reason}"


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 8, 9])
def test_scores_of_few_heads_from_two_threads(heads):
    """Rows of scores are shorter than a vector: many blocks, so that threads meet at their borders."""
    data = random_graph(2, 3000)
    imodel = trained(data, epochs=0, model="gat", heads=heads, hidden=2 * heads, num_layers=2)[1]
    bound = check(imodel, data, repeats=8)
    assert bound.backend == "dot"


@pytest.mark.parametrize("kind", ["dense", "sparse", "embedding"])
@pytest.mark.parametrize("input_bits", [12, 16])
def test_inputs_of_more_than_8_bits(input_bits, kind):
    data = random_graph(4, 100, kind)
    for model, hidden in itertools.product(MODELS, (8, 24)):  # transform first, aggregate first
        config = dq.QuantConfig.preset("dq", weight_bits=8, activation_bits=8, sites="fused", input_bits=input_bits)
        width = CATEGORIES if kind == "embedding" else FEATURES
        net = NETS[model](width, hidden, CLASSES, num_layers=2, embedding=CATEGORIES if kind == "embedding" else None)
        qmodel = dq.prepare(net, config)
        dq.calibrate(qmodel, data)
        bound = check(dq.convert(qmodel), data, repeats=1)
        assert bound.backend == "dot", bound.reason


def test_the_paper_layout_runs_step_by_step():
    for model in MODELS:
        data = random_graph(6)
        bound = check(trained(data, epochs=0, model=model, sites="paper")[1], data, repeats=1)
        assert (bound.backend, bool(bound.reason)) in (("numba", True), ("dot", False))
        assert bound.backend == "numba" or model in ("gin",)


def test_other_sparse_features_with_more_entries():
    data = random_graph(7, 90, "sparse")
    imodel = trained(data, epochs=0, model="gcn", hidden=4)[1]
    full = SparseFeatures.from_dense(np.random.default_rng(0).standard_normal((90, 10)).astype(np.float32))
    none = SparseFeatures.from_dense(np.zeros((90, 10), np.float32))
    bound = imodel.bind(data, backend="dot")
    assert bound.backend == "dot"
    for x in (full, none, data.x, full):
        assert bound(x=x).tobytes() == imodel.bind(data, backend="reference")(x=x).tobytes()


def test_features_that_are_no_numbers_are_refused_and_leave_nothing_behind():
    data = random_graph(8, 70)
    bound = trained(data, epochs=0, model="gcn")[1].bind(data, backend="dot")
    want = bound()
    for bad in (np.nan, np.inf, -np.inf):
        x = data.x.copy()
        x[69, 9] = bad
        with pytest.raises(dq.errors.GraphError):
            bound(x=x)
        assert np.array_equal(bound(), want)


def test_categories_beyond_the_table_are_refused():
    data = random_graph(9, 40, "embedding")
    bound = trained(data, epochs=0, kind="embedding")[1].bind(data, backend="dot")
    assert bound.backend == "dot"
    for bad in (7, 2**31 - 1, -1):
        x = np.zeros(40, np.int64)
        x[3] = bad
        with pytest.raises(dq.errors.GraphError):
            bound(x=x)


def test_off_the_main_thread():
    data = random_graph(10, 300)
    bound = trained(data, epochs=0)[1].bind(data, backend="dot")
    want, got = bound(), []
    worker = threading.Thread(target=lambda: got.append(bound()))
    worker.start()
    worker.join()
    assert np.array_equal(got[0], want)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_allocated_call_after_call(model):
    data = random_graph(11, 4000)
    imodel = trained(data, epochs=0, model=model, hidden=32)[1]
    bound, out = imodel.bind(data, backend="dot"), np.empty((4000, CLASSES), np.float32)
    assert bound.backend == "dot"
    bound(out=out)
    tracemalloc.start()
    try:
        bound(out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000, f"{peak} bytes, a result has {out.nbytes}"


@pytest.mark.compiled
@pytest.mark.parametrize(("model", "share"), [("gcn", 0.3), ("gin", 0.3), ("sage", 0.3), ("gat", 0.5)])
def test_the_workspace_is_a_fraction_of_a_float_program(model, share):
    """Against one float32 buffer in and one out of the widest layer, which is the least that a float program has."""
    nodes, width = 3000, 64
    data = random_graph(12, nodes)
    imodel = trained(data, epochs=0, model=model, hidden=width)[1]
    plan = Plan(imodel.program, data)
    assert 0 < plan.workspace_bytes <= share * 2 * 4 * width * nodes


def test_sites_are_read_step_by_step():
    data = random_graph(13, 50)
    imodel = trained(data, epochs=0)[1]
    bound, reference = imodel.bind(data, backend="dot"), imodel.bind(data, backend="reference")
    other = features(np.random.default_rng(1), 50, "dense")
    bound(x=other), reference(x=other)
    got, want = bound.site_codes(), reference.site_codes()
    assert got.keys() == want.keys() and all(np.array_equal(got[k], want[k]) for k in want)
