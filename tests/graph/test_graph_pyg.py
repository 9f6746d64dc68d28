"""Graphs from objects that look like PyTorch Geometric's, and from the real ones where they are installed."""

import warnings
from types import SimpleNamespace

import graph_writers as write
import numpy as np
import pytest
import scipy.sparse

from dqnumba.errors import ConfigError, GraphError
from dqnumba.graph import Graph, GraphDataset, SparseFeatures

EDGES = np.array([[0, 1, 2], [1, 0, 1]])


def data(**fields):
    return SimpleNamespace(**({"edge_index": EDGES, "x": np.eye(3)} | fields))


def test_edge_weights_are_read_only_where_they_are_meant():
    kinds = data(edge_attr=np.array([[1], [2], [3]]))
    assert Graph.from_pyg(kinds).edge_weight is None
    np.testing.assert_array_equal(Graph.from_pyg(kinds, weight="edge_attr").edge_weight, [2, 1, 3])
    np.testing.assert_array_equal(Graph.from_pyg(data(edge_weight=[[1.5], [2], [3]])).edge_weight, [2, 1.5, 3])
    with pytest.raises(GraphError, match="no attribute 'w'"):
        Graph.from_pyg(data(), weight="w")
    with pytest.raises(GraphError, match=r"edge_weight has dtype .* shape \(3, 2\)"):
        Graph.from_pyg(data(edge_attr=np.ones((3, 2))), weight="edge_attr")


def test_a_transposed_adjacency():
    class Adjacency:
        def coo(self):
            return EDGES[1], EDGES[0], None

    graph = Graph.from_pyg(SimpleNamespace(adj_t=Adjacency(), x=np.eye(3)))
    assert write.edges_of(graph) == write.edges_of(Graph.from_edge_index(EDGES, num_nodes=3))


def test_codes_columns_and_sparse_features():
    codes = Graph.from_pyg(data(x=np.array([[3], [0], [1]])))
    assert codes.x.tolist() == [3, 0, 1] and codes.num_categories == 4
    assert Graph.from_pyg(data(x=np.ones(3))).x.shape == (3, 1)
    assert isinstance(Graph.from_pyg(data(x=scipy.sparse.eye(3))).x, SparseFeatures)
    assert Graph.from_pyg(data(x=None, num_nodes=5)).num_nodes == 5


def test_labels_and_masks():
    assert Graph.from_pyg(data(y=np.array([[2], [0], [1]]))).y.tolist() == [2, 0, 1]
    assert Graph.from_pyg(data(y=np.array(1.5))).y.tolist() == [1.5]
    assert Graph.from_pyg(data(train_mask=np.array([1, 0, 1], np.uint8))).train_mask.tolist() == [True, False, True]
    assert Graph.from_pyg(data(), y=[0, 1, 0]).y.tolist() == [0, 1, 0]
    with pytest.raises(GraphError, match=r"y has shape \(3, 2\).*Choose one column"):
        Graph.from_pyg(data(y=np.ones((3, 2))))
    with pytest.raises(ConfigError, match=r"split \(--fold\) is 2, but train_mask holds 2 splits"):
        Graph.from_pyg(data(train_mask=np.ones((3, 2), bool)), split=2)


def test_batches():
    by_ptr = Graph.from_pyg(data(ptr=[0, 3], y=[1]))
    by_batch = Graph.from_pyg(data(batch=np.array([0, 0, 0]), y=[1]))
    assert by_ptr.graph_ptr.tolist() == by_batch.graph_ptr.tolist() == [0, 3]
    empty_last = Graph.from_pyg(data(batch=np.array([0, 0, 0]), num_graphs=2))
    assert empty_last.graph_ptr.tolist() == [0, 3, 3]
    for wrong in ([1, 0, 0], [-1, 0, 0], [0, 0, 10**12], [0.0, 0.0, 1.0]):
        with pytest.raises(GraphError, match="batch "):
            Graph.from_pyg(data(batch=np.array(wrong)))
    with pytest.raises(GraphError, match="from graph"):
        Graph.from_pyg(data(batch=np.array([0, 1, 1])))


def test_other_objects():
    with pytest.raises(GraphError, match=r"needs an object with edge_index .*; dict has none"):
        Graph.from_pyg({"edge_index": EDGES})

    class Half:
        def numpy(self):
            raise TypeError("Got unsupported ScalarType BFloat16\nand more")

    with pytest.raises(GraphError, match=r"x cannot be read .*BFloat16\); convert it, with .float\(\)"):
        Graph.from_pyg(data(x=Half()))


def test_the_real_ones():
    torch = pytest.importorskip("torch", reason="a live check; the recorded ones above need no torch")
    geometric = pytest.importorskip("torch_geometric", reason="a live check; the recorded ones above need no PyG")
    pyg = geometric.data
    edges = torch.tensor(EDGES)
    x = torch.tensor([[1.0, 0], [0, 2], [0, 0]], requires_grad=True)
    item = pyg.Data(x=x, edge_index=edges, y=torch.tensor([1, 0, 2]), edge_attr=torch.ones(3, 4),
                    train_mask=torch.tensor([[True, False]] * 3))  # fmt: skip
    graph = Graph.from_pyg(item, split=1)
    np.testing.assert_array_equal(graph.x, x.detach().numpy())
    assert graph.y.tolist() == [1, 0, 2] and not graph.train_mask.any() and graph.val_mask is None
    assert write.edges_of(graph) == write.edges_of(Graph.from_edge_index(EDGES, num_nodes=3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that its CSR is in beta
        compressed = x.detach().to_sparse_csr()
    for sparse in (x.detach().to_sparse(), compressed):
        item.x = sparse
        np.testing.assert_array_equal(Graph.from_pyg(item, split=0).x.toarray(), x.detach().numpy())
    parts = [pyg.Data(x=torch.ones(k + 2, 1), edge_index=torch.tensor([[0], [k + 1]]), y=torch.tensor([k]))
             for k in range(3)]  # fmt: skip
    union = Graph.from_pyg(pyg.Batch.from_data_list(parts))
    singles = GraphDataset.from_graphs([Graph.from_pyg(part) for part in parts]).union
    assert union.graph_ptr.tolist() == singles.graph_ptr.tolist() == [0, 2, 5, 9]
    assert write.edges_of(union) == write.edges_of(singles) and union.y.tolist() == [0, 1, 2]
    hetero = pyg.HeteroData()
    hetero["a"].x = x
    with pytest.raises(GraphError, match="HeteroData has none"):
        Graph.from_pyg(hetero)
