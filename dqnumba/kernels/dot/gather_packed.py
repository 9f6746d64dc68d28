"""Sums over edges of rows of 4-bit codes, two a byte: half the bytes of :mod:`.gather`, unpacked in registers.

XOR with 8 makes a nibble ``code + 8``, 0 to 15, so that a lane of 8 bits takes 16 rows without a carry. Even and odd
channels are summed apart and put in order when they are widened.
"""

from __future__ import annotations

import functools

import numpy as np

from .gather import DISTANCE, Place
from .gather_vectors import (
    among,
    checked,
    column_blocks,
    interleave,
    prefetch_lines,
    store_runs,
    widen_unsigned,
)
from .micro import Micro, micro, new_op, place, put_place, stride
from .simd import (
    Vector,
    add,
    bit_and,
    bit_xor,
    bitcast,
    i32_at,
    i64_at,
    load,
    shift_right,
    splat,
    widen,
    zeros,
)  # fmt: skip

__all__ = ["packed_sum_kernel", "packed_sum_ops"]

_ROWS = 16  # 16 * 15 fits 8 bits; a multiple of _GROUP
_GROUP = 4
_WIDEST = 128

_NOTHING = np.full(_WIDEST, 0x88, np.uint8)  # rows of the code -8, which counts nothing after the XOR


@functools.cache
def packed_sum_kernel(size: int) -> Micro:
    """Kernel that sums blocks of ``size`` bytes, twice as many codes."""
    byte, pair, wide = Vector("i8", size), Vector("i16", size // 2), Vector("i32", 2 * size)

    def packed_sum(op, start, stop, scratch):
        out, out_stride = place(op, 1, start, scratch), stride(op, 1)
        starts, stops, indices = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
        x, x_stride, distance = i64_at(op + 56), i64_at(op + 64), i64_at(op + 72)
        zero, runs = i64_at(op + 80), i64_at(op + 88)
        own, own_stride = place(op, 12, start, scratch), stride(op, 12)
        has_own, nothing = i64_at(op + 120), i64_at(op + 128)
        eights, nibble, four = splat(byte, 0x88 - 256), splat(byte, 15), splat(pair, 4)
        if start < stop:
            first = i64_at(starts + 8 * start)
            for e in range(first, first + distance):
                prefetch_lines(x + i32_at(indices + 4 * e) * x_stride, size)
        for i in range(start, stop):
            e, last = i64_at(starts + 8 * i), i64_at(stops + 8 * i)
            total = splat(wide, -(zero + 8) * (last - e + has_own))
            if has_own:
                v = bit_xor(load(byte, own + i * own_stride), eights)
                odd = bit_and(bitcast(shift_right(bitcast(v, pair), four), byte), nibble)
                total = add(total, widen(interleave(bit_and(v, nibble), odd), wide))
            while e < last:
                pause = min(e + _ROWS, last)
                even, odd = zeros(byte), zeros(byte)
                while e < pause - _GROUP:
                    for k in range(e, e + _GROUP):
                        prefetch_lines(x + i32_at(indices + 4 * (k + distance)) * x_stride, size)
                        v = bit_xor(load(byte, x + i32_at(indices + 4 * k) * x_stride), eights)
                        even = add(even, bit_and(v, nibble))
                        odd = add(odd, bit_and(bitcast(shift_right(bitcast(v, pair), four), byte), nibble))
                    e += _GROUP
                for k in range(e, e + _GROUP):
                    prefetch_lines(x + i32_at(indices + 4 * (k + distance)) * x_stride, size)
                    row = x + i32_at(indices + 4 * k) * x_stride
                    v = bit_xor(load(byte, among(row, nothing, k, pause)), eights)
                    even = add(even, bit_and(v, nibble))
                    odd = add(odd, bit_and(bitcast(shift_right(bitcast(v, pair), four), byte), nibble))
                total = add(total, widen_unsigned(interleave(even, odd), wide))
                e = pause
            store_runs(out + i * out_stride, total, runs)

    packed_sum.__name__ = packed_sum.__qualname__ = f"neighbor_sum_i4x{2 * size}"
    return micro(packed_sum)


def packed_sum_ops(
    *,
    out: Place,
    starts: int,
    stops: int,
    indices: int,
    x: int,
    x_stride: int,
    channels: int,
    zero: int,
    own: Place | None = None,
    distance: int = DISTANCE,
) -> list[np.ndarray]:
    """As :func:`~.gather.neighbor_sum_ops` for rows of packed 4-bit codes: even channels in the low nibbles.

    Notes
    -----
    Fields as there.
    """
    ops = []
    for first, size in column_blocks(-(-channels // 2), _WIDEST):
        op = new_op(packed_sum_kernel(size))
        put_place(op, 1, out[0] + 8 * first, *out[1:])
        runs = -(-(channels - 2 * first) // 16)
        op[4:12] = starts, stops, indices, x + first, x_stride, checked(distance), zero, runs
        if own is not None:
            put_place(op, 12, own[0] + first, *own[1:])
            op[15] = 1
        op[16] = _NOTHING.ctypes.data
        ops.append(op)
    return ops
