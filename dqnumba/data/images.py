"""Raw images: MNIST's IDX files and CIFAR-10's binary batches."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats import Malformed, read_bytes

__all__ = ["read_cifar10", "read_idx"]

_LIMIT = 1 << 28  # five times the largest of MNIST
_LONGEST_HEADER = 20
_RECORD = 1 + 3 * 32 * 32


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes.

    Header, big-endian: two zero bytes, the type 0x08 (uint8), the number of dimensions, then each dimension
    as int32. Only as many bytes are unpacked as the header announces, and one more to see that nothing
    follows.

    Returns
    -------
    uint8 array of the announced shape, e.g. (60000, 28, 28)

    Raises
    ------
    DataError
        If the file is no gzip, has another header, or holds less or more than announced.
    """
    try:
        packed = read_bytes(path, _LIMIT // 4)
        stream = zlib.decompressobj(wbits=31)
        start = stream.decompress(packed, _LONGEST_HEADER)
        if len(start) < 4 or start[:3] != b"\x00\x00\x08" or not 1 <= start[3] <= 4:
            raise DataError(f"{path}: starts with {start[:4].hex(' ')!r}; an IDX file of bytes starts with '00 00 08'")
        header = 4 + 4 * start[3]
        if len(start) < header:
            raise DataError(f"{path}: ends inside its header; fetch it again")
        shape = struct.unpack(f">{start[3]}i", start[4:header])
        total = math.prod(shape)
        if min(shape) < 0 or total > _LIMIT:
            raise DataError(f"{path}: announces the shape {shape}; at most {_LIMIT} bytes are read")
        content = start[header:] + stream.decompress(stream.unconsumed_tail, total + 1)
        if len(content) <= total and not stream.eof:
            raise EOFError("its end is missing")
        if stream.unused_data.strip(b"\0"):
            raise EOFError("something follows its end")
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except (OSError, Malformed, EOFError, zlib.error) as error:
        raise DataError(f"{path}: no complete gzip file ({error}); fetch it again") from error
    if len(content) != total:
        found = "more" if len(content) > total else f"only {len(content)}"
        raise DataError(f"{path}: announces {total} bytes of data and holds {found}; fetch it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_cifar10(path: str | Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read a binary batch of CIFAR-10: records of a label byte and 3 x 1,024 bytes (red, green, blue;
    row-major).

    Returns
    -------
    images : uint8 (N, 32, 32, 3)
    labels : int64 (N,)
    """
    try:
        content = np.frombuffer(read_bytes(path, _LIMIT), dtype=np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except (OSError, Malformed) as error:
        raise DataError(f"{path}: no batch of CIFAR-10 ({error}); fetch it again") from error
    if len(content) == 0 or len(content) % _RECORD:
        raise DataError(f"{path}: has {len(content)} bytes; records of CIFAR-10 have {_RECORD} each; fetch it again")
    records = content.reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        bad = int(np.argmax(records[:, 0] > 9))
        raise DataError(f"{path}: record {bad} has the label {records[bad, 0]}; labels are 0..9")
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)
