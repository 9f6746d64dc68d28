"""Locks that end with their process."""

from __future__ import annotations

import os
import signal

import pytest

from dqnumba import locks
from dqnumba.locks import alone

pytestmark = pytest.mark.skipif(not locks.available(), reason="this system has no such locks")


def test_one_at_a_time_and_nothing_is_left(tmp_path):
    path = tmp_path / "lock"
    with alone(path) as first:
        assert first is None
        with alone(path) as second:
            assert second == os.getpid()
        assert path.exists(), "who was refused must not remove the lock"
        with alone(path) as third:
            assert third == os.getpid()
    assert not path.exists()
    with alone(path) as again:
        assert again is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_lock_goes_with_its_process(tmp_path):
    path, (reading, writing) = tmp_path / "lock", os.pipe()
    pid = os.fork()
    if pid == 0:
        held = alone(path)
        held.__enter__()
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    with alone(path) as other:
        assert other == pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading), os.close(writing)
    assert path.exists()
    with alone(path) as other:
        assert other is None
    assert not path.exists()


def test_a_lock_file_that_is_removed_while_we_open_it_is_made_again(tmp_path, monkeypatch):
    """Else two would hold locks: one on the removed file, one on a later one."""
    path, take, removed = tmp_path / "lock", locks.take, []

    def slow(file, **how):
        if not removed:
            removed.append(path.unlink())
        return take(file, **how)

    monkeypatch.setattr(locks, "take", slow)
    with alone(path) as first:
        assert first is None and removed and path.exists()
        with alone(path) as second:
            assert second == os.getpid()


def test_odd_lock_files_and_file_systems(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.write_bytes(b"\xff not a number \0")
    with alone(path) as first:
        assert first is None and path.read_bytes() == str(os.getpid()).encode()
        path.write_bytes(b"")
        with alone(path) as second:
            assert second == 0
    monkeypatch.setattr(locks, "take", lambda file, **how: None)  # no locks there: nobody is kept out
    with alone(path) as first, alone(path) as second:
        assert first is None and second is None
    assert not path.exists()
    with pytest.raises(FileNotFoundError), alone(tmp_path / "none" / "lock"):
        pass
