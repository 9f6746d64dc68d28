"""The steps by which a process changes files, counted one by one, so that something can happen at any of them.

A kill after a random delay seldom hits the moment between the writing of a file and its renaming; a kill at the n-th
step does, for n = 1, 2, ... . What counts as a step: making a file, each write to one (twice: before the first byte,
and when half of the bytes are written), flushing it to the disk, renaming, removing, making and removing folders. Only
what Python's own calls do is seen; the library writes files in no other way.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Step", "failing", "killing", "recording", "watching"]

Act = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """``number`` from 1; ``kind``: make, write, half, flush, rename, remove, mkdir, rmdir; ``name`` of the file."""

    number: int
    kind: str
    name: str


class _Watch:
    def __init__(self, folder: Path, act: Act) -> None:
        self.folder, self.act, self.number = os.path.realpath(folder), act, 0

    def inside(self, path: Any, dir_fd: Any = None) -> bool:
        if isinstance(path, int):
            return False
        if dir_fd is not None:  # shutil.rmtree
            return True
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder)

    def reach(self, kind: str, path: Any) -> None:
        self.number += 1
        self.act(Step(self.number, kind, os.path.basename(os.fsdecode(path))))


class _Raw(io.FileIO):
    """A file whose writes are steps."""

    watch: _Watch
    buffered = True
    pending: BaseException | None = None

    def write(self, data: Any) -> int:
        if self.pending is not None:
            error, self.pending = self.pending, None
            raise error
        view = memoryview(data).cast("B")
        self.watch.reach("write", self.name)
        half = len(view) // 2
        written = super().write(view[:half]) if half else 0
        try:
            self.watch.reach("half", self.name)
        except BaseException as error:
            if not (written and self.buffered):
                raise
            # As a system does it: the caller is told what went, and the next write fails.
            self.pending = error
            return written
        return written + super().write(view[half:])


@contextmanager
def watching(folder: str | os.PathLike[str], act: Act) -> Iterator[None]:
    """Call ``act`` before every step under ``folder`` while the block runs; it may raise, or end the process."""
    watch = _Watch(Path(folder), act)
    real_open, real_os = io.open, {name: getattr(os, name) for name in _STEPS}
    real_flush, real_os_open = os.fsync, os.open

    def opened(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
               newline: Any = None, closefd: bool = True, opener: Any = None) -> Any:  # fmt: skip
        if isinstance(file, int) or not set(mode) & set("wxa+") or not watch.inside(file):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if opener is None:  # else the opener calls os.open
            watch.reach("make", file)
        raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        raw.watch = watch
        if buffering == 0:
            raw.buffered = False
            return raw
        stream = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)

    def os_opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) and watch.inside(path, more.get("dir_fd")):
            watch.reach("make", path)
        return real_os_open(path, flags, *rest, **more)

    def flushed(handle: Any) -> None:
        watch.reach("flush", "")
        real_flush(handle)

    def stepping(name: str) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            if watch.inside(path, more.get("dir_fd")):
                watch.reach(_STEPS[name], path)
            return real_os[name](path, *rest, **more)

        return call

    try:
        io.open = builtins.open = opened
        os.open, os.fsync = os_opened, flushed
        for name in _STEPS:
            setattr(os, name, stepping(name))
        yield
    finally:
        io.open = builtins.open = real_open
        os.open, os.fsync = real_os_open, real_flush
        for name, function in real_os.items():
            setattr(os, name, function)


_STEPS = {
    "rename": "rename", "replace": "rename", "remove": "remove", "unlink": "remove", "mkdir": "mkdir", "rmdir": "rmdir",
    "link": "make", "symlink": "make", "truncate": "write",
}  # fmt: skip


def recording(steps: list[Step]) -> Act:
    """Nothing happens; the steps are appended to a list."""
    return steps.append


def killing(at: int) -> Act:
    """SIGKILL to the own process at step ``at``."""

    def act(step: Step) -> None:
        if step.number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def failing(at: int, code: int = errno.ENOSPC, *, kinds: tuple[str, ...] = ("make", "write", "half", "flush", "mkdir"),
            once: bool = False) -> Act:  # fmt: skip
    """OSError at the ``at``-th step of these kinds, and at all later ones unless ``once``: a full disk stays full."""
    count = 0

    def act(step: Step) -> None:
        nonlocal count
        if step.kind in kinds:
            count += 1
            if count == at or (count > at and not once):
                raise OSError(code, os.strerror(code), step.name)

    return act
