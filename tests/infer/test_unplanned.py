"""Programs and graphs that the vector kernels do not cover: run step by step, with the reason, to the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plan_checks import check
from small_models import MODELS, finished, random_batch, random_graph, trained

import dqnumba as dq
from dqnumba.graph import batch
from dqnumba.infer import IntegerModel, Step
from dqnumba.infer.plan import layout, multiplying, ranges
from dqnumba.kernels.dot.ranges import RangeLaunch

ONE = {"multiplier": 1 << 30, "shift": 30, "row_factor": None, "bias": False}
NO_EDGES = np.zeros((2, 0), np.int64)


def program(features, *steps, rows="node", bits=8, **tensors):
    """Codes of the features, then ``steps`` as (op, name, inputs, rows, channels, attributes), then the exit."""
    end = 1 << (bits - 1)
    entry = {"scale": 1.0, "zero_point": 0, "qmin": -end, "qmax": end - 1, "offset": 0, "row_factor": None}
    made = [Step("quantize", "q", ("x",), "node", features, entry)]
    for op, name, inputs, where, channels, attributes in steps:
        roles = [t for t in tensors if t.partition("_")[0] == name]
        named = {t.partition("_")[2]: t for t in roles}
        made.append(Step(op, name, inputs, where, channels, attributes, named))
    return finished(made, tensors, features, rows)


def to_codes(low, high, *, zero_in=0, **factor):
    """Attributes of a requantization by one factor."""
    return {
        "zero_in": zero_in, "zero_point": 0, "low": low, "high": high, "bits": 8, "stages": [ONE | factor],
    }  # fmt: skip


def edited(imodel, op, n=0, **attributes):
    """The same program with other attributes at step number ``n`` of a kind."""
    steps = list(imodel.program.steps)
    k = [k for k, step in enumerate(steps) if step.op == op][n]
    steps[k] = replace(steps[k], attributes=steps[k].attributes | attributes)
    return IntegerModel(replace(imodel.program, steps=tuple(steps)))


def by_loops(imodel, graph, reason, *, foreseen=True):
    """Not planned, for that reason, and an estimate knows it before any table is made."""
    bound = check(imodel, graph, repeats=1)
    assert bound.backend == "numba" and reason in bound.reason, bound.reason
    if foreseen:
        said = imodel.estimate(graph)
        assert (said.backend, said.workspace_bytes) == ("numba", bound.workspace_bytes)


def whole(graph, width, low=-100, high=100):
    """The graph with features that are codes."""
    x = np.random.default_rng(3).integers(low, high, (graph.num_nodes, width), endpoint=True)
    return graph.replace(x=x.astype(np.float32), y=None, train_mask=None)


GRAPH = random_graph(30, 70)


@pytest.mark.parametrize(("dtype", "zero"), [(np.int16, 0), (np.int8, 3)])
def test_weights_of_16_bits_or_with_a_zero_point(dtype, zero):
    weight = np.random.default_rng(0).integers(-128, 127, (10, 4)).astype(dtype)
    step = ("matmul", "m", ("q",), "node", 4, {"zero_in": 0, "weight_zero": zero})
    imodel = program(10, step, m_weight=weight, m_bias=np.arange(4, dtype=np.int32))
    by_loops(imodel, whole(GRAPH, 10), "m: weights with a zero point, or of more than 8 bits")


@pytest.mark.parametrize("model", ["gat", "gin", "sage"])
def test_a_model_whose_weights_have_a_zero_point(model):
    """As prepared with ``weight_symmetric=False``: the estimate once promised a plan, in a ninth of the memory."""
    config = dq.QuantConfig.degree_quant(weight_granularity="per_tensor", weight_symmetric=False, weight_narrow=False)
    net = MODELS[model](10, 8, 3, num_layers=2, seed=0)
    imodel = dq.convert(dq.calibrate(dq.prepare(net, config), GRAPH))
    by_loops(imodel, GRAPH, "weights with a zero point, or of more than 8 bits")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("gcn", "edge_norm has no vector kernel"),
        ("gat", "rounded edge by edge"),
        ("sage", "weights with a zero point"),
    ],
)
def test_the_paper_layout(model, reason):
    imodel = trained(GRAPH, epochs=0, model=model, sites="paper")[1]
    by_loops(imodel, GRAPH, reason)


def test_no_kernel_of_the_product_is_right_here(monkeypatch):
    """Vector instructions that give wrong numbers are seen before they are used: the loops take over."""
    imodel = trained(GRAPH, epochs=0)[1]
    assert check(imodel, GRAPH, repeats=1).backend == "dot"
    monkeypatch.setattr(multiplying, "trusted_isa", lambda *case: None)
    imodel = IntegerModel(imodel.program)  # which has planned nothing yet
    by_loops(imodel, GRAPH, "no kernel of the matrix product gives right numbers on this machine", foreseen=False)


def test_sparse_codes_that_a_product_reads_with_another_zero_point():
    graph = random_graph(31, 40, "sparse")
    imodel = trained(graph, epochs=0, model="gcn", kind="sparse")[1]
    assert [step.op for step in imodel.program.steps[:2]] == ["quantize", "matmul"]
    by_loops(edited(imodel, "matmul", zero_in=17), graph, "another zero point than the entry's")


@pytest.mark.parametrize(("zero", "planned"), [(0, True), (9, False)])
def test_sparse_codes_in_a_residual_sum(zero, planned):
    """Written as dense rows around their zero point, which the sum has to take off again."""
    graph = random_graph(32, 40, "sparse")
    sums = ("neighbor_sum", "s", ("q",), "node", 10, {"zero_in": 0, "self_loops": "keep"})
    add = {
        "zero1": 0, "multiplier1": 1 << 29, "zero2": zero, "multiplier2": 1 << 28, "shift": 30, "zero_point": 0,
        "low": -128, "high": 127, "bits": 8,
    }  # fmt: skip
    imodel = program(
        10,
        sums,
        ("requantize", "c", ("s",), "node", 10, to_codes(-128, 127)),
        ("add", "a", ("c", "q"), "node", 10, add),
    )
    graph = graph.replace(x=graph.x.with_data(graph.x.data * np.float32(30)), y=None, train_mask=None)
    if planned:
        assert check(imodel, graph).backend == "dot"
    else:
        by_loops(imodel, graph, "q: read with another zero point than it has")


def test_an_attention_whose_logits_are_rounded_otherwise():
    imodel = trained(GRAPH, epochs=0, model="gat")[1]
    alpha = 1  # the second requantization, behind the feature's
    assert imodel.program.steps[6].site == "conv1.alpha"
    other = edited(imodel, "requantize", alpha, zero_in=1)
    by_loops(other, GRAPH, "logits that are rounded in more than one step")
    stage = imodel.program.steps[6].attributes["stages"][0]
    negative = edited(imodel, "requantize", alpha, stages=[stage | {"multiplier": -stage["multiplier"]}])
    by_loops(negative, GRAPH, "the multiplier of the logits is not one of quantize_multiplier's for a positive factor")


def test_own_codes_join_a_sum_that_has_a_zero_point():
    imodel = trained(GRAPH, epochs=0, model="gin")[1]
    assert [step.op for step in imodel.program.steps[3:6]] == ["neighbor_sum", "add_self", "requantize"]
    by_loops(edited(imodel, "requantize", 1, zero_in=300), GRAPH, "sums with a zero point")


def test_an_exit_that_takes_a_zero_point_off_int32():
    imodel = trained(GRAPH, epochs=0)[1]
    assert imodel.program.steps[-2].attributes["high"] == (1 << 31) - 1
    by_loops(edited(imodel, "dequantize", zero_in=3), GRAPH, "an exit that can leave 32 bits")


def test_a_residual_sum_beyond_32_bits():
    imodel = trained(GRAPH, epochs=0, residual=True)[1]
    by_loops(edited(imodel, "add", shift=1), GRAPH, "a residual sum that can leave 32 bits before its clamp")


def test_joined_registers_that_no_product_reads():
    first = ("requantize", "a", ("q",), "node", 3, to_codes(-128, 127, shift=31))
    joined = ("concat", "b", ("a", "q"), "node", 6, {})
    imodel = program(3, first, joined, ("requantize", "c", ("b",), "node", 6, to_codes(-128, 127)))
    graph = whole(GRAPH, 3)
    by_loops(imodel, graph, "b joins two registers and is read by something else than a matrix product")
    half = np.floor(graph.x / 2 + 0.5)
    assert np.array_equal(imodel(graph), np.concatenate([half, graph.x], axis=1))


def test_a_register_that_nobody_reads():
    first = ("requantize", "a", ("q",), "node", 3, to_codes(-128, 127, shift=31))
    imodel = program(3, first, ("requantize", "b", ("q",), "node", 3, to_codes(-128, 127)))
    by_loops(imodel, whole(GRAPH, 3), "a is never read")


def test_a_sum_beyond_32_bits_that_nothing_rounds():
    """16-bit codes times 8-bit weights over 600 columns: at least 2**31, straight to the exit."""
    weight = np.full((600, 2), 127, np.int8)
    step = ("matmul", "m", ("q",), "node", 2, {"zero_in": 0, "weight_zero": 0})
    imodel = program(600, step, bits=16, m_weight=weight, m_bias=np.zeros(2, np.int32))
    graph = dq.Graph.from_edge_index(NO_EDGES, x=np.full((3, 600), -32768, np.float32), num_nodes=3)
    by_loops(imodel, graph, "m: a sum on this graph can leave 32 bits")
    assert imodel(graph).tolist() == [[np.float32(-32768 * 127 * 600)] * 2] * 3


def test_a_product_of_halves_that_do_not_fit_32_bits_either():
    """45,000 columns of 16-bit codes: the product of the high bytes alone could leave int32."""
    width = 45_000
    weight = np.full((width, 1), 127, np.int8)
    steps = (
        ("matmul", "m", ("q",), "node", 1, {"zero_in": 0, "weight_zero": 0}),
        ("requantize", "c", ("m",), "node", 1, to_codes(-128, 127, shift=61)),
    )
    imodel = program(width, *steps, bits=16, m_weight=weight, m_bias=np.zeros(1, np.int32))
    graph = dq.Graph.from_edge_index(NO_EDGES, x=np.full((2, width), 32767, np.float32), num_nodes=2)
    by_loops(imodel, graph, "m: a sum on this graph can leave 32 bits")
    assert imodel(graph).tolist() == [[round(32767 * 127 * width / 2**31)]] * 2


def test_a_maximum_in_another_form_than_its_codes():
    """The maximum of 4-bit codes waits for a later phase, two of them a byte; its codes have a byte each."""
    data = random_batch(33, sizes=(9, 1, 17))[0]
    four = to_codes(-8, 7)
    add = {
        "zero1": 0, "multiplier1": 1 << 30, "zero2": 0, "multiplier2": 1 << 30, "shift": 30, "zero_point": 0,
        "low": -16, "high": 14, "bits": 8,
    }  # fmt: skip
    imodel = program(
        4,
        ("requantize", "n", ("q",), "node", 4, four),
        ("pool_max", "p", ("n",), "graph", 4, {"empty": 0}),
        ("neighbor_sum", "s", ("q",), "node", 4, {"zero_in": 0, "self_loops": "keep"}),
        ("requantize", "c", ("s",), "node", 4, four),
        ("pool_max", "r", ("c",), "graph", 4, {"empty": 0}),
        ("add", "a", ("p", "r"), "graph", 4, add),
        rows="graph", bits=4,
    )  # fmt: skip
    by_loops(imodel, whole(data, 4, -8, 7), "a maximum that is kept in another form than its codes")


def test_range_by_range_only_where_all_sums_fit(monkeypatch):
    """Parts whose hubs leave 32 bits: planned, but not range by range, where such a hub is not cut."""
    monkeypatch.setattr(ranges, "_LEAST", 20)
    monkeypatch.setattr(ranges, "_EDGES", 1 << 30)
    monkeypatch.setattr(layout, "_RANGE_BYTES", 20_000)

    def part(edges):
        indptr = np.append(0, np.full(40, edges, np.int64))  # all of them meet in the first row
        return dq.Graph(indptr, np.full(edges, 1, np.int32), np.full((40, 1), 32767, np.float32))

    sums = ("neighbor_sum", "s", ("q",), "node", 1, {"zero_in": 0, "self_loops": "keep"})
    imodel = program(1, sums, ("requantize", "c", ("s",), "node", 1, to_codes(-128, 127, shift=55)), bits=16)
    for edges, by_range in ((60_000, True), (70_000, False)):
        graph = batch([part(edges)] * 4).replace(graph_ptr=None)
        bound = check(imodel, graph, repeats=1)
        assert bound.backend == "dot" and isinstance(bound._plan.launch, RangeLaunch) is by_range
        assert imodel.estimate(graph).workspace_bytes == bound.workspace_bytes
        assert bound()[0, 0] == round(edges * 32767 / 2**25)


def test_sums_that_are_rounded_twice_before_they_are_codes():
    """A requantization to more than 16 bits, whose result the next one reads as a sum."""
    rows = np.array([[0], [1], [2]]) * np.ones((1, 3))
    graph = dq.Graph.from_edge_index(NO_EDGES, x=(rows * [1, -50, 60]).astype(np.float32), num_nodes=3)
    wide = to_codes(-(1 << 20), 1 << 20, shift=20) | {"zero_point": -5}
    imodel = program(
        3,
        ("requantize", "w", ("q",), "node", 3, wide),
        ("requantize", "c", ("w",), "node", 3, to_codes(-128, 127, shift=34)),
    )
    assert check(imodel, graph).backend == "dot"
    want = np.clip(np.floor((graph.x.astype(np.int64) * 1024 - 5) / 16 + 0.5), -128, 127)
    assert np.array_equal(imodel(graph), want) and {-128, 127, 0} < set(want.ravel())


def test_results_too_large_for_any_cache_are_written_past_it():
    """4 MB and more: as the smaller ones, to the byte, into memory of the caller too."""
    graph = dq.Graph.from_edge_index(NO_EDGES, x=np.zeros((350_001, 3), np.float32), num_nodes=350_001)
    graph = whole(graph, 3)
    imodel = program(3, ("requantize", "c", ("q",), "node", 3, to_codes(-128, 127)))
    assert check(imodel, graph, repeats=1).backend == "dot"
    assert np.array_equal(imodel(graph), graph.x)
