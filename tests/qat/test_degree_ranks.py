"""Ranks of in-degrees behind the mask: by counting and by sorting, in one graph and a batch, against naive counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.graph import Graph, batch
from dqnumba.qat import degree_mask, draw_mask, protection_probability


def graph_of(degrees):
    """A graph whose nodes have these in-degrees, by parallel edges from the next node."""
    targets = np.repeat(np.arange(len(degrees)), degrees)
    edges = np.stack([(targets + 1) % len(degrees), targets]) if len(degrees) else np.zeros((2, 0), np.int64)
    x = np.ones((len(degrees), 1), np.float32)
    return Graph.from_edge_index(edges, x, num_nodes=len(degrees), coalesce=False)


def naive(degrees, low, high):
    """The share of nodes whose degree is not larger, node by node."""
    shares = [sum(other <= d for other in degrees) / len(degrees) for d in degrees]
    return [high if share == 1 else low + (high - low) * share for share in shares]


# The first of each kind has small degrees, which are counted; the others have degrees far beyond 16 a node, which are
# sorted. 64 over 4 nodes is the last that is counted.
DEGREES = [[3, 0, 1, 1, 2], [64, 0, 64, 3], [65, 0, 64, 3], [0, 300, 2, 300, 7, 7], [2, 1000], [0, 0, 0]]


@pytest.mark.parametrize("degrees", DEGREES)
def test_ranks_of_one_graph(degrees):
    assert graph_of(degrees).in_degree.tolist() == degrees
    got = protection_probability(graph_of(degrees), 0.25, 0.75)
    assert got.dtype == np.float64 and got.tolist() == naive(degrees, 0.25, 0.75)


@pytest.mark.parametrize(
    "members",
    [
        DEGREES[:1],
        [[1, 0], [0, 0, 3], [2, 2]],
        [[1, 0], [], [0, 0, 3], []],
        [[5, 1], [700, 3, 700], [0, 2]],
        [[700, 3, 700], [5, 1], [0, 701]],
        [[0, 2], [0, 2]],
    ],
)
def test_ranks_are_taken_within_each_graph_of_a_batch(members):
    got = protection_probability(batch([graph_of(d) for d in members]), 0.25, 0.75)
    assert got.tolist() == [p for degrees in members for p in naive(degrees, 0.25, 0.75)]


@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 40, 700, 701]), max_size=6), min_size=1, max_size=4),
       st.sampled_from([(0.0, 0.1), (0.1, 0.2), (0.3, 0.3)]))  # fmt: skip
def test_any_ranks(members, ends):
    want = [min(p, ends[1]) for degrees in members for p in naive(degrees, *ends)]
    assert protection_probability(batch([graph_of(d) for d in members]), *ends).tolist() == want


def test_ranks_of_a_batch_do_not_wrap():
    """Keys of graphs are set apart by the largest degree: 70,000 graphs times 40,000 leaves 31 bits."""
    members = [graph_of([40_000, 1])] + [graph_of([1, 0])] * 2
    whole = batch(members)
    many = 70_000
    pointers = np.concatenate([whole.graph_ptr, whole.graph_ptr[-1] + 2 * np.arange(1, many)])
    degree = np.concatenate([whole.in_degree, np.tile([1, 0], many - 1)])

    class Stub:
        in_degree, graph_ptr = degree.astype(np.int32), pointers
        graph_index = np.repeat(np.arange(many + 2, dtype=np.int32), np.diff(pointers))

    got = protection_probability(Stub(), 0.25, 0.75)
    assert got[:2].tolist() == [0.75, 0.5] and got[2:].reshape(-1, 2).tolist() == [[0.75, 0.5]] * (many + 1)


@pytest.mark.parametrize(
    ("members", "counted"),
    [
        ([[64, 0, 1, 3]], True),  # 16 keys a node
        ([[65, 0, 1, 3]], False),
        ([[32, 0], [31, 0]], True),  # keys 0 to 32 of the first graph, 33 to 64 of the second
        ([[32, 0], [32, 0]], False),
        ([[2, 1, 0], [1, 1, 1]], True),
    ],
)
def test_keys_are_counted_where_their_table_is_small(members, counted, monkeypatch):
    """A table of at most 16 keys a node, so that one hub does not take memory for its degree."""
    tables = []

    class Spied:
        def __getattr__(self, name):
            return getattr(np, name)

        def bincount(self, keys):
            tables.append(int(keys.max()))
            return np.bincount(keys)

    monkeypatch.setattr(degree_mask, "np", Spied())
    graphs = [graph_of(degrees) for degrees in members]
    got = protection_probability(batch(graphs) if len(graphs) > 1 else graphs[0], 0.25, 0.75)
    assert got.tolist() == [p for degrees in members for p in naive(degrees, 0.25, 0.75)]
    assert bool(tables) == counted and all(top <= 16 * len(got) for top in tables)


def test_bounds_are_met_and_not_left():
    for low, high in ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.03, 0.29), (0.05, 0.21)):
        got = protection_probability(graph_of([5, 1, 0, 5]), low, high)
        assert got.tolist() == [high, low + (high - low) * 0.5, low + (high - low) * 0.25, high]
    empty = protection_probability(graph_of([]), 0.25, 0.75)
    assert empty.shape == (0,) and empty.dtype == np.float64


def test_draws_are_those_of_the_generator():
    """One float64 a node from the generator that is given: recorded runs depend on it."""
    probability = np.array([0.0, 1.0, 0.5, 0.5, 0.9])
    got = draw_mask(probability, np.random.default_rng(5))
    assert got.dtype == bool and got.tolist() == (np.random.default_rng(5).random(5) < probability).tolist()

    class Fixed:
        def random(self, shape):
            assert shape == (3, 1)
            return np.array([[0.0], [0.5], [0.999]])

    assert draw_mask(np.array([[0.0], [0.5], [1.0]]), Fixed()).tolist() == [[False], [False], [True]]
