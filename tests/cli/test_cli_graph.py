"""The verbs on graphs of the user's own, in every format: what --dataset does, --graph does."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.graph import Graph, save_npz

QUICK = ("--epochs", 2, "--hidden", 8, "--quiet", "--json")


@pytest.fixture
def folder(tmp_path, small_arrays):
    """The small graph as tables, with words for ids."""
    path = tmp_path / "shop"
    path.mkdir()
    a = small_arrays
    rows = ["id," + ",".join(f"f{k}" for k in range(a["x"].shape[1])) + ",label,split"]
    for k, (x, y) in enumerate(zip(a["x"], a["y"], strict=True)):
        split = next(part for part in ("train", "val", "test") if a[f"{part}_mask"][k])
        rows.append(",".join([f"item{k}", *(repr(float(v)) for v in x), str(y), split]))
    (path / "nodes.csv").write_text("\n".join(rows))
    edges = [f"item{s},item{t}" for s, t in a["edge_index"].T]
    (path / "edges.csv").write_text("\n".join(["source,target", *edges]))
    return path


@pytest.fixture
def small_arrays(graph_file):
    return dict(np.load(graph_file))


def test_tables_and_npz_give_the_same_run(call, folder, graph_file, tmp_path):
    records = []
    for graph in (folder, graph_file):
        out = tmp_path / "m.safetensors"
        result = call("train", "--graph", graph, "--out", out, *QUICK)
        assert result.code == 0, result.err
        records.append({k: v for k, v in result.json.items() if k not in ("dataset", "epoch_seconds", "file_bytes")})
    assert records[0] == records[1]
    result = call("train", "--graph", folder / "edges.csv", "--nodes", folder / "nodes.csv", *QUICK)
    assert {k: v for k, v in result.json.items() if k in records[0]} == records[0]


def test_a_program_verifies_runs_and_is_timed_on_tables(call, folder, tmp_path):
    out, predictions = tmp_path / "m.safetensors", tmp_path / "p.npz"
    result = call("train", "--graph", folder, "--epochs", 8, "--hidden", 8, "--out", out)
    assert result.code == 0 and "shop: edge list and node table: Graph(shop: 80 nodes" in result.err
    assert call("verify", out, "--quiet").code == 0  # the train file remembers the folder
    result = call("run", out, "--graph", folder, "--out", predictions, "--json", "--quiet")
    assert result.code == 0 and result.json["split"] == "test" and result.err == ""
    with np.load(predictions) as written:
        assert written["node_ids"].tolist() == [f"item{k}" for k in range(80)]
    result = call("bench", out, "--graph", folder, "--repeats", 1, "--json", "--quiet")
    assert result.code == 0 and result.json["times"]
    assert call("train", "--graph", folder, "--resume", "--out", out, "--undirected").code == 2


def test_labelled_nodes_alone_are_scored(call, folder, tmp_path):
    out = tmp_path / "m.safetensors"
    assert call("train", "--graph", folder, "--out", out, *QUICK).code == 0
    lines = (folder / "nodes.csv").read_text().splitlines()
    half = [",".join(line.split(",")[:-1]) for line in lines[:41]]
    half += [",".join(line.split(",")[:-2]) + "," for line in lines[41:]]
    (folder / "nodes.csv").write_text("\n".join(half))
    everything = call("run", out, "--graph", folder, "--json", "--quiet").json
    labels = np.array([int(line.split(",")[-1]) for line in half[1:41]])
    assert everything["split"] == "labelled"
    assert everything["accuracy"] == np.mean(np.array(everything["predictions"])[:40] == labels)


def test_which_split_and_made_ones(call, tmp_path, small_arrays):
    a, path = small_arrays, tmp_path / "h.npz"
    masks = {f"{p}_masks": np.stack([a[f"{p}_mask"], a[f"{q}_mask"]]) for p, q in
             (("train", "test"), ("val", "val"), ("test", "train"))}  # fmt: skip
    np.savez(path, edges=a["edge_index"].T, node_features=a["x"], node_labels=a["y"], **masks)
    folds = [call("train", "--graph", path, "--fold", k, *QUICK).json for k in (0, 1)]
    assert [record["fold"] for record in folds] == [0, 1]
    for split in ("stratified", "uniform"):
        assert call("train", "--graph", path, "--split", split, *QUICK).code == 0
    for option, says in (
        (("--fold", 5), "holds 2 splits"),
        (("--split", "planetoid"), "needs 1560 items"),
        (("--features", "degree"), "leave it out"),
        (("--nodes", path), "table of edges"),
    ):
        result = call("train", "--graph", path, *option, *QUICK)
        assert result.code == 2 and says in result.err and len(result.err.splitlines()) == 1


def test_a_folder_of_graphs(call, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "set"
    folder.mkdir()
    for k in range(30):
        n = int(rng.integers(3, 7))
        graph = Graph.from_edge_index(rng.integers(0, n, (2, 2 * n)), rng.normal(k % 2, 1, (n, 3)), [k % 2], n)
        save_npz(graph, folder / f"g{k:02}.npz")
    out = tmp_path / "m.safetensors"
    result = call("train", "--graph", folder, "--split", "random", "--model", "gin", "--out", out, *QUICK)
    assert result.code == 0, result.err
    assert result.json["dataset"] == "set"
    result = call("run", out, "--graph", folder, "--json", "--quiet")
    assert result.code == 0 and result.json["items"] == 30
    rows = "".join(f"g{k:02},{'odd' if k % 2 else 'even'},{('train', 'val', 'test')[k % 3]}\n" for k in range(30))
    (folder / "graphs.csv").write_text("graph,label,split\n" + rows)
    result = call("run", out, "--graph", folder, "--json", "--quiet")
    assert result.json["items"] == 10 and result.json["split"] == "test"


def test_a_line_number_reaches_the_user(call, folder):
    with (folder / "edges.csv").open("a") as file:
        file.write("\nitem1,nobody\n")
    result = call("train", "--graph", folder)
    assert result.code == 2 and "edges.csv, line 202: no node 'nobody'" in result.err


def test_what_a_path_holds(call, folder, graph_file):
    info = call("data", "info", folder, "--json")
    assert info.code == 0 and info.json["format"] == "edge list and node table" and info.json["nodes"] == 80
    assert info.json["splits"] == {"train": 40, "val": 20, "test": 20}
    assert "npz" in call("data", "info", graph_file).out
