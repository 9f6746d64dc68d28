"""networkx attributes by name, Planetoid's split, and graphs that need no copy."""

import copy

import networkx as nx
import numpy as np
import pytest

from dqnumba.errors import ConfigError, GraphError
from dqnumba.graph import Graph, planetoid_split, random_split


def people():
    g = nx.Graph()
    g.add_node("ann", age=30, vector=[1.0, 2.0], job="cook", split="train")
    g.add_node("bob", age=40, vector=[3.0, 4.0], job="baker", split="val")
    g.add_node("eve", age=50, vector=[5.0, 6.0], job="cook")
    g.add_edge("ann", "bob", strength=2)
    g.add_edge("bob", "eve")
    return g


def test_names_of_attributes():
    graph = Graph.from_networkx(people(), features=["age", "vector"], labels="job", weight="strength")
    np.testing.assert_array_equal(graph.x, np.float32([[30, 1, 2], [40, 3, 4], [50, 5, 6]]))
    np.testing.assert_array_equal(graph.y, [1, 0, 1])  # baker, cook
    np.testing.assert_array_equal(graph.edge_weight, [2, 2, 1, 1])
    np.testing.assert_array_equal(graph.train_mask, [True, False, False])
    np.testing.assert_array_equal(graph.val_mask, [False, True, False])
    assert not graph.test_mask.any()
    assert Graph.from_networkx(people(), features="age", split=None).x.tolist() == [30, 40, 50]  # codes
    given = Graph.from_networkx(people(), features="vector", y=[0, 0, 1], train_mask=[True] * 3, edge_weight=[1] * 4)
    assert given.y.tolist() == [0, 0, 1] and given.train_mask.all() and given.edge_weight.tolist() == [1] * 4


def test_boolean_masks_of_nodes():
    g = people()
    for k, node in enumerate(g):
        g.nodes[node]["test_mask"] = k == 2
    graph = Graph.from_networkx(g, features=None)
    assert graph.test_mask.tolist() == [False, False, True]  # the masks win over the words of split
    assert graph.train_mask.tolist() == [True, False, False]
    assert Graph.from_networkx(g, features=None, split=None).train_mask is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"features": "agee"}, r"no node has the attribute 'agee'; there is age, job, split, vector"),
        ({"features": ["age", "nothing"]}, r"no node has the attribute 'nothing'"),
        ({"features": ["age", "job"]}, r"the node attribute 'job' has dtype <U5; features are numbers"),
        ({"labels": "jobs"}, r"no node has the attribute 'jobs'"),
        ({"weight": "width"}, r"no edge has the attribute 'width'; there is strength"),
        ({"split": "part"}, r"no node has the attribute 'part'"),
        ({"split": "job"}, r"the node attribute 'job' holds 'cook' at item 0; it must be train, val, test"),
    ],
)
def test_a_name_that_nothing_has_is_an_error(options, says):
    with pytest.raises(GraphError, match=says):
        Graph.from_networkx(people(), **options)


def test_planetoid_split_counts():
    y = np.random.default_rng(0).integers(0, 4, 2000)
    train, val, test = planetoid_split(y, seed=3)
    assert [int((train & (y == k)).sum()) for k in range(4)] == [20] * 4
    assert (val.sum(), test.sum()) == (500, 1000) and not (train & val | train & test | val & test).any()
    again = planetoid_split(y, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip((train, val, test), again, strict=True))
    assert not np.array_equal(train, planetoid_split(y, seed=4)[0])
    small = planetoid_split([0, 1, 0, 1, 1], per_class=1, num_val=1, num_test=2, seed=0)
    assert [int(mask.sum()) for mask in small] == [2, 1, 2]


@pytest.mark.parametrize(
    ("y", "options", "says"),
    [
        (np.arange(30) % 2, {}, r"class 0 has 15 items, too few for 20 a class"),
        (np.arange(100) % 2, {}, r"needs 1540 items \(20 a class, 500 and 1000\), and there are 100"),
        (np.zeros(3), {}, r"needs a class an item, given dtype float64"),
        (np.zeros((0,), int), {}, r"needs a class an item"),
        ([0, 1], {"per_class": 0}, r"per_class 0"),
        ([0, 1], {"seed": -1}, r"seed is -1"),
    ],
)
def test_planetoid_splits_that_cannot_be(y, options, says):
    with pytest.raises(ConfigError, match=says):
        planetoid_split(y, **options)


def test_an_unstratified_split_has_the_shares_of_the_whole():
    y = np.array([0] * 90 + [1] * 10)
    masks = random_split(y, stratified=False, seed=1)
    assert [int(mask.sum()) for mask in masks] == [60, 20, 20]


def test_copies_of_a_frozen_graph_are_itself():
    graph = Graph.from_networkx(people(), features="vector")
    assert copy.deepcopy(graph) is graph and copy.copy(graph) is graph
