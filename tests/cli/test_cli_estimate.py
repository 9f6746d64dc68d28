"""``dqnumba run --estimate``: memory and bounds of sums, told before anything runs."""

from __future__ import annotations

import numpy as np

import dqnumba as dq
from dqnumba.infer import BoundModel
from dqnumba.infer.free_memory import LIMIT_VARIABLE


def test_it_tells_and_runs_nothing(call, trained, graph_file, monkeypatch):
    monkeypatch.setattr(BoundModel, "__init__", None)
    found = call("run", trained, "--graph", graph_file, "--estimate", "--json")
    assert found.code == 0
    assert found.json["nodes"] == 80 and found.json["batches"] == 1 and found.json["fits"]
    assert {"matmul", "neighbor_sum"} <= {bound["op"] for bound in found.json["sums"]}
    text = call("run", trained, "--graph", graph_file, "--estimate").out
    assert "workspace" in text and "part of int32" in text


def test_what_does_not_fit_is_exit_code_1_and_a_run_is_refused(call, trained, graph_file, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "1K")
    found = call("run", trained, "--graph", graph_file, "--estimate")
    assert found.code == 1 and "DOES NOT FIT" in found.out
    refused = call("run", trained, "--graph", graph_file)
    assert refused.code == 2 and "80 nodes" in refused.err and "1.0 KiB are allowed by" in refused.err


def test_of_many_graphs_the_largest_batch_counts(call, tmp_path):
    out, argv = tmp_path / "m.safetensors", ("--graph", _graphs(tmp_path))
    assert call("train", *argv, "--model", "gin", "--epochs", 1, "--hidden", 4, "--quiet", "-o", out).code == 0
    found = call("run", out, *argv, "--estimate", "--json").json
    assert found["batches"] == 2 and found["graphs"] == 128


def _graphs(folder):
    """170 graphs of three nodes, 150 of them in the test split."""
    rng = np.random.default_rng(0)
    graphs = [
        dq.Graph.from_edge_index([[0, 1], [1, 2]], rng.standard_normal((3, 4)).astype(np.float32), [k % 2])
        for k in range(170)
    ]
    splits = {"train": np.arange(10), "val": np.arange(10, 20), "test": np.arange(20, 170)}
    path = folder / "graphs.npz"
    dq.graph.save_npz(dq.GraphDataset.from_graphs(graphs, splits=splits), path)
    return path
