"""Accumulators at the edge of int32: narrow where they fit, wide and exact where not, refused where neither helps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from small_models import FEATURES, finished, random_batch, random_graph, trained

import dqnumba as dq
from dqnumba.infer import BoundModel, Step, choose_backend

INT32 = (1 << 31) - 1
WIDE = {"scale": 1.0, "zero_point": 0, "qmin": -32768, "qmax": 32767, "offset": 0, "row_factor": None}


def program(features, *steps, rows="node", **tensors):
    """16-bit codes of the features, then ``steps`` as (op, inputs, rows, channels, attributes, names of tensors)."""
    made = [Step("quantize", "q", ("x",), "node", features, dict(WIDE))]
    for op, inputs, where, channels, attributes, *names in steps:
        made.append(Step(op, op, inputs, where, channels, attributes, {n: n for n in (names[0] if names else ())}))
    return finished(made, tensors, features, rows)


def star(neighbours, x):
    edges = np.stack([np.arange(1, neighbours + 1), np.zeros(neighbours, np.int64)])
    return dq.Graph.from_edge_index(edges, x=x, num_nodes=len(x))


def run_both(imodel, graph, register):
    """The named register on both backends: equal, and returned as Python integers."""
    found = []
    for backend in ("reference", "numba"):
        bound = BoundModel(imodel.program, graph, choose_backend(backend))
        bound()
        found.append(bound.binding.registers[register])
    assert np.array_equal(found[0].array, found[1].array)
    array = found[1].array
    assert array.size == 0 or (found[1].low <= array.min() and array.max() <= found[1].high)
    return array.astype(object), array.dtype


@pytest.mark.parametrize(("neighbours", "dtype"), [(65536, np.int32), (65537, np.int64), (90000, np.int64)])
@pytest.mark.parametrize("end", [-32768, 32767])
def test_a_hub_of_16_bit_codes(neighbours, dtype, end):
    """65,536 * -32,768 is the lowest int32; each hub attains its bound."""
    imodel = program(1, ("neighbor_sum", ("q",), "node", 1, {"zero_in": 0, "self_loops": "keep"}))
    graph = star(neighbours, np.full((neighbours + 1, 1), end, np.float32))
    sums, kind = run_both(imodel, graph, "neighbor_sum")
    assert kind == dtype
    assert sums[0, 0] == neighbours * end and not sums[1:].any()


def test_pooling_thousands_of_nodes():
    same = {"zero_in": 0, "zero_point": 0, "low": -32768, "high": 32767, "bits": 16}
    imodel = program(
        1,
        ("requantize", ("q",), "node", 1, {**same, "stages": stages_of((1 << 30, 30, False))}),
        ("pool_sum", ("requantize",), "graph", 1, {"zero_in": 32767}),
        rows="graph",
    )
    x = np.full((70_000, 1), -32768, np.float32)
    graph = dq.Graph.from_edge_index(np.zeros((2, 0), int), x=x, num_nodes=len(x))
    graph = graph.replace(graph_ptr=np.array([0, 32767, 70_000]))
    sums, kind = run_both(imodel, graph, "pool_sum")
    assert kind == np.int64
    assert sums[:, 0].tolist() == [-65535 * 32767, -65535 * (70_000 - 32767)]


@pytest.mark.parametrize("inner", [1, 2, 40])
@pytest.mark.parametrize("weight_zero", [0, -32767])
def test_products_attain_their_bounds(inner, weight_zero):
    rng = np.random.default_rng(inner)
    weight = rng.choice(np.array([-32768, 32767, 0], np.int16), (inner, 5))
    bias = np.array([INT32, -INT32 - 1, 0, 7, -7], np.int32)
    attributes = {"zero_in": 0, "weight_zero": weight_zero}
    step = ("matmul", ("q",), "node", 5, attributes, ("weight", "bias"))
    imodel = program(inner, step, weight=weight, bias=bias)
    centred = weight.astype(object) - weight_zero
    rows = [np.where(centred[:, j] > 0, 32767, -32768) for j in range(5)]
    rows += [np.where(centred[:, j] > 0, -32768, 32767) for j in range(5)]
    x = np.array(rows, np.float32).reshape(10, inner)
    graph = dq.Graph.from_edge_index(np.zeros((2, 0), int), x=x, num_nodes=10)
    sums, kind = run_both(imodel, graph, "matmul")
    exact = x.astype(np.int64).astype(object) @ centred + bias.astype(object)
    assert (sums == exact).all()
    assert kind == (np.int32 if -INT32 - 1 <= exact.min() and exact.max() <= INT32 else np.int64)


@pytest.mark.parametrize("row_factor", [None, "mean"])
def test_the_self_term_is_exact(row_factor):
    """Sum times row factor plus the node itself, in units of 2**-14, on int64 accumulators."""
    neighbours = 70_000
    own = {"multiplier": 1 << 30, "shift": 16, "row_factor": row_factor, "zero_in": 0, "self_weight": 16384}
    imodel = program(
        1,
        ("neighbor_sum", ("q",), "node", 1, {"zero_in": 0, "self_loops": "keep"}),
        ("add_self", ("neighbor_sum", "q"), "node", 1, own),
    )
    graph = star(neighbours, np.full((neighbours + 1, 1), -32768, np.float32))
    sums, _ = run_both(imodel, graph, "add_self")
    total = -32768 * (1 if row_factor else neighbours)
    assert abs(sums[0, 0] - (total - 32768) * 16384) <= (1 if row_factor else 0)
    assert set(sums[1:, 0].tolist()) == {-32768 * 16384}


def test_beyond_the_wide_path_is_refused():
    own = {"multiplier": 1 << 30, "shift": 1, "row_factor": None, "zero_in": 0, "self_weight": 1}
    imodel = program(
        1,
        ("neighbor_sum", ("q",), "node", 1, {"zero_in": 0, "self_loops": "keep"}),
        ("add_self", ("neighbor_sum", "q"), "node", 1, own),
    )
    graph = star(200_000, np.ones((200_001, 1), np.float32))
    with pytest.raises(dq.OverflowRiskError, match=r"add_self.*62-bit.*fewer bits"):
        imodel(graph)


def stages_of(*factors):
    return [{"multiplier": m, "shift": s, "row_factor": None, "bias": b} for m, s, b in factors]


def rounded(inner, stages, biases):
    tensors = {f"bias{i}": np.array([b], np.int32) for i, b in enumerate(biases) if b is not None}
    attributes = {"zero_in": 0, "zero_point": 0, "low": -128, "high": 127, "bits": 8, "stages": stages}
    weight = {"weight": np.full((inner, 1), 32767, np.int16), "bias": np.zeros(1, np.int32)}
    return program(
        inner,
        ("matmul", ("q",), "node", 1, {"zero_in": 0, "weight_zero": 0}, ("weight", "bias")),
        ("requantize", ("matmul",), "node", 1, attributes, tuple(tensors)),
        **weight, **tensors,
    )  # fmt: skip


shifts = st.integers(1, 62)
multipliers = st.integers(1 << 30, INT32) | st.integers(-INT32, -(1 << 30)) | st.just(1 << 30)
stage = st.tuples(multipliers, shifts, st.none() | st.integers(-INT32, INT32))


@given(inner=st.integers(1, 3), chosen=st.lists(stage, min_size=1, max_size=3), seed=st.integers(0, 2**16))
def test_what_binds_never_saturates_to_another_result(inner, chosen, seed):
    """Against Python integers without any saturation: equal after the clamp, or refused when the graph is bound."""
    imodel = rounded(inner, stages_of(*((m, s, b is not None) for m, s, b in chosen)), [b for _, _, b in chosen])
    ends = np.array([-32768, 32767, 0, 1, -1])
    x = np.random.default_rng(seed).choice(ends, (12, inner)).astype(np.float32)
    graph = dq.Graph.from_edge_index(np.zeros((2, 0), int), x=x, num_nodes=12)
    try:
        codes, _ = run_both(imodel, graph, "requantize")
    except dq.OverflowRiskError:
        assume(False)
    for row, code in zip(x.astype(np.int64).sum(axis=1).tolist(), codes[:, 0].tolist(), strict=True):
        value = row * 32767
        for m, s, b in chosen:
            value = ((value * m + (1 << (s - 1))) >> s) + (b or 0)
        assert code == min(max(value, -128), 127)


def test_an_early_saturation_is_refused_with_the_remedy():
    up, down = (1 << 30, 10, False), (1 << 30, 62, False)
    with pytest.raises(dq.OverflowRiskError, match=r"beyond int32.*fewer bits"):
        rounded(2, stages_of(up, down), [None, None])(random_graph(0).replace(x=np.ones((24, 2), np.float32)))
    # Alone it is clamped; with a bias that pulls it back behind the clamp it would show.
    up, unit = (1 << 30, 29, False), (1 << 30, 52, True)
    graph = random_graph(0).replace(x=np.ones((24, 2), np.float32))
    rounded(2, stages_of(up, unit), [None, 0])(graph)
    with pytest.raises(dq.OverflowRiskError, match="beyond int32"):
        rounded(2, stages_of(up, unit), [None, -480])(graph)


@pytest.mark.parametrize("model", ["gcn", "gat", "gin", "sage"])
@pytest.mark.parametrize("sites", ["fused", "paper"])
def test_models_on_a_graph_with_a_hub(model, sites):
    """No graph is refused for a hub: its large sum meets its own small factor."""
    rng = np.random.default_rng(5)
    nodes = 2500
    spokes = np.stack([np.arange(1, nodes), np.zeros(nodes - 1, int)])
    edges = np.concatenate([spokes, rng.integers(0, nodes, (2, nodes))], axis=1)
    x = rng.standard_normal((nodes, FEATURES)).astype(np.float32)
    graph = dq.Graph.from_edge_index(edges, x=x, num_nodes=nodes)
    qmodel, imodel = trained(graph, epochs=0, model=model, sites=sites, num_layers=2)
    report = dq.verify(imodel, qmodel, graph)
    assert report.levels["kernels"] and report.levels["sites"], report.to_text()
    assert report.predictions["agreement"] >= 0.99


@pytest.mark.parametrize("model", ["gcn", "gat", "gin", "sage"])
@pytest.mark.parametrize("sites", ["fused", "paper"])
def test_every_register_stays_within_its_bounds(model, sites):
    for readout, data in ((None, random_graph(6)), ("sum", random_batch(6)[0])):
        _, imodel = trained(data, epochs=1, model=model, sites=sites, readout=readout, residual=True, norm="batch")
        bound = imodel.bind(data, backend="numba")
        for scale in (1.0, 100.0, -100.0):
            bound(x=data.x * np.float32(scale))
            for step in imodel.program.steps[:-1]:
                register = bound.binding.registers[step.output]
                assert register.low <= register.array.min() and register.array.max() <= register.high, step
