"""When an integer kernel may spread its rows over threads, and in what portions. Results never depend on it.

The record of the process in which threads were started is the one of the float kernels
(:mod:`dqnumba.kernels._twin`): training and inference share one pool of threads, and one hazard after a fork.
"""

from __future__ import annotations

import os
import threading

import numba

from dqnumba.kernels._twin import Twin

__all__ = ["PARALLEL_WORK", "chunk_of", "threads_for"]

PARALLEL_WORK = 1_000_000
"""Elementary operations on small integers (some tens of microseconds) below which waking threads does not pay."""

_CHUNK = 64


def chunk_of(rows: int, work: int) -> int:
    """Rows that one thread takes at a time; 0 to stay on the calling thread.

    The calling thread works alone if the problem is small, if one thread is set (``numba.set_num_threads``),
    in a process forked after threads were started (OpenMP does not survive a fork), and off the main thread
    where the threading layer is not known to be thread safe (numba's workqueue aborts the process on
    concurrent use).
    """
    threads = threads_for(work) if rows > 1 else 1
    return max(1, min(_CHUNK, rows // (4 * threads))) if threads > 1 else 0


def threads_for(work: int) -> int:
    """Threads to run on; 1 in the cases that :func:`chunk_of` names."""
    if work < PARALLEL_WORK:
        return 1
    if Twin._launched_in is not None and Twin._launched_in != os.getpid():
        return 1
    if threading.current_thread() is not threading.main_thread() and not _layer_is_thread_safe():
        return 1
    return _number_of_threads()


def _number_of_threads() -> int:
    """What numba will use. Asking starts the threads; the first time, OpenMP is asked to wait without spinning."""
    if Twin._launched_in is not None or "OMP_WAIT_POLICY" in os.environ:
        threads = numba.get_num_threads()
    else:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read once, when the OpenMP library is loaded
        try:
            threads = numba.get_num_threads()
        finally:
            del os.environ["OMP_WAIT_POLICY"]
    Twin._launched_in = os.getpid()
    return threads


def _layer_is_thread_safe() -> bool:
    try:
        return numba.threading_layer() in ("tbb", "omp")
    except ValueError:  # no parallel kernel has run yet, so the layer is not chosen
        return False
