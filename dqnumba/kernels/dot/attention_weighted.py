"""The weighted sum of attention: rows of codes times shares of 16 bits, two edges at a time, sums in registers.

A row is taken in blocks, each one LLVM vector: all heads at once where the row is one such vector, else up to 64
channels of one head. Fields of the record: 8 the stride of x, 14 indices, 25 heads, 26 channels of a head.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from .attention_vectors import pair_products
from .gather_vectors import interleave, repeat
from .micro import helper
from .simd import (
    Vector,
    add,
    i32_at,
    i64_at,
    load,
    load_first,
    shift_left,
    shift_right,
    splat,
    store,
    store_first,
    subtract,
    zeros,
)

__all__ = ["weighted_rows"]


def _reader(lanes: int, form: str) -> Callable:
    """A compiled function: ``lanes`` codes from channel c of the row at an address."""
    codes, half = Vector("i8", lanes), Vector("i8", lanes // 2)

    @helper
    def low_nibbles(both):
        return shift_right(shift_left(both, splat(half, 4)), splat(half, 4))

    @helper
    def high_nibbles(both):
        return shift_right(both, splat(half, 4))

    @helper
    def read_bytes(row, c):
        return load(codes, row + c)

    @helper
    def read_nibbles(row, c):
        both = load(half, row + (c >> 1))
        return interleave(low_nibbles(both), high_nibbles(both))

    @helper
    def read_odd_nibbles(row, c):
        """A head of odd width may begin in the middle of a byte."""
        both = load(half, row + (c >> 1))
        if c & 1:
            return interleave(high_nibbles(both), low_nibbles(load(half, row + (c >> 1) + 1)))
        return interleave(low_nibbles(both), high_nibbles(both))

    return {"bytes": read_bytes, "nibbles": read_nibbles, "odd_nibbles": read_odd_nibbles}[form]


@functools.cache
def weighted_rows(heads: int, channels: int, form: str) -> Callable:
    """A compiled function that sums one row of ``out`` over edges whose shares are at hand.

    Parameters
    ----------
    heads, channels : int
        Of a block: several whole heads, or channels of one head.
    form : str
        How a row of x holds its codes: "bytes", "nibbles", or "odd_nibbles" if heads begin within bytes.
    """
    lanes = heads * channels
    sums32, each = Vector("i32", lanes), Vector("i32", heads)
    read = _reader(lanes, form)

    @helper
    def weighted(op, x, begin, end, last, pairs, bases, out, width, more):
        """``out = bases - sum of negated shares * codes``, plus what stands there already if ``more``; edges behind the
        row's ``last`` have the share 0."""
        x_step, indices = i64_at(op + 64), i64_at(op + 8 * 14)
        all_heads, all_channels = i64_at(op + 8 * 25), i64_at(op + 8 * 26)
        for h in range(0, all_heads, heads):
            for part in range(0, all_channels, channels):
                c = h * all_channels + part
                total, at = zeros(sums32), pairs + 4 * h
                for e in range(begin, end, 2):
                    # Edges too many are read as the last one again: what stands behind may be no row of x here.
                    first = read(x + i32_at(indices + 4 * min(e, last)) * x_step, c)
                    second = read(x + i32_at(indices + 4 * min(e + 1, last)) * x_step, c)
                    total = pair_products(total, first, second, repeat(load(each, at), channels))
                    at += 4 * width
                total = subtract(repeat(load(each, bases + 4 * h), channels), total)
                left, address = all_channels - part, out + 4 * c
                if heads > 1 or left >= channels:
                    if more:
                        total = add(total, load(sums32, address))
                    store(address, total)
                else:  # what stands behind the row may be another thread's
                    if more:
                        total = add(total, load_first(sums32, address, left))
                    store_first(address, total, left)

    return weighted
