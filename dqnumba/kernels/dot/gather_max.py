"""Maxima over edges, or over rows that follow each other, of codes of 4, 8 or 16 bits; codes out as codes in.

Two codes of 4 bits in a byte: the high nibble leads a comparison of whole bytes, so the maximum of the bytes has the
maximum of the high nibbles, whatever stands below; the low nibbles are compared likewise after a shift.
"""

from __future__ import annotations

import functools

import numpy as np

from .gather import DISTANCE, Place
from .gather_vectors import among, checked, column_blocks, prefetch_lines
from .micro import Micro, indexed_place, micro, new_op, place, put_place, stride
from .simd import (
    Vector,
    add,
    bit_and,
    bitcast,
    i32_at,
    i64_at,
    load,
    maximum,
    shift_left,
    shift_right,
    splat,
    store,
)  # fmt: skip

__all__ = ["max_kernel", "neighbor_max_ops", "pool_max_ops"]

_GROUP = 4


@functools.cache
def max_kernel(size: int, bits: int, listed: bool) -> Micro:
    """Kernel for blocks of ``size`` bytes."""
    code = Vector("i16", size // 2) if bits == 16 else Vector("i8", size)
    byte, pair = Vector("i8", size), Vector("i16", size // 2)
    packed = bits == 4

    def neighbor_max(op, start, stop, scratch):
        out, out_stride = place(op, 1, start, scratch), stride(op, 1)
        starts, stops, indices = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
        x, x_stride, distance = indexed_place(op, 7, 17, scratch), i64_at(op + 64), i64_at(op + 72)
        empty = splat(code, i64_at(op + 80))
        four, lower, upper = splat(pair, 4), splat(byte, 15), splat(byte, -16)
        if listed and start < stop:
            first = i64_at(starts + 8 * start)
            for e in range(first, first + distance):
                prefetch_lines(x + i32_at(indices + 4 * e) * x_stride, size)
        for i in range(start, stop):
            e, last = i64_at(starts + 8 * i), i64_at(stops + 8 * i)
            if e >= last:
                store(out + i * out_stride, empty)
                continue
            one = x + (i32_at(indices + 4 * e) if listed else e) * x_stride
            most = load(code, one)
            below = bitcast(shift_left(bitcast(most, pair), four), code)
            while e < last:
                # A row that is one too many is read as the first row again: see the sum.
                for k in range(e, e + _GROUP):
                    row = k
                    if listed:
                        prefetch_lines(x + i32_at(indices + 4 * (k + distance)) * x_stride, size)
                        row = np.int64(i32_at(indices + 4 * k))
                    v = load(code, among(x + row * x_stride, one, k, last))
                    most = maximum(most, v)
                    if packed:
                        below = maximum(below, bitcast(shift_left(bitcast(v, pair), four), code))
                e += _GROUP
            if packed:
                low = bit_and(bitcast(shift_right(bitcast(below, pair), four), byte), lower)
                most = bitcast(add(bit_and(bitcast(most, byte), upper), low), code)
            store(out + i * out_stride, most)

    name = "neighbor_max" if listed else "segment_max"
    neighbor_max.__name__ = neighbor_max.__qualname__ = f"{name}_i{bits}x{8 * size // bits}"
    return micro(neighbor_max)


def neighbor_max_ops(
    *,
    out: Place,
    starts: int,
    stops: int,
    indices: int,
    x: int,
    x_stride: int,
    channels: int,
    empty: int,
    bits: int = 8,
    distance: int = DISTANCE,
) -> list[np.ndarray]:
    """Operations for ``out[i] = max over e in starts[i] .. stops[i] of x[indices[e]]``, ``empty`` where there is none.

    Parameters
    ----------
    out : place of rows of codes
        Of the bits and the padding of x; written with their padding.
    starts, stops, indices, x, x_stride, channels, distance
        As in :func:`~.gather.neighbor_sum_ops`.
    empty : int
        Stored code.
    bits : 4, 8 or 16

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 stops, 6 indices, 7 x, 8 its stride, 9 distance, 10 empty, 17 where x lives.
    """
    return _records(bits, True, out, starts, stops, indices, x, x_stride, channels, empty, distance)


def pool_max_ops(
    *, out: Place, starts: int, stops: int, x: int, x_stride: int, channels: int, empty: int, bits: int = 8,
    room: int = 0,
) -> list[np.ndarray]:
    """As :func:`neighbor_max_ops` over the rows ``starts[g] .. stops[g]`` of x themselves;
    ``room`` is the third field of its place."""
    return _records(bits, False, out, starts, stops, 0, x, x_stride, channels, empty, 0, room)


def _records(bits, listed, out, starts, stops, indices, x, x_stride, channels, empty, distance, room=0):
    ops = []
    filler = (empty & 15) * 17 if bits == 4 else empty
    for first, size in column_blocks(-(-channels * bits // 8)):
        op = new_op(max_kernel(size, bits, listed))
        put_place(op, 1, out[0] + first, *out[1:])
        op[4:11] = starts, stops, indices, x + first, x_stride, checked(distance), filler
        op[17] = room
        ops.append(op)
    return ops
