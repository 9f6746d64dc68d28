"""Sums beyond 32 bits, as two int32 rows: ``high * 2**32 + low``, low with its sign.

Where a sum fits 32 bits, ``low`` is the sum and ``high`` is 0, so that the kernels that round sums read ``low`` alone;
only the rows of very large hubs are more. The sums of their edges come in pieces, each within 32 bits, from the kernels
of every other row (see :mod:`.hubs`), and meet here.
"""

from __future__ import annotations

import functools

import numpy as np

from .codes import LOAD
from .exact_stage import even_lanes, low_halves, odd_lanes
from .gather import Place
from .hubs import Hubs, first_hub
from .micro import Micro, helper, micro, new_op, place, put_place, stride
from .simd import add, i32x16, i64_at, i64x8, load, multiply, shift_left, shift_right, splat, store, subtract, zeros

__all__ = ["join_long_op", "long_own_op"]


@helper
def _write(low, high, even, odd):
    """16 sums of 64 bits at the addresses of their two halves."""
    half = splat(i64x8, 1 << 31)  # what low's sign takes away
    store(low, low_halves(even, odd))
    even, odd = shift_right(add(even, half), splat(i64x8, 32)), shift_right(add(odd, half), splat(i64x8, 32))
    store(high, low_halves(even, odd))


@micro
def join_long(op, start, stop, scratch):
    low, low_stride = place(op, 1, start, scratch), stride(op, 1)
    high, high_stride = place(op, 4, start, scratch), stride(op, 4)
    pieces, piece_stride = i64_at(op + 56), i64_at(op + 64)
    rows, first, count, runs = i64_at(op + 72), i64_at(op + 80), i64_at(op + 88), i64_at(op + 96)
    for i in range(start, stop):
        for v in range(runs):
            store(high + i * high_stride + 64 * v, zeros(i32x16))
    h = first_hub(rows, count, start)
    while h < count and i64_at(rows + 8 * h) < stop:
        i = i64_at(rows + 8 * h)
        for v in range(runs):
            total = load(i32x16, low + i * low_stride + 64 * v)
            even, odd = even_lanes(total), odd_lanes(total)
            for p in range(i64_at(first + 8 * h), i64_at(first + 8 * h + 8)):
                piece = load(i32x16, pieces + p * piece_stride + 64 * v)
                even, odd = add(even, even_lanes(piece)), add(odd, odd_lanes(piece))
            _write(low + i * low_stride + 64 * v, high + i * high_stride + 64 * v, even, odd)
        h += 1


def join_long_op(*, hubs: Hubs, low: Place, high: Place, pieces: int, piece_stride: int, channels: int) -> np.ndarray:
    """Operation that adds the partial sums of the block's hubs to their rows, and writes the high halves of all rows.

    Parameters
    ----------
    hubs : Hubs
        Kept alive by the caller; every other row's sum fits 32 bits.
    low : place of int32 rows
        Sums of all rows but for what the pieces hold.
    high : place of int32 rows
    pieces : address of (P,) int32 rows of ``piece_stride`` bytes
    channels : int

    Notes
    -----
    Fields: 1-3 low, 4-6 high, 7 pieces, 8 their stride, 9 rows, 10 first, 11 number of hubs, 12 runs of 16 lanes.
    """
    op = new_op(join_long)
    put_place(op, 1, *low)
    put_place(op, 4, *high)
    op[7:11] = pieces, piece_stride, hubs.rows.ctypes.data, hubs.first.ctypes.data
    op[11:13] = len(hubs.rows), -(-channels // 16)
    return op


@functools.cache
def _long_own(kind: str) -> Micro:
    get = LOAD[kind]

    def long_own(op, start, stop, scratch):
        low, low_stride = place(op, 1, start, scratch), stride(op, 1)
        high, high_stride = place(op, 4, start, scratch), stride(op, 4)
        own, own_stride = place(op, 7, start, scratch), stride(op, 7)
        zero, weight = splat(i32x16, i64_at(op + 88)), splat(i64x8, i64_at(op + 96))
        left, word = splat(i64x8, i64_at(op + 104)), splat(i64x8, 32)
        for i in range(start, stop):
            for v in range((i64_at(op + 80) + 15) >> 4):
                a, b = low + i * low_stride + 64 * v, high + i * high_stride + 64 * v
                x, y = load(i32x16, a), load(i32x16, b)
                even = shift_left(add(shift_left(even_lanes(y), word), even_lanes(x)), left)
                odd = shift_left(add(shift_left(odd_lanes(y), word), odd_lanes(x)), left)
                mine = subtract(get(own + i * own_stride, v), zero)
                even = add(even, multiply(even_lanes(mine), weight))
                odd = add(odd, multiply(odd_lanes(mine), weight))
                _write(a, b, even, odd)

    long_own.__name__ = long_own.__qualname__ = f"long_own_{kind}"
    return micro(long_own)


def long_own_op(
    *, low: Place, high: Place, own: Place, own_kind: str, columns: int, zero: int, weight: int, left: int
) -> np.ndarray:
    """Operation for ``sum = sum * 2**left + weight * (own - zero)`` on sums of two halves, below 2**62.

    Parameters
    ----------
    low, high : places of int32 rows
    own : place of code rows of ``own_kind``
    columns, zero, weight, left : int

    Notes
    -----
    Fields: 1-3 low, 4-6 high, 7-9 own, 10 columns, 11 zero, 12 weight, 13 left.
    """
    op = new_op(_long_own(own_kind))
    for k, where in ((1, low), (4, high), (7, own)):
        put_place(op, k, *where)
    op[10:14] = columns, zero, weight, left
    return op
