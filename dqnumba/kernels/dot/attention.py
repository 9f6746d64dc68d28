"""Graph attention on int8 rows in one sweep over the edges: logits, softmax and weighted sum of a row, then the next.

For each row i and head h, with e = (j -> i) its edges,

    code[e]  = requantize(target[i, h] + source[j, h])
    share[e] = softmax over the row of the table's exponentials, in units of 2**-bits
    out[i, h, c] = sum over e of share[e] * (x[j, h, c] - zero)

as ``edge_logits``, ``requantize`` (one stage, one multiplier), ``edge_softmax`` and ``weighted_neighbor_sum`` of the
reference, bit for bit. What is held are the exponentials and shares of at most ``CHUNK`` edges, in scratch; a longer
row makes its logits three times instead.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .attention_softmax import DISTANCE, MAX_DEGREE, softmax_passes
from .attention_vectors import sum_f64
from .attention_weighted import weighted_rows
from .micro import LOCAL, RANGE, Micro, indexed_place, micro, new_op, place, put_place, stride
from .simd import Vector, i64_at, load, maximum, store, zeros

__all__ = ["CHUNK", "DISTANCE", "MAX_DEGREE", "attention_misfit", "attention_op", "attention_scratch"]

CHUNK = 1024
"""Edges of a row whose exponentials are held at a time; even."""

Place = tuple[int, int, bool]


def _unit(heads: int) -> int:
    """Heads that one vector holds."""
    return 4 if heads <= 4 else 8


def _padded(heads: int) -> int:
    return -(-heads // _unit(heads)) * _unit(heads)


def _block(heads: int, channels: int) -> tuple[int, int]:
    """Heads and channels of a block of the weighted sum: the row, or as much of one head as a vector holds."""
    if heads in (1, 2, 4, 8) and channels in (8, 16, 32, 64) and heads * channels in (64, 128, 256):
        return heads, channels
    return 1, next(lanes for lanes in (8, 16, 32, 64) if lanes >= min(channels, 64))


def attention_scratch(heads: int) -> int:
    """Bytes of scratch memory that the kernel needs for itself, a multiple of 64."""
    return _padded(heads) * (8 * (CHUNK + 1) + 2 * CHUNK + 20) + 64 & -64


@functools.cache
def _kernel(unit: int, heads: int, channels: int, form: str, near: bool) -> Micro:
    i32, i64 = Vector("i32", unit), Vector("i64", unit)
    largest, weigh, share, few = softmax_passes(unit, near)
    weighted = weighted_rows(heads, channels, form)

    def attention(op, start, stop, scratch):
        target, target_step = place(op, 1, start, scratch), stride(op, 1)
        source, out, out_step = indexed_place(op, 4, 6, scratch), place(op, 10, start, scratch), stride(op, 10)
        x = indexed_place(op, 7, 9, scratch)
        indptr, indices, width = i64_at(op + 8 * 13), i64_at(op + 8 * 14), i64_at(op + 8 * 15)
        at = scratch + i64_at(op + 8 * 24)
        pairs = at + 8 * (CHUNK + 1) * width
        bases = pairs + 2 * CHUNK * width
        tops, totals = bases + 4 * width, bases + 12 * width
        for i in range(start, stop):
            begin, end = i64_at(indptr + 8 * i), i64_at(indptr + 8 * (i + 1))
            own, row = target + i * target_step, out + i * out_step
            if width == unit and begin < end <= begin + 4:
                few(op, load(i32, own), begin, end - begin, pairs, bases, source, indices)
                weighted(op, x, begin, begin + 4, end - 1, pairs, bases, row, width, 0)
                continue
            for h in range(0, width, unit):
                store(tops + 8 * h, zeros(i64))
                store(totals + 8 * h, zeros(i64))
                store(bases + 4 * h, zeros(i32))
            # A long row goes through its edges three times: for its largest logit, its sum, and its shares.
            long = end - begin > CHUNK
            for stage in range(3 if long else 1):
                for first in range(begin, max(end, begin + 1), CHUNK):
                    last = min(first + CHUNK, end)
                    for h in range(0, width, unit):
                        values = at + 8 * h
                        scores = source + 4 * h
                        top = largest(op, load(i32, own + 4 * h), first, last, width, values, scores, indices)
                        if stage == 0:
                            top = maximum(load(i64, tops + 8 * h), top)
                            store(tops + 8 * h, top)
                            if long:
                                continue
                        total = weigh(last - first, width, values, load(i64, tops + 8 * h))
                        if stage < 2:
                            total = sum_f64(load(i64, totals + 8 * h), total)
                            store(totals + 8 * h, total)
                        if stage != 1:
                            total = load(i64, totals + 8 * h)
                            share(op, last - first, width, values, total, pairs + 4 * h, bases + 4 * h)
                    if stage == 2 or not long:
                        weighted(op, x, first, last, last - 1, pairs, bases, row, width, first - begin)

    attention.__name__ = attention.__qualname__ = f"{'near_' if near else ''}attention_{unit}_{heads}x{channels}_{form}"
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
) -> tuple[NDArray[np.int64], list[NDArray]]:
    """The record of an attention layer's sweep, and the table that it points to; shapes of :func:`attention_misfit`
    must not get here.

    Parameters
    ----------
    target, source : places of int32 rows of ``heads`` scores
        Up to 32 bytes behind a row's scores may be read. Source, read by index, cannot be a
        block's own.
    x : place of code rows, not of a block alone
        Heads one after the other; up to 64 bytes behind a row's codes may be read.
    out : place of int32 rows (heads * head_width), written to the last channel and no further
    indptr, indices : addresses of int64 (N + 1,) and int32
        At least ``DISTANCE + 4`` further entries, each a row of x, stand behind the last index.
    multiplier, shift, zero_point, low, high : of the logits' one requantization stage
    code_low, mantissa, exponent, bits : of the softmax, as in the reference
    zero : int
        Zero point of x in stored codes.
    work : int
        Offset in scratch memory of ``attention_scratch(heads)`` bytes.
    packed : bool
        x holds two channels a byte.

    Notes
    -----
    Fields: 1-3 target, 4-6 source, 7-9 x, 10-12 out, 13 indptr, 14 indices, 15 heads in whole vectors, 16 multiplier,
    17 rounding half, 18 shift, 19 zero point less code_low, 20 and 21 clamp of the table's index, 22 table, 23 zero,
    24 work, 25 heads, 26 channels of a head, 27 cache lines of a row of x, 28 2.0**bits by its bits.
    """
    if LOCAL in (source[2], x[2]):
        raise ValueError("rows that are read by index cannot lie in the scratch memory of a block")
    form = "bytes" if not packed else ("odd_nibbles" if head_width % 2 and heads > 1 else "nibbles")
    block = _block(heads, head_width)
    op = new_op(_kernel(_unit(heads), *block, form, x[2] == RANGE))
    for k, where in ((1, target), (4, source), (7, x), (10, out)):
        put_place(op, k, *where)
    table = np.ldexp(mantissa.astype(np.float64), (exponent - exponent.max() - 30).astype(np.int32))
    op[13:16] = indptr, indices, _padded(heads)
    op[16:20] = multiplier, 1 << (shift - 1), shift, zero_point - code_low
    op[20:25] = low - code_low, high - code_low, table.ctypes.data, zero, work
    row_bytes = -(-heads * head_width // 2) if packed else heads * head_width
    op[25:29] = heads, head_width, -(-row_bytes // 64), np.float64(2.0**bits).view(np.int64)
    return op, [table]
