"""Codes that attain an accumulator's bound exactly, against Python integers; and what one edge more does.

Sums of 8-bit codes, as the fused layout has them: a product of 66,000 columns, a hub of 8.4 million edges, attention
whose rounded coefficients all round up, and the steps that refuse a graph rather than leave 62 bits or saturate.
"""

from __future__ import annotations

import numpy as np
import pytest

import dqnumba as dq
from dqnumba.infer import BoundModel, IntegerModel, Program, Step, choose_backend

LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1
BACKENDS = ("reference", "numba", "dot")
SPAN = 255  # of q - zero point


def entry(features, zero):
    """Codes of 8 bits with that zero point, one a unit."""
    attributes = {"scale": 1.0, "zero_point": zero, "qmin": -128, "qmax": 127, "offset": 0, "row_factor": None}
    return Step("quantize", "q", ("x",), "node", features, attributes)


def model(features, *steps, tensors=None):
    """Steps from the entry on, and an exit that reads the last one."""
    last = steps[-1]
    exit_ = Step("dequantize", "out", (last.output,), last.rows, last.channels, {"zero_in": 0, "scale": 1.0})
    sizes = {"in_channels": features, "hidden_channels": 1, "out_channels": last.channels, "num_layers": 1}
    meta = {
        "num_features": features, "out_channels": last.channels, "task_rows": "node", "embedding": False,
        "model": {"kind": "GCN", **sizes},
        "quantization": {"method": "ptq", "weight_bits": 8, "activation_bits": 8, "sites": "fused"},
    }  # fmt: skip
    return IntegerModel(Program((*steps, exit_), tensors or {}, meta))


def hub(edges, x):
    """All edges end in node 0; their sources are the others, again and again."""
    nodes = len(x)
    indices = np.sort(np.arange(edges, dtype=np.int32) % (nodes - 1) + 1)
    return dq.Graph(np.append(0, np.full(nodes, edges)), indices, x)


def register(imodel, graph, name):
    """A register by the loops and by the reference, and the logits by the plan; all equal."""
    bound = {backend: BoundModel(imodel.program, graph, choose_backend(backend)) for backend in BACKENDS}
    logits = {backend: b().tobytes() for backend, b in bound.items()}
    assert logits["dot"] == logits["numba"] == logits["reference"]
    first, second = (bound[b].binding.registers[name] for b in ("reference", "numba"))
    assert np.array_equal(first.array, second.array) and first.array.dtype == second.array.dtype
    return first


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("low_end", [False, True])
def test_the_longest_product_that_int32_holds(low_end, more):
    """255 * 127 a column: 66,310 of them fit; one more takes the exact path of 64 bits."""
    columns = HIGHEST // (SPAN * 127) + more
    zero = 127 if low_end else -128
    weight = np.full((columns, 2), 127, np.int8)
    weight[:, 1] = -127
    step = Step("matmul", "m", ("q",), "node", 2, {"zero_in": zero, "weight_zero": 0}, {"weight": "w", "bias": "b"})
    imodel = model(columns, entry(columns, zero), step, tensors={"w": weight, "b": np.zeros(2, np.int32)})
    x = np.full((3, columns), -SPAN if low_end else SPAN, np.float32)
    x[1] = 0.0
    x[2, ::2] = 0.0
    found = register(imodel, dq.Graph.from_edge_index(np.zeros((2, 0), int), x=x), "m")
    assert found.array.dtype == (np.int64 if more else np.int32)
    sign = -1 if low_end else 1
    rows = [columns, 0, columns // 2]
    assert found.array.tolist() == [[sign * n * SPAN * 127, -sign * n * SPAN * 127] for n in rows]
    assert (found.low, found.high) == (-columns * SPAN * 127, columns * SPAN * 127)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("low_end", [False, True])
def test_the_largest_hub_that_int32_holds(low_end, more):
    """8,421,504 edges of 255 each fit; one more takes the exact path of 64 bits."""
    edges = HIGHEST // SPAN + more
    zero = 127 if low_end else -128
    total = Step("neighbor_sum", "s", ("q",), "node", 1, {"zero_in": zero, "self_loops": "keep"})
    imodel = model(1, entry(1, zero), total)
    graph = hub(edges, np.full((50, 1), -SPAN if low_end else SPAN, np.float32))
    found = register(imodel, graph, "s")
    assert found.array.dtype == (np.int64 if more else np.int32)
    assert found.array[0, 0] == (-1 if low_end else 1) * edges * SPAN and not found.array[1:].any()
    assert found.array[0, 0] in (found.low, found.high)


@pytest.mark.parametrize("bits", [8, 15])
@pytest.mark.parametrize("less", [0, 1, -1])
def test_attention_whose_coefficients_all_round_up(bits, less):
    """Half a unit for each of 2**(bits + 1) edges: the rounded row adds up to twice what it should, its bound."""
    # Attention adds a loop to every node, so the row is one longer than the hub.
    degree = (2 << bits) - less
    sides = [
        Step("matmul", name, ("q",), "node", 1, {"zero_in": 127, "weight_zero": 0}, {"weight": "w", "bias": "b"})
        for name in ("target", "source")
    ]
    one = {"multiplier": 1 << 30, "shift": 30, "row_factor": None, "bias": False}
    rounded = {"zero_in": 0, "zero_point": 0, "low": -128, "high": 127, "bits": 8, "stages": [one]}
    copied = {**rounded, "zero_in": 127, "zero_point": 127}
    steps = (
        entry(1, 127), Step("requantize", "h", ("q",), "node", 1, copied), *sides,
        Step("edge_logits", "l", ("target", "source"), "edge", 1),
        Step("requantize", "c", ("l",), "edge", 1, rounded),
        Step("edge_softmax", "a", ("c",), "edge", 1, {"low": -128, "bits": bits}, {"mantissa": "m", "exponent": "e"}),
        Step("weighted_neighbor_sum", "s", ("a", "h"), "node", 1, {"zero_in": 127, "bits": bits}),
    )  # fmt: skip
    tensors = {"w": np.zeros((1, 1), np.int8), "b": np.zeros(1, np.int32)}
    tensors |= {"m": np.full(256, 1 << 30, np.int64), "e": np.zeros(256, np.int64)}
    graph = hub(degree - 1, np.full((9, 1), -SPAN, np.float32))
    found = register(model(1, *steps, tensors=tensors), graph, "s")
    coefficient = ((1 << 30 << bits) + ((degree << 30) // 2)) // (degree << 30)  # of each edge, in Python integers
    assert coefficient == (0 if less < 0 else 1)
    assert found.array[0, 0] == -SPAN * coefficient * degree
    if not less:
        assert found.array[0, 0] == found.low == -SPAN * ((1 << bits) + degree // 2)
    assert found.array[1:, 0].tolist() == [-SPAN << bits] * 8


@pytest.mark.parametrize("more", [0, 1])
def test_logits_that_attain_int32(more):
    """Attention has no wider path: at the last int32 it runs, one beyond it is refused."""
    sides = [
        Step("matmul", name, ("q",), "node", 1, {"zero_in": 0, "weight_zero": 0}, {"weight": "w", "bias": name})
        for name in ("target", "source")
    ]
    logits = Step("edge_logits", "l", ("target", "source"), "edge", 1)
    stages = [{"multiplier": 1 << 30, "shift": 54, "row_factor": None, "bias": False}]
    attributes = {"zero_in": 0, "zero_point": 0, "low": -128, "high": 127, "bits": 8, "stages": stages}
    steps = (entry(1, 0), *sides, logits, Step("requantize", "c", ("l",), "edge", 1, attributes),
             Step("edge_sum", "s", ("c",), "node", 1, {"zero_in": 0}))  # fmt: skip
    bias = {"target": np.array([1 << 30], np.int32), "source": np.array([(1 << 30) - 1 + more], np.int32)}
    imodel = model(1, *steps, tensors={"w": np.zeros((1, 1), np.int8), **bias})
    graph = hub(4, np.zeros((5, 1), np.float32))
    if more:
        for backend in BACKENDS:
            with pytest.raises(dq.OverflowRiskError, match=r"logits could leave int32.*fewer hidden channels"):
                imodel.bind(graph, backend=backend)
        return
    found = register(imodel, graph, "l")
    assert set(found.array[:, 0].tolist()) == {HIGHEST} and found.high == HIGHEST


def last_that_binds(imodel, graph_of, most):
    """The largest hub that is accepted, by bisection; the next one is refused by every backend."""
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        try:
            imodel.bind(graph_of(middle), backend="numba")
            low = middle
        except dq.OverflowRiskError:
            high = middle
    for backend in BACKENDS:
        imodel.bind(graph_of(low), backend=backend)
        with pytest.raises(dq.OverflowRiskError):
            imodel.bind(graph_of(low + 1), backend=backend)
    return low


def test_the_last_hub_before_62_bits():
    """Sums of 16-bit codes times 2**30 beside the node's own: exact up to 2**61, and refused beyond."""
    span, own = 65535, {"multiplier": (1 << 31) - 1, "shift": 1, "row_factor": None, "zero_in": -32768}
    wide = {"scale": 1.0, "zero_point": -32768, "qmin": -32768, "qmax": 32767, "offset": 0, "row_factor": None}
    imodel = model(
        1, Step("quantize", "q", ("x",), "node", 1, wide),
        Step("neighbor_sum", "s", ("q",), "node", 1, {"zero_in": -32768, "self_loops": "keep"}),
        Step("add_self", "t", ("s", "q"), "node", 1, own | {"self_weight": 300}),
    )  # fmt: skip
    x = np.full((30, 1), span, np.float32)
    degree = last_that_binds(imodel, lambda d: hub(d, x), 100_000)
    found = register(imodel, hub(degree, x), "t")
    exact = (degree * span * ((1 << 31) - 1) + 1 >> 1) + 300 * span
    assert found.array[:, 0].tolist() == [exact] + [300 * span] * 29
    assert exact <= found.high < 1 << 61 <= exact + (span << 30)


@pytest.mark.parametrize("gain", [7, 9])
def test_the_last_hub_before_a_saturation_would_show(gain):
    """A sum times 2**gain, then down again beside a bias: a saturation at int32 in between would be seen."""
    stages = [
        {"multiplier": 1 << 30, "shift": 30 - gain, "row_factor": None, "bias": False},
        {"multiplier": 1 << 30, "shift": 52, "row_factor": None, "bias": True},
    ]
    attributes = {"zero_in": 0, "zero_point": 0, "low": -128, "high": 127, "bits": 8, "stages": stages}
    bias = -500
    imodel = model(
        1, entry(1, -128), Step("neighbor_sum", "s", ("q",), "node", 1, {"zero_in": -128, "self_loops": "keep"}),
        Step("requantize", "t", ("s",), "node", 1, attributes, {"bias1": "b"}),
        tensors={"b": np.array([bias], np.int32)},
    )  # fmt: skip
    x = np.full((30, 1), SPAN, np.float32)
    degree = last_that_binds(imodel, lambda d: hub(d, x), 200_000)
    assert degree == HIGHEST // (SPAN << gain)  # the last whose scaled sum is an int32
    for d in (degree, degree - 1, degree // 2, 1):
        found = register(imodel, hub(d, x), "t")
        exact = ((d * SPAN << gain) + (1 << 21) >> 22) + bias
        assert found.array[0, 0] == min(max(exact, -128), 127), d
