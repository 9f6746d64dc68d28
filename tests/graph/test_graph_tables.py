"""Tables of edges and nodes: what is understood, and what is refused with the line it stands in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.errors import ConfigError, DataError, DQError, GraphError
from dqnumba.graph import read_graph, read_tables
from dqnumba.graph.labels import number_labels

ONE_WAY = "no edge is listed in both directions (--undirected adds the reverse)"
NODES = "id,f1,f2,label\na,1,0,cat\nb,0,1,dog\nc,0.5,0.5,cat\n"


@pytest.fixture
def tables(tmp_path):
    """Write the two tables, texts or bytes, and read them."""

    def read(edges, nodes=NODES, **options):
        paths = []
        for name, text in (("edges.csv", edges), ("nodes.csv", nodes)):
            if text is not None:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
                paths.append(tmp_path / name)
        return read_tables(*paths, **options)

    return read


def test_words_as_ids_and_labels(tables):
    found = tables("source,target\na,b\nc,a\n")
    graph = found.data
    assert found.node_ids.tolist() == ["a", "b", "c"] and found.classes == ("cat", "dog")
    np.testing.assert_array_equal(graph.y, [0, 1, 0])
    np.testing.assert_array_equal(graph.x, np.float32([[1, 0], [0, 1], [0.5, 0.5]]))
    np.testing.assert_array_equal(np.stack([graph.indices, graph.adjacency().targets]), [[2, 0], [0, 1]])
    assert graph.edge_weight is None and graph.train_mask is None and found.num_splits == 0
    assert found.notes == (ONE_WAY, "labels numbered in the order cat, dog")
    assert ONE_WAY not in tables("source,target\na,b\nb,a\nc,c\na,c\n").notes  # one of them has its reverse
    assert tables("source,target\na,a\n", None).notes == ()


def test_what_pandas_writes(tables):
    """Its index as a column without a name, labels as 1.0 where one is missing, get_dummies as True and False."""
    nodes = ",id,red,label\n0,a,True,1.0\n1,b,FALSE,\n2,c,true,0.0\n"
    found = tables(",source,target\n0,a,b\n1,b,a\n", nodes)
    np.testing.assert_array_equal(found.data.x, np.float32([[1], [0], [1]]))
    assert found.data.y.dtype == np.int64 and found.data.y.tolist() == [1, 0, 0]
    assert found.labelled.tolist() == [True, False, True]
    assert found.notes[:2] == tuple(f"columns without a name of {name}.csv left out" for name in ("nodes", "edges"))


def test_columns_in_any_order_and_others_left_out(tables):
    found = tables("time,Target,weight,SOURCE\n5,b,2.5,a\n6,a,1,c\n", "label,f1,ID\n1,3,a\n0,4,b\n1,5,c\n")
    np.testing.assert_array_equal(found.data.edge_weight, np.float32([1, 2.5]))
    np.testing.assert_array_equal(found.data.x[:, 0], [3, 4, 5])
    assert found.notes == ("columns time of edges.csv left out", ONE_WAY) and found.classes is None


def test_ids_with_gaps_are_sorted_by_value(tables):
    found = tables("10 9\n9 200\n", None)
    assert found.node_ids.tolist() == ["9", "10", "200"] and found.data.num_edges == 2
    assert found.data.x is None and found.data.y is None and found.format == "edge list"
    assert tables("10 b\nb 9\n", None).node_ids.tolist() == ["10", "9", "b"]


def test_comments_quotes_blank_lines_and_a_byte_order_mark(tables):
    text = '﻿# made by hand\n\n% twice\n"source","target"\n"x, y",b\n,\n\nb,"x, y"\n'
    found = tables(text.encode(), "id;label\nx, y;0\nb;1\n".replace("x, y", '"x, y"'))
    assert found.node_ids.tolist() == ["x, y", "b"] and found.data.num_edges == 2
    assert found.notes == ("2 comment lines of edges.csv left out",)


def test_a_split_and_nodes_without_a_label(tables):
    found = tables("a,b\n", "id,label,split\na,1,train\nb,0,Validation\nc,,\nd,1,test\n")
    graph = found.data
    np.testing.assert_array_equal(graph.train_mask, [True, False, False, False])
    np.testing.assert_array_equal(graph.val_mask, [False, True, False, False])
    np.testing.assert_array_equal(graph.test_mask, [False, False, False, True])
    np.testing.assert_array_equal(found.labelled, [True, True, False, True])
    assert (found.num_splits, found.split) == (1, 0) and "3 of 4 nodes have a label" in found.notes
    with pytest.raises(DataError, match=r"line 3: the node 'b' is in a split, but has no label"):
        tables("a,b\n", "id,label,split\na,1,train\nb,,test\n")


def test_codes_real_labels_and_both_directions(tables):
    found = tables("a,b\n", "id,code,label\na,4,0.5\nb,0,1.5\n", directed=False)
    assert found.data.x.dtype == np.int32 and found.data.num_categories == 5
    np.testing.assert_array_equal(found.data.y, np.float32([0.5, 1.5]))
    assert found.data.num_edges == 2 and "edges taken in both directions" in found.notes


def test_the_way_of_planetoid_text_files(tmp_path):
    """cora.content and cora.cites: no header, tabs, the label last."""
    (tmp_path / "nodes.tsv").write_text("31336\t0\t1\tNeural_Networks\n1061127\t1\t1\tRule_Learning\n")
    (tmp_path / "edges.tsv").write_text("31336\t1061127\n")
    found = read_graph(tmp_path)
    assert found.classes == ("Neural_Networks", "Rule_Learning") and found.data.num_features == 2
    assert found.data.name == tmp_path.name


EDGES = "source,target\na,b\n"


@pytest.mark.parametrize(
    ("edges", "nodes", "says"),
    [
        (EDGES + "a,z\n", NODES, r"edges.csv, line 3: no node 'z' in the node table"),
        (EDGES + "a\n", NODES, r"edges.csv, line 3: 1 cells, where the first row has 2"),
        (EDGES + "a,\n", NODES, r"edges.csv, line 3: an edge without a source or a target"),
        ("source,target,weight\na,b,heavy\n", NODES, r"line 2: weight is 'heavy', and must be a number"),
        ("source,target,weight\na,b,nan\n", NODES, r"line 2: weight is nan; it must be a finite"),
        ("source,target,weight\na,b,1e39\n", NODES, r"line 2: weight is 1e39; it must be a finite"),
        ("source,target,source\na,b,c\n", NODES, r"line 1: two columns are named 'source'"),
        ("a\nb\n", NODES, r"has one column"),
        ("", None, r"edges.csv holds no rows"),
        ("# nothing\n", None, r"edges.csv holds no rows"),
        ("who,whom\n1,2\n3,4\n", None, r"the first row \(who, whom\) looks like a header"),
        (b"a,b\n\xff\xfe\n", NODES, r"line 1 or after: no UTF-8 text"),
        (b"a,b\na,\0b\n", NODES, r"line 2: a zero byte"),
        ('a,b\na,"b\n', NODES, r"line 2: .*check the quotes"),
        (EDGES, NODES + "a,1,1,cat\n", r"nodes.csv, line 5: the node 'a' again, which is in line 2"),
        (EDGES, NODES + ",1,1,cat\n", r"nodes.csv, line 5: a node without an id"),
        (EDGES, NODES + "d,,1,cat\n", r"nodes.csv, line 5: feature 'f1' is empty, and must be a number"),
        (EDGES, NODES + "d,1,inf,cat\n", r"nodes.csv, line 5: feature 'f2' is inf; it must be a finite"),
        (EDGES, NODES + "d,1,1e50,cat\n", r"nodes.csv, line 5: feature 'f2' is 1e50; it must be a finite"),
        (EDGES, "name,f1,label\na,1,cat\n", r"line 1: feature 'column 2' is 'f1'.*name a column id"),
        (EDGES, "id,label,split\na,1,training\nb,1,dev\n", r"nodes.csv, line 3: split is 'dev'; it must be"),
        (EDGES, "id,code\na,1\nb,1.5\n", r"nodes.csv, line 3: code is 1.5; codes are whole numbers"),
        (EDGES, "id,label\na,0.5\nb,inf\n", r"nodes.csv, line 3: a label that is no finite"),
        (EDGES, "", r"nodes.csv holds no rows"),
    ],
)  # fmt: skip
def test_what_is_refused_with_its_line(tables, edges, nodes, says):
    with pytest.raises(DataError, match=says):
        tables(edges, nodes)


def test_what_is_refused_beside(tables, tmp_path):
    with pytest.raises(GraphError, match=r"nodes.csv: the label 1990 is no class of 2 items"):
        tables(EDGES, "id,label\na,1990\nb,1991\n")
    with pytest.raises(GraphError, match=r"the label -1 is no class"):
        tables(EDGES, "id,label\na,-1\nb,1\n")
    with pytest.raises(ConfigError, match=r"the columns 'label' and 'y' both stand for the label"):
        tables(EDGES, "id,label,y\na,1,1\nb,1,1\n")
    with pytest.raises(DataError, match="no file"):
        read_tables(tmp_path / "none.csv")


def test_a_line_without_an_end_is_not_read_into_memory(tables, monkeypatch):
    monkeypatch.setattr("dqnumba.graph.text_table._LONGEST", 100)
    with pytest.raises(DataError, match="line 2: longer than 100 characters"):
        tables("a,b\n" + "a" * 1000, NODES)
    monkeypatch.setattr("dqnumba.graph.text_table._LIMIT", 10)
    with pytest.raises(DataError, match="tables of up to 10 are read"):
        tables(EDGES * 9, NODES)


@given(st.lists(st.sampled_from(["a", "b", "10", "9", "007", "é", ""]), min_size=2, max_size=20))
def test_edges_against_a_plain_loop(tmp_path_factory, ends):
    """Whatever the ids are, each row is an edge between the two names in it."""
    path = tmp_path_factory.mktemp("loop") / "e.csv"
    pairs = [(s or "x", t or "x") for s, t in zip(ends[::2], ends[1::2], strict=False)]
    path.write_text("source;target\n" + "".join(f"{s};{t}\n" for s, t in pairs), encoding="utf-8")
    found = read_tables(path)
    names, graph = found.node_ids, found.data
    assert set(names) == {end for pair in pairs for end in pair} and len(set(names)) == len(names)
    assert {(names[s], names[t]) for s, t in zip(graph.indices, graph.adjacency().targets, strict=True)} == set(pairs)


@given(edges=st.binary(max_size=60), nodes=st.binary(max_size=60))
def test_any_bytes_are_a_graph_or_a_documented_error(tmp_path_factory, edges, nodes):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "edges.csv").write_bytes(edges)
    (folder / "nodes.csv").write_bytes(nodes)
    try:
        found = read_graph(folder)
    except DQError as error:
        assert len(str(error)) > 20
    else:
        assert found.data.num_nodes == len(found.node_ids)


@given(st.lists(st.integers(0, 40), min_size=1), st.booleans())
def test_numbering_of_labels(numbers, words):
    texts = [f"class {k}" for k in numbers] if words else [str(k) for k in numbers]
    y, classes = number_labels(texts)
    if words:
        assert classes == tuple(sorted(set(texts))) and [classes[k] for k in y] == texts
    else:
        assert classes is None and y.tolist() == numbers
