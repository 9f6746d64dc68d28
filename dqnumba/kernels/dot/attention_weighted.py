"""The weighted sum of attention: rows of codes times shares of 16 bits, two edges at a time, sums in registers.

A row's channels are cut into runs of 8 or 16: each head is one run, or, if it is wider, several. Four runs are summed
at a time. Fields of the record: 25 outer runs (heads wider than a run, else 1), 26 their channels; 27 inner runs, 28
channels from one to the next, 29 shares from one to the next (1 where each run is a head); 30 channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable

from .attention_vectors import pair_products
from .gather_vectors import interleave
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
    """A compiled function: the codes of the run that begins at channel c of the row at an address."""
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


def weighted_rows(lanes: int, form: str) -> Callable:
    """A compiled function that sums one row of ``out`` over edges whose shares are at hand.

    Parameters
    ----------
    lanes : int
        Channels of a run, 8 or 16.
    form : str
        How a row of x holds its codes: "bytes", "nibbles", or "odd_nibbles" if heads begin within bytes.
    """
    sums32, read = Vector("i32", lanes), _reader(lanes, form)

    @helper
    def finish(op, total, out, c, t, share_sum, more):
        """Write run t, from channel c: minus the negated sum, less the zero point's part, plus what is there."""
        zero = splat(sums32, i64_at(op + 8 * 23) * i32_at(share_sum))
        value, address = subtract(zeros(sums32), add(total, zero)), out + 4 * c
        left = i64_at(op + 8 * 30)
        if i64_at(op + 8 * 29) == 0:
            left -= t * lanes
        if left >= lanes:
            if more:
                value = add(value, load(sums32, address))
            store(address, value)
        else:  # what stands behind the row may be another thread's
            if more:
                value = add(value, load_first(sums32, address, left))
            store_first(address, value, left)

    @helper
    def weighted(op, begin, end, pairs, sums, out, width, more):
        x, x_step, indices = i64_at(op + 56), i64_at(op + 64), i64_at(op + 8 * 14)
        runs, step, head_step = i64_at(op + 8 * 27), i64_at(op + 8 * 28), i64_at(op + 8 * 29)
        for head in range(i64_at(op + 8 * 25)):
            t = 0
            while t < runs:
                c = head * i64_at(op + 8 * 26) + t * step
                at = pairs + 4 * (head + t * head_step)
                share_sum = sums + 4 * (head + t * head_step)
                if runs - t == 1:
                    total = zeros(sums32)
                    for e in range(begin, end, 2):
                        first = x + i32_at(indices + 4 * e) * x_step
                        second = x + i32_at(indices + 4 * min(e + 1, end - 1)) * x_step
                        total = pair_products(total, read(first, c), read(second, c), i32_at(at))
                        at += 4 * width
                    finish(op, total, out, c, t, share_sum, more)
                    t += 1
                    continue
                # Of fewer than four runs the last is summed again, and not written.
                u2, u3 = min(2, runs - t - 1), min(3, runs - t - 1)
                c1, c2, c3 = c + step, c + u2 * step, c + u3 * step
                s1, s2, s3 = 4 * head_step, 4 * u2 * head_step, 4 * u3 * head_step
                total, total1, total2, total3 = zeros(sums32), zeros(sums32), zeros(sums32), zeros(sums32)
                for e in range(begin, end, 2):
                    # An odd last edge is its own partner, with a share of 0.
                    first = x + i32_at(indices + 4 * e) * x_step
                    second = x + i32_at(indices + 4 * min(e + 1, end - 1)) * x_step
                    total = pair_products(total, read(first, c), read(second, c), i32_at(at))
                    total1 = pair_products(total1, read(first, c1), read(second, c1), i32_at(at + s1))
                    total2 = pair_products(total2, read(first, c2), read(second, c2), i32_at(at + s2))
                    total3 = pair_products(total3, read(first, c3), read(second, c3), i32_at(at + s3))
                    at += 4 * width
                finish(op, total, out, c, t, share_sum, more)
                finish(op, total1, out, c1, t + 1, share_sum + s1, more)
                if runs - t > 2:
                    finish(op, total2, out, c2, t + 2, share_sum + s2, more)
                if runs - t > 3:
                    finish(op, total3, out, c3, t + 3, share_sum + s3, more)
                t += 4

    return weighted
