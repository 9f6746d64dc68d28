"""Micro-kernels: compiled functions of one C signature that do one operation on a block of rows.

    void kernel(int64 op, int64 start, int64 stop, int64 scratch)

``op`` is the address of the operation's record, a row of int64 fields: field 0 is the address of the kernel itself,
the others are its own (written by the builder function that stands beside each kernel). ``start .. stop`` are the rows
of the block, ``scratch`` the address of the memory of the thread that runs it.

An operand with rows is three fields (a *place*): base address, row stride in bytes, and where it lives: 0 in memory
that threads share; 1 in the thread's scratch memory, for the rows of this block (the base is then an offset there, and
row ``start`` of the block its row 0); 2 likewise for all rows of the range of blocks that the thread is working on (see
:mod:`.executor`). ``place(op, k, start, scratch)`` gives the address of row 0, real or virtual, so that row i is always
at ``place + i * stride``.

A kernel is compiled at its first use and kept on disk. Kernels call helpers of other files of this folder, which
Numba's cache would not notice to have changed: entries carry a digest of all files of the folder instead.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import numpy as np
from numba import njit, types
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher

from .._cache import KernelCache, cache_folder, describe
from .simd import i64_at

__all__ = [
    "FIELDS",
    "LOCAL",
    "RANGE",
    "Micro",
    "driver",
    "folder_digest",
    "helper",
    "indexed_place",
    "kernels_folder",
    "micro",
    "new_op",
    "place",
    "put_place",
    "stride",
]

FIELDS = 64
"""Fields of an operation's record."""

LOCAL = 1
"""Third field of a place in scratch memory, for the rows of a block."""

RANGE = 2
"""Third field of a place in scratch memory, for the rows of a range."""

_SIGNATURE = ((types.int64,) * 4, types.void)

_njit = njit(nogil=True, error_model="numpy", _nrt=False)


def helper(function: FunctionType) -> Dispatcher:
    """Decorate a function that micro-kernels call; it is compiled into each caller.

    Its symbol in the machine code must say what it closes over. Numba adds a number that counts up in each process:
    two functions that a factory made in two processes could have one name, and where the kernels around them are then
    loaded from disk into a third, the linker takes the first for both.
    """
    function.__qualname__ += "_" + hashlib.sha256(repr(describe(function)).encode()).hexdigest()[:12]
    return _njit(function)


@functools.cache
def folder_digest() -> str:
    """SHA-256 over the sources of this folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def kernels_folder() -> tuple[Path | None, str]:
    """As :func:`~dqnumba.kernels._cache.cache_folder`, for this folder."""
    return cache_folder(folder_digest.__wrapped__)


class Micro:
    """A micro-kernel, compiled when its address is asked for the first time.

    Parameters
    ----------
    function : function
        Of four int64, in the part of Python that Numba compiles; no arrays, no exceptions.
    """

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._compiled: CFunc | None = None

    @property
    def address(self) -> int:
        """Address of the machine code."""
        if self._compiled is None:
            self._compiled = self._compile()
        return self._compiled.address

    @property
    def was_cached(self) -> bool:
        """Whether the machine code came from disk; False before the first use."""
        return self._compiled is not None and self._compiled.cache_hits > 0

    def assembly(self) -> str:
        """The machine code as text; compiled for that, since code from disk has none."""
        return self._compile(cached=False)._library.get_asm_str()

    def _compile(self, *, cached: bool = True) -> CFunc:
        options = {"nopython": True, "error_model": "numpy", "_nrt": False}
        compiled = CFunc(self.function, _SIGNATURE, locals={}, options=options)
        if cached:
            compiled._cache = KernelCache(self.function, folder_digest, plain=True)
        compiled.compile()
        return compiled


def driver(**options: bool) -> Callable[[Callable], Dispatcher]:
    """Decorate a compiled function that Python calls and that uses helpers of this folder."""

    def decorate(function: Callable) -> Dispatcher:
        dispatcher = njit(nogil=True, **options)(function)
        dispatcher._cache = KernelCache(function, folder_digest, plain=True)
        return dispatcher

    return decorate


def micro(function: Callable[..., None]) -> Micro:
    """Decorate a micro-kernel."""
    return Micro(function)


@helper
def place(op, k, start, scratch):
    """Address of row 0 of the place in fields k, k + 1, k + 2."""
    return _row_0(op, k, i64_at(op + 8 * (k + 2)), start, scratch)


@helper
def _row_0(op, k, room, start, scratch):
    base = i64_at(op + 8 * k)
    if room == 0:
        return base
    first = start if room == LOCAL else i64_at(scratch - 8)
    return base + scratch - first * i64_at(op + 8 * (k + 1))


@helper
def indexed_place(op, k, room, scratch):
    """As :func:`place` for rows that are read by index, hence not those of a block; ``room`` is the third field."""
    return _row_0(op, k, i64_at(op + 8 * room), 0, scratch)


@helper
def stride(op, k):
    """Row stride in bytes of the place in fields k, k + 1, k + 2."""
    return i64_at(op + 8 * (k + 1))


def new_op(kernel: Micro) -> np.ndarray:
    """An empty record for ``kernel``: (FIELDS,) int64 with its address in field 0."""
    op = np.zeros(FIELDS, np.int64)
    op[0] = kernel.address
    return op


def put_place(op: np.ndarray, k: int, base: int, row_stride: int, local: int = 0) -> None:
    """Write a place into fields k, k + 1, k + 2."""
    op[k : k + 3] = base, row_stride, int(local)
