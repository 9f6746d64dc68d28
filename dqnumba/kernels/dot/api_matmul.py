"""The int8 matrix product on arrays, as :mod:`dqnumba.kernels.reference` has it, through packed weights.

What depends on the weights and on sizes and strides of the arrays is made once and kept with the weights; a call checks
its arguments, writes their addresses and the bias, and runs.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from dqnumba.kernels import integer
from dqnumba.kernels.integer_threads import threads_for

from .copy_rows import copy_rows_op, stream_rows_op
from .executor import run_parallel, run_serial
from .launch import thread_memory
from .matmul import Place, bias_offset, matmul_op, row_block, scratch_bytes
from .matmul_pack import LANES, PackedWeights, address, aligned_zeros, pack_weights
from .matmul_trust import trusted_isa
from .micro import FIELDS, driver
from .simd import address_of

__all__ = ["BoundMatmul", "matmul", "matmul_packed"]

_STREAM = 1 << 25
"""Bytes of a result from which it is written past the caches."""

_LAYOUTS = 32
"""Layouts of arrays that packed weights remember."""

_INT32 = np.dtype(np.int32)


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
    bias : (M,) integers, taken modulo 2**32
    out : (N, M) int32, any layout
    threads : int, optional
        By default as many as Numba has set, and one for a small product.
    """
    if x.ndim == 2 and x.strides[1] != 1:
        x = np.ascontiguousarray(x)
    if out.ndim == 2 and out.strides[1] != 4 and len(out):
        contiguous = np.empty(out.shape, out.dtype)
        matmul_packed(x, packed, bias, contiguous, threads)
        out[...] = contiguous
        return
    bias = _integers(bias)
    if threads is None:
        threads = _threads(x, packed)
    layout = x.shape, x.strides, bias.shape, out.shape, out.strides, threads
    ready = packed.ready.get(layout)
    if ready is None:
        _check(x, packed, bias, out)
        if not len(x):
            return
        if len(packed.ready) >= _LAYOUTS:
            packed.ready.clear()
        ready = packed.ready.setdefault(layout, [])
    try:
        product = ready.pop()  # then no other thread runs it
    except IndexError:
        product = _Product(packed, x, out, threads)
    try:
        aimed = product.aim(x, bias, out)
    except TypeError:  # the layout was seen before, but not with these types
        _check(x, packed, bias, out)
        raise
    if not aimed:
        product = _Product(packed, x, out, threads)
        product.aim(x, bias, out)
    product.run()
    ready.append(product)


class BoundMatmul:
    """A product of fixed arrays, to be called as often as their contents change (the bias is read here).

    Parameters as of :func:`matmul_packed`; columns of ``x`` and ``out`` must stand beside each other.
    """

    def __init__(self, x, packed, bias, out, threads=None) -> None:
        bias = _integers(bias)
        _check(x, packed, bias, out)
        self._keep, self._product = (x, packed, out), None
        if len(x):
            self._product = _Product(packed, x, out, _threads(x, packed) if threads is None else threads)
            self._product.aim(x, bias, out)

    def __call__(self) -> None:
        """Run it."""
        if self._product is not None:
            self._product.run()


def _integers(bias):
    bias = np.asarray(bias)
    if bias.dtype is _INT32:
        return bias
    if bias.dtype.kind not in "iu":
        raise ValueError(f"biases must be integers, not {bias.dtype}")
    return bias.astype(np.int32)


def _check(x, packed, bias, out):
    """ValueError: what is wrong with the arguments."""
    rows, inner, columns = len(x), packed.inner, packed.columns
    if x.dtype != np.int8 or out.dtype != np.int32 or x.shape != (rows, inner) or out.shape != (rows, columns):
        raise ValueError(f"x {x.dtype} {x.shape}, out {out.dtype} {out.shape} for weights ({inner}, {columns})")
    apart = rows and ((x.strides[1] != 1 and inner > 1) or (out.strides[1] != 4 and columns > 1))
    if apart or not out.flags.writeable:
        raise ValueError("columns of x and out must be contiguous, and out writable")
    if bias.shape != (columns,):
        raise ValueError(f"{bias.shape} biases for weights ({inner}, {columns})")


def _threads(x, packed):
    rows, inner, columns = len(x), packed.inner, packed.columns
    return threads_for(rows * (inner * columns // 32 + inner + 4 * columns)) if rows > 1 else 1


@driver()
def _aim(x, bias, out, places, records, table, minus, unit, aligned):
    """Write addresses and bias of a product; False, and nothing written, if x does not lie as its tables want."""
    at = address_of(x)
    if ((at | x.strides[0]) & (unit - 1) == 0) != aligned:
        return False
    for k in range(len(places)):
        record, field, offset, is_out = places[k]
        records[record, field] = offset + (address_of(out) if is_out else at)
    for j in range(len(bias)):
        table[j] = bias[j] - minus[j]
    return True


def _any(dtype, dimensions, readonly):
    """Numba's type of arrays in any memory: all take one compiled form."""
    return types.Array(dtype, dimensions, "A", readonly=readonly, aligned=False)


@functools.cache
def _compiled():
    table = types.Array(types.int64, 2, "C"), types.Array(types.int64, 2, "C"), types.Array(types.int32, 1, "C")
    arrays = _any(types.int8, 2, True), _any(types.int32, 1, True), _any(types.int32, 2, False)
    _aim.compile((*arrays, *table, types.Array(types.int64, 1, "C"), types.int64, types.boolean))
    _aim.disable_compile()
    return _aim


class _Product:
    """Tables of a product for arrays of one layout; addresses and bias are written before a run.

    The weights have to outlive it: they keep it, so it does not keep them.
    """

    def __init__(self, packed, x, out, threads) -> None:
        rows, unit = len(x), packed.step if packed.isa == "amx" else 1
        second = packed.segments[0] if len(packed.segments) > 1 else 0
        self._threads, self._scratch_bytes, self._unit = int(threads), 0, unit
        self._aligned = (address(x) | x.strides[0]) & (unit - 1) == 0  # no row of a tile crosses a cache line
        in_place = _rows_in_place(packed, rows, x.strides[0], self._aligned and second % unit == 0)
        block = min(row_block(packed.inner, packed.columns, in_place or rows, self._threads), rows)
        self._bias, self._minus = aligned_zeros(packed.column_vectors * LANES, np.int32), bias_offset(packed)
        places, records, phases, bounds = [], [], [], []
        for first, last in ((0, in_place), (in_place, rows)):
            if first < last:
                size, done, entry = min(block, last - first), len(records), len(bounds)
                self._add_phase(places, records, packed, x.strides[0], out, size, copy=first == in_place)
                bounds += [*range(first, last, size), last]
                phases.append((done, len(records), entry, len(bounds) - 1 - entry))
        self._places = np.array(places, np.int64).reshape(-1, 4)
        self._records = np.array(records, np.int64).reshape(-1, FIELDS)
        self._phases = np.array(phases, np.int64).reshape(-1, 4)
        self._bounds, self._queue = np.array(bounds, np.int64), aligned_zeros((len(phases), 8), np.int64)
        self._aim = _compiled()

    def aim(self, x, bias, out) -> bool:
        """Write addresses and bias; False if ``x`` is aligned and that of the tables was not, or the other way."""
        return self._aim(x, bias, out, self._places, self._records, self._bias, self._minus, self._unit, self._aligned)

    def run(self) -> None:
        """Run it."""
        scratch = thread_memory(self._threads, self._scratch_bytes)
        if self._threads == 1:
            run_serial(self._phases, self._records, self._bounds, scratch)
        else:
            run_parallel(self._phases, self._records, self._bounds, scratch, self._queue, self._threads)

    def _add_phase(self, places, records, packed, x_stride, out, block, *, copy) -> None:
        """Copy in with ``copy``, multiply, copy out where rows are not whole vectors."""
        offset, whole = _round(scratch_bytes(packed, block)), 4 * packed.column_vectors * LANES
        starts = (0, packed.segments[0])[: len(packed.segments)]
        inputs = [Place(start, x_stride) for start in starts]
        if copy:
            for k, inner in enumerate(packed.segments):
                unit = packed.step if packed.isa == "amx" else 64
                local = Place(offset, -(-inner // unit) * unit, True)
                places.append((len(records), 1, starts[k], False))
                records.append(copy_rows_op(source=inputs[k], target=local, width=inner))
                inputs[k] = local
                offset += _round(block * local.stride)
        else:
            places += [(len(records), k, start, False) for k, start in zip((1, 4), starts, strict=False)]
        stream = out.nbytes >= _STREAM and packed.columns % LANES == 0 and out.strides[0] == whole
        result = Place(0, out.strides[0])
        target = Place(offset, whole, True) if packed.columns % LANES or stream else result
        product, _ = matmul_op(inputs=inputs, packed=packed, bias=np.zeros(packed.columns, np.int32), out=target)
        product[11] = address(self._bias)
        records.append(product)
        if target is not result:
            offset += block * whole
            copy_op = stream_rows_op if stream else copy_rows_op
            records.append(copy_op(source=target, target=result, width=4 * packed.columns))
        places.append((len(records) - 1, 7 if target is result else 4, 0, True))
        self._scratch_bytes = max(self._scratch_bytes, _round(offset), 64)


def _rows_in_place(packed, rows, stride, aligned):
    """How many rows, from the first on, the kernel reads where they are; the others it finds copied.

    It reads on to whole steps, into the row that follows (what it finds there meets zeros): that must not leave the
    array. Tiles whose rows cross cache lines load slowly, for each panel of 32 columns again; from the third panel on
    rows are copied, unless they are short.
    """
    if packed.isa == "amx" and not aligned and packed.columns > 64 and packed.inner > 128:
        return 0
    ends = np.cumsum(packed.segments) - packed.segments + packed.step * np.array(packed.steps)
    beyond = int(ends.max()) - packed.inner
    if beyond <= 0:
        return rows
    return max(0, rows - -(-beyond // stride)) // 32 * 32 if stride > 0 else 0


def _round(size):
    return -(-size // 64) * 64
