"""Programs that are drawn, not trained: every way to run one gives the bits of the reference.

The ways: the reference; the loops of ``numba`` on one and two threads; the vector kernels step by step; and the plan
over whole programs, layer by layer and range by range, on one and two threads, its blocks in either order.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from plan_checks import check, on_threads

import dqnumba as dq
from dqnumba.graph import SparseFeatures
from dqnumba.infer import BoundModel, IntegerModel
from dqnumba.infer.plan import layout, ranges
from dqnumba.kernels import integer_threads
from dqnumba.kernels.dot import functions
from dqnumba.testing import strategies as dst

VECTORS = SimpleNamespace(**{name: getattr(functions, name) for name in functions.__all__})
NODES = (0, 1, 3, 16, 17, 31, 64, 65, 130, 300, 300)
HUGE = np.float32(3e38)


@pytest.fixture(autouse=True)
def small_work_counts(monkeypatch):
    """Threads and ranges however small the graph."""
    monkeypatch.setattr(integer_threads, "PARALLEL_WORK", 1)
    monkeypatch.setattr(ranges, "_LEAST", 50)


@st.composite
def graphs(draw, channels, kind):
    """Up to 300 nodes in up to twelve parts without edges between them, some of them empty; hubs, duplicates, loops.

    All of it comes from one seed: drawn number by number, most graphs would have next to no nodes.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    nodes, parts = int(rng.choice(NODES)), int(rng.choice((1, 5, 12, 12)))
    ends = np.sort(np.concatenate([[0, nodes], rng.integers(0, nodes + 1, parts - 1)]))
    edges = [np.zeros((2, 0), np.int64)]
    for low, high in itertools.pairwise(ends.tolist()):
        if high > low:
            found = rng.integers(low, high, (2, int(rng.integers(0, 5) * (high - low))))
            found[1, : found.shape[1] // 4] = low  # a hub
            edges.append(found)
    edges = np.concatenate(edges, axis=1)
    x = rng.integers(-64, 65, (nodes, channels)).astype(np.float32) / 16
    if nodes and draw(st.booleans()):
        x[rng.integers(0, nodes)] = draw(st.sampled_from((HUGE, -HUGE, np.float32(1e-45), np.float32(-0.0))))
    if kind == "sparse":
        x[rng.random(x.shape) < 0.6] = 0.0
        x = SparseFeatures.from_dense(x)
    elif kind == "categories":
        x = rng.integers(0, channels, nodes)
    graph = dq.Graph.from_edge_index(edges, x=x, num_nodes=nodes, coalesce=draw(st.booleans()))
    if kind == "categories":
        graph = graph.replace(num_categories=channels)
    return graph.replace(graph_ptr=ends) if draw(st.booleans()) else graph


@st.composite
def pairs(draw):
    kind = draw(st.sampled_from(("dense", "sparse", "categories")))
    channels = draw(st.sampled_from((33, 16, 17, 7, 3, 1)))
    program = draw(dst.programs(
        in_channels=channels, min_layers=2, max_layers=4, max_channels=65, categories=kind == "categories",
        planned=draw(st.sampled_from((True, True, False))),
    ))  # fmt: skip
    return program, draw(graphs(channels, kind))


@settings(max_examples=settings().max_examples // 2)
@given(pairs())
def test_every_way_to_run_a_drawn_program(pair):
    program, graph = pair
    model = IntegerModel(program)  # the loader's checks
    reference = BoundModel(program, graph, dq.infer.choose_backend("reference"))
    want, codes = reference().tobytes(), registers(reference)
    loops = model.bind(graph, backend="numba")
    for threads in (1, 2):
        assert on_threads(threads, loops).tobytes() == want
    vectors = BoundModel(program, graph, VECTORS)
    for threads in (1, 2):
        assert on_threads(threads, vectors).tobytes() == want
    for bound in (loops, vectors):
        got = registers(bound)
        for name, array in codes.items():
            assert np.array_equal(got[name], array), name
    bound = check(model, graph, repeats=1)
    event(f"whole: {bound.backend}")
    if bound.backend == "dot":
        with pytest.MonkeyPatch.context() as patch:  # no ranges: one phase over all rows, then the next
            patch.setattr(ranges, "_LEAST", 1 << 40)
            patch.setattr(layout, "_RANGE_BYTES", 1 << 40)
            check(model, graph, repeats=1)


def registers(bound):
    """Every register of the last run, by name."""
    return {name: register.array.copy() for name, register in bound.binding.registers.items()}
