"""Zip archives: their directory is bounded before it is read, their content before anything is unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader

from .regular import Malformed, open_regular, size_of

__all__ = ["open_zip"]

_LARGEST = 8 << 30  # bytes of an archive
_DIRECTORY = 1 << 20  # bytes: some ten thousand members
_END, _LOCATOR = b"PK\5\6", b"PK\6\7"
_END_SIZE, _LOCATOR_SIZE, _LONGEST_COMMENT = 22, 20, (1 << 16) - 1
#: What any archive may unpack to, and how many times its own size a larger one may.
_FREE, _RATIO = 64 << 20, 256


@contextmanager
def open_zip(
    path: str | os.PathLike[str], most: int | None, wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """An archive and those of its members whose names are ``wanted``, in the order of its directory.

    A member never unpacks to more than it announces, and those wanted announce at most ``most`` bytes in all, and not
    hundreds of times the size of the archive. With None only the directory is looked at.

    Raises
    ------
    Malformed
        No zip that is read: see above, a name twice, or another method than stored and deflated.
    OSError, zipfile.BadZipFile, ...
        What zipfile makes of a damaged archive; the ways are many.
    """
    with open_regular(path, _LARGEST) as stream:
        size = size_of(stream)
        _check_directory(stream, size)
        with zipfile.ZipFile(stream) as archive:
            members = [info for info in archive.infolist() if wanted(info.filename)]
            if len({info.filename for info in members}) < len(members):
                raise Malformed("a member is in the archive twice")
            if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members):
                raise Malformed("a member is packed in another way than stored or deflated")
            if any(info.compress_size > size for info in members):
                raise Malformed("a member announces more bytes than the archive has")
            total = sum(info.file_size for info in members)
            allowed = min(most, _FREE + _RATIO * size) if most is not None else total
            if total > allowed:
                raise Malformed(
                    f"it would unpack to {total} bytes, and of an archive of {size} bytes at most {allowed} are read"
                )
            yield archive, members


def _check_directory(stream: BufferedReader, size: int) -> None:
    """Find the end record as zipfile does, and hold the size of the directory against the limit."""
    stream.seek(max(0, size - _END_SIZE - _LONGEST_COMMENT - _LOCATOR_SIZE))
    tail = stream.read()
    at = len(tail) - _END_SIZE
    if not (at >= 0 and tail[at:].startswith(_END) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        raise Malformed("it is no zip archive, or its end is missing")
    if tail[max(0, at - _LOCATOR_SIZE) : at].startswith(_LOCATOR):
        raise Malformed("its directory is of the kind for more than 65,535 members or 4 GiB")
    listed = int.from_bytes(tail[at + 12 : at + 16], "little")
    if listed > _DIRECTORY:
        raise Malformed(f"its directory has {listed:,} bytes, and at most {_DIRECTORY:,} are read")
    stream.seek(0)
