"""The estimator: the same run as the command's, on every kind of X, with scikit-learn's manners."""

from __future__ import annotations

import numpy as np
import pytest

import dqnumba as dq
from dqnumba.errors import ConfigError, GraphError
from dqnumba.train.experiment import run_experiment
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import Source

QUICK = {"epochs": 5, "hidden_channels": 8}
WORDS = np.array(["ant", "bee", "cat"])


def node_graph(nodes=90, masks=True):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, nodes)
    x = rng.normal(0, 0.3, (nodes, 6)).astype(np.float32)
    x[np.arange(nodes), y] += 1
    part = rng.permutation(nodes) % 3
    fields = {f"{name}_mask": part == k for k, name in enumerate(("train", "val", "test"))} if masks else {}
    return dq.Graph.from_edge_index(rng.integers(0, nodes, (2, 150)), x, y, nodes, **fields)


def small_graphs(count=40, labels=True):
    rng = np.random.default_rng(2)
    out = []
    for k in range(count):
        n = int(rng.integers(3, 7))
        x = rng.normal(k % 2, 0.3, (n, 4)).astype(np.float32)
        out.append(dq.Graph.from_edge_index(rng.integers(0, n, (2, 2 * n)), x, [k % 2] if labels else None, n))
    return out


GRAPH = node_graph()


def classifier(**params):
    return dq.DegreeQuantClassifier(**{**QUICK, **params})


def softmax(outputs):
    """By plain loops."""
    rows = [[float(np.exp(v - max(row))) for v in row] for row in outputs.astype(np.float64).tolist()]
    return [[v / sum(row) for v in row] for row in rows]


@pytest.mark.parametrize("method", ["dq", "ptq", "fp32"])
def test_the_same_run_as_the_command_s(method):
    clf = classifier(method=method, random_state=3).fit(GRAPH)
    settings = RunSettings(Source(graph="g"), method=method, seed=3, overrides=QUICK)
    result = run_experiment(settings, data=GRAPH)
    if method == "fp32":
        assert clf.score(GRAPH) == result.record["test_float"]
        with pytest.raises(ConfigError, match="fp32 trains a float model"):
            clf.to_integer()
        return
    np.testing.assert_array_equal(clf.to_integer()(GRAPH), result.integer_model(GRAPH))
    assert clf.score(GRAPH) == result.record["test_integer"]
    assert clf.n_iter_ == 5 and clf.n_features_in_ == 6 and len(clf.history_) == 5
    assert clf.best_epoch_ == result.fit.best_epoch


def test_predictions_are_those_of_the_integer_program(tmp_path):
    clf = classifier().fit(GRAPH, WORDS[GRAPH.y])
    outputs = clf.to_integer()(GRAPH)
    assert clf.classes_.tolist() == WORDS.tolist()
    np.testing.assert_array_equal(clf.predict(GRAPH), WORDS[outputs.argmax(1)])
    np.testing.assert_allclose(clf.predict_proba(GRAPH), softmax(outputs), rtol=1e-12)
    clf.to_integer().save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(dq.load(tmp_path / "m.safetensors")(GRAPH), outputs)


def test_words_and_numbers_are_the_same_run():
    one, two = classifier().fit(GRAPH), classifier().fit(GRAPH, WORDS[GRAPH.y])
    np.testing.assert_array_equal(WORDS[one.predict(GRAPH)], two.predict(GRAPH))
    assert one.score(GRAPH) == two.score(GRAPH, WORDS[GRAPH.y])
    with pytest.raises(ConfigError, match="score needs y"):
        two.score(GRAPH)


def test_node_numbers_of_a_graph():
    """The way of cross_val_score: X is cut, the graph stays."""
    bare = node_graph(masks=False)
    train, test = np.flatnonzero(GRAPH.train_mask), np.flatnonzero(GRAPH.test_mask)
    clf = classifier(graph=bare).fit(train[:, None], WORDS[bare.y[train]])
    whole = classifier().fit(bare, WORDS[bare.y], train=train)
    np.testing.assert_array_equal(clf.predict(test), whole.predict(bare)[test])
    np.testing.assert_array_equal(clf.predict_proba(test), whole.predict_proba(bare)[test])
    assert clf.score(test, WORDS[bare.y[test]]) == whole.score(bare, WORDS[bare.y], items=test)


def test_unlabelled_nodes_are_not_learned_from_and_not_scored():
    """-1, as in scikit-learn's semi-supervised tools: whatever the label of such a node is, the run is the same."""
    bare = node_graph(masks=False)
    known = np.arange(90) < 60
    clf = classifier().fit(bare.replace(y=None), np.where(known, bare.y, -1))
    again = classifier().fit(bare, bare.y, train=known)
    np.testing.assert_array_equal(clf.predict(bare), again.predict(bare))
    assert clf.score(bare, np.where(known, -1, bare.y)) == np.mean((clf.predict(bare) == bare.y)[~known])


def test_which_nodes_are_trained_on(monkeypatch):
    seen = {}

    def stop(model, data, **options):
        seen.update(splits=options["splits"], y=data.y)
        raise KeyboardInterrupt

    monkeypatch.setattr("dqnumba.estimator.classifier.fit", stop)

    def splits(*args, **options):
        params = options.pop("params", {})
        with pytest.raises(KeyboardInterrupt):
            classifier(**params).fit(*args, **options)
        return {name: index.tolist() for name, index in seen["splits"].items()}

    def where(mask):
        return np.flatnonzero(mask).tolist()

    bare = node_graph(masks=False)
    assert splits(GRAPH) == {"train": where(GRAPH.train_mask), "val": where(GRAPH.val_mask)}
    assert splits(GRAPH, train=[1, 2, 3], val=[7]) == {"train": [1, 2, 3], "val": [7]}
    assert splits(GRAPH, val=[7])["val"] == [7]
    held = splits(bare)
    assert sorted(held["train"] + held["val"]) == list(range(90)) and 8 <= len(held["val"]) <= 10
    assert splits(bare, params={"validation_fraction": 0}) == {"train": list(range(90))}
    test_only = splits(GRAPH.replace(train_mask=None, val_mask=None), params={"validation_fraction": 0})
    assert test_only == {"train": where(~GRAPH.test_mask)}
    partly = np.where(np.arange(90) % 2, GRAPH.y, -1)
    assert splits(GRAPH, partly)["train"] == where(GRAPH.train_mask & (np.arange(90) % 2 == 1))
    data = dq.GraphDataset.from_graphs(small_graphs(), splits={"train": [3, 1], "val": [4], "test": [5]})
    assert splits(data, params={"model": "gin"}) == {"train": [3, 1], "val": [4]}
    numbers = splits(np.array([5, 9, 2]), [2, 0, 2], params={"graph": bare, "validation_fraction": 0})
    assert numbers == {"train": [2, 5, 9]} and seen["y"][[5, 9, 2]].tolist() == [1, 0, 1]


def test_many_graphs_in_every_form():
    graphs = small_graphs()
    y = np.array([g.y[0] for g in graphs])
    params = {"model": "gin", "batch_size": 16}
    one = classifier(**params).fit(graphs)
    wanted = one.predict(graphs)
    data = dq.GraphDataset.from_graphs(graphs)
    for X in (data, data.union):
        np.testing.assert_array_equal(classifier(**params).fit(X).predict(X), wanted)
    bare = small_graphs(labels=False)
    two = classifier(**params).fit(bare, WORDS[y])
    np.testing.assert_array_equal(two.predict(bare), WORDS[wanted])
    assert two.score(bare, WORDS[y]) == one.score(graphs) == np.mean(wanted == y)
    np.testing.assert_array_equal(one.predict(graphs[0]), wanted[:1])
    np.testing.assert_array_equal(one.predict(graphs * 4), np.tile(wanted, 4))  # more than one batch
    split = dq.GraphDataset.from_graphs(graphs, splits={"train": [0, 1], "val": [2], "test": [7, 8]})
    assert one.score(split) == np.mean((wanted == y)[[7, 8]])
    assert one.score(split, items=[3]) == float(wanted[3] == y[3])
    weights = np.arange(40)
    assert one.score(graphs, y, weights) == np.average(wanted == y, weights=weights)


@pytest.mark.parametrize(
    ("X", "y", "options", "says"),
    [
        ([[1.0, 2.0]], [0], {}, "X is a list; it must be a Graph, a GraphDataset"),
        (np.ones((3, 2)), [0, 1, 1], {}, r"array of dtype float64 and shape \(3, 2\)"),
        ([], [], {}, "X is a list"),
        ([0, 1], [0, 1], {}, "with the parameter graph"),
        (GRAPH, [0, 1], {}, r"y has shape \(2,\); it must be \(90,\), one label a node"),
        (GRAPH, np.full(90, 0.5), {}, "regression"),
        (GRAPH, np.full(90, -1), {}, "no item has a label"),
        (GRAPH.replace(y=None), None, {}, "no labels of its own"),
        (GRAPH.replace(x=None), None, {}, "no features"),
        (GRAPH.replace(y=GRAPH.y.astype(np.float32)), None, {}, "regression"),
        (small_graphs(labels=False), None, {}, "a list of graphs needs y"),
        (small_graphs()[0], None, {}, "one label for all its nodes"),
        (GRAPH, None, {"train": [100]}, "The split 'train'"),
        (GRAPH, np.where(np.arange(90) == 5, -1, GRAPH.y), {"train": [4, 5]}, "item 5 of train or val has no label"),
        (GRAPH, None, {"train": np.zeros(90, bool)}, "nothing to train on"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_used(X, y, options, says):
    with pytest.raises(ConfigError, match=says):
        classifier().fit(X, y, **options)


def test_parameters_and_order_that_cannot_be_used():
    for params, says in (({"model": "mlp"}, "gcn, gat"), ({"method": "magic"}, "dq-plus"), ({"bits": 40}, "bits"),
                         ({"validation_fraction": 1}, "less than 1"), ({"hidden_channels": 0}, "hidden")):  # fmt: skip
        with pytest.raises(ConfigError, match=says):
            classifier(**params).fit(GRAPH)
    for verb in ("predict", "predict_proba", "score"):
        with pytest.raises(ConfigError, match="not fitted yet"):
            getattr(classifier(), verb)(GRAPH)
    with pytest.raises(ConfigError, match="not fitted yet"):
        classifier().to_integer()
    with pytest.raises(ConfigError, match="the node 90; the nodes of the graph are"):
        classifier(graph=GRAPH).fit([90, 0], [0, 1])
    with pytest.raises(ConfigError, match="with node numbers, give those to train on as X"):
        classifier(graph=GRAPH).fit([1, 0], [0, 1], train=[1])
    clf = classifier().fit(GRAPH)
    with pytest.raises(ConfigError, match="nothing to score"):
        clf.score(GRAPH, np.full(90, -1))
    with pytest.raises(ConfigError, match="fitted to nodes of one graph, and X is many graphs"):
        clf.predict([GRAPH, GRAPH])
    with pytest.raises(GraphError, match="features"):
        clf.predict(GRAPH.replace(x=np.ones((90, 4))))


def test_a_seed_that_is_drawn():
    assert classifier(random_state=None).fit(GRAPH).predict(GRAPH).shape == (90,)
