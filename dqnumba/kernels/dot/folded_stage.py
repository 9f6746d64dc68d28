"""The steps of :mod:`.fold` on vectors: a stage in 32-bit lanes, and the same stage guessed in float32 (:mod:`.guess`).

``m, left, down, right`` and ``f`` are numbers of the row, or of all rows; a table of channels has its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from .codes import LOAD
from .micro import helper
from .simd import (
    add,
    f32x16,
    i32_at,
    i32x16,
    i64_at,
    load,
    multiply,
    shift_left,
    shift_right,
    subtract,
)
from .simd_float import multiply_add
from .simd_quant import high_product, to_float

__all__ = ["guessed_stages", "joined_codes", "row_entry", "row_stage"]

_CHANNEL_BYTES = 320

ROW, TENSOR = ("row", "row_left", "row_down"), ("tensor", "tensor_left")


@functools.cache
def row_stage(kind: str) -> Callable:
    """The function of a fast stage on the 16 channels of vector v."""

    @helper
    def channel(x, v, table, constants, m, left, down, right):
        t = table + v * _CHANNEL_BYTES
        product = high_product(shift_left(x, load(i32x16, t + 128)), load(i32x16, t), load(i32x16, t + 64))
        return shift_right(add(product, load(i32x16, t + 192)), load(i32x16, t + 256))

    @helper
    def row(x, v, table, constants, m, left, down, right):
        if kind != "row_down":
            x = shift_left(x, left)
        constant = load(i32x16, constants + v * 64)
        if kind != "row_left":
            constant = shift_left(constant, down)
        return shift_right(add(high_product(x, m, m), constant), right)

    @helper
    def tensor(x, v, table, constants, m, left, down, right):
        if kind == "tensor_left":
            x = shift_left(x, left)
        return shift_right(add(high_product(x, m, m), load(i32x16, constants + v * 64)), right)

    @helper
    def none(x, v, table, constants, m, left, down, right):
        return shift_right(add(x, load(i32x16, constants + v * 64)), right)

    @helper
    def nothing(x, v, table, constants, m, left, down, right):
        return x

    return channel if kind == "channel" else row if kind in ROW else tensor if kind in TENSOR else (
        none if kind == "none" else nothing)  # fmt: skip


@helper
def row_entry(op, k, i):
    """Address of row i's numbers of stage k: multiplier, left, down, right."""
    offsets = i64_at(op + 8 * (13 + 4 * k))
    table = i64_at(op + 8 * (12 + 4 * k))
    return table + i32_at(offsets + 4 * i) if offsets else table


@functools.cache
def joined_codes(own: str) -> Callable:
    """The function ``x * 2**far + weight * (own code - zero)``."""
    get = LOAD[own or "int8"]

    @helper
    def joined(x, row, v, zero, weight, far):
        return add(shift_left(x, far), multiply(subtract(get(row, v), zero), weight))

    return joined


@functools.cache
def _guessed(kind: str, even: bool) -> Callable:
    """The function ``x * factor + constant`` of a stage in float32, the constant c where it is ``even``, the same for
    all channels."""
    channel = kind == "channel"

    @helper
    def stage(x, v, table, f, c):
        if channel:
            f = load(f32x16, table + v * 128)
        if not even:
            c = load(f32x16, table + (v * 128 + 64 if channel else v * 64))
        return multiply_add(x, f, c)

    @helper
    def nothing(x, v, table, f, c):
        return x

    return stage if kind else nothing


@functools.cache
def guessed_stages(kinds: tuple[str, ...], even: tuple[bool, ...], join: str, own: str) -> Callable:
    """The function that takes vector v of a row of sums through all stages, to just above the result before its floor.

    ``even`` says which stages have one constant; ``join`` how own codes (of kind ``own``) are added to the sums: "sum"
    as they are, "scaled" times a weight, empty without.
    """
    parts = [_guessed(*part) for part in (*zip(kinds, even, strict=True), *[("", True)] * 3)]
    first, second, third = parts[:3]
    get = LOAD[own or "int8"]

    @helper
    def stages(x, v, g0, g1, g2, f0, f1, f2, c0, c1, c2, mine, weight):
        if join == "sum":
            x = add(x, get(mine, v))
        y = to_float(x)
        if join == "scaled":
            y = multiply_add(to_float(get(mine, v)), weight, y)
        return third(second(first(y, v, g0, f0, c0), v, g1, f1, c1), v, g2, f2, c2)

    return stages
