"""Operations along edges against loops, with gradients, on graphs with every corner."""

import naive
import numpy as np
import pytest

from dqnumba.autograd import (
    Tensor,
    edge_softmax,
    edge_sum,
    embedding,
    gather_rows,
    gather_source,
    gather_target,
    gradcheck,
    neighbor_sum,
    scale_rows,
    self_and_neighbor_sum,
    sparse_matmul,
    sparse_neighbor_sum,
    weighted_neighbor_sum,
)

RNG = np.random.default_rng(0)


@pytest.fixture(params=naive.graphs())
def graph(request):
    edges, nodes = naive.graphs()[request.param]
    return naive.adjacency(edges, nodes)


def weighted(adj):
    adj.weight = RNG.standard_normal(len(adj.indices)).astype(np.float32)
    return adj


def nodes(adj, channels):
    return RNG.standard_normal((len(adj.indptr) - 1, channels))


def edges(adj, channels):
    return RNG.standard_normal((len(adj.indices), channels))


@pytest.mark.parametrize("channels", [1, 5, 16])
@pytest.mark.parametrize("with_weight", [False, True])
def test_neighbor_sum(graph, channels, with_weight):
    graph = weighted(graph) if with_weight else graph
    x = nodes(graph, channels)
    assert np.allclose(neighbor_sum(graph, Tensor(x)).data, naive.neighbor_sum(graph, x), rtol=1e-12, atol=1e-12)
    gradcheck(lambda t: neighbor_sum(graph, t), [x])


@pytest.mark.parametrize("channels", [1, 5, 16])
@pytest.mark.parametrize("with_weight", [False, True])
def test_self_and_neighbor_sum(graph, channels, with_weight):
    graph = weighted(graph) if with_weight else graph
    x, factor = nodes(graph, channels), np.array([1.25])
    got = self_and_neighbor_sum(graph, Tensor(x), Tensor(factor)).data
    assert np.allclose(got, 1.25 * x + naive.neighbor_sum(graph, x), rtol=1e-12, atol=1e-12)
    gradcheck(lambda t, f: self_and_neighbor_sum(graph, t, f), [x, factor])
    x = x.astype(np.float32)
    got = self_and_neighbor_sum(graph, Tensor(x), Tensor(factor.astype(np.float32))).data
    assert np.array_equal(got, np.float32(1.25) * x + neighbor_sum(graph, Tensor(x)).data)


def test_self_and_neighbor_sum_refuses_other_factors(graph):
    with pytest.raises(ValueError, match=r"shape \(1,\)"):
        self_and_neighbor_sum(graph, Tensor(nodes(graph, 2)), Tensor(np.ones(2)))


def test_neighbor_sum_adds_in_the_order_of_the_row_in_float32(graph):
    graph = weighted(graph)
    x = nodes(graph, 5).astype(np.float32)
    out = neighbor_sum(graph, Tensor(x)).data
    assert out.dtype == np.float32
    assert np.array_equal(out, naive.neighbor_sum(graph, x))  # same order, no fused products: the same bits


@pytest.mark.parametrize(("heads", "width"), [(1, 1), (1, 7), (3, 4), (2, 9)])
def test_weighted_neighbor_sum(graph, heads, width):
    coef, x = edges(graph, heads), nodes(graph, heads * width)
    got = weighted_neighbor_sum(graph, Tensor(coef), Tensor(x)).data
    assert np.allclose(got, naive.weighted_neighbor_sum(graph, coef, x), rtol=1e-12, atol=1e-12)
    gradcheck(lambda c, t: weighted_neighbor_sum(graph, c, t), [coef, x])


def test_gathers_and_edge_sum(graph):
    x, messages = nodes(graph, 3), edges(graph, 3)
    assert np.array_equal(gather_source(graph, Tensor(x)).data, x[graph.indices])
    assert np.array_equal(gather_target(graph, Tensor(x)).data, x[graph.targets])
    expected = naive.segments(graph.indptr, messages, sum)
    assert np.allclose(edge_sum(graph, Tensor(messages)).data, expected, rtol=1e-12, atol=1e-12)
    gradcheck(lambda t: gather_source(graph, t), [x])
    gradcheck(lambda t: gather_target(graph, t), [x])
    gradcheck(lambda t: edge_sum(graph, t), [messages])


@pytest.mark.parametrize("heads", [1, 3])
def test_edge_softmax(graph, heads):
    logits = edges(graph, heads) * 3
    assert np.allclose(edge_softmax(graph, Tensor(logits)).data, naive.edge_softmax(graph, logits), rtol=1e-12)
    gradcheck(lambda t: edge_softmax(graph, t), [logits])


def test_edge_softmax_of_extreme_logits():
    adj = naive.adjacency([(0, 0), (1, 0), (2, 0), (0, 1)], 3)
    out = edge_softmax(adj, Tensor(np.array([[1e4], [1e4], [-1e4], [-3e38]], np.float32))).data
    assert np.array_equal(out, [[0.5], [0.5], [0], [1]])


@pytest.mark.parametrize("dense", [
    np.diag([1.0, 2.0, 0.0]), np.zeros((3, 4)), RNG.standard_normal((30, 6)) * (RNG.random((30, 6)) < 0.3),
    np.ones((1, 1)),
])  # fmt: skip
def test_sparse_matmul(dense):
    features = naive.sparse(dense)
    weight = RNG.standard_normal((dense.shape[1], 5))
    expected = np.asarray(dense, np.float32).astype(np.float64) @ weight
    assert np.allclose(sparse_matmul(features, Tensor(weight)).data, expected, rtol=1e-12, atol=1e-12)
    gradcheck(lambda w: sparse_matmul(features, w), [weight])
    assert sparse_matmul(features, Tensor(weight.astype(np.float32))).dtype == np.float32


@pytest.mark.parametrize("with_weight", [False, True])
def test_sparse_neighbor_sum(graph, with_weight):
    graph = weighted(graph) if with_weight else graph
    dense = (nodes(graph, 6) * (RNG.random((len(graph.indptr) - 1, 6)) < 0.4)).astype(np.float32)
    got = sparse_neighbor_sum(graph, naive.sparse(dense))
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, naive.neighbor_sum(graph, dense))


def test_scale_rows():
    x, factor = RNG.standard_normal((6, 3)), RNG.standard_normal(6)
    assert np.array_equal(scale_rows(Tensor(x), factor).data, factor[:, None] * x)
    gradcheck(lambda t: scale_rows(t, factor), [x])
    assert scale_rows(Tensor(x.astype(np.float32)), factor).dtype == np.float32


@pytest.mark.parametrize("index", [[], [2], [0, 4, 0, 0, 1], [4, 3, 2, 1, 0]])
def test_gather_rows_and_embedding(index):
    table, index = RNG.standard_normal((5, 3)), np.array(index, np.int32)
    for function in (gather_rows, embedding):
        assert np.array_equal(function(Tensor(table), index).data, table[index])
        gradcheck(lambda t, function=function: function(t, index), [table])


def test_gather_rows_of_a_long_table():
    # Beyond 2^16 rows the short keys of the sort would wrap around.
    table = Tensor(np.zeros((70_000, 1), np.float32), requires_grad=True)
    gather_rows(table, np.array([69_999, 69_999, 1])).sum().backward()
    assert np.flatnonzero(table.grad).tolist() == [1, 69_999]
    assert table.grad[69_999] == 2


@pytest.mark.parametrize("index", [[-1], [5]])
def test_gather_rows_refuses_indices_outside(index):
    with pytest.raises(IndexError, match="allowed are 0 to 4"):
        gather_rows(Tensor(np.zeros((5, 3))), np.array(index))


def test_the_library_s_own_containers_fit():
    dqgraph = pytest.importorskip("dqnumba.graph")
    pairs = [(0, 1), (2, 1), (1, 1), (3, 0)]
    graph = dqgraph.Graph.from_edge_index(np.array(pairs).T, num_nodes=4)
    x = RNG.standard_normal((4, 3))
    adj = graph.adjacency()
    assert np.allclose(neighbor_sum(adj, Tensor(x)).data, naive.neighbor_sum(naive.adjacency(pairs, 4), x))
    gradcheck(lambda t: neighbor_sum(adj, t), [x])
    gradcheck(lambda t: gather_source(adj, t), [x])
    features = dqgraph.SparseFeatures.from_dense(np.diag([1, 2, 0, 3]).astype(np.float32))
    gradcheck(lambda w: sparse_matmul(features, w), [x])
