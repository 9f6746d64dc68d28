"""The int8 matrix product on arrays, as :mod:`dqnumba.kernels.reference` has it, through packed weights."""

from __future__ import annotations

import functools
import threading

import numba
import numpy as np

from dqnumba.kernels import integer
from dqnumba.kernels.integer_threads import chunk_of

from .copy_rows import copy_rows_op, stream_rows_op
from .executor import run_parallel, run_serial
from .matmul import Place, matmul_op, row_block, scratch_bytes
from .matmul_pack import LANES, PackedWeights, address, aligned_zeros, pack_weights
from .matmul_trust import trusted_isa

__all__ = ["BoundMatmul", "matmul", "matmul_packed"]

_STREAM = 1 << 25
"""Bytes of a result from which it is written past the caches."""

_memory = threading.local()


def matmul(x, w, bias, w_zero_point, out):
    """:func:`dqnumba.kernels.reference.matmul`; other types than int8 codes with int32 sums go the scalar way."""
    if x.dtype != np.int8 or w.dtype != np.int8 or out.dtype != np.int32 or w_zero_point != 0 or 0 in w.shape:
        integer.matmul(x, w, bias, w_zero_point, out)
        return
    isa = trusted_isa(w.shape[1])
    if isa is None:
        integer.matmul(x, w, bias, w_zero_point, out)
    else:
        matmul_packed(x, pack_weights(w, isa=isa), bias, out)


def matmul_packed(x: np.ndarray, packed: PackedWeights, bias: np.ndarray, out: np.ndarray, threads=None) -> None:
    """``out = x @ w + bias`` with weights packed before.

    Parameters
    ----------
    x : (N, K) int8, any layout
    packed : PackedWeights
    bias : (M,) int32 or int64
    out : (N, M) int32, any layout
    threads : int, optional
        By default as many as Numba has set, and one for a small product.
    """
    if x.ndim == 2 and x.strides[1] != 1:
        x = np.ascontiguousarray(x)
    if out.ndim == 2 and out.strides[1] != 4:
        contiguous = np.empty(out.shape, out.dtype)
        BoundMatmul(x, packed, bias, contiguous, threads)()
        out[...] = contiguous
    else:
        BoundMatmul(x, packed, bias, out, threads)()


class BoundMatmul:
    """A product of fixed arrays, to be called as often as their contents change (the bias is read here).

    Parameters as of :func:`matmul_packed`; columns of ``x`` and ``out`` must stand beside each other.
    """

    def __init__(self, x, packed, bias, out, threads=None) -> None:
        rows, inner, columns = len(x), sum(packed.segments), packed.columns
        if x.dtype != np.int8 or out.dtype != np.int32 or x.shape != (rows, inner) or out.shape != (rows, columns):
            raise ValueError(f"x {x.dtype} {x.shape}, out {out.dtype} {out.shape} for weights ({inner}, {columns})")
        self._rows = rows
        if not rows:
            return
        if (x.strides[1] != 1 and inner > 1) or (out.strides[1] != 4 and columns > 1) or not out.flags.writeable:
            raise ValueError("columns of x and out must be contiguous, and out writable")
        if threads is None:
            work = rows * (inner * columns // 32 + inner + 4 * columns)
            threads = numba.get_num_threads() if chunk_of(rows, work) else 1
        self._threads = int(threads)
        block = row_block(inner, columns, rows, self._threads)
        self._ops, self._size, keep = _operations(x, packed, bias, out, min(block, rows))
        self._phases, self._bounds = _blocks(len(self._ops), rows, block)
        self._keep = [*keep, x, out]

    def __call__(self) -> None:
        """Run it."""
        if not self._rows:
            return
        scratch, queue = _scratch(self._threads, self._size)
        if self._threads == 1:
            run_serial(self._phases, self._ops, self._bounds, scratch)
        else:
            run_parallel(self._phases, self._ops, self._bounds, scratch, queue, self._threads)


def _operations(x, packed, bias, out, block):
    """Copy in where rows are not aligned and padded, multiply, copy out where rows are not whole vectors."""
    size = _round(scratch_bytes(packed, block))
    base, row = address(x), x.strides[0]
    source = [Place(base, row), Place(base + packed.segments[0], row)][: len(packed.segments)]
    unit = packed.step if packed.isa == "amx" else 1
    whole = all(place.base % unit == 0 and place.stride % unit == 0 for place in source)
    ops, offset = [], size
    if not whole or any(inner % packed.step for inner in packed.segments):
        for k, inner in enumerate(packed.segments):
            unit = packed.step if packed.isa == "amx" else 64
            local = Place(offset, -(-inner // unit) * unit, True)
            ops.append(copy_rows_op(source=source[k], target=local, width=inner))
            source[k] = local
            offset += _round(block * local.stride)
    target = result = Place(address(out), out.strides[0])
    stream = out.nbytes >= _STREAM and packed.columns % LANES == 0 and out.strides[0] == 4 * packed.columns
    if packed.columns % LANES or stream:
        target = Place(offset, packed.column_vectors * LANES * 4, True)
        offset += block * target.stride
    product, keep = matmul_op(inputs=source, packed=packed, bias=bias, out=target)
    ops.append(product)
    if target is not result:
        copy = stream_rows_op if stream else copy_rows_op
        ops.append(copy(source=target, target=result, width=4 * packed.columns))
    return np.array(ops), offset, keep


@functools.lru_cache(256)
def _blocks(ops, rows, block):
    """The executor's tables for one phase."""
    bounds = np.append(np.arange(0, rows, block), rows)
    return np.array([[0, ops, 0, len(bounds) - 1]]), bounds


def _round(size):
    return -(-size // 64) * 64


def _scratch(threads, size):
    """Memory of the calling thread, kept between calls, for each thread; and counters."""
    memory = getattr(_memory, "scratch", None)
    if memory is None or memory.shape[0] < threads or memory.shape[1] < size:
        _memory.scratch = memory = aligned_zeros((threads, _round(size) + 4096), np.int8)
        _memory.queue = aligned_zeros((1, 8), np.int64)
    return memory, _memory.queue
