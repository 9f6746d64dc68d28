"""Lowering rules: each layer's forward pass of ``nn`` told once more in steps of the integer program.

Every function reads beside the layer's ``propagate``: the same plans, the same sites, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .. import nn
from ..nn.gin_conv import EPS_BITS
from ..qat.sites import COEFFICIENT_BITS, TIE_NUDGE
from .builder import Builder, Value
from .softmax_table import exponential_table
from .stages import GUARD_BITS

__all__ = ["enter", "lower_conv", "lower_linear"]


def enter(b: Builder, prefix: str, conv: nn.Module, value: Value) -> Value:
    """The input of a convolution as codes (``conv.enter``)."""
    if f"{prefix}input" not in b.qmodel.quantizers:
        return b.clamped(value)
    row = "gcn" if isinstance(conv, nn.GCNConv) and conv.plan == "aggregate_first" else None
    return b.round_at(f"{prefix}input", value, row=row)


def lower_conv(b: Builder, prefix: str, conv: nn.Module, value: Value) -> Value:
    """A convolution from its input's codes to its output (``conv.propagate``)."""
    return _RULES[type(conv)](b, prefix, conv, value)


def lower_linear(b: Builder, prefix: str, layer: nn.Linear, value: Value) -> Value:
    """input site, product, and the feature site where the layout has one."""
    value = b.round_at(f"{prefix}input", value)
    y = b.matmul(f"{prefix}weight", value, layer.weight.data, layer.bias.data)
    return b.round_at(f"{prefix}feature", y) if f"{prefix}feature" in b.qmodel.quantizers else y


def _neighbor_sum(b: Builder, value: Value, self_loops: str, row: str | None) -> Value:
    register = b.emit(
        "neighbor_sum", (value.register,), "node", value.channels, zero_in=value.zero, self_loops=self_loops
    )
    return Value(register, "node", value.channels, scale=value.scale, row=row)


def _edge_sum(b: Builder, message: Value) -> Value:
    register = b.emit("edge_sum", (message.register,), "node", message.channels, zero_in=message.zero)
    return Value(register, "node", message.channels, scale=message.scale)


def _edge_product(b: Builder, coefficient: Value, value: Value) -> Value:
    register = b.emit(
        "edge_product", (coefficient.register, value.register), "edge", value.channels,
        coefficient_zero=coefficient.zero,
        zero_in=value.zero,
    )  # fmt: skip
    return Value(register, "edge", value.channels, scale=coefficient.scale * value.scale)


def _add_self(b: Builder, total: Value, own: Value, weight: int, row: str | None, bits: int) -> Value:
    """sum * row + weight * own, both at own's scale, in units of 2**-bits; ``weight`` is in those units."""
    register = b.emit(
        "add_self", (total.register, own.register), "node", own.channels, multiplier=1 << 30, shift=30 - bits,
        row_factor=row, zero_in=own.zero, self_weight=int(weight),
    )  # fmt: skip
    return Value(register, "node", own.channels, scale=own.scale / 2.0**bits, step=own.scale)


def _with_bias(value: Value, bias: np.ndarray) -> Value:
    return replace(value, bias=bias.astype(np.float64))


def _gcn(b: Builder, prefix: str, conv: nn.GCNConv, value: Value) -> Value:
    if conv.plan == "aggregate_first":
        total = b.round_at(f"{prefix}aggregate", _neighbor_sum(b, value, "add", "gcn"))
        return b.matmul(f"{prefix}weight", total, conv.weight.data, conv.bias.data)
    h = b.matmul(f"{prefix}weight", value, conv.weight.data)
    if conv.plan == "transform_first":
        h = b.round_at(f"{prefix}feature", h, row="gcn")
        return _with_bias(_neighbor_sum(b, h, "add", "gcn"), conv.bias.data)
    h = b.round_at(f"{prefix}feature", h)
    norm = _edge_norm(b, f"{prefix}norm")
    message = b.round_at(f"{prefix}message", _edge_product(b, norm, h))
    y = b.round_at(f"{prefix}aggregate", _edge_sum(b, message))
    return b.round_at(f"{prefix}update", _with_bias(y, conv.bias.data))


def _edge_norm(b: Builder, site: str) -> Value:
    qparams = b.qmodel.quantizers[site].qparams(None)  # of the tracked range
    spec = qparams.spec
    register = b.emit(
        "edge_norm", (), "edge", 1, site=site, scale=float(qparams.scale), zero_point=int(qparams.zero_point),
        qmin=spec.qmin, qmax=spec.qmax, offset=spec.storage_offset,
    )  # fmt: skip
    return Value(register, "edge", 1, scale=float(qparams.scale), zero=int(qparams.stored_zero_point))


def _gat(b: Builder, prefix: str, conv: nn.GATConv, value: Value) -> Value:
    heads, width = conv.heads, conv.out_channels
    h = b.round_at(f"{prefix}feature", b.matmul(f"{prefix}weight", value, conv.weight.data))
    codes, scale, zero = b.weight_codes(f"{prefix}attention", conv.attention.data)
    # Row of scores: target first, then source, as edge_logits wants them.
    scores = [_scores(b, h, codes[which], scale, zero, heads, f"{prefix}attention") for which in (1, 0)]
    register = b.emit("edge_logits", tuple(s.register for s in scores), "edge", heads)
    logits = b.round_at(f"{prefix}alpha", Value(register, "edge", heads, scale=h.scale * scale))
    mantissa, exponent = exponential_table(b.qparams(f"{prefix}alpha"), conv.negative_slope)
    register = b.emit(
        "edge_softmax", (logits.register,), "edge", heads, site=f"{prefix}coefficient", low=logits.codes[0],
        bits=COEFFICIENT_BITS, tensors={"mantissa": mantissa, "exponent": exponent},
    )  # fmt: skip
    alpha = Value(register, "edge", heads, scale=2.0**-COEFFICIENT_BITS)
    if conv.plan == "edgewise":
        message = b.round_at(f"{prefix}message", _edge_product(b, alpha, h))
        y = b.round_at(f"{prefix}aggregate", _edge_sum(b, message))
    else:
        register = b.emit(
            "weighted_neighbor_sum",
            (alpha.register, h.register),
            "node",
            h.channels,
            zero_in=h.zero,
            bits=COEFFICIENT_BITS,
        )
        y = Value(register, "node", h.channels, scale=h.scale * alpha.scale, step=h.scale)
    if not conv.concat:
        y = _centred(b, y)
        register = b.emit("head_sum", (y.register,), "node", width, heads=heads)
        y = Value(register, "node", width, scale=y.scale / heads, step=y.step or y.scale)
    y = _with_bias(y, conv.bias.data)
    return b.round_at(f"{prefix}update", y) if conv.plan == "edgewise" else y


def _centred(b: Builder, value: Value) -> Value:
    """Codes minus their zero point, so that they can be summed over heads; sums need nothing."""
    if value.zero == 0:
        return value
    low, high = value.codes
    stages = [{"multiplier": 1 << 30, "shift": 30, "row_factor": None, "bias": False}]
    register = b.emit(
        "requantize", (value.register,), value.rows, value.channels, zero_in=value.zero, zero_point=0,
        low=low - value.zero,
        high=high - value.zero, bits=16, stages=stages,
    )  # fmt: skip
    return replace(value, register=register, zero=0, codes=(low - value.zero, high - value.zero))


def _scores(b: Builder, h: Value, codes: np.ndarray, scale: float, zero: int, heads: int, site: str) -> Value:
    """a . h per head as one product with a block-diagonal matrix; outside its blocks stands the code of zero."""
    width = h.channels // heads
    matrix = np.full((h.channels, heads), zero, codes.dtype)
    for head in range(heads):
        rows = slice(head * width, (head + 1) * width)
        matrix[rows, head] = codes[rows]
    return b.matmul_codes(h, matrix, scale, zero, None, site)


def _gin(b: Builder, prefix: str, conv: nn.GINConv, value: Value) -> Value:
    self_weight = int(np.floor((1.0 + float(conv.eps.data[0])) * 2.0**EPS_BITS + 0.5))
    if conv.plan == "edgewise":
        message = b.round_at(f"{prefix}message", value)
        total = b.round_at(f"{prefix}aggregate", _neighbor_sum(b, message, "remove", None))
        z = b.add(f"{prefix}lin1.input", value, total, gain=self_weight / 2.0**EPS_BITS)
        y = b.matmul(f"{prefix}lin1.weight", z, conv.lin1.weight.data, conv.lin1.bias.data)
        if f"{prefix}lin1.feature" in b.qmodel.quantizers:
            y = b.round_at(f"{prefix}lin1.feature", y)
        return lower_linear(b, f"{prefix}lin2.", conv.lin2, y.with_relu())
    if conv.plan == "transform_first":
        h = b.round_at(f"{prefix}feature", b.matmul(f"{prefix}lin1.weight", value, conv.lin1.weight.data))
        z = _add_self(b, _neighbor_sum(b, h, "remove", None), h, self_weight, None, EPS_BITS)
        y = _with_bias(z, conv.lin1.bias.data)
    else:
        z = _add_self(b, _neighbor_sum(b, value, "remove", None), value, self_weight, None, EPS_BITS)
        y = lower_linear(b, f"{prefix}lin1.", conv.lin1, z)
    return lower_linear(b, f"{prefix}lin2.", conv.lin2, y.with_relu())


def _sage(b: Builder, prefix: str, conv: nn.SAGEConv, value: Value) -> Value:
    left, right, width = conv.weight_l.data, conv.weight_r.data, conv.out_channels
    if conv.plan == "transform_first":
        h = b.matmul(f"{prefix}weight", value, np.concatenate([left, right], axis=1))
        h = b.round_at(f"{prefix}feature", h)
        sides = [
            replace(h, register=b.emit("columns", (h.register,), "node", width, start=start), channels=width)
            for start in (0, width)
        ]
        y = _add_self(b, _neighbor_sum(b, sides[0], "keep", None), sides[1], 1 << GUARD_BITS, "mean", GUARD_BITS)
        return _with_bias(y, conv.bias.data)
    if conv.plan == "aggregate_first":
        # Means of codes on the grid of the same codes: ties are lifted off by TIE_NUDGE of a code, in training too.
        mean = _with_bias(_neighbor_sum(b, value, "keep", "mean"), np.full(value.channels, value.scale * TIE_NUDGE))
        mean = b.round_at(f"{prefix}input", mean, name=f"{prefix}aggregate")
        both = b.emit("concat", (mean.register, value.register), "node", 2 * value.channels)
        both = replace(value, register=both, channels=2 * value.channels)
        return b.matmul(f"{prefix}weight", both, np.concatenate([left, right]), conv.bias.data)
    message = b.round_at(f"{prefix}message", value)
    mean = b.round_at(f"{prefix}aggregate", _neighbor_sum(b, message, "keep", "mean"))
    y = b.round_at(f"{prefix}feature_l", b.matmul(f"{prefix}weight_l", mean, left, conv.bias.data))
    root = b.round_at(f"{prefix}feature_r", b.matmul(f"{prefix}weight_r", value, right))
    return b.add(f"{prefix}update", y, root)


_RULES: dict[type, Callable[[Builder, str, nn.Module, Value], Value]] = {
    nn.GCNConv: _gcn,
    nn.GATConv: _gat,
    nn.GINConv: _gin,
    nn.SAGEConv: _sage,
}
