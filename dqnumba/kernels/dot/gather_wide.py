"""The neighbour sum where int32 cannot hold it: int64 rows out, exact. Rare, hence plain: 16 columns at a time."""

from __future__ import annotations

import numpy as np

from .gather import Place
from .gather_vectors import store_runs
from .micro import micro, new_op, place, put_place, stride
from .simd import Vector, add, i8x16, i32_at, i32x16, i64_at, load, splat, widen, zeros

__all__ = ["neighbor_sum_wide", "neighbor_sum_wide_op"]

_i64x16 = Vector("i64", 16)
_ROWS = 1 << 23  # 2**23 codes of 8 bits stay within 31 bits


@micro
def neighbor_sum_wide(op, start, stop, scratch):
    out, out_stride = place(op, 1, start, scratch), stride(op, 1)
    starts, stops, indices = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
    x, x_stride, zero, columns = i64_at(op + 56), i64_at(op + 64), i64_at(op + 72), i64_at(op + 80)
    for i in range(start, stop):
        first, last = i64_at(starts + 8 * i), i64_at(stops + 8 * i)
        for c in range(0, columns, 16):
            total = splat(_i64x16, -zero * (last - first))
            e = first
            while e < last:
                pause = min(e + _ROWS, last)
                part = zeros(i32x16)
                for k in range(e, pause):
                    row = i32_at(indices + 4 * k) if indices else k
                    part = add(part, widen(load(i8x16, x + row * x_stride + c), i32x16))
                total = add(total, widen(part, _i64x16))
                e = pause
            store_runs(out + i * out_stride + 8 * c, total, 1)


def neighbor_sum_wide_op(
    *, out: Place, starts: int, stops: int, indices: int, x: int, x_stride: int, channels: int, zero: int
) -> np.ndarray:
    """As :func:`~.gather.neighbor_sum_ops`, with ``out`` of int64 rows whose stride is a multiple of 128.

    ``indices`` may be 0: then row k of x is the source of edge k.

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 stops, 6 indices, 7 x, 8 its stride, 9 zero, 10 columns.
    """
    op = new_op(neighbor_sum_wide)
    put_place(op, 1, *out)
    op[4:11] = starts, stops, indices, x, x_stride, zero, channels
    return op
