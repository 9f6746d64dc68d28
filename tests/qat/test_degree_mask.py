"""The degree mask: probabilities, draws, and what a protected row does to values, ranges and messages."""

import copy
import math

import numpy as np
import official_rules as official
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba import nn, qat
from dqnumba.graph import Graph, batch
from dqnumba.qat import draw_mask, protection_probability

BOUNDS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


@st.composite
def graphs(draw, min_nodes=1):
    nodes = draw(st.integers(min_nodes, 8))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=25))
    edges = np.array(pairs, np.int64).reshape(-1, 2).T
    return Graph.from_edge_index(edges, np.ones((nodes, 1), np.float32), num_nodes=nodes, coalesce=False)


def pairs_without_loops(graph):
    targets = np.repeat(np.arange(graph.num_nodes), np.diff(graph.indptr))
    return [(s, t) for s, t in zip(graph.indices.tolist(), targets.tolist(), strict=True) if s != t]


@pytest.mark.parametrize(("low", "high"), [(0.03, 0.29), (0.05, 0.21)])
def test_the_largest_in_degree_gets_exactly_high(low, high):
    """low + (high - low) is one bit above high for the first pair and one below for the second."""
    assert low + (high - low) != high
    got = protection_probability(star(), low, high)
    assert got[0] == high and (got <= high).all()


@given(graphs(), BOUNDS)
def test_probability_is_the_official_one(graph, bounds):
    low, high = bounds
    got = protection_probability(graph, low, high)
    pairs = pairs_without_loops(graph)
    np.testing.assert_allclose(got, official.protection(pairs, graph.num_nodes, low, high), rtol=1e-15, atol=1e-15)
    degree = np.array([sum(1 for _, t in pairs if t == v) for v in range(graph.num_nodes)])
    assert (got[degree == degree.max()] == high).all()  # exactly
    assert (got >= low).all() and (got <= high).all()
    order = np.argsort(degree, kind="stable")
    assert (np.diff(got[order]) >= 0).all()  # monotone, and ties share:
    assert all(np.unique(got[degree == d]).size == 1 for d in degree)


@given(st.lists(graphs(), min_size=1, max_size=5), BOUNDS)
def test_probability_of_a_batch_is_that_of_its_graphs(parts, bounds):
    got = protection_probability(batch(parts), *bounds)
    np.testing.assert_array_equal(got, np.concatenate([protection_probability(g, *bounds) for g in parts]))


def test_probability_without_nodes_and_with_empty_graphs():
    empty = Graph.from_edge_index(np.zeros((2, 0), np.int64), np.ones((0, 1), np.float32), num_nodes=0)
    assert protection_probability(empty, 0.1, 0.2).shape == (0,)
    one = Graph.from_edge_index(np.zeros((2, 0), np.int64), np.ones((1, 1), np.float32), num_nodes=1)
    np.testing.assert_array_equal(protection_probability(batch([one, empty, one]), 0.1, 0.2), [0.2, 0.2])


def star(leaves=9, *, loops=False, channels=4, seed=0):
    """Node 0 receives an edge from every other node, and sends one to node 1."""
    rng = np.random.default_rng(seed)
    nodes = leaves + 1
    edges = np.array([[*range(1, nodes), 0], [0] * leaves + [1]])
    if loops:
        edges = np.concatenate([edges, [[3, 5], [3, 5]]], axis=1)
    x = rng.standard_normal((nodes, channels)).astype(np.float32)
    return Graph.from_edge_index(edges, x, y=rng.integers(0, 3, nodes), num_nodes=nodes, num_classes=3)


def test_draws_follow_the_probabilities():
    probability = protection_probability(star(30), 0.05, 0.4)
    rng = np.random.default_rng(0)
    trials = 4000
    hits = sum(draw_mask(probability, rng).astype(np.int64) for _ in range(trials))
    # Six standard deviations of a binomial a node: fails once in about 10^7 runs for 31 nodes.
    assert (np.abs(hits - trials * probability) < 6 * np.sqrt(trials * probability * (1 - probability))).all()
    assert not draw_mask(np.zeros(1000), rng).any() and draw_mask(np.ones(1000), rng).all()


def prepared(kind=nn.GCN, graph=None, *, low=0.3, high=0.7, train=True, sites="fused", **options):
    graph = star() if graph is None else graph
    config = qat.QuantConfig.degree_quant(8, sites=sites, mask_low=low, mask_high=high, **options)
    qmodel = qat.prepare(kind(4, 4, 3, heads=2), config)
    if train:
        qat.calibrate(qmodel, graph)
    return qmodel, graph


def masks_seen(qmodel, graph, rng, training=True):
    """The mask that each site saw, in the order of execution."""
    seen = []
    for quantizer in dict.fromkeys(q for q in qmodel.quantizers.values() if isinstance(q, qat.ActivationQuantizer)):
        original = quantizer._protected

        def spy(ctx, rows, original=original, name=quantizer.name):
            result = original(ctx, rows)
            seen.append((name, None if result is None else result.copy()))
            return result

        quantizer._protected = spy
    qmodel(graph, training=training, rng=rng)
    for quantizer in qmodel.quantizers.values():
        vars(quantizer).pop("_protected", None)
    return seen


def test_fresh_mask_every_forward_and_none_at_evaluation():
    qmodel, graph = prepared()
    rng = np.random.default_rng(0)
    masks = [masks_seen(qmodel, graph, rng)[0][1] for _ in range(20)]
    assert len({m.tobytes() for m in masks}) > 10
    assert all(m is None for _, m in masks_seen(qmodel, graph, None, training=False))
    again = [masks_seen(qmodel, graph, rng)[0][1] for rng in [np.random.default_rng(0)] for _ in range(20)]
    assert all((a == b).all() for a, b in zip(masks, again, strict=True))  # one seed, one sequence


def test_one_mask_for_all_layers_unless_asked():
    for per_layer in (False, True):
        qmodel, graph = prepared(mask_per_layer=per_layer)
        differ = 0
        for seed in range(10):
            seen = dict(masks_seen(qmodel, graph, np.random.default_rng(seed)))
            assert (seen["conv1.input"] == seen["conv1.feature"]).all()
            differ += (seen["conv1.input"] != seen["conv2.input"]).any()
        assert differ == 0 if not per_layer else differ > 5


def test_the_mask_ends_after_its_share_and_the_count_goes_on_after_a_break():
    graph = star()

    def ending(planned):
        qmodel, _ = prepared(graph=graph, low=1.0, high=1.0, train=False, mask_until=0.5)
        if planned is not None:
            qmodel.plan_passes(planned)
        return qmodel

    def masks(qmodel, passes):
        rng = np.random.default_rng(0)
        return [qmodel._context(graph, True, rng, observe=True).protected is not None for _ in range(passes)]

    qmodel, twin = ending(5), ending(5)
    assert masks(qmodel, 1) == [True]
    qmodel._context(graph, False, None, observe=True)  # an evaluation pass does not count
    twin.load_state_dict(qmodel.state_dict())
    assert masks(twin, 4) == [True, True, False, False]
    assert masks(copy.deepcopy(ending(1)), 2) == [True, False], "a copy knows it too"
    assert masks(ending(None), 3) == [True] * 3, "nobody said when training ends"
    assert masks(ending(0), 1) == [False]
    twin.plan_passes(4)
    assert masks(twin, 4) == [True, True, False, False], "a second training has a share of its own"
    assert "quantizer.passes" not in prepared(graph=graph)[0].state_dict(), "nothing is counted without a need"


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("kind", [nn.GCN, nn.GAT])
def test_messages_are_masked_by_their_source(kind, loops):
    graph = star(loops=loops)
    qmodel, _ = prepared(kind, graph, sites="paper")
    rng = np.random.default_rng(1)
    for _ in range(5):
        seen = dict(masks_seen(qmodel, graph, rng))
        node, message = seen["conv1.input"], seen["conv1.message"]
        sources = graph.adjacency("add").indices
        assert message.shape == sources.shape
        np.testing.assert_array_equal(message, [node[s] for s in sources])
    # Loops move edges within their rows: the order of the mask must be that of the rows with loops added.
    expected = [s for v in range(graph.num_nodes) for s in [
        *graph.indices[graph.indptr[v]:graph.indptr[v + 1]].tolist(),
        *([] if v in graph.indices[graph.indptr[v]:graph.indptr[v + 1]] else [v]),
    ]]  # fmt: skip
    assert expected == sources.tolist()


def test_gin_mlp_is_masked_only_where_asked():
    for mask_mlp in (False, True):
        qmodel, graph = prepared(nn.GIN, mask_mlp=mask_mlp)
        seen = dict(masks_seen(qmodel, graph, np.random.default_rng(0)))
        # lin1's input is the sum over the neighbours here, the aggregate's site, which is always masked.
        assert seen["conv1.input"] is not None and seen["conv1.lin1.input"] is not None
        assert (seen["conv1.lin2.input"] is not None) == mask_mlp


def test_share_of_protected_nodes_in_training():
    qmodel, graph = prepared(low=0.1, high=0.2)
    rng = np.random.default_rng(3)
    total = sum(int(masks_seen(qmodel, graph, rng)[0][1].sum()) for _ in range(300))
    probability = protection_probability(graph, 0.1, 0.2)
    sigma = math.sqrt(300 * float((probability * (1 - probability)).sum()))
    assert abs(total - 300 * probability.sum()) < 6 * sigma
