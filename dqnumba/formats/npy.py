"""One array of an npy stream: plain numbers or text, never objects, and never larger than its bytes."""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .regular import Malformed

__all__ = ["read_npy"]

_KINDS = "biufSU"
_CHUNK = 1 << 24


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
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:  # 3 is for names of fields only
        raise Malformed(f"npy version {version} is not read")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise Malformed("an array of objects, which are pickles and can run code")
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise Malformed(f"an array of {dtype}, which is neither numbers nor text")
    if any(n < 0 for n in shape):
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
