"""Running phases from Python: tables for the executor, memory for the threads, and the choice of how many threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..integer_threads import threads_for
from .executor import run_parallel, run_serial
from .matmul_pack import aligned_zeros
from .micro import FIELDS

__all__ = ["BLOCK_ROWS", "Launch", "Phase", "aligned", "even_blocks", "phase_tables", "run", "thread_memory"]

BLOCK_ROWS = 64
"""Rows of a block where nothing speaks for another number: 64 rows of 64 sums are 16 KiB, half of a first-level
cache."""

_memory = threading.local()


def aligned(rows: int, row_bytes: int) -> NDArray[np.int8]:
    """Zeros (rows, row_bytes) int8 whose first byte stands on a 64-byte boundary; the base keeps the whole block."""
    return aligned_zeros((rows, row_bytes), np.int8)


def even_blocks(rows: int, size: int = BLOCK_ROWS) -> NDArray[np.int64]:
    """Bounds of blocks of ``size`` rows: (blocks + 1,) int64."""
    bounds = np.arange(0, rows + size, size)
    bounds[-1] = rows
    return bounds


@dataclass
class Phase:
    """Operations that each block of rows goes through.

    Attributes
    ----------
    ops : sequence of records, or a table of them
    bounds : int64 (blocks + 1,)
        Rows at which the blocks begin and end.
    """

    ops: Sequence[NDArray[np.int64]] | NDArray[np.int64]
    bounds: NDArray[np.int64]


def phase_tables(phases: Sequence[Phase]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Records, phases and bounds as the tables of the executor."""
    tables = [np.asarray(phase.ops, np.int64).reshape(-1, FIELDS) for phase in phases]
    ops = np.concatenate([np.zeros((0, FIELDS), np.int64), *tables])
    table = np.zeros((len(phases), 4), np.int64)
    op = entry = 0
    for row, phase in zip(table, phases, strict=True):
        row[:] = op, op + len(phase.ops), entry, len(phase.bounds) - 1
        op, entry = op + len(phase.ops), entry + len(phase.bounds)
    return ops, table, np.concatenate([np.zeros(0, np.int64), *(phase.bounds for phase in phases)])


class Launch:
    """Phases as the tables of the executor, to be run again and again.

    Parameters
    ----------
    phases : sequence of Phase
    scratch : int
        Bytes of scratch memory that one thread needs.
    work : int
        Elementary operations of all phases; little work stays on the calling thread.

    Attributes
    ----------
    ops : int64 (n, FIELDS)
        The records, one after the other; addresses in them may be changed between runs.
    """

    def __init__(self, phases: Sequence[Phase], scratch: int, work: int) -> None:
        self.ops, self._phases, self._bounds = phase_tables(phases)
        self.work = work
        self._scratch_bytes = -(-max(1, scratch) // 64) * 64
        self._queue = np.zeros((len(phases), 8), np.int64)

    def __call__(self, threads: int | None = None) -> None:
        """Run; over ``threads`` threads, by default as many as the work is worth and Numba may use."""
        threads = threads_for(self.work) if threads is None else threads
        scratch = thread_memory(threads, self._scratch_bytes)
        if threads > 1:
            run_parallel(self._phases, self.ops, self._bounds, scratch, self._queue, threads)
        else:
            run_serial(self._phases, self.ops, self._bounds, scratch)


def run(ops: Sequence[NDArray[np.int64]], bounds: NDArray[np.int64], scratch: int = 64, *, work: int = 0,
        threads: int | None = None) -> None:  # fmt: skip
    """Run one phase once."""
    Launch([Phase(ops, bounds)], scratch, work)(threads)


def thread_memory(threads: int, size: int) -> NDArray[np.int8]:
    """Scratch memory (threads, at least size bytes), kept by each calling thread for its next launch."""
    memory = getattr(_memory, "scratch", None)
    if memory is None or memory.shape[0] < threads or memory.shape[1] < size:
        rows, width = (threads, size) if memory is None else (max(threads, memory.shape[0]), max(size, memory.shape[1]))
        memory = _memory.scratch = aligned(rows, width)
    return memory
