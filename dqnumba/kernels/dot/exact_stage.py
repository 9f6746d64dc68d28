"""The reference's stage of a requantization in 64-bit lanes: for rows where 32 bits are not proven to do.

A stage's numbers stand in fields 24 + 4 k of the record: multipliers, shifts, elements from row to row (0: the same for
all), biases. Per channel they lie as 8 even and 8 odd ones of each 16, as the processor multiplies them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from .codes import LOAD
from .micro import helper
from .simd import i32x16, i64_at, i64x8, load, splat, subtract, zeros

__all__ = ["exact_kind", "exact_stage", "exact_stage_with_own", "exact_tables"]


@intrinsic
def _stage(typingctx, x, left, y, weight, m_even, m_odd, s_even, s_odd, b_even, b_odd):
    """``sat32((((x * 2**left + y * weight) * m + 2**(s - 1)) >> s) + b)`` of i32x16 x and y, the rest i64x8."""
    if x != i32x16 or y != i32x16:
        return None

    def codegen(context, builder, signature, args):
        wide, index = i64x8.ir, ir.VectorType(ir.IntType(32), 16)

        def every(value):
            return ir.Constant(wide, [value] * 8)

        def side(value, m, s, b):
            half = builder.shl(every(1), builder.sub(s, every(1)))
            total = builder.ashr(builder.add(builder.mul(value, m), half), s)
            total = builder.add(total, b)
            total = builder.select(builder.icmp_signed("<", total, every(2**31 - 1)), total, every(2**31 - 1))
            total = builder.select(builder.icmp_signed(">", total, every(-(2**31))), total, every(-(2**31)))
            return builder.bitcast(total, i32x16.ir)

        def joined(pick):
            x, y = (pick(builder.bitcast(args[k], wide)) for k in (0, 2))
            return builder.add(builder.shl(x, args[1]), builder.mul(y, args[3]))

        even = side(joined(lambda v: builder.ashr(builder.shl(v, every(32)), every(32))), args[4], args[6], args[8])
        odd = side(joined(lambda v: builder.ashr(v, every(32))), args[5], args[7], args[9])
        lanes = [lane for k in range(0, 16, 2) for lane in (k, 16 + k)]
        return builder.shuffle_vector(even, odd, ir.Constant(index, lanes))

    return i32x16(x, i64x8, y, *(i64x8,) * 7), codegen


@functools.cache
def _numbers(kind: str) -> Callable:
    """The function ``(x, left, y, weight, op, k, v, i)`` that fetches the numbers of stage k and takes it."""

    @helper
    def channel(x, left, y, weight, op, k, v, i):
        f, at = op + 8 * (24 + 4 * k), v * 128
        m, s, b = i64_at(f) + at, i64_at(f + 8) + at, i64_at(f + 24) + at
        return _stage(x, left, y, weight, load(i64x8, m), load(i64x8, m + 64), load(i64x8, s), load(i64x8, s + 64),
                      load(i64x8, b), load(i64x8, b + 64))  # fmt: skip

    @helper
    def row(x, left, y, weight, op, k, v, i):
        f = op + 8 * (24 + 4 * k)
        entry, b = 8 * i * i64_at(f + 16), i64_at(f + 24) + v * 128
        m, s = splat(i64x8, i64_at(i64_at(f) + entry)), splat(i64x8, i64_at(i64_at(f + 8) + entry))
        return _stage(x, left, y, weight, m, m, s, s, load(i64x8, b), load(i64x8, b + 64))

    return {"channel": channel, "row": row}[kind]


@functools.cache
def exact_stage(kind: str) -> Callable:
    """The function ``(x, op, k, v, i)`` of stage k on vector v of row i; kinds: "channel", "row", "" for none."""
    take = _numbers(kind or "row")

    @helper
    def stage(x, op, k, v, i):
        return take(x, zeros(i64x8), zeros(i32x16), zeros(i64x8), op, k, v, i)

    @helper
    def nothing(x, op, k, v, i):
        return x

    return stage if kind else nothing


@functools.cache
def exact_stage_with_own(kind: str, own: str) -> Callable:
    """:func:`exact_stage` for sums that own codes are added to first, in 64 bits; fields 51 to 56 of the record."""
    take, get = _numbers(kind), LOAD[own]

    @helper
    def stage(x, op, k, v, i):
        base, step = i64_at(op + 8 * 51), i64_at(op + 8 * 52)
        y = subtract(get(base + i * step, v), splat(i32x16, i64_at(op + 8 * 54)))
        left, weight = splat(i64x8, i64_at(op + 8 * 56)), splat(i64x8, i64_at(op + 8 * 55))
        return take(x, left, y, weight, op, k, v, i)

    return stage


def exact_kind(multiplier: NDArray[np.int64]) -> str:
    """Kind of a stage by its multipliers, (1, 1), (R, 1) or (1, C), which a program gives as many as shifts."""
    return "channel" if multiplier.shape[1] > 1 else "row"


def exact_tables(
    multiplier: NDArray[np.int64], shift: NDArray[np.int64], bias: NDArray[np.int64], columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, NDArray[np.int64]]:
    """Arrays of a stage for its four fields: multipliers, shifts, elements a row, biases."""
    bias = _even_odd(np.broadcast_to(bias, (1, columns))[0], 0)
    multiplier, shift = np.broadcast_arrays(multiplier, shift)
    if exact_kind(multiplier) == "channel":
        return _even_odd(multiplier[0], 0), _even_odd(shift[0], 1), 0, bias
    rows = (np.ascontiguousarray(table[:, 0], np.int64) for table in (multiplier, shift))
    return *rows, int(len(multiplier) > 1), bias


def _even_odd(values: NDArray[np.int64], filler: int) -> NDArray[np.int64]:
    """(vectors, 2, 8): of each 16 the even ones, then the odd ones."""
    padded = np.full(-(-len(values) // 16) * 16, filler, np.int64)
    padded[: len(values)] = values
    return np.ascontiguousarray(padded.reshape(-1, 8, 2).transpose(0, 2, 1))
