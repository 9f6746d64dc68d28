"""Plans that serve many graphs: the bytes of the reference on every one, whatever came before."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import random
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_checks import check
from small_models import CATEGORIES, FEATURES, MODELS, features, random_batch, random_graph, trained

import dqnumba as dq
from dqnumba.graph import batch
from dqnumba.infer.plan import Plan, levels, template
from dqnumba.infer.plan.levels import Levels, asked_edges, levels_of
from dqnumba.infer.plan.template import LinkedPlan
from dqnumba.kernels import integer_threads
from dqnumba.kernels.dot import fold

pytestmark = pytest.mark.compiled

KINDS = [(model, readout, kind) for model in MODELS for readout in (None, "mean", "sum", "max")
         for kind in ("dense", "embedding")]  # fmt: skip


@pytest.fixture(autouse=True)
def threads_at_once(monkeypatch):
    """Every plan may use threads, however small its graph."""
    monkeypatch.setattr(integer_threads, "PARALLEL_WORK", 1)


def model(name="gcn", readout=None, kind="dense", **options):
    data = random_batch(3, kind)[0] if readout else random_graph(3, 60, kind)
    return trained(data, epochs=0, model=name, readout=readout, kind=kind, **options)[1]


def graph_of(edges, nodes, kind="dense", seed=0):
    options = {"num_categories": CATEGORIES} if kind == "embedding" else {}
    x = features(np.random.default_rng(seed), nodes, kind)
    return dq.Graph.from_edge_index(np.asarray(edges, np.int64).reshape(2, -1), x, num_nodes=nodes).replace(**options)


def star(degree, nodes, loops=False, kind="dense"):
    """``degree`` edges into node 0, repeated where there are too few nodes; node 1 has one, the others none."""
    sources = 1 + np.arange(degree) % (nodes - 1)
    edges = np.array([[*sources, 0], [*np.zeros(degree, int), 1]])
    return graph_of(np.hstack([edges, np.zeros((2, int(loops)), int)]), nodes, kind)


def graphs(kind):
    """Many sizes and in-degrees, both sides of where levels end; with and without self-loops."""
    yield graph_of([], 1, kind)
    yield graph_of([[0], [0]], 1, kind)
    yield graph_of([], 7, kind)
    for nodes, degree in ((64, 8), (65, 8), (64, 9), (2, 40), (129, 256), (130, 257), (4096, 3), (4097, 3)):
        yield star(degree, nodes, degree % 2, kind)
    for seed in range(5):
        yield random_graph(seed, 3 + 31 * seed, kind, degree=1 + seed)
    yield random_batch(1, kind)[0]
    yield batch([graph_of([], 0, kind), star(3, 5, kind=kind), *[graph_of([], 0, kind)] * 70])


@pytest.mark.parametrize(("name", "readout", "kind"), random.Random(5).sample(KINDS, 12))
def test_graph_after_graph(name, readout, kind):
    imodel = model(name, readout, kind)
    for graph in graphs(kind):
        bound = check(imodel, graph, repeats=1)
        assert isinstance(bound._plan, LinkedPlan) == (graph.num_nodes <= 256 >= graph.in_degree.max())
        assert imodel(graph, backend="dot").tobytes() == bound().tobytes()
    assert len(imodel._templates._made) >= 7


@settings(max_examples=60)
@given(st.data())
def test_any_graph(data):
    """Any edges: loops, repeated ones, nodes without."""
    imodel = _kept(data.draw(st.sampled_from(list(MODELS))), data.draw(st.sampled_from([None, "mean", "max"])))
    nodes = data.draw(st.integers(1, 80))
    node = st.integers(0, nodes - 1)
    edges = data.draw(st.lists(st.tuples(node, st.one_of(node, st.just(0))), max_size=60))
    graph = graph_of(np.array(edges).T if edges else [], nodes, seed=nodes)
    assert imodel(graph, backend="dot").tobytes() == imodel(graph, backend="reference").tobytes()


_MODELS: dict = {}


def _kept(name, readout):
    if (name, readout) not in _MODELS:
        _MODELS[name, readout] = model(name, readout)
    return _MODELS[name, readout]


@pytest.mark.parametrize("limit", [2.0**18, 2.0**22, 2.0**26])
@pytest.mark.parametrize("name", MODELS)
def test_rows_that_need_more_than_32_bits(name, limit, monkeypatch):
    """Those of some in-degrees alone take the long steps, and each row of a graph finds its own."""
    monkeypatch.setattr(fold, "_LIMIT", limit)
    imodel = model(name, "mean" if name == "sage" else None)
    for graph in (star(40, 50), random_graph(1, 60), random_graph(2, 64, degree=4)):
        assert isinstance(check(imodel, graph)._plan, LinkedPlan)


def test_rows_are_flagged_as_in_a_plan_of_the_graph_alone(monkeypatch):
    """A flag too many costs time only, and would not be seen in the answers."""
    monkeypatch.setattr(fold, "_LIMIT", 2.0**28)
    imodel, graph = model("gcn"), star(40, 50)
    linked, alone = imodel.bind(graph, backend="dot")._plan, Plan(imodel.program, graph)
    flags = [[ctypes.string_at(int(op[11]), 50) for op in plan.launch.ops if op[49]] for plan in (linked, alone)]
    assert isinstance(linked, LinkedPlan) and flags[0] == flags[1] and b"\1" + bytes(49) in flags[0]


def asked(imodel):
    return asked_edges(imodel.program)


def test_levels():
    gcn, sage = model("gcn"), model("sage")
    assert levels_of(asked(gcn), star(5, 20)) == Levels(64, 8, "remove")
    assert levels_of(asked(gcn), star(9, 65)) == Levels(128, 16, "remove")
    assert levels_of(asked(gcn), star(256, 4096)) == Levels(4096, 256, "remove")
    assert levels_of(asked(gcn), star(257, 4096)) is None and levels_of(asked(gcn), star(9, 4097)) is None
    assert levels_of(asked(gcn), random_graph(0, kind="sparse")) is None
    assert levels_of(asked(gcn), random_batch(0, sizes=(9,))[0]) == Levels(64, 8, "remove")
    assert levels_of(asked(gcn), random_batch(0, sizes=(9, 60))[0]).nodes == 128
    assert levels_of(asked(gcn), batch([star(1, 3), *[graph_of([], 0)] * 70])).nodes == 128
    assert levels_of(asked(gcn), batch([star(1, 3), *[graph_of([], 0)] * 5000])) is None
    loops = star(8, 20, loops=True)  # nine edges with the loop
    assert levels_of(asked(gcn), loops) == Levels(64, 8, "remove")
    assert levels_of(asked(sage), loops) == Levels(64, 16, "keep")
    both = frozenset({"keep", "add"})
    assert levels_of(both, loops) is None and levels_of(both, star(8, 20)) == Levels(64, 8, "keep")


def test_a_plan_is_made_once_for_its_levels(monkeypatch):
    imodel, made = model(), []
    monkeypatch.setattr(template, "Template", lambda *a, real=template.Template: made.append(a[1]) or real(*a))
    for seed in range(20):
        imodel(graph_of(np.random.default_rng(seed).integers(0, 30, (2, 40)), 30, seed=seed), backend="dot")
    assert made == [Levels(64, 8, "remove")]


def test_a_graph_that_is_smaller_than_its_levels_gets_a_plan_of_its_own(monkeypatch):
    """Where bounds for the levels are too wide, those of the graph may do."""
    imodel, asks = model(), []
    monkeypatch.setattr(template, "level_layout", lambda *a: asks.append(a))
    for _ in range(2):
        bound = check(imodel, star(3, 9))
        assert bound.backend == "dot" and not isinstance(bound._plan, LinkedPlan)
    assert len(asks) == 1


@pytest.mark.parametrize("error", [dq.OverflowRiskError("no"), levels.Unplanned("no")])
def test_levels_that_are_refused(error, monkeypatch):
    imodel = model()

    def refuse(*_):
        raise error

    monkeypatch.setattr(levels, "fixed_layout", refuse)
    assert levels.level_layout(imodel.program, Levels(64, 8, "remove")) is None


def test_no_symbol_is_left():
    for name in MODELS:
        bound = model(name, "mean").bind(random_graph(1), backend="dot")
        assert isinstance(bound._plan, LinkedPlan) and (bound._plan.launch.ops > -(1 << 61)).all()


def test_a_category_that_the_model_does_not_know():
    imodel = model(kind="embedding")
    graph = graph_of([], 5, "embedding")
    right = imodel(graph).tobytes()
    with pytest.raises(dq.GraphError, match=f"category 9; the model knows 0 to {CATEGORIES - 1}"):
        imodel(dq.Graph.from_edge_index(np.zeros((2, 0), int), np.array([1, 9]), num_nodes=2), backend="dot")
    assert imodel(graph).tobytes() == right


def test_a_feature_that_is_no_number_is_reported_where_it_is():
    imodel = model()
    one, other = (imodel.bind(star(3, 9), backend="dot") for _ in range(2))
    x = np.zeros((9, FEATURES), np.float32)
    x[4, 2] = np.nan
    right = other(x=np.zeros_like(x)).tobytes()
    with pytest.raises(dq.GraphError, match="node 4"):
        one(x=x)
    assert other._plan.status[0] == 0 and other(x=np.zeros_like(x)).tobytes() == right


def test_two_bound_graphs_of_the_same_levels_share_no_memory():
    imodel = model()
    first, second = random_graph(1, 40), random_graph(2, 40)
    bound, want = imodel.bind(first, backend="dot"), imodel(first, backend="reference").tobytes()
    imodel.bind(second, backend="dot")()
    assert bound().tobytes() == want


@pytest.mark.parametrize("make", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_used_model_is_copied_without_its_plans(make):
    imodel = model()
    graph = random_graph(1)
    want = imodel(graph, backend="dot").tobytes()
    other = make(imodel)
    assert other._templates is None and other(graph, backend="dot").tobytes() == want


def test_threads_that_meet_a_new_model():
    imodel, parts = model("gin", "sum"), [random_graph(k, 3 + k) for k in range(60)]
    want = [imodel(graph, backend="reference").tobytes() for graph in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert [found.tobytes() for found in pool.map(imodel, parts)] == want
            imodel._templates = None


def test_graphs_are_not_kept():
    imodel = model()
    graph = random_graph(1)
    gone = weakref.ref(imodel.bind(graph, backend="dot")._plan)
    gc.collect()
    assert gone() is None


def test_the_estimate_says_what_is_taken():
    imodel = model("gat")
    for graph in graphs("dense"):
        said = imodel.estimate(graph, backend="dot").workspace_bytes
        for once in (False, True):
            assert imodel._bind(graph, "dot", once=once).workspace_bytes <= said
