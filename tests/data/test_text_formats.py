"""GIN text, TU zips and node features."""

import zipfile

import make_fixtures
import numpy as np
import pytest

from dqnumba.data.gin_text import read_gin_text
from dqnumba.data.node_features import degree_features, one_hot
from dqnumba.data.text import parse_integers
from dqnumba.data.tu import read_tu
from dqnumba.errors import ConfigError, DataError

GIN = make_fixtures.FOLDER / "gin" / "MINI.txt"
TU = make_fixtures.FOLDER / "tu" / "MINI.zip"


def test_gin_text():
    dataset = read_gin_text(GIN)
    np.testing.assert_array_equal(dataset.y, [1, 0, 0, 1])
    np.testing.assert_array_equal(dataset.union.graph_ptr, [0, 3, 4, 6, 10])
    np.testing.assert_array_equal(dataset.union.in_degree, [2, 1, 1, 0, 1, 1, 3, 1, 1, 1])
    np.testing.assert_array_equal(dataset[3].indices, [1, 2, 3, 0, 0, 0])
    np.testing.assert_array_equal(dataset.union.x.argmax(axis=1), dataset.union.in_degree)


def test_gin_text_with_one_direction_only_and_a_loop(tmp_path):
    (tmp_path / "one.txt").write_text("1\r\n2 5\r\n0 2 1 0\r\n0 0\r\n\r\n")
    dataset = read_gin_text(tmp_path / "one.txt", features="constant")
    np.testing.assert_array_equal(dataset.union.in_degree, [1, 1])
    np.testing.assert_array_equal(dataset.y, [0])
    np.testing.assert_array_equal(dataset.union.x, [[1], [1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be told apart"),
        ("2\n1 0\n0 0\n", "announces 2 graphs.*after 1"),
        ("1\n1 0\n0 0\n0 0\n", "4 lines.*need 3"),
        ("1\n2 0\n0 0\n", "3 lines.*need 4"),
        ("1\n1000000000000 0\n0 0\n", "3 lines.*need"),
        ("1\n-1 0\n", "line 2: expected 'nodes class'"),
        ("1\n1 0 3\n0 0\n", "line 2: expected 'nodes class'"),
        ("1 2\n1 0\n0 0\n", "number of graphs alone"),
        ("0\n", "number of graphs alone"),
        ("1\n2 0\n0 2 1\n0 0\n", "line 3: expected 'tag k'"),
        ("1\n2 0\n0 1 1\n\n0\n", "line 5: expected 'tag k'"),
        ("1\n2 0\n0 1 2\n0 0\n", r"graph 0 names the neighbour 2; its nodes are 0\.\.1"),
        ("1\n2 0\n0 1 -1\n0 0\n", "neighbour -1"),
        ("1\n1 0\n0 0.5\n", "decimal integers"),
        ("1\n1 0\n0 --0\n", "decimal integer"),
        ("1\n1 0\n0,0\n", "cannot be told apart"),
        ("1\n1 0\n99999999999999999999 0\n", "beyond 64 bits"),
    ],
)
def test_gin_text_malformed(tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_gin_text(path)


def test_tu_zip():
    dataset = read_tu(TU)
    np.testing.assert_array_equal(dataset.y, [1, 0, 1])  # labels 1, -1, 1
    np.testing.assert_array_equal(dataset.union.graph_ptr, [0, 3, 4, 6])
    np.testing.assert_array_equal(dataset.union.in_degree, [1, 2, 1, 0, 1, 1])
    np.testing.assert_array_equal(dataset.edge_data["edge_label"], [0, 0, 1, 1, 0, 0])
    np.testing.assert_allclose(
        dataset.union.x[:, :2], [[0.5, 1], [1.5, -0.2], [0, 0], [1, 1], [2, 2], [3, 3]], rtol=1e-6)
    np.testing.assert_array_equal(dataset.union.x[:, 2:].argmax(axis=1), [1, 0, 1, 2, 0, 0])  # labels 4 0 4 7 0 0
    np.testing.assert_array_equal(read_tu(TU, features="constant").union.x, np.ones((6, 1)))


def tu_with(tmp_path, **changes):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, content in {**make_fixtures.TU, **changes}.items():
            if content is not None:
                archive.writestr(f"set/set_{kind}.txt", content)
    return path


def test_tu_without_node_labels_takes_degrees(tmp_path):
    path = tu_with(tmp_path, node_labels=None, node_attributes=None, edge_labels=None)
    dataset = read_tu(path)
    assert dataset.num_features == 3 and dataset.edge_data == {}
    with pytest.raises(DataError, match="neither node attributes"):
        read_tu(path, features="attributes")
    with pytest.raises(ConfigError, match="features is 'shiny'"):
        read_tu(path, features="shiny")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": None}, r"no member \*_A.txt"),
        ({"A": "1,2,3"}, "3 numbers"),
        ({"A": "1,9"}, r"outside 1\.\.6"),
        ({"A": "0,1"}, r"outside 1\.\.6"),
        ({"A": "1,4\n4,1", "edge_labels": None}, "joins two graphs"),
        ({"A": "1,b"}, "decimal integers"),
        ({"graph_indicator": "1\n1\n2\n1\n3\n3\n"}, "must ascend"),
        ({"graph_indicator": "1\n1\n1\n2\n3\n4\n"}, r"within 1\.\.3"),
        ({"graph_indicator": ""}, "must ascend"),
        ({"edge_labels": "1\n"}, "1 edge labels for 7"),
        ({"node_labels": "1\n"}, "1 node labels for 6"),
        ({"node_attributes": "1, 2, 3\n"}, "3 numbers for 6 nodes"),
        ({"node_attributes": "a\n" * 6}, "must hold numbers"),
    ],
)
def test_tu_malformed(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_tu(tu_with(tmp_path, **changes))


def test_tu_nan_attribute_is_named(tmp_path):
    with pytest.raises(ValueError, match="nan at node 1, column 0"):
        read_tu(tu_with(tmp_path, node_attributes="1\nnan\n1\n1\n1\n1\n"))


def test_tu_damaged_zip(tmp_path):
    whole = TU.read_bytes()
    path = tmp_path / "cut.zip"
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="no readable zip"):
            read_tu(path)
    for at in range(30, 400, 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            read_tu(path)
        except DataError:
            pass
    with pytest.raises(DataError, match="no file"):
        read_tu(tmp_path / "nowhere.zip")


def test_tu_bomb(tmp_path, monkeypatch):
    import dqnumba.data.tu as tu

    monkeypatch.setattr(tu, "_LIMIT", 1000)
    with pytest.raises(DataError, match=r"unpack to 2578 bytes.*at most 1000 are read"):
        read_tu(tu_with(tmp_path, A="1, 2\n" * 500))


def test_degree_features():
    degree = np.array([0, 1, 1, 1200])
    x = degree_features(degree)
    expected = (degree - degree.mean()) / np.std(degree, ddof=1)
    np.testing.assert_array_equal(x, expected.astype(np.float32).reshape(-1, 1))
    assert x.dtype == np.float32 and not x.flags.writeable
    np.testing.assert_array_equal(degree_features(np.array([2, 0, 1])), np.eye(3)[[2, 0, 1]])
    np.testing.assert_array_equal(degree_features(np.array([3, 3]), "degree"), [[0], [0]])
    assert degree_features(np.zeros(0, np.int64)).shape == (0, 1)
    with pytest.raises(ConfigError, match="features='degree'"):
        one_hot(np.zeros(10**6, np.int64), 10**4)


def test_parse_integers():
    np.testing.assert_array_equal(parse_integers(b" 1, -2\r\n\t30 ", "x"), [1, -2, 30])
    assert parse_integers(b" \n", "x").shape == (0,)
    for bad in (b"1 x", b"1 - 2", b"1.5", b"0x10", "٣".encode()):
        with pytest.raises(DataError, match="x: holds"):
            parse_integers(bad, "x")
