"""The profile of a plan: every operation once, beside the unit that asked for it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("bench.profile", reason="bench/ stands beside the package, in a checkout only")
import dqnumba as dq
from bench import machine, profile, timing, workloads
from dqnumba import Graph
from dqnumba.infer.plan import records
from dqnumba.kernels.dot.cpu import available_isas

pytestmark = pytest.mark.skipif(not available_isas(), reason="the vector kernels exist as machine code only")


def power_law(nodes=400, edges=3000, width=32):
    indptr, indices = workloads.power_law(nodes, edges)
    x = np.random.default_rng(0).standard_normal((nodes, width), dtype=np.float32)
    return workloads.Workload(Graph(indptr, indices, x), (width, 16, 5), gat_hidden=64)


def rings(count=300, nodes=20, width=32):
    """Small graphs in one: ranges that no edge leaves."""
    ids = np.arange(count * nodes, dtype=np.int32)
    indices = ids // nodes * nodes + (ids + 1) % nodes
    x = np.random.default_rng(0).standard_normal((len(ids), width), dtype=np.float32)
    return workloads.Workload(Graph(np.arange(len(ids) + 1), indices, x), (width, 16, 5), gat_hidden=64)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    monkeypatch.setattr(timing, "SHORTEST_SAMPLE", 1e-4)


def bound_of(kind, workload):
    model = workloads.build_model(kind, workload)
    graph = workload.graph
    return dq.convert(dq.calibrate(dq.prepare(model, dq.QuantConfig.ptq(8)), graph)).bind(graph, backend="dot")


@pytest.mark.parametrize("kind", workloads.MODELS)
@pytest.mark.parametrize("make", [power_law, rings])
def test_each_operation_of_the_plan_stands_there_once(kind, make):
    before = dict(records._RECORDS)
    found = profile.profile(make(), kind, 8, 1, repeats=1, budget=0.0)
    assert records._RECORDS == before
    assert found["by_range"] == (make is rings)
    bound, names = bound_of(kind, make()), profile._names()
    assert [fact["kernel"] for fact in found["operations"]] == [names[int(a)] for a in bound._plan.launch.ops[:, 0]]
    assert sum(fact["share"] for fact in found["operations"]) == pytest.approx(1.0)
    assert min(fact["ms"] for fact in found["operations"]) > 0
    phases = [fact["phase"] for fact in found["operations"]]
    assert phases == sorted(phases) and len(set(phases)) == len(bound._plan.launch._phases)
    text = profile.table(found)
    assert all(fact["unit"]["register"] in text for fact in found["operations"])


def test_bytes_of_units():
    workload = power_law()
    first, *_, last = profile.profile(workload, "gcn", 8, 1, repeats=1, budget=0.0)["operations"]
    assert first["unit"]["operation"] == "quantize" and first["bytes"] >= workload.graph.x.nbytes
    assert last["bytes"] == 400 * 5 * 4 and last["kernel"].endswith("float32")


def test_parts_of_a_launch_do_the_same_as_the_whole():
    bound = bound_of("gcn", rings())
    right, launch = bound(), bound._plan.launch
    out = np.zeros_like(right)
    for phase, (first, last, _, _) in enumerate(launch._phases.tolist()):
        for k in range(first, last):
            bound(out=out)
            out[:] = 7
            profile._until(launch, phase, k)(1)
            profile._only(launch, phase, k, k + 1)(1)
            assert (out == 7).all() == (k + 1 < len(launch.ops)), "results are written by the last operation alone"
    bound(out=out)
    assert np.array_equal(out, right)


def test_what_has_no_plan_is_refused(monkeypatch):
    from dqnumba.infer import plan

    def unplanned(*arguments, **options):
        raise plan.Unplanned("nothing for vectors")

    monkeypatch.setattr(plan.Templates, "plan", unplanned)
    with pytest.raises((ValueError, dq.errors.ConfigError), match="nothing for vectors"):
        profile.profile(power_law(), "gcn", 8, 1, repeats=1, budget=0.0)


def test_command_prints_one_json_object(monkeypatch, capsys):
    monkeypatch.setitem(workloads.WORKLOADS, "molecule", power_law)
    monkeypatch.setattr(sys, "argv", ["bench.profile", "molecule", "sage", "--quick", "--threads", "1", "--json"])
    monkeypatch.setattr(machine, "set_threads", lambda threads: threads)  # the tests share one process
    monkeypatch.setattr(machine, "keep_freed_memory", lambda: False)
    assert profile.main() == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["workload"] == "molecule" and printed["operations"]
