"""`dqnumba quantize` and `dqnumba train --init`: foreign weights on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pyg_state import renamed_to_2_0, state_of
from safetensors.numpy import save_file

import dqnumba as dq
from dqnumba.graph import load_npz
from dqnumba.train.checkpoint import read_checkpoint
from dqnumba.train.initial import load_float

TRAINED = Path(__file__).parents[1] / "convert" / "golden" / "trained_cora.safetensors"
KINDS = {"gcn": dq.nn.GCN, "gat": dq.nn.GAT, "gin": dq.nn.GIN, "sage": dq.nn.GraphSAGE}


@pytest.fixture
def weights(graph_file, tmp_path):
    """A small float model trained on the graph, saved as PyG would save it."""

    def make(kind="gcn", name="weights.safetensors", rename=lambda state: state):
        graph = load_npz(graph_file)
        model = KINDS[kind](graph.num_features, 8, graph.num_classes, heads=2 if kind == "gat" else 1, seed=1)
        dq.fit(model, graph, epochs=30, lr=0.05)
        save_file(rename(state_of(model)), tmp_path / name)
        np.save(tmp_path / "outputs.npy", model(graph).data)
        return tmp_path / name

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_quantize_writes_a_program_that_runs_and_verifies(call, weights, graph_file, tmp_path, kind):
    file, out = weights(kind, rename=renamed_to_2_0), tmp_path / "q.safetensors"
    expect = ("--expect", tmp_path / "outputs.npy")
    result = call("quantize", file, "--graph", graph_file, "--out", out, *expect, "--json", "--quiet")
    assert result.code == 0, result.err
    content = result.json
    assert (content["model"], content["weight_bits"], content["activation_bits"]) == (KINDS[kind].kind, 8, 8)
    assert (content["metric"], content["split"], content["items"]) == ("accuracy", "test", 80)
    assert content["float"] > 0.3 and content["integer"] >= content["float"] - 0.05
    assert content["agreement"] > 0.95
    assert content["verify"]["levels"] == {"kernels": True, "sites": True, "predictions": True}
    assert content["file_bytes"] == out.stat().st_size
    again = call("verify", out, "--json").json  # the train file beside it knows the graph and the model
    assert again["passed"] and again["levels"]["sites"]
    ran = call("run", out, "--graph", graph_file, "--json").json
    assert ran["accuracy"] == content["integer"]


def test_every_rule_and_width(call, weights, graph_file):
    file = weights()
    for more in (
        ("--ranges", "mse", "--weights", "mse", "--bits", 4), ("--ranges", "ema", "--no-bias-correction"),
        ("--ranges", "minmax", "--sites", "paper"), ("--weight-bits", 4, "--activation-bits", 8),
    ):  # fmt: skip
        result = call("quantize", file, "--graph", graph_file, *more, "--json", "--quiet")
        assert result.json["verify"]["levels"]["sites"], more
    text = call("quantize", file, "--graph", graph_file).out
    for word in ("GCN of 2 layers", "accuracy on the test split", "fake quant", "predict the same", "level 3"):
        assert word in text


def test_without_labels_only_agreement_is_known(call, weights, write_graph):
    file = weights()
    unlabelled = write_graph(y=None, train_mask=None, val_mask=None, test_mask=None)
    content = call("quantize", file, "--graph", unlabelled, "--json", "--quiet").json
    assert (content["metric"], content["float"], content["integer"]) == (None, None, None)
    assert content["agreement"] > 0.9


def test_graph_tasks(call, tmp_path):
    rng = np.random.default_rng(0)
    start = np.arange(0, 301, 5)
    y = np.arange(60) % 2
    edges = np.concatenate([a + rng.integers(0, 5, (2, 10)) for a in start[:-1]], axis=1)
    x = rng.normal(0, 0.3, (300, 4)).astype(np.float32)
    x[:, 0] += np.repeat(y, 5)
    np.savez(tmp_path / "many.npz", edge_index=edges, x=x, y=y, graph_ptr=start)
    model = dq.nn.GIN(4, 8, 2, readout="mean", norm="batch")
    save_file(state_of(model), tmp_path / "gin.safetensors")
    argv = ("quantize", tmp_path / "gin.safetensors", "--graph", tmp_path / "many.npz")
    assert "readout" in call(*argv).err
    out = tmp_path / "q.safetensors"
    content = call(*argv, "--readout", "mean", "--act-first", "--fold", 1, "--out", out, "--json", "--quiet").json
    assert content["verify"]["levels"]["sites"] and content["split"] == "test"
    assert call("verify", out, "--json", "--quiet").json["levels"]["sites"]


def test_train_files_are_taken_too(call, trained, graph_file, tmp_path):
    train_file = trained.with_suffix(".train.safetensors")
    content = call("quantize", train_file, "--graph", graph_file, "--bits", 4, "--json", "--quiet").json
    assert content["weight_bits"] == 4
    result = call("quantize", trained, "--graph", graph_file)
    assert (result.code, "integer program" in result.err) == (2, True)
    result = call("quantize", train_file, "--graph", graph_file, "--readout", "sum")
    assert (result.code, "readout" in result.err) == (2, True)


def test_wrong_use(call, weights, graph_file, write_graph, tmp_path):
    file = weights()
    for argv, says in (
        ((file,), "--dataset"),
        ((tmp_path / "none.safetensors", "--graph", graph_file), "none.safetensors"),
        ((graph_file, "--graph", graph_file), "save_file"),
        ((file, "--graph", write_graph(width=13)), "13"),
        ((file, "--graph", graph_file, "--bits", 1), "bits"),
        ((file, "--graph", graph_file, "--act", "elu"), "elu"),
        ((file, "--graph", graph_file, "--order", "convs.0"), "convs.1"),
        ((file, "--graph", graph_file, "--expect", tmp_path / "none.npy"), "none.npy"),
        ((file, "--graph", graph_file, "--out", tmp_path), "folder"),
    ):
        result = call("quantize", *argv)
        assert (result.code, result.out) == (2, ""), argv
        assert says in result.err and len(result.err.splitlines()) <= 3, result.err
    np.save(tmp_path / "other.npy", 1.01 * np.load(tmp_path / "outputs.npy"))
    result = call("quantize", file, "--graph", graph_file, "--expect", tmp_path / "other.npy")
    assert result.code == 2 and "differs from" in result.err


def test_training_starts_from_imported_weights(call, weights, graph_file, tmp_path):
    file, out = weights("gat"), tmp_path / "tuned.safetensors"
    argv = ("train", "--init", file, "--graph", graph_file, "--lr", 1e-4)
    record = call(*argv, "--epochs", 2, "--out", out, "--json", "--quiet").json
    assert (record["model"], record["method"], record["epochs"]) == ("gat", "dq", 2)
    imported, tuned = load_float(file), load_float(out.with_suffix(".train.safetensors"))
    assert tuned.config["hidden_channels"] == 8 and tuned.config["heads"] == 2
    moved = np.abs(tuned.convs[0].weight.data - imported.convs[0].weight.data).max()
    assert 0.0 < moved < 0.01  # two small steps away from them
    longer = call("train", "--resume", "--out", out, "--epochs", 4, "--json", "--quiet").json
    whole = call(*argv, "--epochs", 4, "--json", "--quiet").json
    assert {**longer, "epoch_seconds": 0, "file_bytes": 0} == {**whole, "epoch_seconds": 0, "file_bytes": 0}


def test_training_from_what_quantize_wrote(call, weights, graph_file, tmp_path):
    out = tmp_path / "q.safetensors"
    assert call("quantize", weights(), "--graph", graph_file, "--out", out, "--no-bias-correction").code == 0
    train_file = out.with_suffix(".train.safetensors")
    imported = load_float(tmp_path / "weights.safetensors").state_dict()
    kept = load_float(train_file).state_dict()
    assert all(np.array_equal(imported[name], kept[name]) for name in imported)
    assert read_checkpoint(train_file).settings["init"].endswith("weights.safetensors")
    record = call("train", "--init", train_file, "--graph", graph_file, "--epochs", 2, "--bits", 4, "--json").json
    assert (record["bits"], record["epochs"]) == (4, 2) and record["test_integer"] > 0.3
    for argv, says in (
        (("--resume", "--out", out), "--init"),
        (("--init", train_file, "--graph", graph_file, "--model", "gin"), "--model gcn"),
        (("--init", train_file, "--graph", graph_file, "--hidden", 4), "hidden_channels"),
        (("--init", out, "--graph", graph_file), "integer program"),
    ):
        result = call("train", *argv)
        assert result.code == 2 and says in result.err, (argv, result.err)


@pytest.mark.skipif(not Path(os.environ.get("DQNUMBA_DATA", ""), "cora").is_dir(), reason="needs cora in DQNUMBA_DATA")
def test_a_gcn_that_pyg_trained_loses_at_most_a_point_on_cora(call):
    """The float accuracy is the one that PyG measured; see tests/convert/golden/make_trained.py."""
    from safetensors import safe_open

    with safe_open(TRAINED, framework="numpy") as file:
        by_pyg = float(file.metadata()["test_accuracy"])
    for ranges in ("percentile", "mse"):
        argv = ("quantize", TRAINED, "--dataset", "cora", "--ranges", ranges, "--json", "--quiet")
        content = call(*argv).json
        assert abs(content["float"] - by_pyg) < 1e-3
        assert content["integer"] > content["float"] - 0.01
        assert content["verify"]["passed"]
