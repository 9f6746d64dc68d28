"""The neighbour sum of sparse rows: dense sums of the stored entries of the sources, one entry after the other."""

from __future__ import annotations

import numpy as np

from .gather import Place
from .micro import micro, new_op, place, put_place, stride
from .simd import i16_at, i32_at, i64_at, set_i32

__all__ = ["sparse_sum", "sparse_sum_op"]


@micro
def sparse_sum(op, start, stop, scratch):
    out, out_stride = place(op, 1, start, scratch), stride(op, 1)
    starts, indices, entry_starts = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
    columns, codes, width = i64_at(op + 56), i64_at(op + 64), i64_at(op + 72)
    for i in range(start, stop):
        row = out + i * out_stride
        for c in range(width):
            set_i32(row + 4 * c, 0)
        for e in range(i64_at(starts + 8 * i), i64_at(starts + 8 * i + 8)):
            entry = entry_starts + 8 * i32_at(indices + 4 * e)
            for t in range(i64_at(entry), i64_at(entry + 8)):
                at = row + 4 * i32_at(columns + 4 * t)
                set_i32(at, i32_at(at) + i16_at(codes + 2 * t))


def sparse_sum_op(
    *, out: Place, starts: int, indices: int, entry_starts: int, columns: int, codes: int, width: int
) -> np.ndarray:
    """Operation for ``out[i] = sum over edges e of row i: the sparse row indices[e]``.

    Parameters
    ----------
    out : place of int32 rows of ``width`` columns, which need no padding
    starts : address of (N + 1,) int64
    indices : address of int32
    entry_starts : address of (sources + 1,) int64
    columns : address of int32
        Column of each stored entry, below ``width``.
    codes : address of int16
        Codes less their zero point.
    width : int

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 indices, 6 entry starts, 7 columns, 8 codes, 9 width.
    """
    op = new_op(sparse_sum)
    put_place(op, 1, *out)
    op[4:10] = starts, indices, entry_starts, columns, codes, width
    return op
