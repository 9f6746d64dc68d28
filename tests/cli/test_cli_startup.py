"""``warmup`` and ``doctor``, the backend that ``run`` and ``inspect`` name, and backends that cannot run here."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.cli import warmup
from dqnumba.infer import BACKENDS, load
from dqnumba.kernels.dot import cpu


@pytest.fixture
def plain(monkeypatch):
    """No wishes from outside."""
    for name in ("DQNUMBA_ISA", "DQNUMBA_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_warmup_counts_what_it_compiled(call, monkeypatch):
    monkeypatch.setattr(warmup, "_RUNS", [("gcn", 8, "small")])
    first, second = call("warmup", "--json"), call("warmup", "--json")
    assert first.code == second.code == 0
    assert set(second.json) == {"compiled", "loaded", "seconds", "cache", "kernels", "bytes", "problem"}
    assert (second.json["compiled"], second.json["loaded"]) == (0, 0)  # this process has them all
    assert second.json["kernels"] >= first.json["compiled"]
    text = call("warmup").out
    assert "0 compiled" in text
    assert second.json["cache"][0] in text


def test_warmup_passes_through_every_kind_of_model():
    assert {model for model, _, _ in warmup._RUNS} == {"gcn", "gat", "gin", "sage"}
    assert {bits for _, bits, _ in warmup._RUNS} == {4, 8}
    kinds = {kind for _, _, kind in warmup._RUNS}
    graphs = {kind: warmup._graph(kind) for kind in kinds}
    assert type(graphs["sparse"].x).__name__ == "SparseFeatures"
    assert graphs["dense"].x.dtype == np.float32
    assert graphs["graphs"].x.ndim == 1
    assert graphs["graphs"].num_graphs == 300


def test_doctor_tells_what_runs_and_why(call, plain):
    found = call("doctor", "--json").json
    assert found["isa"] == cpu.choose_isa()
    assert "best available" in found["isa_reason"]
    assert set(found["isas"]) == set(cpu.ISAS)
    assert {isa for isa, text in found["isas"].items() if text == "available"} == set(cpu.available_isas())
    assert all(found["isas"].values())
    assert set(found["features"]) <= cpu.features()
    assert found["processor"] == cpu.target()[1]
    assert (found["backend"], found["backends"]) == ("dot", list(BACKENDS))
    assert found["threads"] >= 1
    assert found["threading_layer"]
    cache = found["kernel_cache"]
    assert cache["problem"] is None
    assert len(cache["cache"]) == 2
    assert found["packages"]["numba"]
    text = call("doctor").out
    for word in (found["isa"], found["processor"], cache["cache"][0], found["threading_layer"]):
        assert word in text


def test_doctor_reports_a_wish_that_cannot_be_met(call, plain):
    plain.setenv("DQNUMBA_ISA", "mmx")
    plain.setenv("DQNUMBA_BACKEND", "abacus")
    result = call("doctor", "--json")
    assert result.code == 0
    assert (result.json["isa"], result.json["backend"]) == (None, None)
    assert "mmx" in result.json["isa_reason"]
    assert "abacus" in result.json["backend_reason"]
    assert result.json["settings"]["DQNUMBA_ISA"] == "mmx"


def test_run_and_inspect_name_the_backend(call, trained, graph_file, plain):
    dot = call("run", trained, "--graph", graph_file, "--json").json
    assert (dot["backend"], dot["backend_reason"]) == ("dot", None)
    other = call("run", trained, "--graph", graph_file, "--json", "--backend", "reference").json
    assert (other["backend"], other["predictions"]) == ("reference", dot["predictions"])
    assert "on dot" in call("run", trained, "--graph", graph_file).out
    shown = call("inspect", trained, "--json").json
    assert (shown["backend"], shown["backend_reason"]) == ("dot", None)
    assert shown["nbytes"] == load(trained).nbytes
    assert call("inspect", trained).out.endswith("runs on dot\n")


def test_a_layout_without_vector_kernels_says_why(call, graph_file, tmp_path, plain):
    out = tmp_path / "paper.safetensors"
    call("train", "--graph", graph_file, "--epochs", 1, "--sites", "paper", "--out", out, "--quiet")
    found = call("run", out, "--graph", graph_file, "--json").json
    assert found["backend"] == "numba"
    assert "paper" in found["backend_reason"]
    assert call("inspect", out, "--json").json["backend_reason"] == found["backend_reason"]
    assert f"not on dot: {found['backend_reason']}" in call("run", out, "--graph", graph_file).out


@pytest.mark.parametrize(
    ("name", "value"), [("DQNUMBA_ISA", "mmx"), ("DQNUMBA_ISA", ""), ("DQNUMBA_BACKEND", "abacus")]
)
def test_what_cannot_run_here_is_refused(call, trained, graph_file, plain, name, value):
    if not value:
        value = next(isa for isa in cpu.ISAS if isa not in cpu.available_isas())
    plain.setenv(name, value)
    result = call("run", trained, "--graph", graph_file)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) <= 3
    assert value in result.err
    assert "Traceback" not in result.err
    assert call("inspect", trained).code == 0  # the file itself can be looked at


@pytest.mark.parametrize(
    ("kernels", "problem", "said"),
    [(0, None, "kept for later runs"), (0, "no folder can be written", "no folder can be written"), (3, None, None)],
)
def test_a_first_use_says_that_it_compiles(call, monkeypatch, graph_file, kernels, problem, said):
    monkeypatch.setattr(warmup, "cache_state", lambda: {"kernels": kernels, "problem": problem})
    argv = ("train", "--graph", graph_file, "--epochs", 1, "--hidden", 8)
    result = call(*argv)
    assert result.code == 0
    assert ("compiling kernels first" in result.err and said in result.err) if said else "compiling" not in result.err
    assert "compiling" not in call(*argv, "--quiet").err
