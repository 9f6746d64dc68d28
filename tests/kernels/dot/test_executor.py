"""The tables of phases as they stand: which operation sees which block, in which order, on whose memory."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqnumba.kernels.dot.executor import run_parallel, run_serial
from dqnumba.kernels.dot.launch import Launch, Phase, aligned
from dqnumba.kernels.dot.micro import micro, new_op
from dqnumba.kernels.dot.simd import i64_at, set_i64


@micro
def count_rows(op, start, stop, scratch):
    """Field 1: counters of the rows; 2: scratch address that row start was given; 3: last row of its block."""
    for i in range(start, stop):
        at = i64_at(op + 8) + 8 * i
        set_i64(at, i64_at(at) + 1)
        set_i64(i64_at(op + 16) + 8 * i, scratch)
        set_i64(i64_at(op + 24) + 8 * i, stop)


@micro
def square_in_scratch(op, start, stop, scratch):
    """Through scratch memory and back, slowly: whoever shares it would be seen. Fields: 1 in, 2 out."""
    for i in range(start, stop):
        set_i64(scratch + 8 * (i - start), i64_at(i64_at(op + 8) + 8 * i))
    for _ in range(50):
        for i in range(start, stop):
            set_i64(scratch + 8 * (i - start), i64_at(scratch + 8 * (i - start)) + 1)
    for i in range(start, stop):
        set_i64(i64_at(op + 16) + 8 * i, i64_at(scratch + 8 * (i - start)))


@micro
def mirror(op, start, stop, scratch):
    """Row i of the output from row N - 1 - i of the input: all rows must be there. Fields: 1 in, 2 out, 3 N."""
    for i in range(start, stop):
        set_i64(i64_at(op + 16) + 8 * i, i64_at(i64_at(op + 8) + 8 * (i64_at(op + 24) - 1 - i)) + 1)


def record(kernel, *fields):
    op = new_op(kernel)
    op[1 : 1 + len(fields)] = [f.ctypes.data if isinstance(f, np.ndarray) else f for f in fields]
    return op


def threads_of(count):
    return min(count, numba.get_num_threads())


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@settings(max_examples=40)
@given(bounds=st.lists(st.integers(0, 9), max_size=60).map(lambda sizes: np.cumsum([0, *sizes])))
def test_each_block_once(threads, bounds):
    """Empty blocks among them; also with more portions than there are threads."""
    rows = int(bounds[-1])
    counts, memory, stops = (np.zeros(rows + 1, np.int64) for _ in range(3))
    launch = Launch([Phase([record(count_rows, counts, memory, stops)] * 2, bounds)], 128, 0)
    for run in range(1, 3):
        launch(threads)
        assert (counts[:rows] == 2 * run).all() and counts[rows] == 0
    for start, stop in itertools.pairwise(bounds):
        assert (stops[start:stop] == stop).all()
        assert len(set(memory[start:stop].tolist())) <= 1, "a block is one thread's"
    assert len(set(memory[:rows].tolist())) <= threads


@pytest.mark.parametrize("threads", [1, 2])
def test_scratch_memory_is_a_threads_own(threads):
    x, out = np.arange(20_000), np.zeros(20_000, np.int64)
    bounds = np.append(np.arange(0, 20_000, 64), 20_000)
    launch = Launch([Phase([record(square_in_scratch, x, out)], bounds)], 64 * 8, 0)
    for _ in range(5):
        out[:] = 0
        launch(threads)
        assert np.array_equal(out, x + 50)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_phase_begins_when_the_one_before_is_done(threads):
    n = 5000
    buffers = [np.arange(n), *(np.zeros(n, np.int64) for _ in range(6))]
    bounds = np.append(np.arange(0, n, 7), n)
    phases = [Phase([record(mirror, a, b, n)], bounds) for a, b in itertools.pairwise(buffers)]
    launch = Launch(phases, 64, 0)
    for _ in range(10):
        for buffer in buffers[1:]:
            buffer[:] = -1
        launch(threads)
        assert np.array_equal(buffers[-1], np.arange(n) + 6)


def test_operations_of_a_block_run_in_their_order():
    n = 500
    a, b, c = np.arange(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
    ops = [record(square_in_scratch, a, b), record(square_in_scratch, b, c), record(square_in_scratch, c, a)]
    Launch([Phase(ops, np.arange(0, n + 1, 50))], 512, 0)(2)
    assert np.array_equal(a, np.arange(n) + 150)


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_to_do(threads):
    counts = np.zeros(3, np.int64)
    op = record(count_rows, counts, counts, counts)
    for phases in (
        [],
        [Phase([], np.array([0, 3]))],
        [Phase([op], np.zeros(1, np.int64))],
        [Phase([op], np.array([0, 0]))],
    ):
        Launch(phases, 0, 0)(threads)
    assert not counts.any()


def test_tables_that_are_read_only():
    """As nothing writes to them, both executors accept frozen tables of the same types."""
    counts, memory, stops = (np.zeros(4, np.int64) for _ in range(3))
    ops = record(count_rows, counts, memory, stops)[None]
    phases, bounds = np.array([[0, 1, 0, 2]]), np.array([0, 1, 4])
    run_serial(phases, ops, bounds, aligned(1, 64))
    queue = np.full((1, 8), 99)
    run_parallel(phases, ops, bounds, aligned(2, 64), queue, threads_of(2))
    assert counts.tolist() == [2, 2, 2, 2] and queue[0, 0] >= 2 and (queue[0, 1:] == 99).all()
