"""Values of one node that meet: a node's own codes and the sum over its neighbours, two sets of codes of a residual
connection, the heads of an attention."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .codes import LOAD, STORE
from .fold import FoldedStage
from .folded_stage import row_entry, row_stage
from .micro import Micro, micro, new_op, place, put_place, stride
from .requantize_tables import row_table, stage_kind
from .simd import (
    add,
    broadcast,
    i32x16,
    i64_at,
    i64x8,
    load,
    maximum,
    minimum,
    multiply,
    shift_left,
    splat,
    store,
    subtract,
    zeros,
)
from .simd_quant import scaled_pair

__all__ = ["add_op", "add_self_op", "head_sum_op"]


@functools.cache
def _add_self(own: str, gain: str) -> Micro:
    get, stage = LOAD[own], row_stage(gain)

    def kernel(op, start, stop, scratch):
        a, a_step = place(op, 1, start, scratch), stride(op, 1)
        x, x_step = place(op, 4, start, scratch), stride(op, 4)
        o, o_step = place(op, 7, start, scratch), stride(op, 7)
        columns, zero, weight = i64_at(op + 80), splat(i32x16, i64_at(op + 88)), splat(i32x16, i64_at(op + 96))
        far, ones = splat(i32x16, i64_at(op + 104)), i64_at(op + 112)
        for i in range(start, stop):
            entry = row_entry(op, 1, i)
            m, left = broadcast(i32x16, entry), broadcast(i32x16, entry + 4)
            down, right = broadcast(i32x16, entry + 8), broadcast(i32x16, entry + 12)
            for v in range((columns + 15) >> 4):
                total = load(i32x16, a + i * a_step + v * 64)
                if gain == "shift":
                    total = shift_left(total, far)
                else:
                    total = stage(total, 0, entry, ones, m, left, down, right)
                self_term = multiply(subtract(get(x + i * x_step, v), zero), weight)
                store(o + i * o_step + v * 64, add(total, self_term))

    kernel.__name__ = kernel.__qualname__ = f"add_self_{own}_{gain}"
    return micro(kernel)


def add_self_op(
    *,
    total: tuple[int, int, bool],
    own: tuple[int, int, bool],
    own_kind: str,
    output: tuple[int, int, bool],
    columns: int,
    zero: int,
    weight: int,
    gain: int | FoldedStage,
    row_array: Callable[[NDArray], int] | None = None,
) -> tuple[NDArray[np.int64], list[NDArray]]:
    """``output = round(total * gain) + weight * (own - zero)``, int32.

    Parameters
    ----------
    total, output : places of int32 rows
    own : place of code rows of ``own_kind``
    gain : int or FoldedStage
        ``2**gain``; or a row's stage with constant and right shift 1, in which every row is safe.
    row_array : callable, optional
        Takes an array with an entry for each row and gives its address; by default it is among the tables.

    Notes
    -----
    Fields: 1, 4, 7 places, 10 columns, 11 zero, 12 weight, 13 gain, 14 ones; 16 table of gains, 17 offset of each row.
    """
    shift = isinstance(gain, int)
    op = new_op(_add_self(own_kind, "shift" if shift else stage_kind(gain)))
    for k, where in ((1, total), (4, own), (7, output)):
        put_place(op, k, *where)
    table, offsets = (np.zeros((1, 4), np.int32), np.zeros(0, np.int32)) if shift else row_table(gain)
    # One entry for all rows: its kernel expects the constant shifted already.
    ones = np.full(16, 1 if shift or offsets.size else 1 << int(gain.down[0]), np.int32)
    op[10:18] = columns, zero, weight, gain if shift else 0, ones.ctypes.data, 0, table.ctypes.data, 0
    if offsets.size:
        op[17] = row_array(offsets) if row_array else offsets.ctypes.data
    return op, [table, offsets, ones]


@functools.cache
def _add(first: str, second: str, output: str) -> Micro:
    get1, get2, put = LOAD[first], LOAD[second], STORE[output]

    def kernel(op, start, stop, scratch):
        a, a_step = place(op, 1, start, scratch), stride(op, 1)
        b, b_step = place(op, 4, start, scratch), stride(op, 4)
        o, o_step = place(op, 7, start, scratch), stride(op, 7)
        columns = i64_at(op + 80)
        zero1, zero2 = splat(i32x16, i64_at(op + 88)), splat(i32x16, i64_at(op + 104))
        m1, m2 = splat(i64x8, i64_at(op + 96)), splat(i64x8, i64_at(op + 112))
        half, shift = splat(i64x8, i64_at(op + 120)), splat(i64x8, i64_at(op + 128))
        zero = splat(i32x16, i64_at(op + 136))
        low, high = splat(i32x16, i64_at(op + 144)), splat(i32x16, i64_at(op + 152))
        for i in range(start, stop):
            for v in range((columns + 15) >> 4):
                x, y = subtract(get1(a + i * a_step, v), zero1), subtract(get2(b + i * b_step, v), zero2)
                q = add(scaled_pair(x, m1, y, m2, half, shift), zero)
                put(o + i * o_step, v, minimum(maximum(q, low), high))

    kernel.__name__ = kernel.__qualname__ = f"add_{first}_{second}_{output}"
    return micro(kernel)


def add_op(
    *,
    first: tuple[int, int, bool],
    first_kind: str,
    second: tuple[int, int, bool],
    second_kind: str,
    output: tuple[int, int, bool],
    output_kind: str,
    columns: int,
    zeros: tuple[int, int],
    multipliers: tuple[int, int],
    shift: int,
    zero_point: int,
    low: int,
    high: int,
) -> NDArray[np.int64]:
    """A residual connection (:func:`dqnumba.kernels.reference.add`) where 32 bits hold the rounded sum.

    Fields: 1, 4, 7 places, 10 columns, 11 and 13 zero points, 12 and 14 multipliers, 15 half, 16 shift, 17 zero point,
    18 low, 19 high.
    """
    op = new_op(_add(first_kind, second_kind, output_kind))
    for k, where in ((1, first), (4, second), (7, output)):
        put_place(op, k, *where)
    op[10:20] = (columns, zeros[0], multipliers[0], zeros[1], multipliers[1], 1 << (shift - 1), shift, zero_point, low,
                 high)  # fmt: skip
    return op


@micro
def head_sum(op, start, stop, scratch):
    """Sum of the heads' columns of int32 rows; fields: 1 source, 4 output, 7 columns, 8 heads.

    Whole vectors are read: up to 15 lanes behind the last head.
    """
    a, a_step = place(op, 1, start, scratch), stride(op, 1)
    o, o_step = place(op, 4, start, scratch), stride(op, 4)
    columns, heads = i64_at(op + 56), i64_at(op + 64)
    for i in range(start, stop):
        for v in range((columns + 15) >> 4):
            total = zeros(i32x16)
            for h in range(heads):
                total = add(total, load(i32x16, a + i * a_step + (h * columns + v * 16) * 4))
            store(o + i * o_step + v * 64, total)


def head_sum_op(
    *, source: tuple[int, int, bool], output: tuple[int, int, bool], columns: int, heads: int
) -> NDArray[np.int64]:
    """``output[i, c] = sum over h of source[i, h * columns + c]``."""
    op = new_op(head_sum)
    put_place(op, 1, *source)
    put_place(op, 4, *output)
    op[7:9] = columns, heads
    return op
