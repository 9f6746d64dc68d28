"""What the strategies draw: legal, small, and every odd shape among it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from dqnumba import testing
from dqnumba.infer import IntegerModel, load
from dqnumba.infer.program import OPERATIONS
from dqnumba.testing import strategies as dst

COMMON = settings(max_examples=300, database=None)


def shows(strategy, condition):
    """Whether such an example is drawn; hypothesis raises NoSuchExample otherwise."""
    return find(strategy, condition, settings=COMMON) is not None


@given(dst.ranges())
def test_ranges_are_ordered_and_finite(pair):
    low, high = pair
    assert low <= high and np.isfinite(pair).all()


@pytest.mark.parametrize(
    "condition",
    [
        lambda r: r[0] == r[1] == 0, lambda r: r[0] == r[1] > 0, lambda r: r[0] == r[1] < 0, lambda r: 0 < r[0] < r[1],
        lambda r: r[0] < r[1] < 0, lambda r: r[0] < 0 < r[1], lambda r: 0 < r[1] - r[0] < 1e-38, lambda r: r[1] > 1e37,
        lambda r: r[0] == 0 < r[1], lambda r: r[0] < r[1] == 0,
    ],
)  # fmt: skip
def test_degenerate_ranges_are_drawn(condition):
    assert shows(dst.ranges(), condition)


@given(dst.hostile_tensors())
def test_hostile_tensors_are_finite(x):
    assert x.dtype == np.float32 and np.isfinite(x).all()


@pytest.mark.parametrize(
    "condition",
    [
        lambda x: x.size == 0, lambda x: (x % 1 == 0.5).any(), lambda x: (np.abs(x) > 1e38).any(),
        lambda x: ((x != 0) & (np.abs(x) < 1.17e-38)).any(), lambda x: (np.signbit(x) & (x == 0)).any(),
    ],
)  # fmt: skip
def test_hostile_values_are_drawn(condition):
    assert shows(dst.hostile_tensors(), condition)


@pytest.mark.parametrize("shape", dst.GRAPH_SHAPES)
@settings(max_examples=10)
@given(data=st.data())
def test_graphs_are_what_their_shape_says(shape, data):
    edges, num_nodes = data.draw(dst.edge_lists(shape=shape))
    assert edges.shape == (2, edges.shape[1]) and edges.dtype == np.int64
    assert edges.size == 0 or 0 <= edges.min() <= edges.max() < num_nodes
    loops = int((edges[0] == edges[1]).sum())
    pairs = {tuple(pair) for pair in edges.T.tolist()}
    degree = np.bincount(edges[1], minlength=num_nodes)
    expected = {
        "no_nodes": num_nodes == 0, "one_node": num_nodes == 1 and not edges.size,
        "one_node_loop": loops == num_nodes == edges.shape[1] == 1,
        "all_isolated": num_nodes > 1 and not edges.size, "self_loops": loops == edges.shape[1] == num_nodes,
        "hub_in": degree.max(initial=0) == num_nodes - 2, "hub_out": degree.max(initial=0) == 1 and not loops,
        "duplicates": 2 * len(pairs) == edges.shape[1], "cycle": (degree == 1).all(),
        "complete": len(pairs) == num_nodes**2, "tail_isolated": num_nodes > 2 and degree[-1] == 0,
        "random": num_nodes > 0,
    }  # fmt: skip
    assert expected[shape]


def test_edges_are_drawn_in_no_order():
    assert shows(dst.edge_lists(shape="cycle"), lambda e: (np.diff(e[0][1]) < 0).any())


@given(dst.graphs())
def test_graphs_are_graphs(graph):
    assert graph.num_edges == len(graph.indices)


def test_graphs_keep_duplicates_and_come_with_and_without_weights():
    # Duplicates are twice the path's n - 1 edges unless they were merged.
    many = dst.graphs(shape="duplicates", weighted=False)
    assert shows(many, lambda g: g.num_edges == 2 * (g.num_nodes - 1))
    assert shows(many, lambda g: g.num_edges == g.num_nodes - 1)
    assert shows(dst.graphs(), lambda g: g.edge_weight is not None and (g.edge_weight < 0).any())


@settings(max_examples=40)
@given(st.integers(1, 4).flatmap(lambda c: st.tuples(dst.programs(in_channels=c), programs_graphs(c))))
def test_programs_give_the_same_bits_on_both_backends(pair):
    program, graph = pair
    model = IntegerModel(program)  # the loader's checks
    out = model(graph, backend="reference")
    assert out.dtype == np.float32 and out.shape[1] == program.meta["out_channels"]
    assert out.tobytes() == model(graph, backend="numba").tobytes()


def programs_graphs(channels):
    return st.one_of(dst.graphs(features=kind, channels=channels, weighted=False) for kind in ("dense", "sparse"))


@settings(max_examples=15)
@given(dst.programs(in_channels=2), dst.graphs(features="dense", channels=2, weighted=False))
def test_programs_survive_the_file(tmp_path_factory, program, graph):
    path = tmp_path_factory.mktemp("drawn") / "m.safetensors"
    model = IntegerModel(program)
    model.save(path)
    assert load(path)(graph, backend="reference").tobytes() == model(graph, backend="reference").tobytes()


def test_every_operation_is_drawn():
    seen = set()

    @settings(max_examples=300, database=None)
    @given(st.booleans().flatmap(lambda c: dst.programs(in_channels=4, min_layers=2, max_channels=17, categories=c)))
    def collect(program):
        seen.update(step.op for step in program.steps)

    collect()
    assert seen == set(OPERATIONS)


def test_the_old_names_are_still_there():
    assert {"csr", "specs", "qparams", "tensors", "ranges", "bounds"} <= set(testing.strategies.__all__)
