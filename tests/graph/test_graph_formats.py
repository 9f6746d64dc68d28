"""One graph in every format, its edges listed in any order, comes back as the same graph."""

import graph_writers as write
import networkx as nx
import numpy as np
import pytest
from graph_strategies import FINITE, same
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dqnumba.graph import Graph, SparseFeatures, load_graph, load_npz, read_graph, save_npz

FEWER = settings(max_examples=40)  # each example writes and reads files


@st.composite
def labelled_graphs(draw, *, loops=True, weights=None):
    """A graph with features, labels and a split, and an order of its edges."""
    nodes = draw(st.integers(1, 6))
    pairs = [(s, t) for s in range(nodes) for t in range(nodes) if loops or s != t]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=12, unique=True)) if pairs else []
    weights = draw(st.booleans()) if weights is None else weights
    weight = draw(hnp.arrays(np.float32, len(chosen), elements=FINITE)) if weights and chosen else None
    x = draw(hnp.arrays(np.float32, (nodes, 3), elements=FINITE))
    y = draw(hnp.arrays(np.int64, nodes, elements=st.integers(0, 3)))
    parts = draw(st.lists(st.sampled_from(["train", "val", "test", ""]), min_size=nodes, max_size=nodes))
    graph = write.plain_graph(np.array(chosen, dtype=np.int64).reshape(-1, 2).T, x, y, weight, parts)
    return graph, draw(st.permutations(range(len(chosen))))


def equal(found, graph, *, masks=True):
    """The same graph but for its name, the container of the features and, if need be, the masks."""
    changes = {"name": graph.name, "x": write.dense(found)}
    if not masks:
        changes |= dict.fromkeys(("train_mask", "val_mask", "test_mask"))
        graph = graph.replace(**dict.fromkeys(("train_mask", "val_mask", "test_mask")))
    same(found.replace(**changes), graph)


@FEWER
@given(labelled_graphs(), st.sampled_from([".csv", ".tsv", ".txt"]), st.booleans())
def test_tables(tmp_path_factory, drawn, suffix, header):
    graph, order = drawn
    folder = tmp_path_factory.mktemp("tables")
    write.write_tables(graph, folder, order, suffix=suffix, header=header)
    found = read_graph(folder)
    assert found.format == "edge list and node table"
    assert found.node_ids.tolist() == [str(k) for k in range(graph.num_nodes)]
    equal(found.data, graph, masks=header) if order or graph.edge_weight is None else None


@FEWER
@given(labelled_graphs())
def test_npz_of_our_own(tmp_path_factory, drawn):
    graph, order = drawn
    path = tmp_path_factory.mktemp("own") / "g.npz"
    write.write_own(graph, path, order)
    equal(load_graph(path), graph)
    equal(load_npz(path), graph)
    save_npz(load_graph(path), path)
    equal(load_graph(path), graph)


@FEWER
@given(labelled_graphs(loops=False, weights=False), st.booleans(), st.booleans())
def test_gnn_benchmark(tmp_path_factory, drawn, sparse, directed):
    graph, order = drawn
    path = tmp_path_factory.mktemp("bench") / "g.npz"
    write.write_gnn_benchmark(graph, path, order, sparse)
    found = read_graph(path, directed=directed)
    assert found.format == "gnn-benchmark npz" and found.num_splits == 0
    assert isinstance(found.data.x, SparseFeatures) is sparse
    equal(found.data, graph if directed else graph.undirected(), masks=False)
    equal(load_graph(path), graph.undirected(), masks=False)


@FEWER
@given(labelled_graphs(weights=False), st.booleans())
def test_heterophilous(tmp_path_factory, drawn, directed):
    graph, order = drawn
    path = tmp_path_factory.mktemp("hetero") / "g.npz"
    write.write_heterophilous(graph, path, order, splits=3, chosen=1)
    found = read_graph(path, split=1, directed=directed)
    assert (found.format, found.num_splits, found.split) == ("heterophilous-graphs npz", 3, 1)
    equal(found.data, graph if directed else graph.undirected())
    other = load_graph(path)
    assert not other.train_mask.any()
    equal(other, graph.undirected(), masks=False)


@FEWER
@given(labelled_graphs())
def test_objects(drawn):
    graph, order = drawn
    equal(Graph.from_networkx(write.as_networkx(graph, order)), graph, masks=any(map(any, (
        graph.train_mask, graph.val_mask, graph.test_mask))))  # fmt: skip
    equal(Graph.from_pyg(write.as_pyg(graph, order)), graph)
    equal(Graph.from_pyg(write.as_pyg(graph, order, splits=3), split=2), graph)
    masks = {name: getattr(graph, name) for name in ("train_mask", "val_mask", "test_mask")}
    if graph.edge_weight is None or ((graph.edge_weight != 0).all() and (graph.edge_weight != 1).any()):
        equal(Graph.from_scipy(write.as_scipy(graph), graph.x, graph.y, **masks), graph)


@FEWER
@given(labelled_graphs(), st.randoms(use_true_random=False))
def test_rows_of_a_table_in_another_order_are_a_permuted_graph(tmp_path_factory, drawn, random):
    graph, _ = drawn
    rows = list(range(graph.num_nodes))
    random.shuffle(rows)
    folder = tmp_path_factory.mktemp("permuted")
    permuted = graph.permuted(rows)
    write.write_tables(permuted, folder, range(permuted.num_edges), names=[f"node {k}" for k in rows])
    found = read_graph(folder)
    assert found.node_ids.tolist() == [f"node {k}" for k in rows]
    back = np.argsort(rows)
    equal(found.data.permuted(back), graph, masks=True) if graph.num_edges or graph.edge_weight is None else None


@FEWER
@given(labelled_graphs())
def test_undirected_against_a_plain_loop(drawn):
    graph, _ = drawn
    edges = {(s, t): w for s, t, w in write.edges_of(graph)}
    wanted = dict(edges)
    for (s, t), w in edges.items():
        if (t, s) not in edges:
            wanted[t, s] = w
    found = graph.undirected()
    assert {(s, t): w for s, t, w in write.edges_of(found)} == wanted and found.num_edges == len(wanted)
    assert found.undirected() is found
    equal(found.replace(indptr=graph.indptr, indices=graph.indices, edge_weight=graph.edge_weight), graph)


def test_a_networkx_graph_written_by_networkx(tmp_path):
    """Files that networkx writes itself, its karate club with the ids 0..33."""
    club = nx.karate_club_graph()
    nx.write_weighted_edgelist(club, tmp_path / "blanks.txt")
    nx.write_edgelist(club, tmp_path / "plain.csv", delimiter=",", data=False)
    wanted = Graph.from_networkx(club)
    blanks = read_graph(tmp_path / "blanks.txt", directed=False)
    equal_edges(blanks.data, wanted)
    assert blanks.node_ids.tolist() == [str(k) for k in range(34)]
    plain = load_graph(tmp_path / "plain.csv", directed=False)
    equal_edges(plain, wanted.without_edge_weight())
    assert read_graph(tmp_path / "plain.csv").data.num_edges == club.number_of_edges()


def equal_edges(a, b):
    assert write.edges_of(a) == write.edges_of(b)


@pytest.mark.parametrize("name", ["chameleon_directed.npz", "chameleon.npz", "undirected.npz"])
def test_a_file_of_a_directed_graph_says_so_in_its_name(tmp_path, name):
    graph = write.plain_graph([[0, 1], [1, 2]], np.eye(3), [0, 1, 0], None, ["train", "val", "test"])
    write.write_heterophilous(graph, tmp_path / name, [0, 1], splits=1, chosen=0)
    assert load_graph(tmp_path / name).num_edges == (2 if name.startswith("chameleon_d") else 4)
