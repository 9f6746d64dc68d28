"""Locks on files that the system drops when their process ends, however it ends: none is ever stale.

Windows and some network file systems have no such locks. There everything goes on without, and those who would share a
file must give it names of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["alone", "available", "take"]


def available() -> bool:
    """Whether this system has such locks (a file system may still refuse them)."""
    return fcntl is not None


def take(file: IO[Any], *, wait: bool = False) -> bool | None:
    """Lock an open file, until it is closed; True if it is ours, False if another has it, None without such locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


@contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[int | None]:
    """Hold the lock file ``path`` while the block runs, and remove it then.

    Gives None if nobody else holds it (or nobody can know), else the number of the process that does, 0 if that is
    not known. A file that a killed process has left is no obstacle: its lock went with the process.

    Raises
    ------
    OSError
        If the file cannot be made.
    """
    path = Path(path)
    while True:
        with path.open("a+b", buffering=0) as file:
            held = take(file)
            if held is False:
                file.seek(0)
                number = file.read(20)
                yield int(number) if number.isdigit() else 0
                return
            if held and not _is_at(file, path):  # its last holder has removed it since we opened it
                continue
            with suppress(OSError):  # the disk is full: then nobody learns our number
                file.truncate(0)
                file.write(str(os.getpid()).encode())
            try:
                yield None
            finally:
                if held:
                    path.unlink(missing_ok=True)  # while it is ours: nobody's later file is removed
            break
    if not held:  # no locks here, and an open file cannot be removed on Windows
        path.unlink(missing_ok=True)


def _is_at(file: IO[Any], path: Path) -> bool:
    """Whether ``path`` still is the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
