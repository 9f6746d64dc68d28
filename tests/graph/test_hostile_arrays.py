"""Ids that would wrap, arrays in odd memory: refused with the place, or the same graph."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.errors import DataError, GraphError
from dqnumba.graph import Graph, SparseFeatures, batch, load_npz

# Cast to int32 without a look, 2**32 would be node 0 and 2**32 + 1 node 1.
BEYOND = [-1, -(2**31), -(2**63), 3, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**63 - 1]
X = np.ones((3, 2), np.float32)


def ways(tmp_path, source, target):
    """One edge between these ids into a graph of three nodes, by every way in that takes numbers."""
    edge = np.array([[source], [target]], np.int64)
    path = tmp_path / "g.npz"
    np.savez(path, edge_index=edge, x=X)
    yield lambda: Graph.from_edge_index(edge, num_nodes=3)
    yield lambda: Graph.from_edge_index(edge, X)
    yield lambda: Graph.from_edge_index(edge, graph_ptr=[0, 3])
    yield lambda: Graph.from_edge_index(edge.astype(">i8"), X)
    yield lambda: load_npz(path)
    if 0 <= target < 3:
        yield lambda: Graph(np.repeat([0, 1], [target + 1, 3 - target]), edge[0])


@pytest.mark.parametrize("bad", BEYOND)
@pytest.mark.parametrize("end", ["source", "target"])
def test_an_id_beyond_the_nodes_is_never_another_node(tmp_path, bad, end):
    for make in ways(tmp_path, *((bad, 1) if end == "source" else (1, bad))):
        with pytest.raises((GraphError, DataError), match=r"outside|asks for") as error:
            make()
        assert str(bad) in str(error.value) or str(bad + 1) in str(error.value)
    for make in ways(tmp_path, 2, 0):
        assert make().indices.tolist() == [2]


@pytest.mark.parametrize("bad", [-1, 2**31, 2**32, 2**32 + 1, 2**63 - 1])
def test_codes_columns_and_offsets_do_not_wrap_either(bad):
    with pytest.raises(GraphError, match="code"):
        Graph.from_edge_index([[0], [1]], x=np.array([0, bad, 1]))
    with pytest.raises(GraphError, match=f"column {bad}"):
        SparseFeatures([0, 1], [bad], [1.0], (1, 3))
    with pytest.raises(GraphError, match="graph_ptr"):
        Graph.from_edge_index([[0], [1]], x=X, graph_ptr=[0, bad, 3] if bad < 0 else [0, bad])
    with pytest.raises(GraphError, match=r"indptr|row"):
        Graph(np.array([0, bad, 1]), np.array([0]))
    with pytest.raises(GraphError, match="each of"):
        Graph.from_edge_index([[0], [1]]).permuted([0, bad])
    with pytest.raises(GraphError, match="label"):
        Graph.from_edge_index([[0], [1]], y=[0, bad], num_classes=2)


@pytest.mark.parametrize("bad", [2**64 - 1, 2**63])
def test_unsigned_numbers_beyond_int64(bad):
    with pytest.raises(GraphError, match="does not fit int64"):
        Graph.from_edge_index(np.array([[bad], [0]], np.uint64), num_nodes=3)


@pytest.mark.parametrize("kind", [float, object, complex, "datetime64[s]", "U3"])
def test_ids_of_other_kinds(kind):
    with pytest.raises(GraphError, match=r"dtype .*integers"):
        Graph.from_edge_index(np.array([[0], [1]]).astype(kind))


def off_by_a_byte(array):
    """The same values one byte beyond where the processor would put them; nobody can write to them."""
    out = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    assert not out.flags.aligned
    return out


FORMS = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "columns first": np.asfortranarray,
    "off by a byte": off_by_a_byte,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_arrays_in_odd_memory(form):
    rng = np.random.default_rng(0)
    edges, x = rng.integers(0, 9, (2, 30)), rng.standard_normal((9, 4)).astype(np.float32)
    weight = rng.random(30).astype(np.float32)
    want = Graph.from_edge_index(edges, x, edge_weight=weight)
    raw = Graph(form(want.indptr), form(want.indices), form(x), edge_weight=form(want.edge_weight))
    sparse = SparseFeatures.from_dense(x)
    other = SparseFeatures(form(sparse.indptr), form(sparse.indices), form(sparse.data), sparse.shape)
    for graph in (Graph.from_edge_index(form(edges), form(x), edge_weight=form(weight)), raw, batch([raw])):
        for name in ("indptr", "indices", "x", "edge_weight"):
            kept, expected = getattr(graph, name), getattr(want, name)
            assert np.array_equal(kept, expected) and kept.dtype == expected.dtype and kept.dtype.isnative, name
            assert kept.flags.c_contiguous and kept.flags.aligned and not kept.flags.writeable, name
    for kept in (other.indptr, other.indices, other.data):
        assert kept.flags.aligned and kept.dtype.isnative
    assert np.array_equal(other.toarray(), x)
