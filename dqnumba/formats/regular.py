"""Opening what is a file, and no larger than its reader expects."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

__all__ = ["Malformed", "open_regular", "read_bytes", "size_of"]


class Malformed(ValueError):
    """Bytes that are not what their format says, or that go beyond a limit."""


@contextmanager
def open_regular(path: str | os.PathLike[str], most: int) -> Iterator[BufferedReader]:
    """A stream of a regular file of at most ``most`` bytes.

    Raises
    ------
    Malformed
        It is a folder, a pipe, a socket or a device, or larger.
    OSError
        It is missing or cannot be opened.
    """
    try:
        # Without waiting: a pipe in the place of a file would hold us until somebody writes into it.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags)
    except ValueError as error:  # a zero byte in the path
        raise Malformed(str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Malformed("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
        if status.st_size > most:
            raise Malformed(f"it has {status.st_size:,} bytes, and at most {most:,} are read")
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def size_of(stream: BufferedReader) -> int:
    """Bytes of the file behind a stream of :func:`open_regular`."""
    return os.fstat(stream.fileno()).st_size


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """All bytes of a regular file of at most ``most``; errors as :func:`open_regular`."""
    with open_regular(path, most) as stream:
        return stream.read(size_of(stream))
