"""Large arrays that are used again: the values and gradients of one training step live in the memory of the last.

A fresh array of some megabytes costs more than filling it: the operating system hands it over page by page, each with
a fault, and takes it back when the array dies. Inside `reuse_memory` the memory of a dead array is kept for the next
of about its size. An array knows nothing of this; its memory comes back when the last view of it is gone.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["empty", "empty_like", "reuse_memory"]

_LEAST_BYTES = 1 << 16  # below this the allocator of the C library reuses memory by itself
_LINE = 64  # a block starts at a cache line, so that no vector of a row lies across two
_STEPS = 8  # size classes between two powers of two: at most an eighth of a block stays unused
_current: contextvars.ContextVar[_Pool | None] = contextvars.ContextVar("dqnumba_memory", default=None)


@contextlib.contextmanager
def reuse_memory() -> Iterator[None]:
    """Inside, operations of this thread (or asynchronous task) take the memory of arrays that have died.

    ``fit``, ``predict`` and ``calibrate`` do this by themselves; a training loop of your own gets their speed by
    standing in ``with reuse_memory():``. What is not in use at the end goes back to the system; arrays that outlive the
    block stay as they are. Within another such block this one does nothing.
    """
    if _current.get() is not None:
        yield
        return
    pool = _Pool()
    token = _current.set(pool)
    try:
        yield
    finally:
        _current.reset(token)
        pool.close()


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """``np.empty(shape, dtype)``, perhaps in memory that was used before."""
    pool = _current.get()
    dtype = np.dtype(dtype)
    size = int(math.prod(shape)) * dtype.itemsize
    if pool is None or size < _LEAST_BYTES:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(pool, pool.take(size), shape, dtype))


def empty_like(array: np.ndarray) -> np.ndarray:
    """`empty` with the shape and the type of ``array``, in C order."""
    return empty(array.shape, array.dtype)


class _Pool:
    """Free blocks by size class. No lock: it only ever pops from and appends to lists, each in one step."""

    def __init__(self) -> None:
        self._free: dict[int, list[np.ndarray]] = {}
        self._open = True

    def take(self, size: int) -> np.ndarray:
        wanted = _size_class(size)
        for kind in range(wanted, wanted + _STEPS):  # up to twice what is asked for
            with contextlib.suppress(KeyError, IndexError):
                return self._free[kind].pop()
        for kind in range(wanted - 1, wanted - 1 - _STEPS, -1):  # batches have grown: a smaller block makes room
            with contextlib.suppress(KeyError, IndexError):
                self._free[kind].pop()
                break
        size = _class_bytes(wanted)
        raw = np.empty(size + _LINE, np.uint8)
        start = -raw.ctypes.data % _LINE
        return raw[start : start + size]

    def give_back(self, block: np.ndarray) -> None:
        if self._open:
            self._free.setdefault(_size_class(block.size), []).append(block)

    def close(self) -> None:
        self._open = False
        self._free.clear()


class _Lease:
    """The owner of an array's memory, alive as long as any view of it."""

    __slots__ = ("__array_interface__", "_block", "_pool")

    def __init__(self, pool: _Pool, block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._pool, self._block = pool, block
        start = block.__array_interface__["data"]
        self.__array_interface__ = {"version": 3, "shape": tuple(shape), "typestr": dtype.str, "data": start}

    def __del__(self) -> None:
        self._pool.give_back(self._block)


def _size_class(size: int) -> int:
    """Number of the smallest class that holds ``size`` bytes; ``_STEPS`` classes to a doubling."""
    octave = (size - 1).bit_length() - 1
    step = 1 << octave
    return octave * _STEPS + -(-(size - step) * _STEPS // step)


def _class_bytes(kind: int) -> int:
    octave, part = divmod(kind, _STEPS)
    return (1 << octave) + (part << octave) // _STEPS
