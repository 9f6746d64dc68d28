"""Loops that do nothing but what one limit of the machine allows: multiply-adds, copies, random lines of memory."""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import (
    I8,
    I32,
    I64,
    LANES,
    VEC,
    A,
    _fma,
    _load,
    _loop,
    _store,
    address,
    f_add,
    f_load,
    f_splat,
    i32_at,
    prefetch,
    put,
)

__all__ = ["copy_rows", "fma_loop", "read_lines", "tile_loop", "vnni_loop"]

_SUMS = 12  # independent sums: more than latency times throughput of the instruction


@intrinsic
def _fma_loop(tc, count, where):
    def code(context, b, signature, args):
        count, where = args
        x, y = _load(b, where), _load(b, b.add(where, ir.Constant(I64, 64)))
        sums = _loop(b, ir.Constant(I64, 0), count, [x] * _SUMS, lambda i, sums: [_fma(b, x, y, s) for s in sums])
        for s in sums:  # or LLVM would leave the loop out
            x = b.fadd(x, s)
        _store(b, x, where)
        return context.get_dummy_value()

    return types.void(A, A), code


def _dot_loop(name, lanes):
    vector = ir.VectorType(I32, lanes)

    @intrinsic
    def loop(tc, count, where):
        def code(context, b, signature, args):
            count, where = args
            x = b.load(b.inttoptr(where, vector.as_pointer()), align=4)
            y = b.load(b.inttoptr(b.add(where, ir.Constant(I64, 64)), vector.as_pointer()), align=4)
            function = cgutils.get_or_insert_function(b.module, ir.FunctionType(vector, [vector] * 3), name)
            body = lambda i, sums: [b.call(function, (s, x, y)) for s in sums]  # noqa: E731
            sums = _loop(b, ir.Constant(I64, 0), count, [x] * _SUMS, body)
            for s in sums:
                x = b.add(x, s)
            b.store(x, b.inttoptr(where, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(A, A), code

    return loop


_vnni512 = _dot_loop("llvm.x86.avx512.vpdpbusd.512", 16)
_vnni256 = _dot_loop("llvm.x86.avx512.vpdpbusd.256", 8)


@intrinsic
def _amx_loop(tc, count, where):
    """Two tiles of activations times two of weights, loaded from L1 each time, into four tiles of sums."""

    def code(context, b, signature, args):
        count, where = args
        void, pointer = ir.VoidType(), I8.as_pointer()

        def call(name, kinds, *values):
            function = cgutils.get_or_insert_function(b.module, ir.FunctionType(void, kinds), f"llvm.x86.{name}")
            b.call(function, values)

        def tile(t):
            return ir.Constant(I8, t)

        def load(t, offset):
            source = b.inttoptr(b.add(where, ir.Constant(I64, offset)), pointer)
            call("tileloadd64", [I8, pointer, I64], tile(t), source, ir.Constant(I64, 64))

        def multiply(c, x, w):
            call("tdpbssd", [I8, I8, I8], tile(c), tile(x), tile(w))

        def body(i, carried):
            load(4, 1024), load(5, 2048), load(6, 3072)
            multiply(0, 4, 6), multiply(1, 5, 6)
            load(7, 4096)
            multiply(2, 4, 7), multiply(3, 5, 7)
            return []

        call("ldtilecfg", [pointer], b.inttoptr(where, pointer))
        _loop(b, ir.Constant(I64, 0), count, [], body)
        call("tilerelease", [])
        return context.get_dummy_value()

    return types.void(A, A), code


def _threads_of(loop):
    @numba.njit(nogil=True, parallel=True)
    def run(threads, count, room):
        for t in numba.prange(threads):
            loop(count, address(room) + t * 8192)

    return run


fma_loop, vnni_loop, narrow_vnni_loop = _threads_of(_fma_loop), _threads_of(_vnni512), _threads_of(_vnni256)
tile_loop = _threads_of(_amx_loop)
FMA_OPS, VNNI_OPS, NARROW_VNNI_OPS, TILE_OPS = _SUMS * 2 * LANES, _SUMS * 128, _SUMS * 64, 4 * 2 * 16 * 16 * 64


@numba.njit(nogil=True, parallel=True)
def copy_rows(threads, source, target):
    part = len(source) // threads
    for t in numba.prange(threads):
        target[t * part : (t + 1) * part] = source[t * part : (t + 1) * part]


@numba.njit(nogil=True, parallel=True)
def read_lines(threads, table, ids, lines, sums):
    """Read ``lines`` 64-byte lines of a random row each, 16 rows prefetched ahead; ``ids`` is padded by 16."""
    part = (len(ids) - 16) // threads
    for t in numba.prange(threads):
        base, where = address(table), address(ids)
        total = f_splat(np.float32(0.0))
        for i in range(t * part, (t + 1) * part):
            coming, row = base + i32_at(where + 4 * (i + 16)) * 64 * lines, base + i32_at(where + 4 * i) * 64 * lines
            for k in range(lines):
                prefetch(coming + 64 * k)
            for k in range(lines):
                total = f_add(total, f_load(row + 64 * k))
        put(address(sums) + 64 * t, total)


assert VEC.count == LANES
