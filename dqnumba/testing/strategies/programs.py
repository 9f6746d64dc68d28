"""A hypothesis strategy for integer programs: chains of steps that no trained model would come up with, all legal."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...infer.program import Program, Step

__all__ = ["programs"]


class _Builder:
    """Steps, constants and registers of a program that is being drawn. A register is (rows, channels, zero point)."""

    def __init__(self, draw: st.DrawFn, in_channels: int, max_channels: int, planned: bool) -> None:
        self.draw = draw
        self.max_channels, self.planned = max_channels, planned
        self.steps: list[Step] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.codes: dict[str, tuple[str, int, int]] = {}  # what any step may read
        self.in_channels = in_channels

    def emit(
        self, op: str, inputs: tuple[str, ...], rows: str, channels: int, tensors: dict | None = None, **attributes
    ) -> str:
        output = f"r{len(self.steps)}"
        names = {}
        for role, array in (tensors or {}).items():
            names[role] = f"{output}.{role}"
            self.tensors[names[role]] = array
        self.steps.append(Step(op, output, inputs, rows, channels, attributes, names))
        return output

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def array(self, shape: tuple[int, ...], low: int, high: int, dtype: type) -> np.ndarray:
        """Few drawn numbers, repeated in a fixed pattern, or many from a drawn seed, which tell all columns apart."""
        if self.draw(st.booleans()):
            few = self.draw(st.lists(st.integers(low, high), min_size=1, max_size=5))
            return np.resize(np.array(few, dtype), shape)
        return np.random.default_rng(self.integer(0, 99)).integers(low, high, shape, dtype, endpoint=True)

    def limits(self) -> tuple[int, int, int]:
        """(low, high, zero point) of stored codes of 2 to 8 bits, or of 16."""
        bits = self.draw(st.sampled_from((8, 4, 2, 16)))
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        return low, high, self.integer(low, high)

    def width(self) -> int:
        """Channels of a product: any small number, or one about the width of a vector."""
        wide = [c for c in (8, 15, 16, 17, 32, 33, 64, 65) if c <= self.max_channels]
        few = st.integers(1, min(4, self.max_channels))
        return self.draw(st.sampled_from(wide) | few if wide else few)

    def words(self) -> None:
        """An entry of categories, each a row of a table."""
        low, high, zero = self.limits()
        channels = self.width()
        table = self.array((self.in_channels, channels), low, high, np.int8 if high < 128 else np.int16)
        name = self.emit("lookup", ("x",), "node", channels, {"table": table}, zero_point=zero, low=low, high=high)
        self.codes[name] = ("node", channels, zero)

    def entry(self) -> None:
        low, high, zero = self.limits()
        offset = self.draw(st.sampled_from((0, -low)))
        scale = self.draw(st.sampled_from((1.0, 0.25, 0.03125, float(np.float32(0.1)))))
        factor = self.draw(st.sampled_from((None, "gcn")))
        name = self.emit(
            "quantize", ("x",), "node", self.in_channels, scale=scale, zero_point=zero + offset, qmin=low + offset,
            qmax=high + offset, offset=offset, row_factor=factor,
        )  # fmt: skip
        self.requantize(name, "node", self.in_channels, zero)  # entry codes may be sparse, which few steps read

    def requantize(
        self, source: str, rows: str, channels: int, zero_in: int = 0, limits=None, fall: int = 0, **size: int
    ) -> str:
        """Round a register; sums about ``2**fall`` times as large as codes do not all end at the same end code."""
        low, high, zero = self.limits() if limits is None else limits
        stages: list[dict[str, Any]] = []
        tensors: dict[str, np.ndarray] = {}
        for i in range(1 if self.planned and rows == "edge" else self.integer(1, 2)):
            fall = fall if i == 0 else 0
            bias = self.draw(st.booleans())
            stage = {"multiplier": None, "shift": None, "row_factor": None, "bias": bias}
            if self.draw(st.booleans()):
                sign = self.draw(st.sampled_from((1, -1)))  # batch norm turns channels around
                tensors[f"multipliers{i}"] = sign * self.array((channels,), 1 << 30, (1 << 31) - 1, np.int32)
                tensors[f"shifts{i}"] = self.array((channels,), 30 + fall, 36 + fall, np.int8)
            else:
                factors = {"node": (None, "gcn", "gcn2", "mean"), "graph": (None, "pool_mean"), "edge": (None,)}[rows]
                stage |= {"multiplier": self.integer(1 << 30, (1 << 31) - 1), "shift": self.integer(30, 36) + fall}
                stage["row_factor"] = self.draw(st.sampled_from(factors))
            if bias:
                tensors[f"bias{i}"] = self.array((channels,), -300, 300, np.int32)
            stages.append(stage)
        bits = size.get("bits", 8 if high < 128 else 16)
        name = self.emit(
            "requantize", (source,), rows, channels, tensors, zero_in=zero_in, zero_point=zero, low=low, high=high,
            bits=bits, stages=stages,
        )  # fmt: skip
        self.codes[name] = (rows, channels, zero)
        return name

    def pick(self, rows: str, channels: int | None = None, *, again: bool = False) -> str:
        """A register of codes that exists, the newest first in hypothesis' eyes; ``again``: the oldest first."""
        fits = [n for n, (r, c, _) in self.codes.items() if r == rows and channels in (None, c)]
        if self.planned and channels is None and not again:  # a plan has no register that nobody reads
            return fits[-1]
        return self.draw(st.sampled_from(fits if again else fits[::-1]))

    def matmul(self, source: str, channels: int) -> str:
        rows, width, zero = self.codes[source]
        tensors = {
            "weight": self.array((width, channels), -128, 127, np.int8),
            "bias": self.array((channels,), -500, 500, np.int32),
        }
        weight_zero = 0 if self.planned else self.draw(st.sampled_from((0, 3, -128)))
        return self.emit("matmul", (source,), rows, channels, tensors, zero_in=zero, weight_zero=weight_zero)


def _product(b: _Builder) -> None:
    channels = b.width()
    b.requantize(b.matmul(b.pick("node"), channels), "node", channels, fall=b.draw(st.sampled_from((6, 0))))


def _neighbors(b: _Builder) -> None:
    source = b.pick("node")
    rows, channels, zero = b.codes[source]
    loops = b.draw(st.sampled_from(("keep", "add", "remove")))
    total = b.emit("neighbor_sum", (source,), rows, channels, zero_in=zero, self_loops=loops)
    if b.draw(st.booleans()):
        total = b.emit(
            "add_self", (total, source), rows, channels, multiplier=b.integer(1 << 30, (1 << 31) - 1), zero_in=zero,
            shift=b.integer(24, 32), row_factor=b.draw(st.sampled_from((None, "mean"))), self_weight=b.integer(-9, 300),
        )  # fmt: skip
    b.requantize(total, rows, channels, fall=2)


def _residual(b: _Builder) -> None:
    first = b.pick("node")
    rows, channels, zero = b.codes[first]
    second = b.pick("node", channels)
    low, high, zero_out = b.limits()
    name = b.emit(
        "add", (first, second), rows, channels, zero1=zero, multiplier1=b.integer(1, 1 << 20), zero2=b.codes[second][2],
        multiplier2=b.integer(-(1 << 20), 1 << 20), shift=b.integer(16, 22), zero_point=zero_out, low=low, high=high,
        bits=8 if high < 128 else 16,
    )  # fmt: skip
    b.codes[name] = (rows, channels, zero_out)


def _columns(b: _Builder) -> None:
    source = b.pick("node")
    rows, channels, zero = b.codes[source]
    start = b.integer(0, channels - 1)
    taken = b.integer(1, channels - start)
    b.codes[b.emit("columns", (source,), rows, taken, start=start)] = (rows, taken, zero)


def _messages(b: _Builder) -> None:
    """The paper's layout: a coefficient an edge, each message rounded."""
    source = b.pick("node")
    _, channels, zero = b.codes[source]
    norm = b.emit("edge_norm", (), "edge", 1, scale=0.0078125, zero_point=0, qmin=-128, qmax=127, offset=0)
    product = b.emit("edge_product", (norm, source), "edge", channels, coefficient_zero=0, zero_in=zero)
    message = b.requantize(product, "edge", channels)
    total = b.emit("edge_sum", (message,), "node", channels, zero_in=b.codes[message][2])
    b.requantize(total, "node", channels)


def _attention(b: _Builder) -> None:
    source = b.pick("node")
    _, channels, zero = b.codes[source]
    heads = b.draw(st.sampled_from([h for h in (2, 1, 4, 8) if channels % h == 0]))
    sides = tuple(b.matmul(source, heads) for _ in range(2))
    limits = (-128, 127, b.integer(-128, 127))
    logits = b.requantize(b.emit("edge_logits", sides, "edge", heads), "edge", heads, limits=limits, fall=6)
    bits = b.integer(8, 15)
    tensors = {
        "mantissa": np.linspace(1 << 30, (1 << 31) - 1, 256).astype(np.int64),
        "exponent": np.arange(256, dtype=np.int64) // 8,
    }
    alpha = b.emit("edge_softmax", (logits,), "edge", heads, tensors, low=-128, bits=bits)
    total = b.emit("weighted_neighbor_sum", (alpha, source), "node", channels, zero_in=zero, bits=bits)
    if heads > 1 and b.draw(st.booleans()):  # the mean over heads, its division left to the next rounding
        channels //= heads
        total = b.emit("head_sum", (total,), "node", channels, heads=heads)
    b.requantize(total, "node", channels, fall=bits - 4)


def _join(b: _Builder) -> None:
    """Two sets of codes side by side under one product, as in GraphSAGE."""
    first, second = b.pick("node"), b.pick("node", again=True)
    rows, channels, zero = b.codes[first]
    joined = b.emit("concat", (first, second), rows, channels + b.codes[second][1])
    b.codes[joined] = (rows, channels + b.codes[second][1], zero)
    channels = b.width()
    b.requantize(b.matmul(joined, channels), rows, channels, fall=b.draw(st.sampled_from((6, 0))))
    del b.codes[joined]  # few steps read it


# Sums over neighbours more often than the others: graphs are what this is about.
_LAYERS = (_neighbors, _product, _join, _neighbors, _attention, _join, _neighbors, _residual, _columns, _messages)


def _readout(b: _Builder) -> tuple[str, str, int, int]:
    """(register, rows, channels, zero point) that the exit reads."""
    name = b.pick("node")
    rows, channels, zero = b.codes[name]
    kind = b.draw(st.sampled_from((None, "sum", "max")))
    if kind == "sum":
        return b.emit("pool_sum", (name,), "graph", channels, zero_in=zero), "graph", channels, 0
    if kind == "max":
        return b.emit("pool_max", (name,), "graph", channels, empty=zero), "graph", channels, zero
    return name, rows, channels, zero


@st.composite
def programs(
    draw: st.DrawFn, *, in_channels: int | None = None, max_layers: int = 3, min_layers: int = 0, max_channels: int = 4,
    categories: bool = False, planned: bool = False,
) -> Program:  # fmt: skip
    """A legal :class:`dqnumba.infer.Program`: products, sums over neighbours, attention, residuals, readouts.

    Parameters
    ----------
    in_channels : int
        Columns of the features that it reads; drawn from 1 to 4 by default. ``graphs(features="dense", channels=...,
        weighted=False)`` draws a graph for it.
    max_layers, min_layers : int
        Layers between the entry and the exit.
    max_channels : int
        Of a product, at most 65. Beyond 4, widths about those of vector registers are drawn too.
    categories : bool
        It reads integer categories, 0 to ``in_channels - 1``, instead of features.
    planned : bool
        Only what the vector kernels run as a whole: nothing is rounded edge by edge, weights have no zero point.

    Returns
    -------
    Program
        It passes the checks of the loader, and its sums stay small: it binds to every graph of `graphs`.
    """
    in_channels = draw(st.integers(1, 4)) if in_channels is None else in_channels
    b = _Builder(draw, in_channels, max_channels, planned)
    b.words() if categories else b.entry()
    layers = [layer for layer in _LAYERS if not (planned and layer is _messages)]
    for layer in draw(st.lists(st.sampled_from(layers), min_size=min_layers, max_size=max_layers)):
        layer(b)
    register, rows, channels, zero = _readout(b)
    scale = draw(st.sampled_from((1.0, 0.125, [0.5] * channels)))
    b.emit("dequantize", (register,), rows, channels, zero_in=zero, scale=scale)
    used = {name for step in b.steps for name in step.tensors.values()}
    meta = {
        "num_features": in_channels, "out_channels": channels, "task_rows": rows, "embedding": categories,
        "model": {
            "kind": "drawn", "in_channels": in_channels, "hidden_channels": 1, "out_channels": channels,
            "num_layers": 1,
        },
        "quantization": {"method": "drawn", "weight_bits": 8, "activation_bits": 8, "sites": "fused"},
    }  # fmt: skip
    return Program(tuple(b.steps), {n: t for n, t in b.tensors.items() if n in used}, meta)
