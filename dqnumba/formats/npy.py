"""One array of an npy stream: plain numbers or text, never objects, and never larger than its bytes."""

from __future__ import annotations

import io
import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .regular import Malformed

__all__ = ["MOST_ENTRIES", "read_npy"]

_KINDS = "biufSU"
_CHUNK = 1 << 24
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}  # version 3 is for names of fields only
_LONGEST_HEADER = 10_000
#: Of the axes that are not 0: an array without entries can have a shape that no other type of its entries can have.
MOST_ENTRIES = 1 << 40


def read_npy(stream: IO[bytes], size: int) -> NDArray[Any]:
    """The array of a stream of ``size`` bytes that stands at its begin and has ``tell``.

    The shape and type that the header announces must fill the stream exactly, so nothing is allocated for bytes that
    are not there.

    Raises
    ------
    Malformed
        No npy, objects (which are pickles), a type that is neither numbers nor text, or another number of bytes than
        announced.
    ValueError, SyntaxError, tokenize.TokenError, TypeError, MemoryError, ...
        What NumPy makes of a damaged header; the ways are many.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _LENGTH_BYTES:
        raise Malformed(f"npy version {version} is not read")
    length = int.from_bytes(stream.read(_LENGTH_BYTES[version]), "little")
    if length > _LONGEST_HEADER:  # NumPy would ask the stream for as many bytes before it looks
        raise Malformed(f"its header announces {length:,} bytes")
    header = io.BytesIO(length.to_bytes(2, "little") + stream.read(length))
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject:
        raise Malformed("an array of objects, which are pickles and can run code")
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise Malformed(f"an array of {dtype}, which is neither numbers nor text")
    if any(n < 0 for n in shape) or math.prod(n for n in shape if n) > MOST_ENTRIES:
        raise Malformed(f"an array of shape {shape}")
    left = size - stream.tell()
    needed = math.prod(shape) * dtype.itemsize
    if needed != left:
        raise Malformed(f"an array of shape {shape} and type {dtype} has {needed:,} bytes, and {left:,} are there")
    flat = np.empty(math.prod(shape), dtype)
    raw = flat.view(np.uint8)
    for begin in range(0, len(raw), _CHUNK):
        part = raw[begin : begin + _CHUNK].data
        while part:  # a stream of a zip member may give less than is asked for
            given = stream.readinto(part)  # type: ignore[attr-defined]
            if not given:
                raise Malformed("it ends early")
            part = part[given:]
    if not needed:
        stream.read(1)  # of an empty member the checksum is looked at here
    _check_values(flat, raw)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _check_values(flat: NDArray[Any], raw: NDArray[np.uint8]) -> None:
    """Bytes that no value of the type has, and that NumPy would work with all the same."""
    if flat.dtype.kind == "b" and raw.max(initial=0) > 1:
        raise Malformed("a truth value that is neither 0 nor 1")
    if flat.dtype.kind == "U":
        codes = raw.view(np.uint32 if flat.dtype.isnative else np.dtype(np.uint32).newbyteorder())
        if codes.size and (codes.max() > 0x10FFFF or ((codes >= 0xD800) & (codes <= 0xDFFF)).any()):
            raise Malformed("text that is no Unicode")
