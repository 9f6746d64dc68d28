"""The command from training to verification, on a small graph file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from dqnumba.infer import load
from dqnumba.train.checkpoint import read_checkpoint

RECORD = [
    "dataset", "model", "method", "bits", "weight_bits", "activation_bits", "sites", "seed", "fold", "epochs", "limit",
    "selected_by", "val_fake_quant", "test_fake_quant", "test_integer", "test_float", "agreement", "epoch_seconds",
    "file_bytes",
]  # fmt: skip


def train(call, graph, *more):
    result = call("train", "--graph", graph, "--epochs", 8, "--hidden", 8, "--quiet", "--json", *more)
    assert result.code == 0, result.err
    assert result.err == ""
    return result.json


@pytest.mark.parametrize("model", ["gcn", "gat", "gin", "sage"])
def test_train_prints_the_record(call, graph_file, tmp_path, model):
    out = tmp_path / "m.safetensors"
    record = train(call, graph_file, "--model", model, "--seed", 3, "--out", out)
    assert list(record) == RECORD
    assert (record["dataset"], record["model"], record["method"], record["sites"]) == (
        "small.npz", model, "dq", "fused"
    )  # fmt: skip
    assert (record["bits"], record["weight_bits"], record["activation_bits"], record["seed"]) == (8, 8, 8, 3)
    assert (record["fold"], record["limit"], record["epochs"], record["test_float"]) == (None, None, 8, None)
    assert record["selected_by"] == "val_accuracy"
    for name in ("val_fake_quant", "test_fake_quant", "test_integer", "agreement"):
        assert 0.0 <= record[name] <= 1.0
    assert record["agreement"] >= 0.95  # 20 test nodes: one of them may differ
    assert record["file_bytes"] == out.stat().st_size
    assert read_checkpoint(tmp_path / "m.train.safetensors").record == record


@pytest.mark.parametrize("method", ["fp32", "ptq", "qat", "nqat", "dq-plus"])
def test_methods(call, graph_file, tmp_path, method):
    out = tmp_path / "m.safetensors"
    record = train(call, graph_file, "--method", method, "--out", out)
    if method == "fp32":
        assert (record["bits"], record["sites"], record["agreement"], record["test_integer"]) == (32, None, None, None)
        assert 0 <= record["test_float"] <= 1
        assert not out.exists()
        assert (tmp_path / "m.train.safetensors").exists()
    else:
        assert out.exists()
        assert (record["test_float"] is not None) == (method == "ptq")


def test_mixed_widths_and_paper_sites(call, graph_file):
    record = train(call, graph_file, "--weight-bits", 4, "--sites", "paper")
    assert (record["bits"], record["weight_bits"], record["activation_bits"], record["sites"]) == (8, 4, 8, "paper")


def test_one_seed_gives_one_result(call, graph_file):
    first, second, other = (train(call, graph_file, "--seed", seed) for seed in (1, 1, 2))
    for record in (first, second, other):
        record.pop("epoch_seconds")
    assert first == second
    assert first != other


def test_limit_and_random_split(call, write_graph):
    graph = write_graph(train_mask=None, val_mask=None, test_mask=None)
    refused = call("train", "--graph", graph)
    assert refused.code == 2
    assert "--split random" in refused.err
    record = train(call, graph, "--split", "random", "--limit", 5)
    assert record["limit"] == 5
    assert record["test_integer"] is not None


def test_stopping_and_resuming_gives_the_same_files(call, graph_file, tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    whole = train(call, graph_file, "--epochs", 12, "--out", one)
    train(call, graph_file, "--epochs", 5, "--out", two)
    resumed = call("train", "--resume", "--out", two, "--epochs", 12, "--json", "--quiet").json
    assert {**whole, "epoch_seconds": 0} == {**resumed, "epoch_seconds": 0}
    first, second = (read_checkpoint(p.with_suffix(".train.safetensors")) for p in (one, two))
    assert first.state.history == second.state.history
    assert first.state.rng == second.state.rng
    for name in first.model:
        assert np.array_equal(first.model[name], second.model[name])
    programs = [load(path).program for path in (one, two)]
    assert programs[0].to_dict() == programs[1].to_dict()
    assert all(np.array_equal(programs[0].tensors[k], programs[1].tensors[k]) for k in programs[0].tensors)
    again = call("train", "--resume", "--out", two, "--json", "--quiet").json  # nothing left to do
    assert {**again, "epoch_seconds": 0} == {**whole, "epoch_seconds": 0}


def test_convert_gives_the_program_that_train_wrote(call, trained, tmp_path):
    out = tmp_path / "again.safetensors"
    result = call("convert", trained.with_suffix(".train.safetensors"), "--out", out, "--json")
    assert result.code == 0
    assert result.json["file_bytes"] == out.stat().st_size
    assert load(out).to_dict() == load(trained).to_dict()


def test_run(call, trained, graph_file, write_graph, tmp_path):
    result = call("run", trained, "--graph", graph_file, "--json")
    assert result.code == 0
    record = read_checkpoint(trained.with_suffix(".train.safetensors")).record
    assert (result.json["split"], result.json["accuracy"]) == ("test", record["test_integer"])
    assert len(result.json["predictions"]) == 80

    out = tmp_path / "predictions.npz"
    slow = call("run", trained, "--graph", graph_file, "--out", out, "--backend", "reference", "--json")
    assert "predictions" not in slow.json
    with np.load(out) as arrays:
        assert arrays["predictions"].tolist() == result.json["predictions"]
        assert arrays["outputs"].shape == (80, 3)

    unlabelled = write_graph(y=None, train_mask=None, val_mask=None, test_mask=None)
    result = call("run", trained, "--graph", unlabelled, "--json")
    assert result.code == 0
    assert "accuracy" not in result.json
    assert "80 predictions" in call("run", trained, "--graph", unlabelled).out


def test_a_single_class_is_no_regression(call, write_graph, tmp_path):
    out, graph = tmp_path / "one.safetensors", write_graph(y=np.zeros(80, np.int64))
    assert call("train", "--graph", graph, "--epochs", 1, "--hidden", 4, "--out", out).code == 0
    content = call("run", out, "--graph", graph, "--json").json
    assert (content["task"], content["accuracy"]) == ("classification", 1.0)


def test_inspect(call, trained):
    content = call("inspect", trained, "--json").json
    assert content["steps"][-1]["op"] == "dequantize"
    assert "dequantize" in call("inspect", trained).out


def test_verify(call, trained, graph_file, tmp_path):
    content = call("verify", trained, "--graph", graph_file, "--json").json
    assert content["passed"]
    assert content["levels"]["predictions"]
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(trained.read_bytes())
    content = call("verify", alone, "--graph", graph_file, "--json").json
    assert content["levels"]["kernels"]
    assert content["levels"]["sites"] is None
    assert "--against" in call("verify", alone, "--graph", graph_file).out
    against = call("verify", alone, "--against", trained.with_suffix(".train.safetensors"))
    assert against.code == 0  # the train file knows the data
    assert "level 3" in against.out


def test_verify_fails_with_code_1(call, trained, graph_file, tmp_path):
    """The same model after more training is no match: that is a failed check, not a wrong use."""
    other = tmp_path / "other.safetensors"
    train(call, graph_file, "--epochs", 30, "--lr", 0.1, "--out", other)
    against = ("--against", other.with_suffix(".train.safetensors"))
    result = call("verify", trained, "--graph", graph_file, *against, "--json")
    assert result.code == 1
    assert not result.json["passed"]


def test_a_recipe_of_ones_own(call, graph_file, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[train]\nepochs = 3\n[method.dq.bits4]\nepochs = 2\n")
    for bits, epochs in ((8, 3), (4, 2)):
        argv = ("--graph", graph_file, "--config", recipe, "--bits", bits, "--quiet", "--json")
        assert call("train", *argv).json["epochs"] == epochs


def test_many_graphs_in_one_file(call, tmp_path):
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 9, 60)
    start = np.concatenate(([0], np.cumsum(sizes)))
    y = np.arange(60) % 2
    edges = np.concatenate([a + rng.integers(0, n, (2, 2 * n)) for a, n in zip(start, sizes, strict=False)], axis=1)
    x = rng.normal(0, 0.3, (start[-1], 4)).astype(np.float32)
    x[:, 0] += np.repeat(y, sizes)
    path = tmp_path / "many.npz"
    np.savez(path, edge_index=edges, x=x, y=y, graph_ptr=start)
    out = tmp_path / "many.safetensors"
    record = train(call, path, "--model", "gin", "--fold", 2, "--out", out)
    assert record["fold"] == 2
    assert record["test_integer"] > 0.6
    assert call("verify", out, "--json", "--quiet").json["passed"]
    assert len(call("run", out, "--graph", path, "--fold", 2, "--json").json["predictions"]) == 6
    assert len(call("run", out, "--graph", path, "--json").json["predictions"]) == 60


def test_data(call):
    names = [entry["name"] for entry in call("data", "list", "--json").json["datasets"]]
    assert {"synthetic", "cora", "reddit_binary"} <= set(names)
    content = call("data", "info", "synthetic", "--json").json
    assert (content["classes"], content["splits"]["test"]) == (7, 1000)
    assert call("data", "fetch", "synthetic", "--json").json == {"name": "synthetic", "files": []}
    assert "cora" in call("data", "list").out


def test_doctor_and_help(call):
    content = call("doctor", "--json").json
    assert content["packages"]["numpy"] == np.__version__
    assert call("doctor").code == 0
    from dqnumba.cli.main import VERBS

    for verb in VERBS:
        assert call(verb, "--help").code == 0


def test_demo(call):
    result = call("demo", "--epochs", 3, "--json")
    assert result.code == 0
    runs = result.json["runs"]
    assert [(r["method"], r["bits"]) for r in runs] == [("fp32", 32), ("qat", 8), ("dq", 8), ("qat", 4), ("dq", 4)]
    assert runs[0]["test_float"] is not None
    assert all(r["test_integer"] is not None and r["agreement"] > 0.9 for r in runs[1:])
    assert "Degree-Quant" in call("demo", "--epochs", 1, "--quiet").out


def test_a_real_process(graph_file, tmp_path):
    """python -m dqnumba, with threads set before Numba is loaded; stdout is one JSON object."""
    out = tmp_path / "m.safetensors"
    argv = ["train", "--graph", graph_file, "--epochs", "2", "--threads", "1", "--out", str(out), "--json"]
    done = subprocess.run([sys.executable, "-m", "dqnumba", *argv], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "m.train.safetensors", "small.npz"]


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from dqnumba.cli.main import main; main(['train', '--help']); main(['nonsense']);"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'numba', 'tqdm', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0


def test_bench_times_backends_and_threads(call, trained, graph_file):
    before = numba.get_num_threads()
    result = call("bench", trained, "--graph", graph_file, "--repeats", 3, "--quiet", "--json")
    assert result.code == 0, result.err
    times = result.json["times"]
    assert {row["backend"] for row in times} == {"dot", "numba"}
    assert {row["threads"] for row in times} == {1, before}
    for row in times:
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"] and row["nodes"] == 80
        assert row["workspace_bytes"] > 0 and row["backend_reason"] is None and row["bind_ms"] > 0
    assert numba.get_num_threads() == before
    text = call("bench", trained, "--graph", graph_file, "--repeats", 1, "--backend", "dot", "--quiet").out
    assert "dot" in text and "numba" not in text and "80 nodes" in text


@pytest.mark.skipif(not Path(os.environ.get("DQNUMBA_DATA", ""), "mutag").is_dir(), reason="needs mutag")
def test_bench_of_a_data_set_times_one_graph_and_a_batch(call, tmp_path):
    out = tmp_path / "m.safetensors"
    more = ("--dataset", "mutag", "--fold", 0, "--limit", 40, "--epochs", 1, "--hidden", 8, "--quiet")
    assert call("train", *more, "--model", "gin", "--out", out).code == 0
    rows = call("bench", out, "--dataset", "mutag", "--batch", 7, "--repeats", 1, "--quiet", "--json").json["times"]
    assert {row["what"] for row in rows} == {"one graph", "batch of 7"} and len(rows) % 2 == 0
