"""Public layouts of npz files: hostile and odd files get documented errors, pickles are not touched."""

import graph_writers as write
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dqnumba.errors import ConfigError, DataError, DQError, GraphError
from dqnumba.graph import Graph, GraphDataset, load_graph, load_npz, read_graph, save_npz


@pytest.fixture
def npz(tmp_path):
    def build(**arrays):
        np.savez(tmp_path / "g.npz", **{name: value for name, value in arrays.items() if value is not None})
        return tmp_path / "g.npz"

    return build


def benchmark(**changes):
    a = scipy.sparse.csr_matrix(np.array([[2, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32))
    return {"adj_data": a.data, "adj_indices": a.indices, "adj_indptr": a.indptr, "adj_shape": a.shape,
            "attr_matrix": np.eye(3), "labels": [0, 1, 2]} | changes  # fmt: skip


def heterophilous(**changes):
    masks = np.eye(3, dtype=bool)[:2]
    return {"edges": [[0, 1], [1, 2]], "node_features": np.eye(3), "node_labels": [0, 1, 0], "train_masks": masks,
            "val_masks": masks, "test_masks": masks} | changes  # fmt: skip


def test_what_is_done_to_a_benchmark_graph_is_said(npz):
    found = read_graph(npz(**benchmark()))
    assert write.edges_of(found.data) == [(1, 0, 1.0), (0, 1, 1.0), (2, 1, 1.0), (1, 2, 1.0)]
    assert found.notes == ("1 self-loops left out", "edges taken in both directions", "edge weights left out")
    assert found.data.name == "g" and "gnn-benchmark npz" in found.describe()


def test_which_of_several_splits(npz):
    path = npz(**heterophilous())
    assert load_graph(path, split=1).train_mask.tolist() == [False, True, False]
    found = read_graph(path)
    assert (found.split, found.num_splits) == (0, 2) and "split 0 of 2 (--fold)" in found.notes
    for wrong in (2, -1):
        with pytest.raises(ConfigError, match=rf"split \(--fold\) is {wrong}, but .* holds 2 splits"):
            load_graph(path, split=wrong)
    one = npz(**heterophilous(train_masks=[True, False, False], val_masks=None, test_masks=None))
    assert load_graph(one).train_mask.tolist() == [True, False, False] and load_graph(one).val_mask is None
    with pytest.raises(ConfigError, match="holds 1 splits"):
        load_graph(one, split=1)
    with pytest.raises(ConfigError, match="holds 1 splits"):
        load_graph(npz(**benchmark()), split=3)


@pytest.mark.parametrize(
    ("arrays", "error", "says"),
    [
        (dict(stuff=[1]), DataError, "no known layout of a graph.*it holds stuff"),
        (benchmark(adj_shape=[3, 4]), DataError, "square"),
        (benchmark(adj_shape=[4, 4]), DataError, r"adj_shape is \(4, 4\), but adj_indptr has 3 rows"),
        (benchmark(adj_shape=[3.5, 3]), DataError, "adj_shape must be two whole numbers"),
        (benchmark(adj_indices=[0, 1, 9]), GraphError, "outside the graph"),
        (benchmark(adj_indices=[0, 1, -1]), GraphError, "outside the graph"),
        (benchmark(adj_indptr=[0, 2, 1, 3]), GraphError, "falls from 2 to 1"),
        (benchmark(adj_indptr=[0, 2, 3, 9]), GraphError, "ends at 9"),
        (benchmark(attr_matrix=np.eye(2)), GraphError, "x has 2 rows"),
        (benchmark(attr_matrix=np.full((3, 1), np.nan)), GraphError, "nan at node 0"),
        (benchmark(labels=None, labels_data=[1]), DataError, "several labels a node"),
        (benchmark(attr_data=[1.0], attr_indices=[5], attr_indptr=[0, 1, 1, 1], attr_shape=[3, 2]), GraphError,
         "column 5"),
        (benchmark(attr_data=[1.0], attr_indices=[0], attr_indptr=[0, 9, 1, 1], attr_shape=[3, 2]), GraphError,
         "ascending"),
        (benchmark(attr_data=[1.0], attr_indices=[0], attr_indptr=[], attr_shape=[3, 2]), GraphError, "indptr"),
        (heterophilous(edges=[[0, 1, 2]]), DataError, r"edges has shape \(1, 3\)"),
        (heterophilous(edges=[[0, 7]]), GraphError, "outside the graph"),
        (heterophilous(edges=[[0.5, 1.0]]), GraphError, "must hold integers"),
        (heterophilous(val_masks=np.zeros((3, 3), bool)), DataError, r"val_masks has shape \(3, 3\)"),
        (heterophilous(train_masks=np.zeros((2, 4), bool)), GraphError, r"train_mask has shape \(4,\)"),
        (heterophilous(node_labels=[0, -1, 0]), GraphError, "label -1 at position 1"),
        (dict(edges=[[0, 2**40]], node_labels=[0]), GraphError, "outside the graph|number the nodes"),
        (dict(edge_index=[[0], [1]], x=np.eye(2), train_index=[0]), DataError, "are for many graphs"),
    ],
)  # fmt: skip
def test_what_is_refused(npz, arrays, error, says):
    with pytest.raises(error, match=says):
        read_graph(npz(**arrays))


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


def test_names_that_are_pickles_are_not_unpacked_and_needed_ones_are_refused(tmp_path):
    bomb = np.array([Bomb()], dtype=object)
    path = tmp_path / "g.npz"
    np.savez(path, node_names=bomb, metadata=bomb, allow_pickle=True, **benchmark())
    assert load_graph(path).num_nodes == 3
    np.savez(path, allow_pickle=True, **benchmark(labels=bomb))
    with pytest.raises(DataError, match="without pickles"):
        load_graph(path)


def test_damaged_archives(tmp_path):
    np.savez(tmp_path / "whole.npz", **heterophilous())
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for k in range(60):
        content = bytearray(whole[: len(whole) if k % 2 else int(rng.integers(4, len(whole)))])
        content[int(rng.integers(4, len(content)))] ^= 1 << int(rng.integers(8))
        (tmp_path / "cut.npz").write_bytes(content)
        try:
            load_graph(tmp_path / "cut.npz")
            outcomes.add("read")
        except DQError as error:
            outcomes.add(type(error).__name__)
    assert "DataError" in outcomes


OWN = ["x", "y", "edge_weight", "train_mask", "graph_ptr", "num_nodes", "train_index", "x_indptr", "x_indices",
       "x_data", "x_shape"]  # fmt: skip
LAYOUTS = [  # arrays that must be there, and others
    (["edge_index"], OWN),
    (["edges", "node_features"], ["node_labels", "train_masks"]),
    (["edges", "node_labels"], ["test_masks", "train_masks"]),
    (["adj_indices", "adj_indptr", "adj_shape"], ["adj_data", "attr_matrix", "labels"]),
    (["adj_indices", "adj_indptr", "adj_shape", "attr_data", "attr_indices", "attr_indptr", "attr_shape"], ["labels"]),
]


@settings(max_examples=150)
@given(st.data())
def test_any_arrays_are_a_graph_or_a_documented_error(tmp_path_factory, data):
    """Well-formed archives with arrays of any shape and content: no crash, no memory, no read out of bounds."""
    required, others = data.draw(st.sampled_from(LAYOUTS))
    values = st.integers(-1, 5) | st.sampled_from([2**31 - 1, 2**31, 2**62, -(2**63)])
    arrays = {}
    for name in [*required, *data.draw(st.lists(st.sampled_from(others), unique=True))]:
        shape = data.draw(st.sampled_from([(), (0,), (2,), (3,), (4,), (2, 2), (2, 3), (3, 2), (1, 1, 2)]))
        dtype = data.draw(st.sampled_from([np.int64, np.int64, np.float32, bool]))
        with np.errstate(all="ignore"):
            arrays[name] = data.draw(hnp.arrays(np.int64, shape, elements=values)).astype(dtype)
    path = tmp_path_factory.mktemp("any") / "g.npz"
    np.savez(path, **arrays)
    try:
        found = read_graph(path, directed=data.draw(st.sampled_from([None, True, False])))
    except DQError as error:
        assert len(str(error)) > 20
    else:
        union = found.data.union if isinstance(found.data, GraphDataset) else found.data
        assert union.indices.max(initial=-1) < union.num_nodes <= 10**8


def set_of_graphs(splits=None, count=3):
    graphs = [Graph.from_edge_index([[0], [1]], x=np.eye(k + 2, 2), y=[k % 2]) for k in range(count)]
    return GraphDataset.from_graphs(graphs, name="drawn", splits=splits)


def test_data_sets_of_graphs_keep_their_splits_in_order(tmp_path):
    data = set_of_graphs({"train": [2], "val": [], "test": [1, 0]})
    save_npz(data, tmp_path / "set.npz")
    found = read_graph(tmp_path / "set.npz")
    assert found.format == "npz of many graphs" and found.num_splits == 1 and found.data.name == "drawn"
    assert {k: v.tolist() for k, v in found.data.splits.items()} == {"train": [2], "val": [], "test": [1, 0]}
    with pytest.raises(DataError, match="load_graph"):
        load_npz(tmp_path / "set.npz")
    save_npz(set_of_graphs(), tmp_path / "bare.npz")
    assert load_graph(tmp_path / "bare.npz").splits is None
    both = load_graph(tmp_path / "bare.npz", directed=False)
    assert len(both) == 3 and both.union.num_edges == 6
    with pytest.raises(GraphError, match="train_index, val_index, test_index"):
        arrays = {"edge_index": [[0], [1]], "x": np.eye(4, 2), "graph_ptr": [0, 2, 4], "y": [0, 1]}
        np.savez(tmp_path / "m.npz", train_mask=[True, False], **arrays)
        load_graph(tmp_path / "m.npz")


def test_what_a_path_is(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"\.pt files hold pickles.*from_pyg"):
        read_graph(tmp_path / "model.pt")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="no known format of a graph"):
        read_graph(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"no file .*none.npz"):
        read_graph(tmp_path / "none.npz")
    (tmp_path / "e.csv").write_text("a,b\n")
    (tmp_path / "edges.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="belongs to a table of edges"):
        read_graph(tmp_path / "edges.npz", nodes=tmp_path / "e.csv")
    with pytest.raises(ConfigError, match="holds no more than one split"):
        read_graph(tmp_path / "e.csv", split=2)
    (tmp_path / "text.npz").write_text("a,b\n")
    with pytest.raises(DataError, match="no readable npz"):
        read_graph(tmp_path / "text.npz")
