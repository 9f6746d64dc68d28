"""The commands' parts on tiny sizes: they run, check what they time, and print one JSON object."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("bench.models", reason="bench/ stands beside the package, in a checkout only")
from bench import (
    goals,
    kernel_cases,
    kernels,
    limits,
    machine,
    models,
    peers,
    post_training,
    report,
    stream,
    timing,
    workloads,
)
from dqnumba import Graph

# Importing PyG makes torch complain about itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.*:DeprecationWarning")


def tiny(widths=(32, 16, 5), nodes=120, edges=600):
    indptr, indices = workloads.power_law(nodes, edges)
    x = np.random.default_rng(0).standard_normal((nodes, widths[0]), dtype=np.float32)
    return workloads.Workload(Graph(indptr, indices, x), widths, gat_hidden=64)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    monkeypatch.setattr(timing, "SHORTEST_SAMPLE", 1e-4)


def test_power_law_is_seeded_exact_and_without_loops():
    indptr, indices = workloads.power_law(500, 4000, seed=3)
    again = workloads.power_law(500, 4000, seed=3)
    targets = np.repeat(np.arange(500), np.diff(indptr))
    assert np.array_equal(indptr, again[0]) and np.array_equal(indices, again[1])
    assert indptr[-1] == len(indices) == 4000 and not (targets == indices).any()
    assert np.diff(indptr).max() > 5 * 4000 / 500


def test_interleave_takes_turns_and_summarizes():
    turns = []
    runs = {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}
    found = timing.interleave(runs, repeats=3, budget=5.0)
    assert found["a"]["samples"] == 3 and set(turns) == {"a", "b"}
    assert found["a"]["min_ms"] <= found["a"]["median_ms"] <= found["a"]["max_ms"]
    assert timing.ratio({"median_ms": 4.0}, {"median_ms": 2.0}) == 2.0 and timing.ratio(None, found["a"]) is None


@pytest.mark.parametrize("kind", workloads.MODELS)
def test_a_cell_of_models(kind):
    cell = models.measure("zinc10k", kind, bits=(8, 4), repeats=2, budget=0.0, workload=tiny())
    assert cell["failures"] == []
    for who in ("int8", "int4", "float"):
        assert cell["contenders"][who]["median_ms"] > 0
    assert "median_ms" in cell["contenders"]["pyg"] or "absent" in cell["contenders"]["pyg"]
    assert cell["contenders"]["int8"]["workspace_bytes"] > 0
    assert cell["speedup"]["int8_vs_float"] > 0
    text = models.table({"cells": {f"zinc10k {kind}": cell}})
    assert f"zinc10k {kind}" in text and ("met" in text or "missed" in text or "not measured" in text)
    json.dumps(cell)


def test_a_wrong_program_is_found(monkeypatch):
    monkeypatch.setattr(models, "LEAST_FLOAT_AGREEMENT", {8: 1.1})
    monkeypatch.setattr(models, "LARGEST_DEVIATION", 0.0)
    cell = models.measure("zinc10k", "gcn", bits=(8,), repeats=1, budget=0.0, workload=tiny())
    assert any(failure.startswith("int8") for failure in cell["failures"])
    assert any(failure.startswith("float") for failure in cell["failures"])


def test_paths_of_pyg_that_may_differ():
    """A CSR matrix merges parallel edges for GAT: known, and no failure where another path agrees."""
    assert models._wrong_paths({"edge_index": 1e-6, "csr": 1e-6}, []) == []
    assert models._wrong_paths({"edge_index": 1e-6, "csr": 0.1}, ["csr"]) == []
    assert len(models._wrong_paths({"edge_index": 1e-6, "csr": 0.1}, [])) == 1
    assert len(models._wrong_paths({"edge_index": 0.1, "csr": float("nan")}, [])) == 2
    assert "no path" in models._wrong_paths({"csr": 0.1}, ["csr"])[0]


def test_parallel_edges_are_seen():
    for indices, parallel in (([1, 0, 1, 3], False), ([1, 0, 0, 3], True), ([1, 0, 2, 2], True), ([3, 3, 1, 0], False)):
        indptr = np.array([0, 1, 3, 3, 4]) if indices[2] != 2 else np.array([0, 1, 2, 2, 4])
        graph = Graph(indptr, np.array(indices, np.int32), np.zeros((4, 1), np.float32))
        assert peers.has_parallel_edges(graph) == parallel
    assert not peers.has_parallel_edges(
        Graph(np.zeros(3, np.int64), np.zeros(0, np.int32), np.zeros((2, 1), np.float32))
    )


def test_gat_on_parallel_edges_is_checked_along_edge_index():
    workload = tiny()
    assert peers.has_parallel_edges(workload.graph)
    cell = models.measure("zinc10k", "gat", repeats=1, budget=0.0, workload=workload)
    if "absent" in cell["contenders"]["pyg"]:
        pytest.skip("PyG is not installed")
    assert cell["contenders"]["pyg"]["other_function"] == ["csr"] and cell["failures"] == []
    assert cell["contenders"]["pyg"]["errors"]["csr"] > models.LARGEST_DEVIATION


@pytest.mark.parametrize("backend", ["dot", "numba"])
def test_kernel_cases_agree_with_each_other(backend):
    indptr, indices = workloads.power_law(300, 2000)
    cases = [
        kernel_cases.product_case(70, 40, 24, backend), kernel_cases.requantize_case(50, 32, backend),
        kernel_cases.sum_case("small", indptr, indices, 128, backend, packed=True),
        kernel_cases.attention_case("small", indptr, indices, 4, 16, backend),
    ]  # fmt: skip
    for case in cases:
        assert case.failures == [] and case.runs
        row = kernels.run_case(case, repeats=1, budget=0.0)
        assert all(fact["gops"] > 0 for fact in row["contenders"].values())


def test_a_contender_that_gives_a_wrong_result_is_not_timed():
    def missing():
        raise ImportError("not here")

    case = kernel_cases.Case("case")
    case.add("right", lambda: lambda: None, lambda: np.ones(3), np.ones(3))
    case.add("wrong", lambda: lambda: None, lambda: np.zeros(3), np.ones(3))
    case.add("absent", missing)
    assert list(case.runs) == ["right"] and len(case.failures) == 1 and "not here" in case.absent["absent"]


def test_limits_are_positive():
    found = limits.peaks(1, repeats=1, megabytes=1)
    assert found["fp32_gflops"] > 0 and found["copy_gb_s"] > 0
    assert found["int8_gops"] is None or found["int8_gops"] > 0
    assert limits.line_rates(1, (0.25,), repeats=1)[0.25] > 0


def test_machine_and_goals_are_json():
    found = json.loads(json.dumps(machine.describe(1)))
    assert found["cpu"] and found["packages"]["numpy"] and found["threads"] == 1
    assert goals.met("matmul_vs_int_mm", "", 1.2) == ">= 1.1: met"
    assert goals.met("workspace <=", "arxiv gcn", 0.5) == "<= 0.35: missed"
    assert goals.met("share_of_lines", "", None) == ">= 0.9: not measured" and goals.met("nothing", "", 1.0) is None


def test_command_prints_one_json_object_and_keeps_other_cells(tmp_path, monkeypatch, capsys):
    other = models.measure("cora", "gcn", repeats=1, budget=0.0, workload=tiny())
    report.save(tmp_path / "models.json", {"cells": {"cora gcn": other}})
    monkeypatch.setitem(workloads.WORKLOADS, "molecule", tiny)
    monkeypatch.setattr(sys, "argv", ["bench.models", "--json", "--quick", "--threads", "1", "--workloads", "molecule",
                                      "--models", "gcn", "--bits", "8", "--results", str(tmp_path)])  # fmt: skip
    monkeypatch.setattr(machine, "set_threads", lambda threads: threads)  # the tests share one process
    monkeypatch.setattr(machine, "keep_freed_memory", lambda: False)
    assert models.main() == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["cells"]) == ["cora gcn", "molecule gcn"] and printed["machine"]["threads"] == 1
    assert json.loads((tmp_path / "models.json").read_text())["cells"] == printed["cells"]
    assert "molecule gcn" in (tmp_path / "models.md").read_text()


def test_post_training(tmp_path, capsys):
    argv = ["--datasets", "synthetic", "--models", "gcn", "--seeds", "1", "--results", str(tmp_path)]
    assert post_training.main([*argv, "--json", "--work", str(tmp_path / "models")]) == 0
    cell = json.loads(capsys.readouterr().out)["cells"]["synthetic gcn"]
    assert set(cell) == {"float", *post_training.COLUMNS} and cell["8 bits, default"][0] >= cell["float"][0] - 1
    assert (tmp_path / "post_training.md").read_text().startswith("|  | float | 8 bits, default |")
    models = list((tmp_path / "models").glob("*.train.safetensors"))
    before = [path.stat().st_mtime_ns for path in models]
    assert len(models) == 1
    post_training.main([*argv, "--work", str(tmp_path / "models")])  # what is trained is not trained again
    assert [path.stat().st_mtime_ns for path in models] == before


def test_a_stream_of_graphs():
    rng = np.random.default_rng(0)
    rings = [np.stack([np.arange(n), (np.arange(n) + 1) % n]) for n in (3, 9, 20)]
    arrays = [(ring, rng.standard_normal((ring.shape[1], 64), dtype=np.float32)) for ring in rings]
    cell = stream.measure("gin", arrays, repeats=1, budget=0.0)
    assert cell["failures"] == [] and cell["graphs"] == 3
    assert cell["contenders"]["int8"]["median_ms"] > 0
    text = stream.table({"cells": {"gin": cell}})
    assert text.splitlines()[2].startswith("| gin |") and (cell["speedup"]["int8 vs pyg"] is None or "x |" in text)
