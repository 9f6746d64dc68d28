"""Graph attention on int8 rows in one sweep over the edges: logits, softmax and weighted sum of a row, then the next.

For each row i and head h, with e = (j -> i) its edges,

    code[e]  = requantize(target[i, h] + source[j, h])
    share[e] = softmax over the row of the table's exponentials, in units of 2**-bits
    out[i, h, c] = sum over e of share[e] * (x[j, h, c] - zero)

as ``edge_logits``, ``requantize`` (one stage, one multiplier), ``edge_softmax`` and ``weighted_neighbor_sum`` of the
reference, bit for bit. What is held are the exponentials and shares of at most ``CHUNK`` edges of one row, in scratch;
a longer row makes its logits three times instead.

Why float64 lanes give the integers of the reference: an exponential is a number of 31 bits times a power of two, so
shifting it is a product and a floor, exact; sums stay below 2**50. The quotient ``floor(n / total)`` with
``n = weight * 2**bits + total // 2`` is taken as ``floor((n + 1/2) / total)``, the same number, whose argument is at
least ``1 / (2 total)`` away from every integer; three roundings move it by about ``3 * 2**-53 * (n + 1/2) / total`` at
most, which is less as long as ``n < 2**50``: rows of at most ``MAX_DEGREE`` edges.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .attention_vectors import coefficients, gather_f64, half_up, reciprocal, sum_f64, times_f64, whole_f64
from .attention_weighted import weighted_rows
from .micro import Micro, helper, micro, new_op, place, put_place, stride
from .simd import (
    Vector,
    add,
    bit_and,
    broadcast,
    i32_at,
    i64_at,
    load,
    maximum,
    minimum,
    multiply,
    prefetch,
    shift_left,
    shift_right,
    splat,
    store,
    subtract,
    widen,
    zeros,
)

__all__ = ["CHUNK", "DISTANCE", "MAX_DEGREE", "attention_misfit", "attention_op", "attention_scratch"]

CHUNK = 1024
"""Edges of a row whose exponentials are held at a time; even."""

DISTANCE = 16
"""Edges between the one that is read and the one that is asked for; indices are padded by more."""

MAX_DEGREE = 1 << 19

Place = tuple[int, int, bool]


def _unit(heads: int) -> int:
    """Heads that one vector holds."""
    return 4 if heads <= 4 else 8


def _padded(heads: int) -> int:
    return -(-heads // _unit(heads)) * _unit(heads)


def attention_scratch(heads: int) -> int:
    """Bytes of scratch memory that the kernel needs for itself, a multiple of 64."""
    return _padded(heads) * (8 * CHUNK + 2 * CHUNK + 64) + 64


@functools.cache
def _kernel(unit: int, lanes: int, form: str) -> Micro:
    i32, i64 = Vector("i32", unit), Vector("i64", unit)
    weighted = weighted_rows(lanes, form)

    @helper
    def exponentials(op, h, target, begin, end, width, at, source, indices):
        """Write the exponentials of edges begin .. end, heads h .. h + unit; the largest of each head comes back."""
        step, x, x_step, lines = stride(op, 4), i64_at(op + 56), i64_at(op + 64), i64_at(op + 8 * 31)
        own = load(i32, target + 4 * h)
        half, shift, offset = splat(i64, i64_at(op + 136)), splat(i64, i64_at(op + 144)), splat(i64, i64_at(op + 152))
        low, high, table = splat(i64, i64_at(op + 160)), splat(i64, i64_at(op + 168)), i64_at(op + 176)
        top = zeros(i64)
        for e in range(begin, end):
            ahead = i32_at(indices + 4 * (e + DISTANCE))
            prefetch(source + ahead * step)
            for line in range(lines):
                prefetch(x + ahead * x_step + 64 * line)
            logit = add(own, load(i32, source + i32_at(indices + 4 * e) * step + 4 * h))
            # The multiplier comes from memory each time as 32 bits: LLVM then takes the 32 x 32 -> 64 bit product.
            scaled = multiply(widen(logit, i64), widen(broadcast(i32, op + 8 * 16), i64))
            code = add(shift_right(add(scaled, half), shift), offset)
            value = gather_f64(table, minimum(maximum(code, low), high))
            store(at + (e - begin) * width * 8 + 8 * h, value)
            top = maximum(top, value)
        return top

    @helper
    def scale_of(top):
        """The power of two that brings the largest exponential to 2**30 .. 2**31; by its bits."""
        return shift_left(subtract(splat(i64, 2076), shift_right(top, splat(i64, 52))), splat(i64, 52))

    @helper
    def weigh(h, count, width, at, scale):
        """Exponentials to whole weights, in place; their sum comes back."""
        total = zeros(i64)
        for k in range(count):
            address = at + k * width * 8 + 8 * h
            weight = whole_f64(load(i64, address), scale)
            store(address, weight)
            total = sum_f64(total, weight)
        return total

    @helper
    def share(h, count, width, at, factor, offset, pairs, sums):
        """Weights to shares, negated (2**15 fits 16 bits only so), two edges in 32 bits; and the sum of the shares."""
        total, bits16, mask = zeros(i32), splat(i32, 16), splat(i32, 65535)
        for k in range(0, count - 1, 2):
            address = at + k * width * 8 + 8 * h
            first = coefficients(load(i64, address), factor, offset)
            second = coefficients(load(i64, address + width * 8), factor, offset)
            total = add(total, add(first, second))
            both = add(bit_and(subtract(zeros(i32), first), mask), shift_left(subtract(zeros(i32), second), bits16))
            store(pairs + (k >> 1) * width * 4 + 4 * h, both)
        if count & 1:
            last = coefficients(load(i64, at + (count - 1) * width * 8 + 8 * h), factor, offset)
            total = add(total, last)
            store(pairs + (count >> 1) * width * 4 + 4 * h, bit_and(subtract(zeros(i32), last), mask))
        store(sums + 4 * h, total)

    def attention(op, start, stop, scratch):
        target, target_step = place(op, 1, start, scratch), stride(op, 1)
        source, out, out_step = i64_at(op + 32), place(op, 10, start, scratch), stride(op, 10)
        indptr, indices, width = i64_at(op + 8 * 13), i64_at(op + 8 * 14), i64_at(op + 8 * 15)
        at = scratch + i64_at(op + 8 * 24)
        pairs = at + CHUNK * width * 8
        sums = pairs + CHUNK * width * 2
        state = sums + width * 4
        unity = splat(i64, i64_at(op + 8 * 32))
        for i in range(start, stop):
            begin, end = i64_at(indptr + 8 * i), i64_at(indptr + 8 * (i + 1))
            own, row = target + i * target_step, out + i * out_step
            if end - begin <= CHUNK:
                for h in range(0, width, unit):
                    top = exponentials(op, h, own, begin, end, width, at, source, indices)
                    total = weigh(h, end - begin, width, at, scale_of(top))
                    inverse = reciprocal(total)
                    factor, offset = times_f64(inverse, unity), times_f64(half_up(total), inverse)
                    share(h, end - begin, width, at, factor, offset, pairs, sums)
                weighted(op, begin, end, pairs, sums, row, width, 0)
                continue
            for h in range(0, width, unit):
                top = zeros(i64)
                for first in range(begin, end, CHUNK):
                    last = min(first + CHUNK, end)
                    top = maximum(top, exponentials(op, h, own, first, last, width, at, source, indices))
                scale, total = scale_of(top), zeros(i64)
                for first in range(begin, end, CHUNK):
                    last = min(first + CHUNK, end)
                    exponentials(op, h, own, first, last, width, at, source, indices)
                    total = sum_f64(total, weigh(h, last - first, width, at, scale))
                inverse = reciprocal(total)
                store(state + 24 * h, scale)
                store(state + 24 * h + 8 * unit, times_f64(inverse, unity))
                store(state + 24 * h + 16 * unit, times_f64(half_up(total), inverse))
            for first in range(begin, end, CHUNK):
                last = min(first + CHUNK, end)
                for h in range(0, width, unit):
                    exponentials(op, h, own, first, last, width, at, source, indices)
                    scale = load(i64, state + 24 * h)
                    factor, offset = load(i64, state + 24 * h + 8 * unit), load(i64, state + 24 * h + 16 * unit)
                    weigh(h, last - first, width, at, scale)
                    share(h, last - first, width, at, factor, offset, pairs, sums)
                weighted(op, first, last, pairs, sums, row, width, first - begin)

    attention.__name__ = attention.__qualname__ = f"attention_{unit}x{lanes}_{form}"
    return micro(attention)


def attention_misfit(
    *, multiplier: int, shift: int, mantissa: NDArray[np.int64], exponent: NDArray[np.int64], bits: int,
    code_low: int, low: int, high: int, max_degree: int,
) -> str:  # fmt: skip
    """Why :func:`attention_op` cannot do this attention; empty if it can. Arguments as there."""
    if not 0 <= multiplier < 1 << 31 or not 1 <= shift <= 62:
        return "the multiplier of the logits is not one of quantize_multiplier's for a positive factor"
    if not 1 <= bits <= 15:
        return f"shares of {bits} bits do not fit 16-bit lanes"
    if low < code_low or high - code_low >= len(mantissa) or low > high or len(mantissa) != len(exponent):
        return "the table of exponentials does not cover the codes"
    if mantissa.min() < 1 << 30 or mantissa.max() >= 1 << 31:
        return "a mantissa is not in 2**30 .. 2**31 - 1"
    if int(exponent.max()) - int(exponent.min()) > 900:
        return "the logits span more powers of two than float64 has"
    if max_degree > MAX_DEGREE:
        return f"a row has {max_degree} edges, more than {MAX_DEGREE}"
    return ""


def attention_op(
    *,
    target: Place,
    source: Place,
    x: Place,
    out: Place,
    indptr: int,
    indices: int,
    heads: int,
    head_width: int,
    multiplier: int,
    shift: int,
    zero_point: int,
    low: int,
    high: int,
    code_low: int,
    mantissa: NDArray[np.int64],
    exponent: NDArray[np.int64],
    bits: int,
    zero: int,
    work: int,
    packed: bool = False,
    distance_lines: int | None = None,
) -> tuple[NDArray[np.int64], list[NDArray]]:
    """The record of an attention layer's sweep, and the table that it points to; shapes of :func:`attention_misfit`
    must not get here.

    Parameters
    ----------
    target, source : places of int32 rows of ``heads`` scores
        Up to 32 bytes behind a row's scores may be read. Source, read by index, cannot be local.
    x : place of code rows, not local
        Heads one after the other; up to 16 bytes behind a row's codes may be read.
    out : place of int32 rows (heads * head_width), written to the last channel and no further
    indptr, indices : addresses of int64 (N + 1,) and int32
        At least ``DISTANCE`` further entries, each a row of x, stand behind the last index.
    multiplier, shift, zero_point, low, high : of the logits' one requantization stage
    code_low, mantissa, exponent, bits : of the softmax, as in the reference
    zero : int
        Zero point of x in stored codes.
    work : int
        Offset in scratch memory of ``attention_scratch(heads)`` bytes.
    packed : bool
        x holds two channels a byte.
    distance_lines : int, optional
        Cache lines of a row of x that are asked for ahead; by default all.

    Notes
    -----
    Fields: 1-3 target, 4-6 source, 7-9 x, 10-12 out, 13 indptr, 14 indices, 15 heads in whole vectors, 16 multiplier,
    17 rounding half, 18 shift, 19 zero point less code_low, 20 and 21 clamp of the table's index, 22 table, 23 zero,
    24 work; 25 to 30 the runs of channels, see :mod:`.attention_weighted`; 31 lines, 32 2.0**bits by its bits.
    """
    if source[2] or x[2]:
        raise ValueError("rows that are read by index cannot lie in a thread's scratch memory")
    lanes = 8 if head_width <= 8 else 16
    form = "bytes" if not packed else ("odd_nibbles" if head_width % 2 and heads > 1 else "nibbles")
    op = new_op(_kernel(_unit(heads), lanes, form))
    for k, where in ((1, target), (4, source), (7, x), (10, out)):
        put_place(op, k, *where)
    table = np.ldexp(mantissa.astype(np.float64), (exponent - exponent.max() - 30).astype(np.int32))
    op[13:16] = indptr, indices, _padded(heads)
    op[16:20] = multiplier, 1 << (shift - 1), shift, zero_point - code_low
    op[20:25] = low - code_low, high - code_low, table.ctypes.data, zero, work
    narrow = head_width <= lanes
    # Runs of channels: heads, or parts of a head. Outer: count, channels a step; inner: count, channels a step, shares
    # a step; and the channels of a head.
    op[25:31] = (1, 0, heads, head_width, 1, head_width) if narrow else (
        heads, head_width, -(-head_width // lanes), lanes, 0, head_width)  # fmt: skip
    row_bytes = -(-heads * head_width // 2) if packed else heads * head_width
    op[31] = -(-row_bytes // 64) if distance_lines is None else distance_lines
    op[32] = np.float64(2.0**bits).view(np.int64)
    return op, [table]
