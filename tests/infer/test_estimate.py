"""What a program says that it will take, against what it takes; and what is refused because it does not fit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from small_models import MODELS, build, features, random_batch

import dqnumba as dq
from dqnumba.infer import free_memory as free_memory_file
from dqnumba.infer.estimate import estimate
from dqnumba.infer.free_memory import LIMIT_VARIABLE, free_memory, require_memory, text_of


def wide_graph(nodes, edges, kind="dense"):
    rng = np.random.default_rng(0)
    options = {"num_categories": 7} if kind == "embedding" else {}
    return dq.Graph.from_edge_index(rng.integers(0, nodes, (2, edges)), features(rng, nodes, kind), **options)


def integer_model(model, graph, **options):
    qmodel = build(model, hidden=32, **options)
    dq.calibrate(qmodel, graph)
    return dq.convert(qmodel)


@pytest.mark.compiled
@pytest.mark.parametrize("backend", ["dot", "numba"])
@pytest.mark.parametrize(("kind", "nodes", "edges"), [("dense", 20_000, 100_000), ("sparse", 20_000, 10_000)])
@pytest.mark.parametrize("model", MODELS)
def test_an_estimate_is_enough_and_not_three_times_too_much(model, kind, nodes, edges, backend):
    imodel = integer_model(model, wide_graph(300, 900, kind), kind=kind)
    imodel.bind(wide_graph(300, 900, kind), backend=backend)()  # compiled, and whatever is made once
    graph = wide_graph(nodes, edges, kind)
    said = imodel.estimate(graph, backend=backend)
    graph = wide_graph(nodes, edges, kind)  # one that has no tables yet
    tracemalloc.start()
    bound = imodel.bind(graph, backend=backend)
    output = bound()
    needed = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bound.backend == said.backend
    assert needed <= said.needed_bytes <= 3 * needed
    assert bound.workspace_bytes == said.workspace_bytes
    assert said.output_bytes == output.nbytes


@pytest.mark.parametrize("model", MODELS)
def test_no_sum_leaves_its_bound(model):
    graph = wide_graph(200, 1500)
    imodel = integer_model(model, graph)
    graph = graph.replace(x=100 * graph.x)  # far outside what was seen: codes at their ends
    bound = imodel.bind(graph, backend="numba")
    bound()
    sums = imodel.estimate(graph).sums
    assert {"matmul"} < {each.op for each in sums}
    for each in sums:
        found = bound.binding.registers[each.step].array
        assert each.low <= found.min() and found.max() <= each.high
        assert each.wide == (found.dtype == np.int64)
        assert each.reach == max(-each.low, each.high)


def test_batches_and_categories_have_an_estimate_too():
    batch, _ = random_batch(1, kind="embedding")
    imodel = integer_model("gin", batch, kind="embedding", readout="sum")
    said = imodel.estimate(batch, backend="reference")
    assert (said.graphs, said.backend) == (5, "reference")
    assert any(each.op == "pool_sum" for each in said.sums)
    content = said.to_dict()
    assert content["fits"] is True and content["needed_bytes"] == said.needed_bytes
    assert content["sums"][0].keys() == {"step", "op", "low", "high", "wide"}
    text = str(said)
    assert f"{batch.num_nodes:,} nodes" in text and all(each.step in text for each in said.sums)


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch):
    graph = wide_graph(3000, 9000)
    imodel = integer_model("gcn", graph)
    needed = imodel.bind(graph).workspace_bytes + imodel.estimate(graph).output_bytes
    monkeypatch.setenv(LIMIT_VARIABLE, str(needed))
    imodel.bind(graph)
    monkeypatch.setenv(LIMIT_VARIABLE, str(needed - 1))
    for backend in ("dot", "numba"):
        with pytest.raises(dq.MemoryRiskError, match=f"3,000 nodes and .* edges would take .*{LIMIT_VARIABLE}"):
            imodel.bind(graph, backend=backend)
    assert not imodel.estimate(graph).fits and "DOES NOT FIT" in str(imodel.estimate(graph))
    assert isinstance(dq.MemoryRiskError("x"), MemoryError)


def test_codes_of_all_sites_are_refused_where_the_plan_still_fits(monkeypatch):
    graph = wide_graph(3000, 9000)
    imodel = integer_model("gcn", graph)
    bound = imodel.bind(graph, backend="dot")
    if bound.backend != "dot":
        pytest.skip(f"the plan does not run here: {bound.reason}")
    monkeypatch.setenv(LIMIT_VARIABLE, str(bound.workspace_bytes + 4 * 3000 * 3))
    bound()
    with pytest.raises(dq.MemoryRiskError):
        bound.site_codes()


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 << 20), ("2g", 2 << 30), ("1.5GiB", 3 << 29), ("77", 77), ("1KB", 1024)]
)
def test_sizes_that_can_be_written(monkeypatch, tmp_path, text, size):
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    assert free_memory(tmp_path) == (size, f"allowed by {LIMIT_VARIABLE}")


@pytest.mark.parametrize("text", ["much", "-1", "1e9", "5X", "9" * 16])
def test_sizes_that_cannot_be_read(monkeypatch, text):
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(dq.ConfigError, match="is no size; write 512M"):
        require_memory(1, "this")


def machine(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 900 kB\nMemAvailable:    500 kB\n"}
GROUP = {"proc/self/cgroup": "0::/a/b\n"}
OLD = {"proc/self/cgroup": "7:cpu,memory:/c\n3:cpuset:/\n"}


def limited(folder, limit, used, cached=0):
    return {
        f"sys/fs/cgroup/{folder}memory.max": f"{limit}\n", f"sys/fs/cgroup/{folder}memory.current": f"{used}\n",
        f"sys/fs/cgroup/{folder}memory.stat": f"anon 5\ninactive_file {cached}\nodd\n",
    }  # fmt: skip


def limited_of_old(group, limit, used, cached):
    base = f"sys/fs/cgroup/memory/{group}/memory."
    return {
        f"{base}limit_in_bytes": str(limit), f"{base}usage_in_bytes": str(used),
        f"{base}stat": f"total_inactive_file {cached}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({}, None),
        (MEMINFO, 500 << 10),
        (MEMINFO | GROUP | limited("a/b/", "max", 1), 500 << 10),
        (MEMINFO | GROUP | limited("a/b/", 300_000, 100_000, 50_000), 250_000),
        (MEMINFO | GROUP | limited("a/b/", "max", 1) | limited("a/", 90_000, 100_000), 0),
        (MEMINFO | GROUP | limited("", 2_000, 500), 1_500),  # all that a container sees of itself
        (OLD | limited_of_old("c", 800, 300, 7), 507),
        (MEMINFO | {"proc/self/cgroup": "broken\n"}, 500 << 10),
    ],
)
def test_free_memory_is_the_least_of_what_limits_it(tmp_path, monkeypatch, files, size):
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    found = free_memory(machine(tmp_path, files))
    assert found is None if size is None else found[0] == size


def test_the_limit_of_a_process_counts(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50 * resource.getpagesize(), 0))
    root = machine(tmp_path, {"proc/self/statm": "20 5 1\n"})
    assert free_memory(root) == (30 * resource.getpagesize(), "left by the limit on this process (ulimit -v)")


def test_this_machine_has_memory(monkeypatch):
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    found = free_memory()
    assert found is None or found[0] > 1 << 20


def test_small_graphs_do_not_ask_the_system(monkeypatch):
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    monkeypatch.setattr(free_memory_file, "free_memory", lambda: pytest.fail("asked"))
    require_memory(1 << 20, "this")
    monkeypatch.setattr(free_memory_file, "free_memory", lambda: (5, "left"))
    with pytest.raises(dq.MemoryRiskError, match=r"^this would take 9.0 MiB; 5 bytes are left\."):
        require_memory(9 << 20, "this")


def test_sizes_read_well():
    assert [text_of(size) for size in (0, 1023, 1536, 3 << 20, 1 << 40)] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "3.0 MiB", "1.0 TiB",
    ]  # fmt: skip


def test_a_graph_of_another_kind_has_no_estimate():
    graph = wide_graph(30, 90)
    imodel = integer_model("gcn", graph)
    with pytest.raises(dq.GraphError, match="trained on 10 features"):
        estimate(imodel.program, graph.replace(x=graph.x[:, :4]))
