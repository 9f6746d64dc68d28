"""Programs that run range by range: which rows form a range, and that results do not know of it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_checks import check
from small_models import FEATURES, features, random_batch, random_graph, trained

import dqnumba as dq
from dqnumba.graph import batch
from dqnumba.infer.plan import Plan, layout, ranges, template
from dqnumba.infer.plan.ranges import closed_boundaries, group_rows
from dqnumba.kernels import integer_threads
from dqnumba.kernels.dot.ranges import RangeLaunch


@st.composite
def graphs(draw):
    """Parts side by side, each with edges of its own; sometimes an edge between two of them."""
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=12))
    edges, first = [], 0
    for size in sizes:
        if size:
            ends = st.tuples(st.integers(first, first + size - 1), st.integers(first, first + size - 1))
            edges += draw(st.lists(ends, max_size=2 * size))
        first += size
    if first and draw(st.booleans()):
        edges += draw(st.lists(st.tuples(st.integers(0, first - 1), st.integers(0, first - 1)), max_size=2))
    index = np.array(edges, np.int64).reshape(-1, 2).T
    graph = dq.Graph.from_edge_index(index, x=np.zeros((first, 1), np.float32), num_nodes=first)
    return graph, index, np.cumsum([0, *sizes])


@given(graphs())
def test_boundaries_that_no_edge_crosses(drawn):
    graph, index, _ = drawn
    want = [not any(min(a, b) < k <= max(a, b) for a, b in index.T) for k in range(graph.num_nodes + 1)]
    assert closed_boundaries(graph).tolist() == want


@given(graphs(), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_ranges_hold_whole_parts(drawn, rows, threads, whole):
    graph, _, graph_ptr = drawn
    closed, indptr = closed_boundaries(graph), graph.adjacency("keep").indptr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_LEAST", 1)
        found = group_rows(closed, indptr, graph_ptr if whole else None, rows, threads)
    if found is None:
        return
    assert found.nodes[0] == 0 and found.nodes[-1] == graph.num_nodes and (np.diff(found.nodes) > 0).all()
    assert closed[found.nodes].all() and found.most <= 2 * rows and len(found.nodes) > 2
    if whole:
        assert np.array_equal(graph_ptr[found.graphs], found.nodes)
        assert found.graphs[0] == 0 and found.graphs[-1] == len(graph_ptr) - 1 and (np.diff(found.graphs) > 0).all()
    for kind in ("node", "graph") if whole else ("node",):
        blocks = found.blocks(kind, 3)
        assert set(found.of(kind)) <= set(blocks) and blocks[-1] == found.of(kind)[-1]
        assert ((np.diff(blocks) > 0) & (np.diff(blocks) <= 3)).all()


def test_no_ranges_where_one_part_outweighs_the_others(monkeypatch):
    monkeypatch.setattr(ranges, "_EDGES", 1000)
    loops = np.tile(np.arange(400), (2, 1))
    heavy = np.concatenate([loops, np.random.default_rng(0).integers(100, 150, (2, 20_000))], axis=1)
    for index, expected in ((loops, True), (heavy, False)):
        graph = dq.Graph.from_edge_index(index, x=np.zeros((400, 1), np.float32))
        found = group_rows(closed_boundaries(graph), graph.adjacency("keep").indptr, None, 100, 1)
        assert (found is not None) is expected
    large = dq.Graph.from_edge_index(np.array([[0, 350], [350, 0]]), x=np.zeros((400, 1), np.float32))
    assert group_rows(closed_boundaries(large), large.adjacency("keep").indptr, None, 100, 1) is None


@pytest.fixture
def tiny_ranges(monkeypatch):
    """Ranges of a few molecules, and threads however small the graph."""
    monkeypatch.setattr(template, "_AS_FAST", 0)  # each graph gets a plan of its own
    monkeypatch.setattr(ranges, "_LEAST", 20)
    monkeypatch.setattr(layout, "_RANGE_BYTES", 20_000)
    monkeypatch.setattr(integer_threads, "PARALLEL_WORK", 1)


SIZES = (9, 1, 30, 2, 5, 17, 1, 1, 25, 8, 40, 3, 12, 6, 33, 2)
CASES = random.Random(5).sample([
    (model, bits, readout, norm, residual, kind, hidden)
    for model in ("gcn", "gat", "gin", "sage") for bits in ((8, 8), (4, 4), (2, 2), (4, 8)) for hidden in (6, 16, 72)
    for readout in (None, "sum", "mean", "max") for norm in (None, "batch") for residual in (False, True)
    for kind in ("dense", "sparse", "embedding")
], 12)  # fmt: skip


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda k: "-".join(map(str, CASES[k])))
def test_same_bytes_as_the_reference(index, tiny_ranges):
    model, bits, readout, norm, residual, kind, hidden = CASES[index]
    data, parts = random_batch(index, kind, SIZES)
    if readout is None:
        parts = [part.replace(y=np.zeros(part.num_nodes, np.int64), num_classes=3) for part in parts]
        data = batch(parts)
    imodel = trained(
        data, epochs=0, model=model, bits=bits, readout=readout, norm=norm, residual=residual, kind=kind, hidden=hidden,
        num_layers=2 + index % 3,
    )[1]  # fmt: skip
    bound = check(imodel, data)
    if bound.backend == "dot":  # else there is a reason that has nothing to do with ranges, see test_plan_bits
        assert isinstance(bound._plan.launch, RangeLaunch)
        check(imodel, data, x=features(np.random.default_rng(index), data.num_nodes, kind))
    else:
        assert kind == "sparse", bound.reason


@pytest.mark.parametrize("model", ["gcn", "gat", "gin", "sage"])
@pytest.mark.parametrize("readout", [None, "mean"])
def test_empty_graphs_and_nodes_without_edges(model, readout, tiny_ranges):
    none = np.zeros((2, 0), np.int64)

    def empty(n):
        return dq.Graph.from_edge_index(none, x=np.ones((n, FEATURES), np.float32), num_nodes=n)

    parts = [empty(0), empty(3), random_graph(1, 40), empty(0), empty(36), random_graph(2, 33), empty(1), empty(0)]
    data = batch([part.replace(y=None, train_mask=None) for part in parts])
    data = data.replace(y=np.arange(data.num_graphs if readout else data.num_nodes) % 3, num_classes=3)
    imodel = trained(data, epochs=0, model=model, readout=readout)[1]
    bound = check(imodel, data)
    assert bound.backend == "dot" and isinstance(bound._plan.launch, RangeLaunch), bound.reason


@pytest.mark.compiled
def test_memory_does_not_grow_with_the_batch(monkeypatch):
    """What the phases hand on belongs to a thread, not to the rows of the graph."""
    monkeypatch.setattr(layout, "_RANGE_BYTES", 50_000)
    sizes = np.random.default_rng(0).integers(9, 37, 400)
    data = batch([random_graph(k, int(n)).replace(y=None, train_mask=None) for k, n in enumerate(sizes)])
    data = data.replace(y=np.arange(data.num_nodes) % 3, num_classes=3)
    imodel = trained(data, epochs=0, hidden=64)[1]
    bytes_of = {}
    for copies in (1, 4):
        plan = Plan(imodel.program, batch([data] * copies))
        assert isinstance(plan.launch, RangeLaunch)
        bytes_of[copies] = plan.workspace_bytes
    assert bytes_of[4] <= 1.1 * bytes_of[1] < 64 * data.num_nodes
