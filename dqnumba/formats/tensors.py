"""Safetensors files read within limits: every number of the header is checked before a tensor gets memory.

The file is read and not mapped: one that is cut short while it is read gives an error here, and would end the process
where it is mapped. Files are written by the ``safetensors`` package, which is the other side in the tests.

Layout: eight bytes with the length of the header (little endian), the header, the bytes of the tensors. The header is a
JSON object: name -> ``dtype``, ``shape``, ``data_offsets``, and perhaps ``__metadata__`` with texts by name. Tensors
follow each other without gaps and fill the file.
"""

from __future__ import annotations

import math
import os
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .npy import MOST_ENTRIES
from .regular import Malformed, open_regular, size_of
from .strict_json import parse_json

__all__ = ["read_metadata", "read_tensors"]

_TYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_MOST_AXES = 16
_CHUNK = 1 << 24


class _Entry(NamedTuple):
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def read_metadata(
    path: str | os.PathLike[str], *, most_bytes: int, most_header: int, most_values: int
) -> dict[str, str]:
    """The texts of ``__metadata__``; no tensor is read. Parameters and errors as :func:`read_tensors`."""
    with open_regular(path, most_bytes) as stream:
        return _metadata(_header(stream, most_header, most_values))


def read_tensors(
    path: str | os.PathLike[str], *, most_bytes: int, most_tensors: int, most_header: int, most_values: int
) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Metadata and all tensors.

    Parameters
    ----------
    path
    most_bytes, most_header : int
        Bytes of the file, and of its header.
    most_tensors, most_values : int
        Tensors, and values of any kind that the JSON of the header may hold, commas inside of texts counted.

    Returns
    -------
    metadata : dict of str
    tensors : dict of arrays
        C order, writable, in the order of their bytes.

    Raises
    ------
    Malformed
        Beyond a limit, no safetensors file, or a damaged one.
    OSError
        Missing, or cannot be read.
    """
    with open_regular(path, most_bytes) as stream:
        size = size_of(stream)
        header = _header(stream, most_header, most_values)
        metadata = _metadata(header)
        if len(header) > most_tensors:
            raise Malformed(f"it holds {len(header)} tensors, and at most {most_tensors} are read")
        entries = sorted((_entry(name, values) for name, values in header.items()), key=lambda e: (e.begin, e.end))
        place = 0
        for entry in entries:
            if entry.begin != place:
                raise Malformed(f"tensor {entry.name!r} begins at {entry.begin}, not where another ends, at {place}")
            place = entry.end
        if stream.tell() + place != size:
            raise Malformed(f"its tensors end at {place}, its bytes at {size - stream.tell()}")
        return metadata, {entry.name: _tensor(stream, entry) for entry in entries}


def _header(stream: BufferedReader, most: int, most_values: int) -> dict[str, Any]:
    length = int.from_bytes(stream.read(8), "little")
    there = size_of(stream) - 8
    if not 2 <= length <= there:
        raise Malformed(f"its header announces {length:,} bytes, and {max(there, 0):,} follow")
    if length > most:
        raise Malformed(f"its header has {length:,} bytes, and at most {most:,} are read")
    content = stream.read(length)
    if len(content) < length or content[:1] != b"{":
        raise Malformed("its header is no JSON object")
    header = parse_json(content.decode("utf-8"), most_values=most_values)
    if not isinstance(header, dict):
        raise Malformed("its header is no JSON object")
    return header


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    """Take the metadata out of the header."""
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Malformed("its metadata are no texts by name")
    return metadata


def _entry(name: str, values: Any) -> _Entry:
    if not isinstance(values, dict) or set(values) != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    kind, shape, offsets = values["dtype"], values["shape"], values["data_offsets"]
    whole = [isinstance(part, list) and all(type(n) is int and n >= 0 for n in part) for part in (shape, offsets)]
    if not all(whole) or len(offsets) != 2 or offsets[0] > offsets[1] or len(shape) > _MOST_AXES:
        raise Malformed(f"tensor {name!r} has no possible shape or place")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Malformed(f"tensor {name!r} has the type {kind}, which is not read")
    dtype = np.dtype(f"<{_TYPES[kind]}")
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise Malformed(f"tensor {name!r} has the shape {shape} of {kind}, and {offsets[1] - offsets[0]} bytes")
    if math.prod(n for n in shape if n) > MOST_ENTRIES:
        raise Malformed(f"tensor {name!r} has no possible shape or place")
    return _Entry(name, dtype, tuple(shape), *offsets)


def _tensor(stream: BufferedReader, entry: _Entry) -> NDArray[Any]:
    array = np.empty(entry.shape, entry.dtype)
    raw = array.reshape(-1).view(np.uint8)
    for begin in range(0, len(raw), _CHUNK):
        part = raw[begin : begin + _CHUNK].data
        if stream.readinto(part) != len(part):
            raise Malformed("it ends early: it was cut short while it was read")
    if entry.dtype.kind == "b" and raw.max(initial=0) > 1:
        raise Malformed(f"tensor {entry.name!r} holds a truth value that is neither 0 nor 1")
    return array.astype(entry.dtype.newbyteorder("="), copy=False)
