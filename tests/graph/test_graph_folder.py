"""A folder of graphs as a data set."""

import graph_writers as write
import numpy as np
import pytest

from dqnumba.errors import DataError, GraphError
from dqnumba.graph import Graph, batch, read_graph, save_npz


def one(k, **changes):
    fields = {"x": np.full((k + 2, 2), k, np.float32), "y": [k % 2]} | changes
    return Graph.from_edge_index([[0, k], [1, k + 1]], **fields)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "set"
    path.mkdir()
    for k in range(4):
        save_npz(one(k), path / f"g{k}.npz")
    return path


def test_labels_of_their_own(folder):
    found = read_graph(folder)
    assert found.format == "folder of graphs" and len(found.data) == 4 and found.data.name == "set"
    assert found.data.y.tolist() == [0, 1, 0, 1] and found.data.splits is None
    assert [g.num_nodes for g in found.data] == [2, 3, 4, 5]


def test_a_table_of_labels_and_splits(folder):
    (folder / "graphs.csv").write_text("graph,label,split\ng3.npz,yes,train\ng1,no,test\ng0,yes,val\ng2,no,\n")
    (folder / "notes.md").write_text("mine")
    found = read_graph(folder)
    assert found.classes == ("no", "yes") and found.data.y.tolist() == [1, 0, 1, 0]
    assert [g.num_nodes for g in found.data] == [5, 3, 2, 4]
    assert {k: v.tolist() for k, v in found.data.splits.items()} == {"train": [0], "val": [2], "test": [1]}
    assert found.num_splits == 1 and found.notes == ("notes.md left out",)


def test_folders_of_tables_in_a_folder(tmp_path):
    for k in range(3):
        graph = write.plain_graph([[0], [1]], np.eye(2), [0, 1], None, ["", ""])
        write.write_tables(graph, tmp_path / f"mol{k}", [0], names=["p", "q"])
    (tmp_path / "graphs.tsv").write_text("graph\tlabel\n" + "".join(f"mol{k}\t{0.5 * k}\n" for k in range(3)))
    data = read_graph(tmp_path, directed=False).data
    assert data.task == "regression" and data.y.tolist() == [0, 0.5, 1.0]
    assert [g.num_edges for g in data] == [2, 2, 2]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("graph,label\ng9,1\n", r"line 2: no graph 'g9' beside this file"),
        ("graph,label\ng1,1\ng1.npz,1\n", r"line 3: the graph 'g1.npz' a second time"),
        ("graph,label\ng1,\n", r"line 2: no label of the graph 'g1'"),
        ("graph,split\ng1,dev\n", r"line 2: split is 'dev'"),
        ("g1,1\n", "has no header"),
        ("graph,label\n", "lists no graph"),
    ],
)
def test_tables_that_do_not_fit(folder, table, says):
    (folder / "graphs.csv").write_text(table)
    with pytest.raises(DataError, match=says):
        read_graph(folder)


def test_graphs_that_do_not_go_together(folder, tmp_path):
    save_npz(one(0, x=np.ones((2, 5))), folder / "h.npz")
    with pytest.raises(GraphError, match=r"h.npz has 5 features a node, g0.npz has 2"):
        read_graph(folder)
    save_npz(one(0, y=None), folder / "h.npz")
    with pytest.raises(DataError, match=r"h.npz has no label of its own"):
        read_graph(folder)
    save_npz(batch([one(0), one(1)]), folder / "h.npz")
    with pytest.raises(DataError, match=r"h.npz holds many graphs"):
        read_graph(folder)
    (folder / "h.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"h.npz: no readable npz"):
        read_graph(folder)
    with pytest.raises(DataError, match=r"holds no graph: no edges.csv"):
        read_graph(tmp_path)
    for suffix in ("csv", "tsv"):
        (tmp_path / f"edges.{suffix}").write_text("0\t1\n")
    with pytest.raises(DataError, match=r"both edges.csv and edges.tsv"):
        read_graph(tmp_path)
