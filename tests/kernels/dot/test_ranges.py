"""Ranges as the executor runs them: each once, its phases in order, on memory of its own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_executor import record

from dqnumba.kernels.dot.launch import Phase
from dqnumba.kernels.dot.micro import LOCAL, RANGE, indexed_place, micro, place, put_place, stride
from dqnumba.kernels.dot.ranges import HEADER, RangeLaunch
from dqnumba.kernels.dot.simd import i64_at, set_i64


@micro
def turn(op, start, stop, scratch):
    """Row i of the output is row ``ends[i] - 1 - (i - firsts[i])`` of the input plus 1. Fields: 1 in, 4 out, 7 firsts,
    8 ends; so all rows of a part must be there."""
    x, out = indexed_place(op, 1, 3, scratch), place(op, 4, start, scratch)
    for i in range(start, stop):
        other = i64_at(i64_at(op + 64) + 8 * i) - 1 - (i - i64_at(i64_at(op + 56) + 8 * i))
        set_i64(out + i * stride(op, 4), i64_at(x + other * stride(op, 1)) + 1)


@micro
def passed_on(op, start, stop, scratch):
    """Through the memory of a block and out again. Fields: 1 in, 4 block, 7 out."""
    for i in range(start, stop):
        at = place(op, 4, start, scratch) + i * stride(op, 4)
        set_i64(at, i64_at(place(op, 1, start, scratch) + i * stride(op, 1)))
        set_i64(place(op, 7, start, scratch) + i * stride(op, 7), i64_at(at))


def _turn(source, target, firsts, ends):
    op = record(turn)
    put_place(op, 1, *source)
    put_place(op, 4, *target)
    op[7:9] = firsts.ctypes.data, ends.ctypes.data
    return op


@pytest.mark.parametrize("threads", [1, 2, 5])
@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=40), size=st.integers(1, 5))
def test_all_phases_on_each_range(threads, sizes, size):
    """Four phases that turn each part of the rows around; what they hand on lives in the memory of the range."""
    nodes = np.cumsum([0, *sizes])
    count, most = int(nodes[-1]), max(sizes)
    firsts, ends = np.repeat(nodes[:-1], sizes), np.repeat(nodes[1:], sizes)
    x, out = np.arange(count) * 10, np.full(count, -1)
    bounds = np.append(np.concatenate([np.arange(a, b, size) for a, b in itertools.pairwise(nodes)]), count)
    memory = [-HEADER - 64 * (-(-16 * most // 64)) + 8 * most * k for k in (0, 1)]
    outer, inner = (x.ctypes.data, 8, 0), (out.ctypes.data, 8, 0)
    steps = [outer, (memory[0], 8, RANGE), (memory[1], 8, RANGE), (memory[0], 8, RANGE)]
    phases = [Phase([_turn(a, b, firsts, ends)], bounds) for a, b in itertools.pairwise(steps)]
    end = record(passed_on)
    put_place(end, 1, *steps[-1])
    put_place(end, 4, 0, 8, LOCAL)
    put_place(end, 7, *inner)
    phases.append(Phase([end], bounds))
    launch = RangeLaunch(phases, [nodes] * 4, nodes, 16 * most, 8 * size, 0)
    mirrored = ends - 1 - (np.arange(count) - firsts)
    for _ in range(3):
        out[:] = -1
        launch(threads)
        assert np.array_equal(out, x[mirrored] + 3)


def test_phases_over_rows_of_another_kind():
    """Rows of graphs beside rows of nodes: each phase has its own blocks for a range."""
    nodes, graphs = np.array([0, 4, 5, 9]), np.array([0, 2, 3, 6])
    seen = {kind: np.zeros(rows, np.int64) for kind, rows in (("node", 9), ("graph", 6))}
    from test_executor import count_rows

    spare = np.zeros(16, np.int64)
    phases = [
        Phase([record(count_rows, seen["node"], spare, spare)], np.array([0, 2, 4, 5, 9])),
        Phase([record(count_rows, seen["graph"], spare, spare)], np.array([0, 1, 2, 3, 6])),
    ]
    RangeLaunch(phases, [nodes, graphs], nodes, 64, 64, 0)(1)
    assert (seen["node"] == 1).all() and (seen["graph"] == 1).all()
