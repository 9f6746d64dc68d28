"""Each operation of a program as a function that binds it: bounds first, buffers next, and back comes a closure to
run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import GraphError, ModelFormatError, OverflowRiskError
from ..graph import SparseFeatures
from ..graph.normalize import gcn_coefficients
from ..quant import matmul_range, softmax_row_sum
from .binding import Binding
from .overflow import Register, check_stages, scaled_reach
from .program import Step

__all__ = ["build_step", "check_categories"]

Call = Callable[[], None]
_BINDERS: dict[str, Callable[[Binding, Step], Call]] = {}


def _binds(op: str) -> Callable:
    def register(function: Callable) -> Callable:
        _BINDERS[op] = function
        return function

    return register


def build_step(b: Binding, step: Step) -> Call:
    """The closure that runs ``step`` on the buffers of ``b``."""
    return _BINDERS[step.op](b, step)


@_binds("quantize")
def _quantize(b: Binding, step: Step) -> Call:
    """Entry: q = clip(rint(x * (1 / scale) + zero_point)) in float32, one operation after the other, then minus
    the offset.
    """
    a = step.attributes
    inverse, zero = np.float32(1.0 / a["scale"]), np.float32(a["zero_point"])
    low, high = a["qmin"] - a["offset"], a["qmax"] - a["offset"]
    factor = None if a["row_factor"] is None else b.factor(a["row_factor"]).astype(np.float32)
    if isinstance(b.x, SparseFeatures):
        dtype = np.int8 if a["qmax"] - a["qmin"] < 256 else np.int16
        register = b.registers[step.output] = Register(b.buffer((b.x.nnz,), dtype), low, high, sparse=b.x)
    else:
        register, dtype = None, b.codes(step, low, high).dtype

    def codes(values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # what leaves float32 goes to an end code
            q = np.clip(np.rint(values * inverse + zero), np.float32(a["qmin"]), np.float32(a["qmax"]))
        return (q - np.float32(a["offset"])).astype(dtype)

    def run_sparse() -> None:
        data = b.x.data if factor is None else b.x.data * factor[b.x.row_ids]
        register.sparse, register.array = b.x, codes(data)

    def run_dense() -> None:
        b.registers[step.output].array[...] = codes(b.x if factor is None else b.x * factor[:, None])

    return run_dense if register is None else run_sparse


@_binds("lookup")
def _lookup(b: Binding, step: Step) -> Call:
    table = b.constant(step, "table")
    check_categories(b.x, table)
    out = b.codes(step, step.attributes["low"], step.attributes["high"])
    return lambda: b.backend.gather_rows(table, b.x, out)


def check_categories(x: np.ndarray, table: np.ndarray) -> None:
    """Raise GraphError where a category of ``x`` has no row in ``table``."""
    if x.size and int(x.max()) >= len(table):
        raise GraphError(f"The graph has category {int(x.max())}; the model knows 0 to {len(table) - 1}.")


@_binds("matmul")
def _matmul(b: Binding, step: Step) -> Call:
    a, source = step.attributes, b.registers[step.inputs[0]]
    weight, bias = b.constant(step, "weight"), b.constant(step, "bias")
    zero, weight_zero = a["zero_in"], a["weight_zero"]
    span = matmul_range(weight, source.low - zero, source.high - zero, weight_zero_point=weight_zero, bias=bias)
    out = b.accumulator(step, *span)
    if source.sparse is not None:
        return lambda: b.backend.sparse_matmul(
            source.sparse.indptr, source.sparse.indices, source.array, zero, weight, weight_zero, bias, out
        )
    # sum (q - Z)(w - Zw) + b: the part that no activation touches folds into the bias, out of the inner loop.
    columns = weight.astype(np.int64).sum(axis=0)
    folded = bias.astype(np.int64) - zero * columns + len(weight) * zero * weight_zero
    if out.dtype == np.int32:
        folded = folded.astype(np.int32)  # modulo 2**32: only the whole sum has to fit, and it does
    return lambda: b.backend.matmul(source.array, weight, folded, weight_zero, out)


def _sum_range(counts: np.ndarray, source: Register, zero: int) -> tuple[int, int]:
    """Bounds of a sum of at most ``max(counts)`` codes less their zero point."""
    longest = int(counts.max(initial=0))
    return min(0, longest * (source.low - zero)), max(0, longest * (source.high - zero))


@_binds("neighbor_sum")
def _neighbor_sum(b: Binding, step: Step) -> Call:
    a, source = step.attributes, b.registers[step.inputs[0]]
    adjacency = b.graph.adjacency(a["self_loops"])
    zero = a["zero_in"]
    out = b.accumulator(step, *_sum_range(adjacency.in_degree, source, zero), adjacency.in_degree)
    if source.sparse is not None:
        return lambda: b.backend.sparse_neighbor_sum(
            adjacency.indptr, adjacency.indices, source.sparse.indptr, source.sparse.indices, source.array, zero, out
        )
    return lambda: b.backend.neighbor_sum(adjacency.indptr, adjacency.indices, source.array, zero, out)


@_binds("add_self")
def _add_self(b: Binding, step: Step) -> Call:
    """out = round(sum * gain_i) + self_weight * (q_i - zero): the self term of GIN and of GraphSAGE, in units of
    2**-guard.
    """
    a = step.attributes
    total, own = b.registers[step.inputs[0]], b.registers[step.inputs[1]]
    multiplier, shift = b.row_multiplier(a["multiplier"], a["shift"], a["row_factor"])
    gain = scaled_reach(total, np.ldexp(multiplier.astype(np.float64), -shift))
    ends = [a["self_weight"] * (own.low - a["zero_in"]), a["self_weight"] * (own.high - a["zero_in"])]
    out = b.accumulator(
        step, int(np.floor(total.low * gain)) - 1 + min(0, *ends), int(np.ceil(total.high * gain)) + 1 + max(0, *ends)
    )
    own_codes = b.dense(step.inputs[1], a["zero_in"])
    return lambda: b.backend.add_self(total.array, multiplier, shift, own_codes(), a["zero_in"], a["self_weight"], out)


@_binds("columns")
def _columns(b: Binding, step: Step) -> Call:
    source, start = b.registers[step.inputs[0]], step.attributes["start"]
    out = b.codes(step, source.low, source.high)
    return lambda: np.copyto(out, source.array[:, start : start + step.channels])


@_binds("concat")
def _concat(b: Binding, step: Step) -> Call:
    first, second = (b.registers[name] for name in step.inputs)
    out = b.codes(step, min(first.low, second.low), max(first.high, second.high))
    # Both halves share one quantizer; sparse codes of the second half are written out around its zero point.
    entry = next((s for s in b.program.steps if s.output == step.inputs[1] and s.op == "quantize"), None)
    zero = 0 if entry is None else entry.attributes["zero_point"] - entry.attributes["offset"]
    left, right = b.dense(step.inputs[0], zero), b.dense(step.inputs[1], zero)
    width = first.array.shape[1]

    def run() -> None:
        out[:, :width] = left()
        out[:, width:] = right()

    return run


@_binds("requantize")
def _requantize(b: Binding, step: Step) -> Call:
    a, source = step.attributes, b.registers[step.inputs[0]]
    multipliers, shifts, biases = [], [], []
    for i, stage in enumerate(a["stages"]):
        if f"multipliers{i}" in step.tensors:
            m, s = (b.constant(step, f"{role}{i}").astype(np.int64)[None, :] for role in ("multipliers", "shifts"))
        else:
            m, s = b.row_multiplier(stage["multiplier"], stage["shift"], stage["row_factor"])
        multipliers.append(m)
        shifts.append(s)
        has_bias = f"bias{i}" in step.tensors
        biases.append(
            b.constant(step, f"bias{i}").astype(np.int64)[None, :] if has_bias else np.zeros((1, 1), np.int64)
        )
    check_stages(step, source, list(zip(multipliers, shifts, biases, strict=True)))
    out = b.codes(step, a["low"], a["high"])
    dense = b.dense(step.inputs[0], a["zero_in"])
    m, s, c = tuple(multipliers), tuple(shifts), tuple(biases)
    return lambda: b.backend.requantize(dense(), a["zero_in"], m, s, c, a["zero_point"], a["low"], a["high"], out)


@_binds("edge_norm")
def _edge_norm(b: Binding, step: Step) -> Call:
    """GCN's d_i^-1/2 w d_j^-1/2 as codes. It depends on the graph alone, so it is made once, here."""
    a, adjacency = step.attributes, b.graph.adjacency("add")
    values = gcn_coefficients(adjacency)
    q = np.clip(np.rint(values * np.float32(1.0 / a["scale"]) + np.float32(a["zero_point"])), a["qmin"], a["qmax"])
    out = b.codes(step, a["qmin"] - a["offset"], a["qmax"] - a["offset"])
    if out.flags.writeable:
        out[:, 0] = (q - a["offset"]).astype(out.dtype)
    return lambda: None


@_binds("edge_product")
def _edge_product(b: Binding, step: Step) -> Call:
    a, adjacency = step.attributes, b.graph.adjacency("add")
    coefficient, source = (b.registers[name] for name in step.inputs)
    corners = [
        (c - a["coefficient_zero"]) * (q - a["zero_in"])
        for c in (coefficient.low, coefficient.high)
        for q in (source.low, source.high)
    ]
    out = b.accumulator(step, min(corners), max(corners))
    return lambda: b.backend.edge_product(
        adjacency.indices, coefficient.array, a["coefficient_zero"], source.array, a["zero_in"], out
    )


@_binds("edge_sum")
def _edge_sum(b: Binding, step: Step) -> Call:
    adjacency, source, zero = b.graph.adjacency("add"), b.registers[step.inputs[0]], step.attributes["zero_in"]
    out = b.accumulator(step, *_sum_range(adjacency.in_degree, source, zero), adjacency.in_degree)
    return lambda: b.backend.edge_sum(adjacency.indptr, source.array, zero, out)


@_binds("edge_logits")
def _edge_logits(b: Binding, step: Step) -> Call:
    adjacency = b.graph.adjacency("add")
    target, source = (b.registers[name] for name in step.inputs)
    out = b.accumulator(step, target.low + source.low, target.high + source.high)
    if out.dtype != np.int32:
        raise OverflowRiskError(f"{step.output}: attention logits could leave int32. Use fewer hidden channels a head.")
    return lambda: b.backend.edge_logits(adjacency.indptr, adjacency.indices, target.array, source.array, out)


@_binds("edge_softmax")
def _edge_softmax(b: Binding, step: Step) -> Call:
    adjacency, codes, a = b.graph.adjacency("add"), b.registers[step.inputs[0]], step.attributes
    mantissa, exponent = b.constant(step, "mantissa"), b.constant(step, "exponent")
    if len(mantissa) < codes.high - a["low"] + 1 or len(exponent) != len(mantissa) or codes.low < a["low"]:
        raise ModelFormatError(
            f"{step.output}: its table has {len(mantissa)} entries, the codes need more. Save the model again."
        )
    out = b.buffer((b.count("edge"), step.channels), np.int32)
    b.registers[step.output] = Register(out, 0, 1 << a["bits"])
    return lambda: b.backend.edge_softmax(adjacency.indptr, codes.array, mantissa, exponent, a["low"], a["bits"], out)


@_binds("weighted_neighbor_sum")
def _weighted_neighbor_sum(b: Binding, step: Step) -> Call:
    a, adjacency = step.attributes, b.graph.adjacency("add")
    coefficient, source = (b.registers[name] for name in step.inputs)
    total = softmax_row_sum(int(adjacency.in_degree.max(initial=0)), a["bits"])
    zero = a["zero_in"]
    out = b.accumulator(step, min(0, total * (source.low - zero)), max(0, total * (source.high - zero)))
    return lambda: b.backend.weighted_neighbor_sum(
        adjacency.indptr, adjacency.indices, coefficient.array, 0, source.array, zero, out
    )


@_binds("head_sum")
def _head_sum(b: Binding, step: Step) -> Call:
    heads, source = step.attributes["heads"], b.registers[step.inputs[0]]
    out = b.accumulator(step, heads * source.low, heads * source.high)
    shape = (len(out), heads, step.channels)
    return lambda: np.sum(source.array.reshape(shape), axis=1, dtype=out.dtype, out=out)


@_binds("add")
def _add(b: Binding, step: Step) -> Call:
    a = step.attributes
    out = b.codes(step, a["low"], a["high"])
    first, second = b.dense(step.inputs[0], a["zero1"]), b.dense(step.inputs[1], a["zero2"])
    return lambda: b.backend.add(
        first(), a["zero1"], a["multiplier1"], second(), a["zero2"], a["multiplier2"], a["shift"],
        a["zero_point"], a["low"], a["high"], out,
    )  # fmt: skip


@_binds("pool_sum")
def _pool_sum(b: Binding, step: Step) -> Call:
    source, zero = b.registers[step.inputs[0]], step.attributes["zero_in"]
    sizes = np.diff(b.graph_ptr)
    out = b.accumulator(step, *_sum_range(sizes, source, zero), sizes)
    return lambda: b.backend.segment_sum(b.graph_ptr, source.array, zero, out)


@_binds("pool_max")
def _pool_max(b: Binding, step: Step) -> Call:
    source = b.registers[step.inputs[0]]
    out = b.codes(step, source.low, source.high)
    return lambda: b.backend.segment_max(b.graph_ptr, source.array, step.attributes["empty"], out)


@_binds("dequantize")
def _dequantize(b: Binding, step: Step) -> Call:
    """Exit: float32(q - zero) * scale, the only float step behind the entry."""
    source, zero = b.registers[step.inputs[0]], step.attributes["zero_in"]
    scale = np.asarray(step.attributes["scale"], np.float32)
    out = b.buffer((b.count(step.rows), step.channels), np.float32)
    b.registers[step.output] = Register(out, 0, 0)

    def run() -> None:
        integers = source.array if zero == 0 else source.array.astype(np.int64) - zero
        np.multiply(integers.astype(np.float32), scale, out=out)

    return run
