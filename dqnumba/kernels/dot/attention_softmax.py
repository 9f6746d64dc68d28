"""The softmax of attention on the edges of one row: the integers of ``reference.edge_softmax`` in float64 lanes.

Why float64 lanes give the integers of the reference: an exponential is a number of 31 bits times a power of two, so
shifting it is a product and a floor, exact; sums stay below 2**50. The quotient ``floor(n / total)`` with
``n = weight * 2**bits + total // 2`` is taken as ``floor((n + 1/2) / total)``, the same number, whose argument is at
least ``1 / (2 total)`` away from every integer; three roundings move it by about ``3 * 2**-53 * (n + 1/2) / total`` at
most, which is less as long as ``n < 2**50``: rows of at most ``MAX_DEGREE`` edges.
Fields of the record: 4-6 source, 7 and 8 x and its stride, 16 to 22 and 27, 28 as :func:`.attention.attention_op` says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from .attention_vectors import coefficients, gather_f64, half_up, reciprocal, sum_f64, times_f64, whole_f64
from .micro import helper, stride
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

__all__ = ["DISTANCE", "MAX_DEGREE", "softmax_passes"]

DISTANCE = 16
"""Edges between the one that is read and the one that is asked for."""

MAX_DEGREE = 1 << 19
"""Edges of the longest row whose shares are proven to be exact."""


@functools.cache
def softmax_passes(unit: int, near: bool) -> tuple[Callable, ...]:
    """Compiled functions of the passes over a row's edges, for ``unit`` heads a vector; ``near`` rows are in the cache
    already."""
    i32, i64 = Vector("i32", unit), Vector("i64", unit)

    @helper
    def ask(op, source, indices, e):
        """Ask for what the edge ``DISTANCE`` after e reads."""
        if near:
            return
        ahead = i32_at(indices + 4 * (e + DISTANCE))
        prefetch(source + ahead * stride(op, 4))
        address = i64_at(op + 56) + ahead * i64_at(op + 64)
        for line in range(i64_at(op + 216)):
            prefetch(address + 64 * line)

    @helper
    def exponential(op, own, source, indices, e):
        """The exponentials of edge e, for one vector of heads."""
        logit = add(own, load(i32, source + i32_at(indices + 4 * e) * stride(op, 4)))
        # The multiplier comes from memory each time as 32 bits: LLVM then takes the 32 x 32 -> 64 bit product.
        scaled = add(multiply(widen(logit, i64), widen(broadcast(i32, op + 128), i64)), splat(i64, i64_at(op + 136)))
        code = add(shift_right(scaled, splat(i64, i64_at(op + 144))), splat(i64, i64_at(op + 152)))
        code = minimum(maximum(code, splat(i64, i64_at(op + 160))), splat(i64, i64_at(op + 168)))
        return gather_f64(i64_at(op + 176), code)

    @helper
    def scale_of(top):
        """The power of two that brings ``top`` to 2**30 .. 2**31, by its bits."""
        return shift_left(subtract(splat(i64, 2076), shift_right(top, splat(i64, 52))), splat(i64, 52))

    @helper
    def terms(op, total):
        """Factor and offset that turn a weight into its share."""
        inverse = reciprocal(total)
        return times_f64(inverse, splat(i64, i64_at(op + 224))), times_f64(half_up(total), inverse)

    @helper
    def paired(first, second):
        """Two shares, negated (2**15 fits 16 bits only so), in 32 bits."""
        low = bit_and(subtract(zeros(i32), first), splat(i32, 65535))
        return add(low, shift_left(subtract(zeros(i32), second), splat(i32, 16)))

    @helper
    def largest(op, own, begin, end, width, at, source, indices):
        """Write the exponentials of the edges; the largest of each head comes back."""
        top = zeros(i64)
        for e in range(begin, end):
            ask(op, source, indices, e)
            value = exponential(op, own, source, indices, e)
            store(at + (e - begin) * width * 8, value)
            top = maximum(top, value)
        return top

    @helper
    def weigh(count, width, at, top):
        """Exponentials to whole weights, in place; their sum comes back."""
        scale, total = scale_of(top), zeros(i64)
        for k in range(count):
            weight = whole_f64(load(i64, at + k * width * 8), scale)
            store(at + k * width * 8, weight)
            total = sum_f64(total, weight)
        return total

    @helper
    def share(op, count, width, at, total, pairs, bases):
        """Weights to shares, two edges side by side; and what the zero point takes from their sums."""
        factor, offset = terms(op, total)
        taken = zeros(i32)
        for k in range(0, count, 2):
            address = at + k * width * 8
            first = coefficients(load(i64, address), factor, offset)
            # Behind an odd last edge stands any number.
            second = coefficients(load(i64, address + width * 8), factor, offset)
            if k + 1 == count:
                second = zeros(i32)
            taken = subtract(taken, add(first, second))
            store(pairs + k * width * 2, paired(first, second))
        store(bases, multiply(taken, splat(i32, i64_at(op + 184))))

    @helper
    def few(op, own, e, count, pairs, bases, source, indices):
        """The three passes for 1 to 4 edges, without a branch, whose outcome could not be foretold: edges too many are
        read as the last one again, with the weight 0 and so the share 0."""
        for k in range(4):
            ask(op, source, indices, e + k)
        last = e + count - 1
        w0 = exponential(op, own, source, indices, e)
        w1 = bit_and(exponential(op, own, source, indices, min(e + 1, last)), splat(i64, (1 - count) >> 63))
        w2 = bit_and(exponential(op, own, source, indices, min(e + 2, last)), splat(i64, (2 - count) >> 63))
        w3 = bit_and(exponential(op, own, source, indices, last), splat(i64, (3 - count) >> 63))
        scale = scale_of(maximum(maximum(w0, w1), maximum(w2, w3)))
        w0, w1, w2, w3 = whole_f64(w0, scale), whole_f64(w1, scale), whole_f64(w2, scale), whole_f64(w3, scale)
        factor, offset = terms(op, sum_f64(sum_f64(w0, w1), sum_f64(w2, w3)))
        s0, s1 = coefficients(w0, factor, offset), coefficients(w1, factor, offset)
        s2, s3 = coefficients(w2, factor, offset), coefficients(w3, factor, offset)
        store(pairs, paired(s0, s1))
        store(pairs + 4 * unit, paired(s2, s3))
        taken = subtract(zeros(i32), add(add(s0, s1), add(s2, s3)))
        store(bases, multiply(taken, splat(i32, i64_at(op + 184))))

    return largest, weigh, share, few
