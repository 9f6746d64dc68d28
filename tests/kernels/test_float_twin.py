"""Which of its two forms a kernel runs, and that the forms do not share machine code."""

import multiprocessing
import os
import threading

import numpy as np
import pytest

from dqnumba.kernels import _twin
from dqnumba.kernels.elementwise_float import relu


@pytest.fixture
def seen(monkeypatch):
    """Names of the forms that run."""
    names = []
    twin = _twin.Twin.__new__(_twin.Twin)
    twin._work = lambda x, out: x.size
    twin.serial = lambda x, out: names.append("serial")
    twin.parallel = lambda x, out: names.append("parallel")
    monkeypatch.setattr(_twin.Twin, "_launched_in", os.getpid())

    def call(size):
        twin(np.empty(size), None)
        return names[-1]

    return call


def test_little_work_is_serial(seen):
    assert seen(_twin.SERIAL_WORK - 1) == "serial"
    assert seen(_twin.SERIAL_WORK) == "parallel"


def test_a_forked_child_is_serial(seen, monkeypatch):
    monkeypatch.setattr(_twin.Twin, "_launched_in", os.getpid() + 1)
    assert seen(_twin.SERIAL_WORK) == "serial"


@pytest.mark.parametrize(("layer", "form"), [("workqueue", "serial"), ("omp", "parallel"), ("tbb", "parallel")])
def test_other_threads_use_threads_only_where_that_is_safe(seen, monkeypatch, layer, form):
    monkeypatch.setattr(_twin.numba, "threading_layer", lambda: layer)
    result = []
    thread = threading.Thread(target=lambda: result.append(seen(_twin.SERIAL_WORK)))
    thread.start()
    thread.join()
    assert result == [form]


def test_the_first_launch_asks_for_quiet_waiting_and_leaves_no_trace(seen, monkeypatch):
    policies = []
    twin = _twin.Twin.__new__(_twin.Twin)
    twin._work = lambda: _twin.SERIAL_WORK
    twin.parallel = lambda: policies.append(os.environ.get("OMP_WAIT_POLICY"))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(_twin.Twin, "_launched_in", None)
    twin()
    twin()
    assert policies == ["PASSIVE", None]
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(_twin.Twin, "_launched_in", None)
    twin()
    assert policies[-1] == os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.compiled
def test_forms_have_their_own_cache_entries():
    names = {form.py_func.__qualname__ for form in (relu.serial, relu.parallel)}
    assert names == {"relu_serial", "relu_parallel"}
    assert not relu.serial.targetoptions.get("parallel")
    assert relu.parallel.targetoptions["parallel"]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_after_a_launch_survives():
    x = np.ones(100_000, np.float32)
    relu(x, np.empty_like(x))  # starts the threads of this process
    context = multiprocessing.get_context("fork")
    child = context.Process(target=relu, args=(x, np.empty_like(x)))
    child.start()
    child.join(60)
    assert child.exitcode == 0
