"""How integers lie in memory: one to four bytes a channel, or two channels a byte, and how vectors of 16 get there.

The functions come in tables by kind, so that a kernel's factory picks its own before anything is compiled.
"""

from __future__ import annotations

from .micro import helper
from .simd import (
    add,
    bit_and,
    bitcast,
    i8_at,
    i8x8,
    i8x16,
    i16_at,
    i16x16,
    i32_at,
    i32x16,
    i64x8,
    load,
    narrow,
    set_i8,
    set_i16,
    set_i32,
    shift_left,
    shift_right,
    splat,
    store,
    widen,
)  # fmt: skip

__all__ = ["GET", "LOAD", "SET", "STORE", "kind_of", "row_bytes"]


def kind_of(low: int, high: int) -> str:
    """The narrowest kind that holds codes from ``low`` to ``high``: "int4", "int8" or "int16"."""
    for kind, limit in (("int4", 8), ("int8", 128), ("int16", 32768)):
        if -limit <= low and high < limit:
            return kind
    raise ValueError(f"codes from {low} to {high} need more than 16 bits")


def row_bytes(kind: str, channels: int) -> int:
    """Bytes of a row in a buffer of the planner: short rows padded to vectors, long ones to cache lines.

    A vector of 16 codes never reaches into the next row, but one of 16 sums may: who writes rows of up to 8 int32 from
    several threads must write them to the byte.
    """
    used = {"int8": channels, "int4": -(-channels // 2), "int16": 2 * channels, "int32": 4 * channels}[kind]
    for size in (32,) if kind == "int16" else (16, 32):
        if used <= size:
            return size
    return -(-used // 64) * 64


@helper
def _store8(row, v, x):
    store(row + v * 16, narrow(x, i8x16))


@helper
def _store16(row, v, x):
    store(row + v * 32, narrow(x, i16x16))


@helper
def _store4(row, v, x):
    """Channels 2 k and 2 k + 1 meet in one 64-bit lane, then in its lowest byte, the even one in the low nibble."""
    pair = bitcast(x, i64x8)
    even = bit_and(pair, splat(i64x8, 15))
    odd = shift_left(bit_and(shift_right(pair, splat(i64x8, 32)), splat(i64x8, 15)), splat(i64x8, 4))
    store(row + v * 8, narrow(add(even, odd), i8x8))


@helper
def _load8(row, v):
    return widen(load(i8x16, row + v * 16), i32x16)


@helper
def _load16(row, v):
    return widen(load(i16x16, row + v * 32), i32x16)


@helper
def _load4(row, v):
    pair = widen(load(i8x8, row + v * 8), i64x8)
    even = shift_right(shift_left(pair, splat(i64x8, 60)), splat(i64x8, 60))
    odd = shift_left(shift_right(pair, splat(i64x8, 4)), splat(i64x8, 32))
    return bitcast(add(bit_and(even, splat(i64x8, 0xFFFFFFFF)), odd), i32x16)


@helper
def _set8(row, c, value):
    set_i8(row + c, value)


@helper
def _set16(row, c, value):
    set_i16(row + 2 * c, value)


@helper
def _set4(row, c, value):
    if c & 1:
        set_i8(row + (c >> 1), (i8_at(row + (c >> 1)) & 15) | (value << 4))
    else:
        set_i8(row + (c >> 1), value & 15)


@helper
def _get8(row, c):
    return i8_at(row + c)


@helper
def _get16(row, c):
    return i16_at(row + 2 * c)


@helper
def _get4(row, c):
    byte = i8_at(row + (c >> 1))
    return (byte >> 4) if c & 1 else ((byte & 15) ^ 8) - 8


@helper
def _store32(row, v, x):
    store(row + v * 64, x)


@helper
def _load32(row, v):
    return load(i32x16, row + v * 64)


@helper
def _set32(row, c, value):
    set_i32(row + 4 * c, value)


@helper
def _get32(row, c):
    return i32_at(row + 4 * c)


STORE = {"int8": _store8, "int4": _store4, "int16": _store16, "int32": _store32}
"""``STORE[kind](row, v, x)``: write the 16 codes of an i32x16 as vector v of the row at an address."""

LOAD = {"int8": _load8, "int4": _load4, "int16": _load16, "int32": _load32}
"""``LOAD[kind](row, v)``: vector v of a row of codes as i32x16."""

SET = {"int8": _set8, "int4": _set4, "int16": _set16, "int32": _set32}
"""``SET[kind](row, c, value)``: write channel c of a row; the channels of a row in ascending order."""

GET = {"int8": _get8, "int4": _get4, "int16": _get16, "int32": _get32}
"""``GET[kind](row, c)``: channel c of a row."""
