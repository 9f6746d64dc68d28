"""Requantization by a guess in float32 (:mod:`.guess`); what is in doubt, and unsafe rows, take the integer steps.

Of 64 codes of bytes, four vectors, one in doubt sends all to the integer steps; of other codes, of a vector's 16. The
record is that of :mod:`.requantize`. Further fields: 36 + k stage k of the guess, 39 its doubt and 40 its weight of own
codes (float32 bits).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .codes import LOAD, STORE
from .cpu import features
from .exact_stage import exact_stage, exact_stage_with_own
from .fold import Fold, Own
from .folded_stage import guessed_stages, joined_codes, row_entry, row_stage
from .guess import Guess, guess_of, share_in_doubt
from .micro import Micro, helper, micro, place, stride
from .requantize_tables import guess_table
from .simd import (
    add,
    broadcast,
    f32x16,
    i8_at,
    i32_at,
    i32x16,
    i64_at,
    maximum,
    minimum,
    splat,
    store,
    subtract,
)
from .simd_float import any_below, floor_avx512, floor_to_integer, fraction, fraction_avx512
from .simd_quant import pack_bytes, pack_bytes_avx512

__all__ = ["guessed_kernel", "put_guess", "worthwhile_guess"]

_LARGEST_ERROR = 2.0**-12
"""Of a guess: one code of 2,000 is then in doubt, and 64 codes at a time one time of 32."""

_LARGEST_SHARE = 2.0**-9
"""Of codes in doubt, ties among them."""


def worthwhile_guess(
    fold: Fold, kinds: tuple[str, ...], output: str, low: int, high: int, own: Own | None
) -> Guess | None:
    """A guess for what takes longer in integers, if codes are seldom in doubt."""
    if output not in STORE or output == "int32" or set(kinds) <= {"none"}:
        return None
    guess = guess_of(fold, low, high, own)
    if guess is None or guess.error > _LARGEST_ERROR:
        return None
    return guess if share_in_doubt(fold, guess, low, high, own) <= _LARGEST_SHARE else None


def guess_variant(guess: Guess, output: str, columns: int) -> tuple[tuple[bool, ...], str, bool]:
    """What of a guess the kernel is compiled for: which stages have one constant, how own codes are added, and whether
    a row is 64 codes at once."""
    even = tuple(bool((c == c[0]).all()) for c in guess.constants)
    return even, guess.join, output == "int8" and 48 < columns <= 64


def put_guess(op: NDArray[np.int64], fold: Fold, guess: Guess, columns: int, address: Callable[[NDArray], int]) -> None:
    """Write the fields of a guess; ``address`` keeps an array and gives its address."""
    op[36:39] = op[14]  # something that can be read
    for k, stage in enumerate(fold.folded):
        op[36 + k] = address(guess_table(stage, guess.constants[k], columns, 0 if k else guess.gain))
    op[39:41] = np.array([guess.doubt, guess.weight], np.float32).view(np.int32)


_BITS = {"int4": 4, "int8": 8, "int16": 16, "int32": 32}


@functools.cache
def _integer_steps(source: str, kinds: tuple[str, ...], output: str, zero: bool, own: str) -> Callable:
    """The function that takes vectors v to last - 1 of row i through the folded stages in integers."""
    first, second, third = (row_stage(kind) for kind in (*kinds, "", "", "")[:3])
    joined, load_vector, put = joined_codes(own), LOAD[source], STORE[output]

    @helper
    def steps(op, i, row, out, mine, v, last):
        e0, e1, e2 = row_entry(op, 0, i), row_entry(op, 1, i), row_entry(op, 2, i)
        m0, l0 = broadcast(i32x16, e0), broadcast(i32x16, e0 + 4)
        d0, r0 = broadcast(i32x16, e0 + 8), broadcast(i32x16, e0 + 12)
        m1, l1 = broadcast(i32x16, e1), broadcast(i32x16, e1 + 4)
        d1, r1 = broadcast(i32x16, e1 + 8), broadcast(i32x16, e1 + 12)
        m2, l2 = broadcast(i32x16, e2), broadcast(i32x16, e2 + 4)
        d2, r2 = broadcast(i32x16, e2 + 8), broadcast(i32x16, e2 + 12)
        while v < last:
            x = load_vector(row, v)
            if zero:
                x = subtract(x, splat(i32x16, i64_at(op + 80)))
            if own:
                own_zero, weight = splat(i32x16, i64_at(op + 432)), splat(i32x16, i64_at(op + 440))
                x = joined(x, mine, v, own_zero, weight, splat(i32x16, i64_at(op + 448)))
            x = first(x, v, i64_at(op + 96), i64_at(op + 112), m0, l0, d0, r0)
            x = second(x, v, i64_at(op + 128), i64_at(op + 144), m1, l1, d1, r1)
            x = third(x, v, i64_at(op + 160), i64_at(op + 176), m2, l2, d2, r2)
            put(out, v, minimum(maximum(x, splat(i32x16, i64_at(op + 64))), splat(i32x16, i64_at(op + 72))))
            v += 1

    return steps


@functools.cache
def _exact_row(source: str, output: str, zero: bool, exact: tuple[str, ...], own: str) -> Callable:
    """The function that takes unsafe row i through the reference's stages."""
    exact1, exact2, exact3 = (exact_stage(kind) for kind in (*exact, "", "", "")[:3])
    if own and exact:
        exact1 = exact_stage_with_own(exact[0], own)
    load_vector, put = LOAD[source], STORE[output]

    @helper
    def steps(op, i, row, out, mine, vectors):
        for v in range(vectors):
            x = load_vector(row, v)
            if zero:
                x = subtract(x, splat(i32x16, i64_at(op + 80)))
            x = exact1(x, op, 0, v, i, mine)  # adds the own codes in 64 bits
            x = exact3(exact2(x, op, 1, v, i, mine), op, 2, v, i, mine)
            x = minimum(maximum(x, splat(i32x16, i64_at(op + 360))), splat(i32x16, i64_at(op + 368)))
            put(out, v, add(x, splat(i32x16, i64_at(op + 400))))

    return steps


@functools.cache
def _factor(kind: str) -> Callable:
    """The function that fetches a stage's factor of row i, where it has one of its own."""
    by_row = kind.startswith("row")

    @helper
    def factor(table, offsets, i):
        return broadcast(f32x16, table + 16 + (i32_at(offsets + 4 * i) if by_row else 0))

    return factor


@functools.cache
def _constant(kind: str) -> Callable:
    """The function that fetches a stage's first constant, that of all channels if they have one."""
    offset = 64 if kind == "channel" else 0

    @helper
    def constant(table):
        return broadcast(f32x16, table + offset)

    return constant


@functools.cache
def guessed_kernel(
    source: str, kinds: tuple[str, ...], output: str, zero: bool, clamp: bool, exact: tuple[str, ...], own: str,
    even: tuple[bool, ...], join: str, single: bool,
) -> Micro:  # fmt: skip
    """The kernel; parameters as those of ``requantize._kernel``, and of :func:`guess_variant`."""
    flagged, by_four = len(exact) > 0, output == "int8"
    integer_steps = _integer_steps(source, kinds, output, zero, own)
    exact_row = _exact_row(source, output, zero, exact, own)
    factor0, factor1, factor2 = (_factor(kind) for kind in (*kinds, "", "", "")[:3])
    constant0, constant1, constant2 = (_constant(kind) for kind in (*kinds, "", "", "")[:3])
    stages, load_vector, put = guessed_stages(kinds, even, join, own), LOAD[source], STORE[output]
    pack = pack_bytes_avx512 if "avx512bw" in features() else pack_bytes
    x_bytes, own_bits = _BITS[source] >> 3, _BITS[own or "int8"]
    g0_bytes, g1_bytes, g2_bytes = (8 if kind == "channel" else 4 for kind in (*kinds, "", "", "")[:3])
    floor, above = (floor_avx512, fraction_avx512) if "avx512dq" in features() else (floor_to_integer, fraction)

    def kernel(op, start, stop, scratch):
        a_step, o_step, b_step = stride(op, 1), stride(op, 4), stride(op, 51)
        row = place(op, 1, start, scratch) + start * a_step
        out = place(op, 4, start, scratch) + start * o_step
        mine = place(op, 51, start, scratch) + start * b_step
        vectors = (i64_at(op + 56) + 15) >> 4
        low, high = splat(i32x16, i64_at(op + 64)), splat(i32x16, i64_at(op + 72))
        zero_in = splat(i32x16, i64_at(op + 80))
        flags, flag_step = i64_at(op + 88), i64_at(op + 8 * 49)
        t0, t1, t2 = i64_at(op + 96), i64_at(op + 128), i64_at(op + 160)
        p0, p1, p2 = i64_at(op + 104), i64_at(op + 136), i64_at(op + 168)
        g0, g1, g2 = i64_at(op + 288), i64_at(op + 296), i64_at(op + 304)
        c0, c1, c2 = constant0(g0), constant1(g1), constant2(g2)
        doubt, weight = broadcast(f32x16, op + 312), broadcast(f32x16, op + 320)
        quads, last = (vectors >> 2) * 64 if by_four else 0, vectors * 16
        if single:
            quads = last = 64
        for i in range(start, stop):
            safe = True
            if flagged:
                safe = i8_at(flags + i * flag_step) == 0
            if safe:
                f0, f1, f2 = factor0(t0, p0, i), factor1(t1, p1, i), factor2(t2, p2, i)
                # Counts channels: as an index with a scale it serves every table, and little else is to be computed.
                c = 0
                while c < quads:
                    x_at, own_at = row + c * x_bytes, mine + (c * own_bits >> 3)
                    h0, h1, h2 = g0 + c * g0_bytes, g1 + c * g1_bytes, g2 + c * g2_bytes
                    w, x = load_vector(x_at, 0), load_vector(x_at, 1)
                    y, z = load_vector(x_at, 2), load_vector(x_at, 3)
                    if zero:
                        w, x = subtract(w, zero_in), subtract(x, zero_in)
                        y, z = subtract(y, zero_in), subtract(z, zero_in)
                    p = stages(w, 0, h0, h1, h2, f0, f1, f2, c0, c1, c2, own_at, weight)
                    q = stages(x, 1, h0, h1, h2, f0, f1, f2, c0, c1, c2, own_at, weight)
                    r = stages(y, 2, h0, h1, h2, f0, f1, f2, c0, c1, c2, own_at, weight)
                    s = stages(z, 3, h0, h1, h2, f0, f1, f2, c0, c1, c2, own_at, weight)
                    if any_below(minimum(minimum(above(p), above(q)), minimum(above(r), above(s))), doubt):
                        integer_steps(op, i, row, out, mine, c >> 4, (c >> 4) + 4)
                    else:
                        w, x, y, z = floor(p), floor(q), floor(r), floor(s)
                        if clamp:
                            w, x = minimum(maximum(w, low), high), minimum(maximum(x, low), high)
                            y, z = minimum(maximum(y, low), high), minimum(maximum(z, low), high)
                        store(out + c, pack(w, x, y, z))
                    c += 64
                while c < last:
                    v = c >> 4
                    x = load_vector(row, v)
                    if zero:
                        x = subtract(x, zero_in)
                    p = stages(x, v, g0, g1, g2, f0, f1, f2, c0, c1, c2, mine, weight)
                    if any_below(above(p), doubt):
                        integer_steps(op, i, row, out, mine, v, v + 1)
                    else:
                        put(out, v, minimum(maximum(floor(p), low), high))
                    c += 16
            else:
                exact_row(op, i, row, out, mine, vectors)
            row, out, mine = row + a_step, out + o_step, mine + b_step

    switches = zip(("zero", "clamp", "flagged", "single"), (zero, clamp, flagged, single), strict=True)
    name = "_".join(["requantize_guess", source, *kinds, output, *(n for n, on in switches if on), *exact,
                     *(["own", own, join] if own else []), "even", *(str(int(e)) for e in even)])  # fmt: skip
    kernel.__name__ = kernel.__qualname__ = name
    return micro(kernel)
