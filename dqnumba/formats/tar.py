"""One member of a tar archive, plain or gzipped; nothing is unpacked to disk, and nothing but its headers is trusted.

The tarfile module reads an extended header of any announced length into memory, and goes through an archive of any
length in search of a member. What is needed here is one plain file of an old archive.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BufferedReader

from .regular import Malformed

__all__ = ["read_tar_member"]

_BLOCK = 512
_CHUNK = 1 << 16
_PLAIN_FILES = b"0\x007"


def read_tar_member(
    stream: BufferedReader, wanted: Callable[[str], bool], most: int, most_unpacked: int
) -> bytes | None:
    """The first ``most`` bytes of the first plain file whose name is ``wanted``; None if there is none.

    Raises
    ------
    Malformed
        No tar, or none of the wanted within ``most_unpacked`` bytes.
    zlib.error
        Damaged compression.
    """
    source = _Source(stream, most_unpacked)
    while True:
        block = source.read(_BLOCK)
        if not block.strip(b"\0"):
            return None
        if len(block) < _BLOCK or _octal(block[148:156]) != sum(block[:148]) + 8 * 32 + sum(block[156:]):
            raise Malformed("it is no tar archive, or it is damaged")
        name = _text(block[:100])
        if block[257:262] == b"ustar" and block[345]:
            name = f"{_text(block[345:500])}/{name}"
        size = _octal(block[124:136])
        if block[156] in _PLAIN_FILES and wanted(name):
            content = source.read(min(size, most))
            if len(content) < min(size, most):
                raise Malformed("it ends early")
            return content
        source.skip(-(-size // _BLOCK) * _BLOCK)


class _Source:
    """Bytes of a file, unpacked where it is gzipped, in order and up to a limit."""

    def __init__(self, stream: BufferedReader, most: int) -> None:
        self.stream, self.left = stream, most
        self.pending = stream.read(_CHUNK)
        self.inflate = zlib.decompressobj(wbits=31) if self.pending[:2] == b"\x1f\x8b" else None

    def read(self, count: int) -> bytes:
        """``count`` bytes, or fewer at the end."""
        out = bytearray()
        while len(out) < count:
            part = self._part(count - len(out))
            if not part:
                break
            out += part
        return bytes(out)

    def skip(self, count: int) -> None:
        while count > 0:
            part = self._part(min(count, 1 << 20))
            if not part:
                return
            count -= len(part)

    def _part(self, most: int) -> bytes:
        if self.inflate is None:
            part, self.pending = self.pending[:most], self.pending[most:]
            part = part or self.stream.read(most)
        else:
            part = b""
            while not part and not self.inflate.eof:
                packed = self.pending or self.stream.read(_CHUNK)
                if not packed:
                    raise Malformed("its end is missing")
                part = self.inflate.decompress(packed, most)
                self.pending = self.inflate.unconsumed_tail
        self.left -= len(part)
        if self.left < 0:
            raise Malformed("it unpacks to more than any registered archive")
        return part


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise Malformed("a number in a tar header is none")
    return int(digits, 8)
