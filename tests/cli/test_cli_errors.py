"""Bad input: exit code 2, at most three lines on stderr that name the remedy, nothing on stdout, no file left."""

from __future__ import annotations

import os

import numpy as np
import pytest

import dqnumba as dq
from dqnumba.data.registry import registry


@pytest.fixture
def refused(call, tmp_path):
    def check(*argv, says):
        before = sorted(os.listdir(tmp_path))
        result = call(*argv)
        assert result.code == 2, (result.out, result.err)
        assert result.out == ""
        assert len(result.err.splitlines()) <= 3, result.err
        assert "Traceback" not in result.err
        for word in (says,) if isinstance(says, str) else says:
            assert word in result.err, result.err
        assert sorted(os.listdir(tmp_path)) == before
        return result

    return check


def test_unknown_data_set(refused):
    refused("train", "--dataset", "coral", says=("coral", "cora"))
    refused("data", "info", "coral", says=("coral", "cora"))
    refused("data", "fetch", "coral", says=("coral", "cora"))


def test_missing_files(refused, trained, tmp_path, monkeypatch):
    refused("train", "--graph", tmp_path / "none.npz", says="none.npz")
    refused("run", tmp_path / "none.safetensors", "--dataset", "synthetic", says="none.safetensors")
    refused("inspect", tmp_path / "none.safetensors", says="none.safetensors")
    refused("convert", tmp_path / "none.train.safetensors", "--out", tmp_path / "a", says="train --out")
    refused("verify", trained, "--against", tmp_path / "none.train.safetensors", says="train --out")
    refused("train", "--dataset", "synthetic", "--config", tmp_path / "none.toml", says="none.toml")
    monkeypatch.setenv("DQNUMBA_DATA", str(tmp_path))
    refused("train", "--dataset", "cora", says=("ind.cora.", "DQNUMBA_DATA"))


def test_wrong_checksum(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("DQNUMBA_DATA", str(tmp_path))
    folder = tmp_path / "cora" / "raw"
    folder.mkdir(parents=True)
    for file in registry()["cora"]["files"]:
        (folder / file["name"]).write_bytes(b"\0" * file["bytes"])
    refused("train", "--dataset", "cora", says=("SHA-256", "fetch"))


def test_edge_index_out_of_range(refused, write_graph):
    edges = np.array([[0, 5, 7], [1, 80, 3]])
    refused("train", "--graph", write_graph(edge_index=edges), says="80")


def test_nan_features(refused, write_graph):
    x = np.ones((80, 12), np.float32)
    x[7, 3] = np.nan
    refused("train", "--graph", write_graph(x=x), says=("7", "3"))


def test_label_outside_the_classes(refused, write_graph):
    y = np.zeros(80, np.int64)
    y[4] = 9
    refused("train", "--graph", write_graph(y=y, num_classes=np.array(3)), says="9")


def test_converting_an_uncalibrated_model(call, graph_file, tmp_path):
    """No epoch: the ranges are empty. The train file is kept, for it is whole; there is no model file."""
    out = tmp_path / "m.safetensors"
    first = call("train", "--graph", graph_file, "--epochs", 0, "--out", out)
    second = call("convert", tmp_path / "m.train.safetensors", "--out", out)
    for result in (first, second):
        assert result.code == 2
        assert len(result.err.splitlines()) <= 3
        assert "calibrate" in result.err
    assert sorted(os.listdir(tmp_path)) == ["m.train.safetensors", "small.npz"]
    graph = dq.Graph.from_edge_index(np.zeros((2, 0), int), x=np.ones((3, 2), np.float32))
    with pytest.raises(dq.NotCalibratedError):
        dq.convert(dq.prepare(dq.nn.GCN(graph.num_features, 4, 2), dq.QuantConfig.degree_quant()))


def test_converting_a_float_model(call, refused, graph_file, tmp_path):
    call("train", "--graph", graph_file, "--epochs", 1, "--method", "fp32", "--out", tmp_path / "m.safetensors")
    refused("convert", tmp_path / "m.train.safetensors", "--out", tmp_path / "a.safetensors", says="--method ptq")


@pytest.mark.parametrize("verb", ["run", "inspect", "verify"])
def test_loading_what_is_no_model(refused, graph_file, tmp_path, trained, verb):
    text = tmp_path / "text.safetensors"
    text.write_text("This is no model.")
    data = () if verb == "inspect" else ("--graph", graph_file)
    refused(verb, text, *data, says="text.safetensors")
    refused(verb, tmp_path, *data, says="")
    refused(verb, graph_file, *data, says="small.npz")
    train_file = trained.with_suffix(".train.safetensors")
    refused(verb, train_file, *data, says=("model.train.safetensors", "dqnumba convert"))


def test_damaged_files(refused, trained, graph_file, tmp_path):
    train_file = trained.with_suffix(".train.safetensors")
    for path in (trained, train_file):
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(bytes(content))
    refused("run", trained, "--graph", graph_file, says="model.safetensors")
    refused("convert", train_file, "--out", tmp_path / "a.safetensors", says="damaged")
    refused("train", "--resume", "--out", trained, says="damaged")


def test_feature_count_does_not_fit(refused, trained, write_graph):
    other = write_graph(x=np.ones((80, 5), np.float32))
    refused("run", trained, "--graph", other, says=("5", "12"))
    refused("verify", trained, "--graph", other, says=("5", "12"))


def test_data_of_another_task(call, refused, trained, write_graph, tmp_path):
    """Labels of nodes for a model of graphs and the other way round, a readout where there is none, and no labels."""
    many = write_graph("many.npz", y=np.arange(20) % 2, graph_ptr=np.arange(0, 81, 4), edge_index=np.zeros((2, 0), int),
                       train_mask=None, val_mask=None, test_mask=None)  # fmt: skip
    refused("run", trained, "--graph", many, says=("a node", "a graph", "readout"))
    result = call("train", "--graph", many, "--split", "random", "--epochs", 1, "--model", "gin", "--hidden", 8,
                  "--out", tmp_path / "graphs.safetensors")  # fmt: skip
    assert result.code == 0, result.err
    refused("run", tmp_path / "graphs.safetensors", "--graph", write_graph(), says=("a node", "a graph", "readout"))
    recipe = tmp_path / "readout.toml"
    recipe.write_text('[model]\nreadout = "sum"\n')
    refused("train", "--graph", write_graph(), "--epochs", 1, "--config", recipe, says=("a node", "readout"))
    refused("train", "--graph", write_graph(y=None), "--epochs", 1, says="no labels")


def test_wrong_options(refused, graph_file, trained, tmp_path):
    graph = ("--graph", graph_file, "--epochs", 1)
    refused("nonsense", says="--help")
    refused(says="--help")
    refused("train", "--modle", "gcn", says="--help")
    refused("train", *graph, "--model", "mlp", says="gat")
    refused("train", *graph, "--method", "magic", says="dq-plus")
    refused("train", says="--dataset")
    refused("train", *graph, "--dataset", "cora", says="--dataset")
    for option, value in (("--bits", 1), ("--bits", 9), ("--bits", "many"), ("--lr", -1), ("--epochs", -1),
    ("--limit", 0),
                          ("--dropout", 1.5), ("--threads", 0), ("--hidden", 0), ("--fold", 1)):  # fmt: skip
        refused("train", *graph, option, value, says=option.strip("-")[:4])
    refused("train", *graph, "--seed", -1, says="seed")
    refused("train", *graph, "--split", "random", "--seed", -1, says="seed")
    refused("train", *graph, "--model", "gat", "--hidden", 7, says="heads")
    refused("run", trained, "--graph", graph_file, "--backend", "abacus", says="numba")
    refused("train", *graph, "--backend", "abacus", says="numba")
    bad = tmp_path / "bad.toml"
    bad.write_text("[train]\nlearning_rate = 1\n")
    refused("train", *graph, "--config", bad, says=("learning_rate", "lr"))
    bad.write_text("[quant]\nbeats = 1\n")
    refused("train", *graph, "--config", bad, says="beats")


def test_outputs_that_cannot_be_written(refused, graph_file, trained, tmp_path):
    """Told before the training, not after it: --epochs is left at its default of 200."""
    for out in (tmp_path / "none" / "m.safetensors", tmp_path):
        refused("train", "--graph", graph_file, "--out", out, says=str(out))
        refused("convert", trained.with_suffix(".train.safetensors"), "--out", out, says=str(out))
        refused("run", trained, "--graph", graph_file, "--out", out, says=str(out))
    train_file = trained.with_suffix(".train.safetensors")
    refused("convert", train_file, "--out", train_file, says="train file")
    refused("train", "--graph", graph_file, "--out", train_file, says="train file")


def test_resuming_what_does_not_fit(refused, graph_file, trained, tmp_path):
    refused("train", "--resume", says="--out")
    refused("train", "--resume", "--out", tmp_path / "none.safetensors", says="train --out")
    refused("train", "--resume", "--out", trained, "--bits", 4, says=("--bits", "8"))
    refused("train", "--resume", "--out", trained, "--lr", 0.5, says="--lr")
    refused("train", "--resume", "--out", trained, "--dataset", "synthetic", says=("--dataset", "began with none"))
    refused("train", "--resume", "--out", trained, "--epochs", 3, says="8 epochs are done")


def test_verifying_against_a_float_model(refused, call, graph_file, trained, tmp_path):
    other = tmp_path / "float.safetensors"
    argv = ("--graph", graph_file, "--method", "fp32", "--epochs", 1, "--hidden", 8)
    assert call("train", *argv, "--out", other, "--quiet").code == 0
    train_file = other.with_suffix(".train.safetensors")
    refused("verify", trained, "--graph", graph_file, "--against", train_file, says=("float model", "float.train"))
    refused("convert", train_file, "--out", tmp_path / "m2.safetensors", says="no integer program")
