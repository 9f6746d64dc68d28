"""The two namespaces are interchangeable, and the policy of threads is what it says."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

from dqnumba.kernels import integer, integer_threads, reference


def test_same_names_and_parameters():
    assert integer.__all__ == reference.__all__
    for name in reference.__all__:
        ours, theirs = getattr(integer, name), getattr(reference, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name


_INTERPRETED = """
import numpy as np
from dqnumba.kernels import integer, reference

rng = np.random.default_rng(0)
indptr, indices = np.array([0, 2, 2, 5]), np.array([1, 2, 0, 1, 2], np.int32)
codes = rng.choice([-128, -127, 126, 127], (3, 4)).astype(np.int8)  # far from the zero points, so that int8 would wrap
edges = rng.choice([-128, 127], (5, 2)).astype(np.int8)
sparse = np.array([0, 1, 1, 3]), np.array([0, 3, 1], np.int32), np.array([127, -128, 127], np.int8)
mantissa, exponent = rng.integers(1 << 30, 1 << 31, 256), np.sort(rng.integers(-9, 9, 256))


def both(name, shape, *arguments):
    outs = [np.zeros(shape, np.int32) for _ in range(2)]
    for kernels, out in zip((integer, reference), outs):
        getattr(kernels, name)(*arguments, out)
    assert np.array_equal(*outs), name


for zero in (-128, 127):
    both("weighted_neighbor_sum", (3, 4), indptr, indices, edges, zero, codes, -zero - 1)
    both("edge_product", (5, 4), indices, edges, zero, codes, zero)
    both("sparse_neighbor_sum", (3, 4), indptr, indices, *sparse, zero)
    both("sparse_matmul", (3, 4), *sparse, zero, codes[[0, 1, 2, 0]], zero, np.zeros(4, np.int64))
    both("neighbor_sum", (3, 4), indptr, indices, codes, zero)
    both("edge_sum", (3, 2), indptr, edges, zero)
both("edge_softmax", (5, 2), indptr, edges, mantissa, exponent, -128, 15)
"""


def test_the_loops_give_the_same_bits_when_they_are_not_compiled():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", _INTERPRETED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_small_problems_stay_on_the_calling_thread():
    assert integer_threads.chunk_of(10**6, integer_threads.PARALLEL_WORK - 1) == 0
    assert integer_threads.chunk_of(1, 10**9) == 0


def test_large_problems_are_cut_into_chunks_that_cover_all_threads():
    if numba.get_num_threads() < 2:
        pytest.skip("one thread")
    assert integer_threads.chunk_of(10**6, 10**9) == 64
    assert 1 <= integer_threads.chunk_of(9, 10**9) <= 2


def test_one_thread_means_serial():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert integer_threads.chunk_of(10**6, 10**9) == 0
    finally:
        numba.set_num_threads(before)


def test_a_forked_process_stays_serial(monkeypatch):
    monkeypatch.setattr(integer_threads.Twin, "_launched_in", os.getpid() + 1)
    assert integer_threads.chunk_of(10**6, 10**9) == 0


@pytest.mark.parametrize(
    ("layer", "allowed"), [("omp", True), ("tbb", True), ("workqueue", False), (None, False)]
)
def test_other_threads_need_a_safe_layer(monkeypatch, layer, allowed):
    def threading_layer():
        if layer is None:
            raise ValueError("not launched")
        return layer

    monkeypatch.setattr(numba, "threading_layer", threading_layer)
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    chunks = []
    thread = threading.Thread(target=lambda: chunks.append(integer_threads.chunk_of(10**6, 10**9)))
    thread.start()
    thread.join()
    assert (chunks[0] > 0) is allowed


@pytest.mark.compiled
def test_one_specialisation_for_writable_and_read_only_inputs():
    from dqnumba.kernels import integer_edges

    table, index = np.zeros((3, 2), np.int8), np.zeros(4, np.int32)
    integer.gather_rows(table, index, np.empty((4, 2), np.int8))
    before = len(integer_edges.gather_rows_rows.signatures)
    table.flags.writeable = False
    integer.gather_rows(table, index, np.empty((4, 2), np.int8))
    assert len(integer_edges.gather_rows_rows.signatures) == before


def test_inputs_stay_writable():
    table = np.zeros((3, 2), np.int8)
    integer.gather_rows(table, np.zeros(4, np.int32), np.empty((4, 2), np.int8))
    assert table.flags.writeable


@pytest.mark.parametrize(("again", "chosen"), [(False, None), (False, "ACTIVE"), (True, None)])
def test_only_the_first_launch_asks_for_quiet_waiting(monkeypatch, again, chosen):
    """A value that the user chose stays, and the environment is left as it was found."""
    started = os.getpid() if again else None
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    monkeypatch.setattr(integer_threads.Twin, "_launched_in", started)
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(numba, "get_num_threads", lambda: seen.append(os.environ.get("OMP_WAIT_POLICY")) or 2)
        assert integer_threads.chunk_of(10**6, 10**9) == 64
    assert seen == [chosen or (None if started else "PASSIVE")]
    assert os.environ.get("OMP_WAIT_POLICY") == chosen
    assert integer_threads.Twin._launched_in == os.getpid()
