"""The reference's stage of a requantization in 64-bit lanes: for rows where 32 bits are not proven to do.

A stage's numbers stand in fields 24 + 4 k of the record: multipliers, shifts, elements from row to row (0: the same for
all), biases. Per channel they lie as 8 even and 8 odd ones of each 16, as the processor multiplies them.

Sums of 32 bits times a multiplier of 31 just fit. Where a second term joins the sum first (own codes, the low half of a
product) the joined value may have up to 61 bits, and its product has 128, in two parts.
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
from .simd import add, bitcast, i32x16, i64_at, i64x8, load, multiply, shift_left, shift_right, splat, subtract

__all__ = ["even_lanes", "exact_kind", "exact_stage", "exact_stage_with_own", "exact_tables", "low_halves", "odd_lanes"]


@helper
def even_lanes(x):
    """Lanes 0, 2, 4 ... of an i32x16 as i64x8."""
    return shift_right(shift_left(bitcast(x, i64x8), splat(i64x8, 32)), splat(i64x8, 32))


@helper
def odd_lanes(x):
    """Lanes 1, 3, 5 ... of an i32x16 as i64x8."""
    return shift_right(bitcast(x, i64x8), splat(i64x8, 32))


@intrinsic
def low_halves(typingctx, even, odd):
    """The low 32 bits of each lane of two i64x8 as one i32x16: the way back from even and odd lanes."""
    if even != i64x8 or odd != i64x8:
        return None

    def codegen(context, builder, signature, args):
        even, odd = (builder.bitcast(value, i32x16.ir) for value in args)
        lanes = [lane for k in range(0, 16, 2) for lane in (k, 16 + k)]
        return builder.shuffle_vector(even, odd, ir.Constant(i32x16.ir, lanes))

    return i32x16(even, odd), codegen


def _every(value: int) -> ir.Constant:
    return ir.Constant(i64x8.ir, [value] * 8)


def _saturated(builder: ir.IRBuilder, total: ir.Value) -> ir.Value:
    total = builder.select(builder.icmp_signed("<", total, _every(2**31 - 1)), total, _every(2**31 - 1))
    return builder.select(builder.icmp_signed(">", total, _every(-(2**31))), total, _every(-(2**31)))


@intrinsic
def _stage(typingctx, x, m, s, b):
    """``sat32(((x * m + 2**(s - 1)) >> s) + b)`` of i64x8 where 64 bits hold the product."""

    def codegen(context, builder, signature, args):
        x, m, s, b = args
        half = builder.shl(_every(1), builder.sub(s, _every(1)))
        return _saturated(builder, builder.add(builder.ashr(builder.add(builder.mul(x, m), half), s), b))

    return i64x8(x, m, s, b), codegen


@intrinsic
def _wide_stage(typingctx, x, m, s, b):
    """:func:`_stage` for ``|x| < 2**62``, ``|m| <= 2**31`` and ``|b| <= 2**60``.

    The product is ``high * 2**32 + low``, 0 <= low < 2**32. A result beyond 2**61 saturates whatever the bias.
    """

    def codegen(context, builder, signature, args):
        x, m, s, b = args
        none, word, mask = _every(0), _every(32), _every(2**32 - 1)

        def select(condition, yes, no):
            return builder.select(condition, yes, no)

        low = builder.mul(builder.and_(x, mask), m)
        high = builder.add(builder.mul(builder.ashr(x, word), m), builder.ashr(low, word))
        low = builder.and_(low, mask)
        far = builder.icmp_signed(">", s, word)  # then the half and the result lie in the high part
        near, beyond = select(far, word, s), select(far, builder.sub(s, word), none)
        low = builder.add(low, select(far, none, builder.shl(_every(1), builder.sub(near, _every(1)))))
        half = select(far, builder.shl(_every(1), select(far, builder.sub(beyond, _every(1)), none)), none)
        high = builder.add(builder.add(high, half), builder.lshr(low, word))
        low = builder.and_(low, mask)
        limit = builder.shl(_every(1 << 29), near)
        total = builder.add(builder.shl(high, builder.sub(word, near)), builder.lshr(low, near))
        total = select(builder.icmp_signed(">=", high, limit), _every(1 << 61), total)
        total = select(builder.icmp_signed("<", high, builder.sub(none, limit)), _every(-(1 << 61)), total)
        return _saturated(builder, builder.add(select(far, builder.ashr(high, beyond), total), b))

    return i64x8(x, m, s, b), codegen


@functools.cache
def _numbers(kind: str, wide: bool) -> Callable:
    """The function ``(even, odd, op, k, v, i)`` that fetches the numbers of stage k and takes it, i32x16."""
    take = _wide_stage if wide else _stage

    @helper
    def channel(even, odd, op, k, v, i):
        f, at = op + 8 * (24 + 4 * k), v * 128
        m, s, b = i64_at(f) + at, i64_at(f + 8) + at, i64_at(f + 24) + at
        even = take(even, load(i64x8, m), load(i64x8, s), load(i64x8, b))
        odd = take(odd, load(i64x8, m + 64), load(i64x8, s + 64), load(i64x8, b + 64))
        return low_halves(even, odd)

    @helper
    def row(even, odd, op, k, v, i):
        f = op + 8 * (24 + 4 * k)
        entry, b = 8 * i * i64_at(f + 16), i64_at(f + 24) + v * 128
        m, s = splat(i64x8, i64_at(i64_at(f) + entry)), splat(i64x8, i64_at(i64_at(f + 8) + entry))
        return low_halves(take(even, m, s, load(i64x8, b)), take(odd, m, s, load(i64x8, b + 64)))

    return {"channel": channel, "row": row}[kind]


@functools.cache
def exact_stage(kind: str) -> Callable:
    """The function ``(x, op, k, v, i, mine)`` of stage k on vector v of row i; kinds: "channel", "row", "" for none."""
    take = _numbers(kind or "row", False)

    @helper
    def stage(x, op, k, v, i, mine):
        return take(even_lanes(x), odd_lanes(x), op, k, v, i)

    @helper
    def nothing(x, op, k, v, i, mine):
        return x

    return stage if kind else nothing


@functools.cache
def exact_stage_with_own(kind: str, own: str) -> Callable:
    """:func:`exact_stage` of ``x * 2**left + (y - zero) * weight``, y the row of kind ``own`` at the address ``mine``;
    fields 54 to 56 of the record.

    The joined value may have 61 bits; left and weight are such that neither term has more.
    """
    take, get = _numbers(kind, True), LOAD[own]

    @helper
    def stage(x, op, k, v, i, mine):
        y = subtract(get(mine, v), splat(i32x16, i64_at(op + 8 * 54)))
        left, weight = splat(i64x8, i64_at(op + 8 * 56)), splat(i64x8, i64_at(op + 8 * 55))
        even = add(shift_left(even_lanes(x), left), multiply(even_lanes(y), weight))
        odd = add(shift_left(odd_lanes(x), left), multiply(odd_lanes(y), weight))
        return take(even, odd, op, k, v, i)

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
