"""Running whole programs range by range, where a graph falls into parts that no edge connects.

In a batch of small graphs a *range* of rows, some hundred molecules say, needs nothing of any other. A thread takes one
through all phases of a program before it takes the next, so that what the phases hand on stays in its cache and no
thread waits for another between them.

Memory of a thread: what belongs to the range (places of the room :data:`~.micro.RANGE`, at negative offsets), 64 bytes
whose last 8 hold the range's first row, and the scratch memory of blocks that :mod:`.executor` gives them too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..integer_threads import threads_for
from .executor import run_block, take
from .launch import Phase, phase_tables, thread_memory
from .micro import driver, helper
from .simd import address_of, i64_at, set_i64

__all__ = ["HEADER", "RangeLaunch"]

HEADER = 64
"""Bytes between the memory of a range and that of a block."""


@helper
def _run_range(phases, count, ops, fields, bounds, row, width, scratch):
    """All phases on the range whose entry in the table stands at ``row``: its first row, then the number of its first
    block in each phase; the entry behind it says where its blocks end."""
    set_i64(scratch - 8, i64_at(row))
    for p in range(count):
        phase = phases + 32 * p
        for b in range(i64_at(row + 8 + 8 * p), i64_at(row + 8 * width + 8 + 8 * p)):
            start, stop = i64_at(bounds + 8 * b), i64_at(bounds + 8 * b + 8)
            run_block(ops, fields, i64_at(phase), i64_at(phase + 8), start, stop, scratch)


@driver()
def run_ranges_serial(phases, ops, bounds, ranges, scratch, before):
    """Run all ranges on the calling thread.

    Parameters
    ----------
    phases : (P, 4) int64
    ops : (n, FIELDS) int64
    bounds : (m,) int64
        As in :mod:`.executor`.
    ranges : (R + 1, 1 + P) int64
        First row of each range, and the entry in ``bounds`` of its first block in each phase.
    scratch : (threads, bytes) int8
    before : int
        Bytes of it that belong to the range, the header included.
    """
    width = ranges.shape[1]
    for r in range(ranges.shape[0] - 1):
        _run_range(address_of(phases), phases.shape[0], address_of(ops), ops.shape[1], address_of(bounds),
                   address_of(ranges) + 8 * r * width, width, address_of(scratch) + before)  # fmt: skip


@driver(parallel=True)
def run_ranges_parallel(phases, ops, bounds, ranges, scratch, before, queue, threads):
    """Run all ranges over ``threads`` threads; arguments as in :func:`run_ranges_serial`.

    queue : (1, 8) int64
        Counter of the ranges taken; set to 0 here.
    """
    width = ranges.shape[1]
    queue[0, 0] = 0
    for t in prange(threads):
        memory = address_of(scratch) + t * scratch.shape[1] + before
        r = take(address_of(queue))
        while r < ranges.shape[0] - 1:
            _run_range(address_of(phases), phases.shape[0], address_of(ops), ops.shape[1], address_of(bounds),
                       address_of(ranges) + 8 * r * width, width, memory)  # fmt: skip
            r = take(address_of(queue))


class RangeLaunch:
    """Phases to be run range by range, again and again; as :class:`~.launch.Launch` otherwise.

    Parameters
    ----------
    phases : sequence of Phase
        No block of theirs reaches over the end of a range.
    firsts : sequence of int64 (R + 1,)
        For each phase, the row (of its kind) at which each range begins, and the end of the last.
    rows : int64 (R + 1,)
        The same for the rows that live in the memory of the range.
    range_bytes, scratch : int
        Memory that one thread needs for a range, without its header, and for a block.
    work : int

    Attributes
    ----------
    ops : int64 (n, FIELDS)
    """

    def __init__(self, phases: Sequence[Phase], firsts: Sequence[NDArray[np.int64]], rows: NDArray[np.int64],
                 range_bytes: int, scratch: int, work: int) -> None:  # fmt: skip
        self.ops, self._phases, self._bounds = phase_tables(phases)
        self.work = work
        self._ranges = np.empty((len(rows), 1 + len(phases)), np.int64)
        self._ranges[:, 0] = rows
        for p, (phase, first) in enumerate(zip(phases, firsts, strict=True)):
            self._ranges[:, 1 + p] = self._phases[p, 2] + np.searchsorted(phase.bounds, first)
        self._before = -(-range_bytes // 64) * 64 + HEADER
        self._scratch_bytes = self._before + -(-max(1, scratch) // 64) * 64
        self._queue = np.zeros((1, 8), np.int64)

    def __call__(self, threads: int | None = None) -> None:
        """Run; over ``threads`` threads, by default as many as the work is worth and Numba may use."""
        threads = threads_for(self.work) if threads is None else threads
        scratch = thread_memory(threads, self._scratch_bytes)
        if threads > 1:
            run_ranges_parallel(self._phases, self.ops, self._bounds, self._ranges, scratch, self._before, self._queue,
                                threads)  # fmt: skip
        else:
            run_ranges_serial(self._phases, self.ops, self._bounds, self._ranges, scratch, self._before)
