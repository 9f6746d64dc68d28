"""Writing a file whole or not at all.

What is being written lies beside its place under a passing name, ``.NAME.PROCESS-LETTERS.part``, which no reader of the
library opens, and is locked. A process that is killed leaves that file, without its lock; the next one that writes
``NAME`` removes it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from . import locks

__all__ = ["check_place", "remove_leftovers", "whole_file"]

_OLD = 24 * 3600.0  # seconds; a part of this age is dead where no lock can tell


@contextmanager
def whole_file(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes the file ``path`` when the block ends without an error.

    It is written beside its place under a passing name, flushed to the disk, and moved there in one step: a reader sees
    the old file or the new one, and after an error nothing is left behind. Of several that write the same file at once
    the last one wins, whole. A link stays a link; the file that it names is replaced.

    Parameters
    ----------
    path : path
    durable : bool
        Wait until the disk has it. Without, a power cut soon after can leave an empty or damaged file: for what is
        checked when it is read, and can be made again.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, the disk is full, or ``path`` is no regular file.
    """
    place = _place(path)
    remove_leftovers(place.parent, re.escape(place.name))
    stream = _passing(place)
    try:
        with stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
            if locks.available():
                os.replace(stream.name, place)  # while it is locked, so that nobody takes it for a leftover
        if not locks.available():  # Windows moves no open file
            os.replace(stream.name, place)
        if durable:
            _keep_name(place.parent)
    finally:
        Path(stream.name).unlink(missing_ok=True)


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that ``whole_file`` would raise at once: better before long work than after it."""
    with suppress(_Enough), whole_file(path, durable=False):
        raise _Enough


class _Enough(Exception):
    pass


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove what killed writers have left of files whose name matches the regular expression ``names``.

    What a living process writes is locked and stays. No error: what cannot be removed stays too.
    """
    part = re.compile(rf"\.(?:{names})\.\d+-[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for entry in [entry for entry in os.scandir(folder) if part.fullmatch(entry.name)]:
            with suppress(OSError):
                _remove_dead(Path(entry.path))


def _remove_dead(path: Path) -> None:
    with path.open("r+b") as file:
        held = locks.take(file)
        if held:
            return path.unlink()
    if held is None and time.time() - path.stat().st_mtime > _OLD:
        path.unlink()
    return None


def _place(path: str | os.PathLike[str]) -> Path:
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if place.exists() and not place.is_file():  # /dev/null must not become a file
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return place


def _passing(place: Path) -> BinaryIO:
    """A new locked file beside ``place``."""
    while True:
        # Not tempfile: its files are for the owner alone, and a new file should have the usual rights.
        stream = place.with_name(f".{place.name}.{os.getpid()}-{secrets.token_hex(4)}.part").open("xb")
        if locks.take(stream) is not False and os.path.exists(stream.name):
            return stream
        stream.close()  # between its making and its lock another process took it for a leftover


def _keep_name(folder: Path) -> None:
    """Have the disk keep the new name too. The file is there already, so a system that cannot do this is no error."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
