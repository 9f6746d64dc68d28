from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_cases import RANGE, Rows

from dqnumba.kernels import reference
from dqnumba.kernels.dot.combine import add_op, add_self_op, head_sum_op
from dqnumba.kernels.dot.fold import FoldedStage
from dqnumba.kernels.dot.launch import run

ROWS = 9
BLOCKS = np.array([0, 4, ROWS])


def add_self(total, own, own_kind, zero, weight, multiplier, shift):
    """Through the stage of a row or of all; equal to the reference."""
    rows, columns = total.shape
    a, x, out = Rows("int32", rows, columns, total), Rows(own_kind, rows, columns, own), Rows("int32", rows, columns)
    want = np.zeros(total.shape, np.int32)
    reference.add_self(total, multiplier, shift, own, zero, weight, want)
    m, s = multiplier[:, 0], shift[:, 0]
    gains = [FoldedStage("row", m, s - 1, np.ones(1, np.int64), 1)]
    if len(m) == 1 and m[0] > 0 and not m[0] & (m[0] - 1) and int(m[0]).bit_length() - 1 >= s[0]:
        gains.append(int(m[0]).bit_length() - 1 - int(s[0]))
    tried = 0
    for gain in gains:
        if not isinstance(gain, int):
            worst = gain.reach(np.abs(total.astype(np.float64)).max(axis=1))[0]
            if (worst >= 2.0**31 * 0.999).any():
                continue
        op, keep = add_self_op(total=a.place, own=x.place, own_kind=own_kind, output=out.place, columns=columns,
                               zero=zero, weight=weight, gain=gain)  # fmt: skip
        run([op], BLOCKS if rows == ROWS else np.array([0, rows]))
        assert np.array_equal(out.read(), want) and out.intact() and keep
        tried += 1
    return tried


@pytest.mark.parametrize("own_kind", ["int4", "int8", "int16"])
@pytest.mark.parametrize("columns", [1, 7, 16, 33, 70])
def test_a_node_and_its_neighbours(own_kind, columns):
    rng = np.random.default_rng(0)
    low, high = RANGE[own_kind]
    own = rng.integers(low, high, (ROWS, columns), endpoint=True)
    total = rng.integers(-(2**14), 2**14, (ROWS, columns))
    total[0, 0], total[1, 0] = 2**14, -(2**14)
    one = np.ones((1, 1), np.int64)
    for zero, weight in itertools.product((low, 0, high), (1 << 14, -3, 0, 1)):
        for bits in (0, 3, 14):  # the gain of a sum
            assert add_self(total, own, own_kind, zero, weight, one << 30, one * (30 - bits)) >= 1
        row = rng.integers(1, 50, (ROWS, 1))  # the gain of a mean
        fraction, exponent = np.frexp(2.0**8 / row)
        add_self(
            total,
            own,
            own_kind,
            zero,
            weight,
            np.rint(fraction * 2.0**31 * 0.9999).astype(np.int64),
            31 - exponent.astype(np.int64),
        )


@pytest.mark.parametrize("rows", [1, 5])
def test_every_gain_of_all_rows(rows):
    """A graph of one node has one gain, which may be far below 1 where the node has many loops."""
    rng, tried = np.random.default_rng(1), 0
    own = rng.integers(-128, 128, (rows, 20))
    for shift in range(1, 63):
        for m in (1 << 30, (3 << 29) + 1, (1 << 31) - 1, -(1 << 30) - 7):
            total = rng.integers(-(2**20), 2**20, (rows, 20)) // max(1, 2 ** (20 - shift))
            for count in {1, rows}:
                table = np.full((count, 1), m)
                tried += add_self(total, own, "int8", 5, 1 << 8, table, np.full((count, 1), shift))
    assert tried > 100


def add(q1, q2, kinds, output, *, zeros, multipliers, shift, zero_point, clamp):
    rows, columns = q1.shape
    a, b, out = Rows(kinds[0], rows, columns, q1), Rows(kinds[1], rows, columns, q2), Rows(output, rows, columns)
    op = add_op(
        first=a.place, first_kind=kinds[0], second=b.place, second_kind=kinds[1], output=out.place, output_kind=output,
        columns=columns, zeros=zeros, multipliers=multipliers, shift=shift, zero_point=zero_point, low=clamp[0],
        high=clamp[1],
    )  # fmt: skip
    run([op], np.array([0, rows // 2, rows]))
    want = np.zeros(q1.shape, np.int32)
    reference.add(q1, zeros[0], multipliers[0], q2, zeros[1], multipliers[1], shift, zero_point, *clamp, want)
    assert np.array_equal(out.read(), want) and out.intact()


@pytest.mark.parametrize(("first", "second", "output"), [
    *itertools.product(("int4", "int8"), repeat=3), ("int16", "int8", "int16"), ("int8", "int16", "int8"),
])  # fmt: skip
def test_residual_connections(first, second, output):
    rng = np.random.default_rng(2)
    for columns in (1, 5, 16, 17, 33, 64, 70):
        q1, q2 = (rng.integers(*RANGE[kind], (6, columns), endpoint=True) for kind in (first, second))
        for zeros in ((RANGE[first][0], RANGE[second][1]), (0, -2)):
            for multipliers in ((1 << 30, 1 << 30), ((1 << 31) - 1, -(1 << 31) + 1), (0, 3 << 28), (-1, 1)):
                for clamp in (RANGE[output], (2, 6)):
                    add(
                        q1,
                        q2,
                        (first, second),
                        output,
                        zeros=zeros,
                        multipliers=multipliers,
                        shift=33,
                        zero_point=2,
                        clamp=clamp,
                    )


@settings(max_examples=60)
@given(st.integers(-(1 << 31) + 1, (1 << 31) - 1), st.integers(-(1 << 31) + 1, (1 << 31) - 1), st.integers(12, 62),
       st.integers(-128, 127), st.integers(-128, 127), st.integers(-128, 127))  # fmt: skip
def test_all_pairs_of_bytes(m1, m2, shift, zero1, zero2, zero_point):
    """Where the rounded sum fits 32 bits, as the planner makes sure; 256 by 256 pairs, ties among them."""
    if ((abs(m1) + abs(m2)) * 255 >> shift) + 129 >= 1 << 31:
        shift = 62
    q1, q2 = (codes.astype(np.int64) for codes in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    add(q1, q2, ("int8", "int8"), "int8", zeros=(zero1, zero2), multipliers=(m1, m2), shift=shift,
        zero_point=zero_point, clamp=(-128, 127))  # fmt: skip


def test_ties_go_up():
    x = np.arange(-20, 20).reshape(1, -1)
    for m in (1, -1):
        add(x, x * 0, ("int8",) * 2, "int8", zeros=(0, 0), multipliers=(m, 1), shift=1, zero_point=0, clamp=(-99, 99))


@pytest.mark.parametrize("heads", [1, 2, 3, 8])
def test_sums_over_heads(heads):
    rng = np.random.default_rng(3)
    for columns in (1, 3, 7, 16, 40, 65):
        values = rng.integers(-(1 << 31) // heads, (1 << 31) // heads, (ROWS, heads * columns))
        source, out = Rows("int32", ROWS, heads * columns, values), Rows("int32", ROWS, columns)
        run([head_sum_op(source=source.place, output=out.place, columns=columns, heads=heads)], BLOCKS)
        assert np.array_equal(out.read(), values.reshape(ROWS, heads, columns).sum(axis=1)) and out.intact()
