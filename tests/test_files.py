"""Writing whole or not at all: parts, leftovers, places that are no files, several writers."""

from __future__ import annotations

import ast
import errno
import os
import signal
import stat
import time
from pathlib import Path

import pytest

import dqnumba
from dqnumba import files, locks
from dqnumba.files import check_place, remove_leftovers, whole_file

needs_locks = pytest.mark.skipif(not locks.available(), reason="this system has no locks that end with a process")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def put(path, content, **how):
    with whole_file(path, **how) as stream:
        stream.write(content)


@pytest.mark.parametrize("durable", [True, False])
def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path, durable):
    path = tmp_path / "m.bin"
    put(path, b"old", durable=durable)
    with whole_file(path, durable=durable) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
        (part,) = set(os.listdir(tmp_path)) - {"m.bin"}
        assert part.startswith(".m.bin.") and part.endswith(".part")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["m.bin"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, OSError])
def test_whatever_ends_the_writing_the_old_file_stays(tmp_path, error):
    put(tmp_path / "m.bin", b"old")
    with pytest.raises(error), whole_file(tmp_path / "m.bin") as stream:
        stream.write(b"half of ")
        raise error
    assert (tmp_path / "m.bin").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.bin"]


def test_durable_means_flushed_before_it_is_moved(tmp_path, monkeypatch):
    seen = []
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: seen.append(stat.S_ISDIR(os.fstat(handle).st_mode)) or flush(handle)
    )
    monkeypatch.setattr(os, "replace", lambda *names: seen.append("moved") or replace(*names))
    put(tmp_path / "m.bin", b"x")
    assert seen == [False, "moved", True]  # the file, its new name
    seen.clear()
    put(tmp_path / "m.bin", b"x", durable=False)
    assert seen == ["moved"]


@needs_fork
@needs_locks
def test_what_a_killed_writer_left_goes_with_the_next_write_of_that_file(tmp_path):
    path, other = tmp_path / "m.bin", tmp_path / "other.bin"
    for name in (path, path, other):  # the second one removes what the first one left
        pid = os.fork()
        if pid == 0:
            writing = whole_file(name)
            writing.__enter__().write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    mine = {".m.bin.txt", ".m.bin.1-abc.part", "m.bin.1-01234567.part", ".xm.bin.1-01234567.part"}  # other people's
    for name in mine:
        (tmp_path / name).write_bytes(b"")
    left = set(os.listdir(tmp_path)) - mine
    assert len(left) == 2 and not path.exists()
    put(path, b"new")
    left = set(os.listdir(tmp_path)) - mine - {"m.bin"}
    assert len(left) == 1 and left.pop().startswith(".other.bin.")
    put(other, b"new")
    assert set(os.listdir(tmp_path)) == mine | {"m.bin", "other.bin"}


@needs_locks
def test_what_a_living_writer_writes_stays(tmp_path):
    path = tmp_path / "m.bin"
    with whole_file(path) as first:
        first.write(b"first")
        put(path, b"second")
        check_place(path)
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first", "the last one wins"
    assert os.listdir(tmp_path) == ["m.bin"]


@needs_locks
def test_a_part_that_is_taken_for_a_leftover_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    """Between the making of the part and its lock another process may remove it."""
    take, robbed = locks.take, []

    def slow(file, **how):
        if not robbed:
            robbed.append(file.name)
            os.unlink(file.name)
        return take(file, **how)

    monkeypatch.setattr(locks, "take", slow)
    put(tmp_path / "m.bin", b"new")
    assert robbed and os.listdir(tmp_path) == ["m.bin"]
    assert (tmp_path / "m.bin").read_bytes() == b"new"


@pytest.mark.parametrize("age, stays", [(3600, True), (2 * files._OLD, False)])
def test_without_locks_age_tells_what_is_dead(tmp_path, monkeypatch, age, stays):
    monkeypatch.setattr(locks, "fcntl", None)
    part = tmp_path / ".m.bin.1-01234567.part"
    part.write_bytes(b"half")
    os.utime(part, (time.time() - age,) * 2)
    put(tmp_path / "m.bin", b"new")
    assert part.exists() == stays
    assert (tmp_path / "m.bin").read_bytes() == b"new"


def test_what_cannot_be_removed_is_no_error(tmp_path, monkeypatch):
    (tmp_path / ".m.bin.1-01234567.part").mkdir()
    remove_leftovers(tmp_path / "nowhere", "m")
    put(tmp_path / "m.bin", b"new")
    assert sorted(os.listdir(tmp_path)) == [".m.bin.1-01234567.part", "m.bin"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "m.bin").symlink_to(tmp_path / "store" / "real.bin")
    for content in (b"first", b"second"):  # the link leads nowhere, and to a file
        put(tmp_path / "m.bin", content)
        assert (tmp_path / "m.bin").is_symlink()
        assert (tmp_path / "store" / "real.bin").read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-pipe").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "to-pipe"):
        for write in (check_place, lambda path: put(path, b"x")):
            with pytest.raises(OSError, match="Not a regular file"):
                write(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        put(tmp_path, b"x")
    with pytest.raises(OSError, match="Not a regular file"):
        check_place(os.devnull)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["pipe", "to-pipe"]


def test_places_that_cannot_be_written_are_told_before(tmp_path):
    check_place(tmp_path / "new.bin")
    put(tmp_path / "old.bin", b"old")
    check_place(tmp_path / "old.bin")
    assert (tmp_path / "old.bin").read_bytes() == b"old" and os.listdir(tmp_path) == ["old.bin"]
    for wrong, code in ((tmp_path / "none" / "m.bin", errno.ENOENT), (tmp_path / "old.bin" / "m.bin", errno.ENOTDIR),
                        (tmp_path / ("n" * 250), errno.ENAMETOOLONG)):  # fmt: skip
        with pytest.raises(OSError) as caught:
            check_place(wrong)
        assert caught.value.errno == code


# Beside whole_file: lock files, what has arrived of a download, and the null device.
_WRITERS = {"files.py", "locks.py", "data/download.py", "data/resume.py", "cli/ending.py"}


def test_nothing_else_in_the_package_opens_files_to_write():
    root = Path(dqnumba.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if any(map(writes, nodes(path)))}
    assert found == _WRITERS


def nodes(path):
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def writes(call):
    """``open`` with a mode that writes, or a method that does; saving into a stream of ours is no writing of a file."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "open":
        given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        modes = [arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        return any(set(mode) <= set("rwxabt+") and set(mode) & set("wxa+") for mode in modes)
    return name in ("write_text", "write_bytes", "save_file", "tofile", "touch", "mkstemp", "NamedTemporaryFile")


@pytest.mark.parametrize(
    "text, found",
    [("p.open('wb')", True), ("open(p, mode='a')", True), ("p.write_text(x)", True), ("p.open('r+b')", True),
     ("open(p)", False), ("p.open('rb')", False), ("open(p, encoding='ascii')", False), ("stream.write(x)", False)],
)  # fmt: skip
def test_what_counts_as_writing(text, found):
    assert bool(writes(ast.parse(text).body[0].value)) == found
