"""Where the compiler is off, and systems that tell of memory otherwise than Linux: macOS, the BSDs, Windows."""

from __future__ import annotations

import os
import sys
import threading

import numba
import pytest
from small_models import random_graph, trained

import dqnumba as dq
from dqnumba.infer import bound as bound_file
from dqnumba.infer import choose_backend
from dqnumba.infer import free_memory as memory_file
from dqnumba.infer.free_memory import LIMIT_VARIABLE, free_memory


def test_without_the_compiler_the_reference_is_what_runs(monkeypatch):
    monkeypatch.delenv("DQNUMBA_BACKEND", raising=False)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert choose_backend().__name__ == "dqnumba.kernels.reference"
    with pytest.raises(dq.ConfigError, match=r"'dot' needs Numba's compiler.*NUMBA_DISABLE_JIT.*use 'reference'"):
        choose_backend("dot")
    monkeypatch.undo()
    monkeypatch.delenv("DQNUMBA_BACKEND", raising=False)
    if numba.config.DISABLE_JIT:
        return
    assert choose_backend().__name__ == choose_backend("dot").__name__ == "dqnumba.kernels.dot.functions"
    assert choose_backend("numba").__name__ == "dqnumba.kernels.integer"


@pytest.fixture
def silent(monkeypatch):
    """No file of /proc and /sys, no limit of the process, no choice of the user."""
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    monkeypatch.setattr(memory_file, "_lines", lambda path: [])
    return monkeypatch


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ({"SC_AVPHYS_PAGES": 30, "SC_PHYS_PAGES": 90}, (30 * 4096, "free on this machine")),
        ({"SC_PHYS_PAGES": 90}, (90 * 4096, "all there is")),  # macOS
        ({"SC_AVPHYS_PAGES": -1, "SC_PHYS_PAGES": 90}, (90 * 4096, "all there is")),
        ({"SC_AVPHYS_PAGES": -1, "SC_PHYS_PAGES": -1}, None),
        ({}, None),
    ],
)
def test_systems_that_count_pages(silent, pages, found):
    silent.setattr(os, "sysconf_names", dict.fromkeys(pages, 1), raising=False)
    silent.setattr(os, "sysconf", {**pages, "SC_PAGE_SIZE": 4096}.__getitem__, raising=False)
    assert free_memory() == found


def test_a_system_that_says_nothing(silent):
    """Then nothing is refused, and an estimate says that it does not know."""
    silent.delattr(os, "sysconf", raising=False)
    assert free_memory() is None
    memory_file.require_memory(1 << 60, "this")
    graph = random_graph(0)
    said = trained(graph, epochs=0)[1].estimate(graph)
    assert said.free_bytes is None and said.fits and "the system does not say" in str(said)
    silent.setenv(LIMIT_VARIABLE, "1K")
    with pytest.raises(dq.MemoryRiskError, match=f"1.0 KiB are allowed by {LIMIT_VARIABLE}"):
        memory_file.require_memory(1 << 60, "this")


def test_a_system_without_limits_of_processes(tmp_path, monkeypatch):
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/statm").write_text("20 5 1\n")
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows has no such module
    assert free_memory(tmp_path) is None


@pytest.mark.parametrize("text", ["max\n", "-5\n", "", "12 34\n"])
def test_a_limit_that_is_no_number_limits_nothing(tmp_path, monkeypatch, text):
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (group / "memory.max").write_text(text)
    (group / "memory.current").write_text("3\n")
    assert free_memory(tmp_path) is None
    (group / "memory.max").write_text("12\n")
    assert free_memory(tmp_path) == (9, "left to this control group (container)")


def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have():
    """What runs in a forked child, here: the lock of a thread that is in the middle of a call is replaced."""
    graph = random_graph(1)
    bound = trained(graph, epochs=0)[1].bind(graph)
    right = bound()
    held, done = threading.Event(), threading.Event()

    def hold():
        with bound._lock:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    answers = []

    def call():
        answers.append(bound().tobytes())

    before, after = (threading.Thread(target=call, daemon=True) for _ in range(2))
    try:
        before.start()
        before.join(0.2)
        assert not answers, "the lock is held"
        bound_file._renew_locks()
        after.start()
        after.join(30)
        assert answers == [right.tobytes()], "and another is taken now"
    finally:
        done.set()
    holder.join()
    before.join(60)
    assert answers == [right.tobytes()] * 2
