"""Data of a run from a graph of the user's own: its split, its features, and what is said about it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from dqnumba.errors import ConfigError, GraphError
from dqnumba.graph import Graph, GraphDataset, planetoid_split, random_split, save_npz
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import Source, load_source

Y = np.arange(60) % 3


@pytest.fixture
def bare(tmp_path):
    """A file without masks and features."""
    path = tmp_path / "bare.npz"
    np.savez(path, edge_index=np.stack([np.arange(59), np.arange(1, 60)]), y=Y)
    return str(path)


@pytest.fixture
def several(tmp_path):
    """A file of four splits."""
    masks = np.arange(60)[None] // 15 == np.arange(4)[:, None]
    path = tmp_path / "several.npz"
    np.savez(path, edges=np.stack([np.arange(59), np.arange(1, 60)], 1), node_features=np.ones((60, 2)), node_labels=Y,
             train_masks=masks, val_masks=np.roll(masks, 1, 0), test_masks=np.roll(masks, 2, 0))  # fmt: skip
    return str(path)


def test_made_splits_are_those_of_the_functions(several):
    for split, stratified in (("random", True), ("stratified", True), ("uniform", False)):
        source = load_source(Source(graph=several, split=split, seed=5))
        masks = random_split(Y, seed=5, stratified=stratified)
        for name, mask in zip(("train", "val", "test"), masks, strict=True):
            np.testing.assert_array_equal(source.splits[name], np.flatnonzero(mask))
    with pytest.raises(ConfigError, match="needs 1560 items"):
        load_source(Source(graph=several, split="planetoid"))


def test_the_planetoid_way(tmp_path):
    y = np.random.default_rng(0).integers(0, 3, 1700)
    save_npz(Graph.from_edge_index([[0], [1]], np.ones((1700, 1)), y), tmp_path / "g.npz")
    source = load_source(Source(graph=str(tmp_path / "g.npz"), split="planetoid", seed=2))
    for name, mask in zip(("train", "val", "test"), planetoid_split(y, seed=2), strict=True):
        np.testing.assert_array_equal(source.splits[name], np.flatnonzero(mask))


def test_one_split_of_several(several):
    for fold in (None, 2):
        source = load_source(Source(graph=several, fold=fold))
        k = fold or 0
        assert source.fold == k and source.splits["train"].tolist() == list(range(15 * k, 15 * k + 15))
    with pytest.raises(ConfigError, match=r"\(--fold\) is 4"):
        load_source(Source(graph=several, fold=4))
    with pytest.raises(ConfigError, match="exclude each other"):
        load_source(Source(graph=several, fold=1, split="uniform"))


def test_made_splits_leave_unlabelled_nodes_out(tmp_path):
    (tmp_path / "nodes.csv").write_text(
        "id,f,label\n" + "".join(f"{k},1,{k % 2 if k < 20 else ''}\n" for k in range(30))
    )
    (tmp_path / "edges.csv").write_text("source,target\n0,1\n")
    for split in ("random", "uniform"):
        source = load_source(Source(graph=str(tmp_path), split=split))
        assert sorted(np.concatenate(list(source.splits.values()))) == list(range(20))


def test_features_are_made_only_where_there_are_none(bare, several, tmp_path):
    with pytest.raises(GraphError, match=r"no features \(x\).*--features degree"):
        load_source(Source(graph=bare, split="random"))
    made = load_source(Source(graph=bare, split="random", features="one_hot_degree")).data
    np.testing.assert_array_equal(made.x.argmax(1), made.in_degree)
    assert (load_source(Source(graph=bare, split="random", features="constant")).data.x == 1).all()
    with pytest.raises(ConfigError, match="these have some"):
        load_source(Source(graph=several, features="degree"))
    graphs = [Graph.from_edge_index([[0], [1]], num_nodes=k + 2, y=[k % 2]) for k in range(40)]
    save_npz(GraphDataset.from_graphs(graphs), tmp_path / "many.npz")
    many = load_source(Source(graph=str(tmp_path / "many.npz"), features="constant", fold=1))
    assert many.many_graphs and many.data.num_features == 1 and many.fold == 1 and many.data.name == "many.npz"


def test_both_directions(bare):
    for directed, edges in ((None, 59), (True, 59), (False, 118)):
        assert (
            load_source(Source(graph=bare, split="random", features="constant", directed=directed)).data.num_edges
            == edges
        )


def test_weights_are_left_out_on_request(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, edge_index=[[0], [1]], edge_weight=[2.0], x=np.eye(2), y=[0, 1])
    assert load_source(Source(graph=str(path))).data.edge_weight.tolist() == [2]
    assert load_source(Source(graph=str(path), unweighted=True)).data.edge_weight is None


def test_what_was_found_is_said(several, caplog):
    with caplog.at_level(logging.INFO, logger="dqnumba"):
        source = load_source(Source(graph=several))
    assert caplog.messages == [f"{several}: {source.file.describe()}"]
    assert "heterophilous-graphs npz: Graph(several: 60 nodes" in caplog.messages[0]


def test_options_that_do_not_go_together():
    for wrong in ({"nodes": "n.csv"}, {"directed": True}, {"features": "degree"}, {"unweighted": True}):
        with pytest.raises(ConfigError, match="are for --graph"):
            Source(dataset="cora", **wrong)
    for wrong in ({"features": "magic"}, {"split": "mine"}):
        with pytest.raises(ConfigError, match="choose one of"):
            Source(graph="g", **wrong)
    assert Source(graph=".").name and Source(graph="a/b.npz").name == "b.npz"


NEWER = ("nodes", "directed", "features", "unweighted")


def test_settings_of_older_train_files_are_understood():
    new = RunSettings(Source(graph="g.npz")).to_dict()
    old = {**new, "source": {k: v for k, v in new["source"].items() if k not in NEWER}}
    assert RunSettings.from_dict(old) == RunSettings.from_dict(new)
