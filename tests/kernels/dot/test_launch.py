from __future__ import annotations

import os
import threading

import numba
import numpy as np
import pytest
from test_executor import count_rows, record

from dqnumba.kernels import integer_threads
from dqnumba.kernels.dot import launch as module
from dqnumba.kernels.dot.launch import BLOCK_ROWS, Launch, Phase, aligned, even_blocks, run


class Counted:
    """A launch that says on how many threads' memory its blocks ran."""

    def __init__(self, work, rows=4000):
        self.counts, self.memory, self.stops = (np.zeros(rows, np.int64) for _ in range(3))
        self.launch = Launch(
            [Phase([record(count_rows, self.counts, self.memory, self.stops)], even_blocks(rows, 4))], 64, work
        )

    def __call__(self, *args):
        self.counts[:] = 0
        self.launch(*args)
        assert (self.counts == 1).all()
        return len(set(self.memory.tolist()))


def test_memory_begins_on_a_line_and_is_zero():
    for rows, width in ((1, 64), (3, 128), (0, 64), (5, 0), (7, 192)):
        memory = aligned(rows, width)
        assert memory.shape == (rows, width) and not memory.any()
        assert memory.ctypes.data % 64 == 0 or not memory.size  # NumPy puts empty views anywhere
        assert memory.flags.c_contiguous and memory.flags.writeable


def test_even_blocks():
    assert even_blocks(0).tolist() == [0]
    assert even_blocks(1).tolist() == [0, 1]
    assert even_blocks(2 * BLOCK_ROWS).tolist() == [0, BLOCK_ROWS, 2 * BLOCK_ROWS]
    for rows in (63, 64, 65, 1000):
        bounds = even_blocks(rows, 64)
        assert (
            bounds.dtype == np.int64
            and bounds[-1] == rows
            and (np.diff(bounds) > 0).all()
            and np.diff(bounds).max() <= 64
        )


def test_as_many_threads_as_the_work_is_worth(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "threads_for", lambda work: asked.append(work) or 1)
    assert Counted(123)() == 1 and asked == [123]


def test_little_work_stays_on_the_calling_thread(monkeypatch):
    monkeypatch.setattr(module, "run_parallel", lambda *_: pytest.fail("threads were woken"))
    assert Counted(integer_threads.PARALLEL_WORK - 1)() == 1


def test_the_users_number_of_threads_is_honoured_and_kept():
    before = numba.get_num_threads()
    try:
        for threads in {1, min(2, before)}:
            numba.set_num_threads(threads)
            for _ in range(20):
                assert Counted(10**9)() <= threads
                assert numba.get_num_threads() == threads
    finally:
        numba.set_num_threads(before)


def test_scratch_memory_grows_and_is_kept(monkeypatch):
    monkeypatch.setattr(module, "_memory", threading.local())
    first = module.thread_memory(1, 64)
    assert module.thread_memory(1, 64) is first
    wider = module.thread_memory(1, 256)
    assert wider.shape == (1, 256) and module.thread_memory(1, 64) is wider
    more = module.thread_memory(2, 64)
    assert more.shape == (2, 256) and module.thread_memory(2, 256) is more
    assert all((memory.ctypes.data % 64, memory.shape[1] % 64) == (0, 0) for memory in (first, wider, more))


def test_each_calling_thread_has_memory_of_its_own():
    used = {}

    def work(name):
        counted = Counted(0)
        assert counted() == 1
        used[name] = counted.memory[0]
        barrier.wait(20)

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    work("main")
    for thread in threads:
        thread.join()
    assert len(set(used.values())) == 3


def test_off_the_main_thread():
    """Two threads, each with launches of its own, at the same time: parallel or serial as the layer allows."""
    failed = []

    def work():
        try:
            for _ in range(20):
                Counted(10**9)()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_serial_in_a_forked_process():
    """OpenMP's threads do not survive a fork; a child that woke them would hang or be ended."""
    counted = Counted(10**9)
    counted()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if counted() == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counted() >= 1


def test_addresses_may_change_between_runs():
    counted = Counted(0)
    other = np.zeros_like(counted.counts)
    counted.launch.ops[0, 1] = other.ctypes.data
    counted.launch()
    assert (other == 1).all() and not counted.counts.any()


def test_one_phase_at_once():
    counts, memory, stops = (np.zeros(10, np.int64) for _ in range(3))
    run([record(count_rows, counts, memory, stops)] * 3, even_blocks(10, 3), threads=2)
    assert (counts == 3).all() and stops.tolist() == [3] * 3 + [6] * 3 + [9] * 3 + [10]
