"""Sums of two int32 rows, against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import csr
from vector_cases import GUARD, RANGE, Rows

from dqnumba.kernels.dot.hubs import split_hubs
from dqnumba.kernels.dot.launch import aligned, run
from dqnumba.kernels.dot.long_sums import join_long_op, long_own_op

LOW, HIGH = RANGE["int32"]


def value(low, high):
    return high.read().astype(np.int64) * 2**32 + low.read()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 40])
def test_pieces_meet_in_64_bits(columns, threads):
    rng, degrees = np.random.default_rng(columns), [3, 0, 70, 5, 300, 1, 0, 9, 64]
    hubs = split_hubs(csr(degrees, rng, 1)[0], 8)
    rows = len(degrees)
    first = rng.integers(-(2**30), 2**30, (rows, columns))
    pieces = rng.integers(LOW, HIGH, (hubs.pieces, columns), endpoint=True)
    pieces[:40], pieces[40:] = np.abs(pieces[:40]), np.minimum(pieces[40:], -1)  # sums far beyond 32 bits
    want = first.copy()
    for h, row in enumerate(hubs.rows):
        want[row] += pieces[hubs.first[h] : hubs.first[h + 1]].sum(axis=0)
    assert np.abs(want).max() > 2**33 and (hubs.rows == [2, 4, 7, 8]).all()
    low, high = Rows("int32", rows, columns, first), Rows("int32", rows, columns)
    parts = Rows("int32", len(pieces), columns, pieces)
    op = join_long_op(hubs=hubs, low=low.place, high=high.place, pieces=parts.place[0], piece_stride=parts.width,
                      channels=columns)  # fmt: skip
    run([op], np.array([0, 1, 4, 5, 9]), threads=threads)
    assert np.array_equal(value(low, high), want) and low.intact() and high.intact()
    fits = np.abs(want) < 2**31
    assert (high.read()[fits] == 0).all(), "a sum of 32 bits is in the low half alone"


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
def test_own_codes_join(kind):
    rng, rows = np.random.default_rng(1), 7
    for columns in (1, 16, 33):
        total = rng.integers(-(2**40), 2**40, (rows, columns)) >> rng.integers(0, 40, (rows, columns))
        codes = rng.integers(*RANGE[kind], (rows, columns), endpoint=True)
        for left, weight, zero in ((0, 1, 0), (8, 257, RANGE[kind][0]), (8, -300, RANGE[kind][1]), (20, 1 << 30, 3)):
            halves = total.astype(np.int32)
            low, high = Rows("int32", rows, columns, halves), Rows("int32", rows, columns, (total - halves) >> 32)
            own = Rows(kind, rows, columns, codes)
            op = long_own_op(low=low.place, high=high.place, own=own.place, own_kind=kind, columns=columns, zero=zero,
                             weight=weight, left=left)  # fmt: skip
            run([op], np.array([0, 3, rows]))
            assert np.array_equal(value(low, high), total * 2**left + weight * (codes - zero))
            assert low.intact() and high.intact()


def test_both_halves_may_lie_in_one_row():
    """As the planner keeps them: the second half of each row behind the first."""
    rng, rows, columns = np.random.default_rng(2), 6, 20
    memory = aligned(rows + 1, 256)
    memory[rows:] = GUARD
    both = memory[:rows].view(np.int32).reshape(rows, 2, 32)
    total = rng.integers(-(2**50), 2**50, (rows, columns))
    both[:, 0, :columns] = total.astype(np.int32)
    both[:, 1, :columns] = (total - total.astype(np.int32)) >> 32
    base, own = memory.ctypes.data, Rows("int8", rows, columns, np.ones((rows, columns)))
    op = long_own_op(low=(base, 256, False), high=(base + 128, 256, False), own=own.place, own_kind="int8",
                     columns=columns, zero=0, weight=5, left=3)  # fmt: skip
    run([op], np.array([0, rows]))
    got = both[:, 1, :columns].astype(np.int64) * 2**32 + both[:, 0, :columns]
    assert np.array_equal(got, total * 8 + 5) and (memory[rows:] == GUARD).all()
