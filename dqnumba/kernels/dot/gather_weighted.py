"""Sums over edges of int8 rows times a coefficient an edge and head, exact modulo 2**32."""

from __future__ import annotations

import functools

import numpy as np

from .gather import DISTANCE, Place
from .gather_vectors import among, checked, prefetch_lines, repeat, store_runs
from .micro import Micro, micro, new_op, place, put_place, stride
from .simd import (
    Vector,
    add,
    broadcast,
    i32_at,
    i64_at,
    load,
    multiply,
    splat,
    store_first,
    subtract,
    widen,
    zeros,
)  # fmt: skip

__all__ = ["COEFFICIENT_PAD", "weighted_blocks", "weighted_kernel", "weighted_sum_ops"]

COEFFICIENT_PAD = 64
"""Bytes of the table of coefficients that may be read beyond its end."""

_GROUP = 4
_LANES = (16, 32, 64)

_FILLED = np.repeat(np.arange(-128, 128, dtype=np.int8)[:, None], _LANES[-1], axis=1)


@functools.cache
def weighted_kernel(lanes: int, width: int, partial: bool) -> Micro:
    """Kernel for blocks of ``lanes`` columns: of one head (``width`` 0), or of heads of ``width`` columns each.

    ``partial``: the block may be wider than its head, and writes no further.
    """
    code, wide = Vector("i8", lanes), Vector("i32", lanes)
    few = Vector("i32", lanes // width if width else 1)

    def weighted_sum(op, start, stop, scratch):
        out, out_stride = place(op, 1, start, scratch), stride(op, 1)
        starts, stops, indices = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
        x, x_stride, distance = i64_at(op + 56), i64_at(op + 64), i64_at(op + 72)
        zero, count = splat(wide, i64_at(op + 80)), i64_at(op + 88)
        coef, coef_stride = i64_at(op + 96), i64_at(op + 104)
        coef_zero, nothing = splat(wide, i64_at(op + 112)), i64_at(op + 120)
        if start < stop:
            first = i64_at(starts + 8 * start)
            for e in range(first, first + distance):
                prefetch_lines(x + i32_at(indices + 4 * e) * x_stride, lanes)
        for i in range(start, stop):
            e, last = i64_at(starts + 8 * i), i64_at(stops + 8 * i)
            total = zeros(wide)
            while e < last:
                # A row that is one too many is read as a row of zero points: see the sum.
                own = coef + e * coef_stride
                for k in range(e, e + _GROUP):
                    prefetch_lines(x + i32_at(indices + 4 * (k + distance)) * x_stride, lanes)
                    row = among(x + i32_at(indices + 4 * k) * x_stride, nothing, k, last)
                    value = subtract(widen(load(code, row), wide), zero)
                    here = among(coef + k * coef_stride, own, k, last)
                    if width > 0:
                        factor = repeat(load(few, here), width)
                    else:
                        factor = broadcast(wide, here)
                    total = add(total, multiply(value, subtract(factor, coef_zero)))
                e += _GROUP
            if partial:
                store_first(out + i * out_stride, total, count)
            else:
                store_runs(out + i * out_stride, total, count)

    name = f"weighted_sum_x{lanes}" + (f"_heads_of_{width}" if width else "_partial" if partial else "")
    weighted_sum.__name__ = weighted_sum.__qualname__ = name
    return micro(weighted_sum)


def weighted_blocks(heads: int, width: int) -> list[tuple[int, int, int, int, bool]]:
    """How ``heads`` heads of ``width`` columns are cut: (first column, lanes, head, width for the kernel, partial)."""
    blocks = []
    if width in (1, 2, 4, 8):
        first = 0
        while first < heads * width:
            lanes = next((n for n in _LANES if n >= heads * width - first), _LANES[-1])
            blocks.append((first, lanes, first // width, width, False))
            first += lanes
        return blocks
    for head in range(heads):
        first = 0
        while first < width:
            left = width - first
            lanes = max((n for n in _LANES if n <= left), default=_LANES[0])
            if left % 16:
                lanes = next((n for n in _LANES if n >= left), _LANES[-1])
            blocks.append((head * width + first, lanes, head, 0, left < lanes))
            first += lanes
    return blocks


def weighted_sum_ops(
    *,
    out: Place,
    starts: int,
    stops: int,
    indices: int,
    x: int,
    x_stride: int,
    heads: int,
    width: int,
    zero: int,
    coef: int,
    coef_stride: int,
    coef_zero: int = 0,
    distance: int = DISTANCE,
) -> list[np.ndarray]:
    """Operations for ``out[i, h, c] = sum over edges e of (coef[e, h] - coef_zero) * (x[indices[e], h, c] - zero)``.

    Parameters
    ----------
    out, starts, stops, indices, x, x_stride, zero, distance
        As in :func:`~.gather.neighbor_sum_ops`.
    heads, width : int
        Columns of x and out: heads one after the other, ``width`` each.
    coef : address of int32 rows of ``coef_stride`` bytes, one an edge
        Readable for ``COEFFICIENT_PAD`` bytes beyond the last.
    coef_zero : int

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 stops, 6 indices, 7 x, 8 its stride, 9 distance, 10 zero, 11 runs of 16 columns, or
    columns, to write, 12 coef, 13 its stride, 14 its zero, 15 a row of zero points.
    """
    ops = []
    for first, lanes, head, kernel_width, partial in weighted_blocks(heads, width):
        op = new_op(weighted_kernel(lanes, kernel_width, partial))
        put_place(op, 1, out[0] + 4 * first, *out[1:])
        count = width - (first - head * width) if kernel_width == 0 else heads * width - first
        written = count if partial else -(-count // 16)
        op[4:12] = starts, stops, indices, x + first, x_stride, checked(distance), zero, written
        op[12:16] = coef + 4 * head, coef_stride, coef_zero, _FILLED[zero + 128].ctypes.data
        ops.append(op)
    return ops
