"""Float32 matrix products of tall, narrow matrices, by tiles of sums that stay in registers.

A tile is some rows by one or four vectors of 16 columns; each step of the inner dimension reads those vectors of the
right matrix once and multiplies them by one number of each row. Two things make this worth its own code beside NumPy's
product: bias and ReLU are applied before a row leaves the registers, and only our own threads run, whereas those of
OpenBLAS go on spinning after each product and take the cores from the kernel that follows.

Products and sums are fused where the CPU can (``llvm.fmuladd``), so, as with any BLAS, the last bits depend on it; they
do not depend on the number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._twin import twin

__all__ = ["CHUNK_ROWS", "LANES", "fits", "product", "tile_columns", "transposed_chunks"]

LANES = 16
"""Columns of the narrowest tile: the number of columns of a product must be a multiple of it."""
CHUNK_ROWS = 1024
"""As in ``matmul_float``: rows whose products are summed by one thread."""
_BLOCK_ROWS = 48

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)


def fits(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether `product` or `transposed_chunks` can take these two matrices, which must be in C order as well."""
    compiled = not numba.config.DISABLE_JIT
    return compiled and x.dtype == y.dtype == np.float32 and y.shape[1] > 0 and y.shape[1] % LANES == 0


@functools.cache
def tile_columns() -> int:
    """Columns of the widest tile whose sums fit the registers that Numba compiles for: 64 with AVX-512, else 16."""
    try:
        from numba.core.registry import cpu_target

        features = cpu_target.target_context.codegen().magic_tuple()[-1]
    except Exception:  # an internal of Numba: without it the narrow tile is right everywhere
        return LANES
    return 4 * LANES if "+avx512f" in features else LANES


def _make_tile(rows: int, vectors: int) -> Any:
    """The intrinsic that computes one tile: ``rows`` rows by ``vectors`` * 16 columns.

    Its arguments are int64: address of the left matrix and its two strides in bytes (next row, next inner), address of
    the right matrix and its stride (next inner), inner size, address of the bias or 0, address of the result and its
    stride (next row), and 1 for a ReLU.
    """

    def tile(typingctx, a, a_row, a_inner, w, w_inner, inner, bias, out, out_row, relu):
        return types.void(*[types.int64] * 10), generate

    def generate(context, builder, signature, args):
        a, a_row, a_inner, w, w_inner, inner, bias, out, out_row, relu = args
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        places = range(rows * vectors)
        sums = [cgutils.alloca_once(builder, _VECTOR) for _ in places]  # LLVM turns them into registers

        def at(address: ir.Value, kind: ir.Type, number: int = 0) -> ir.Value:
            moved = builder.add(address, ir.Constant(_I64, number * LANES * 4)) if number else address
            return builder.inttoptr(moved, kind.as_pointer())

        with builder.if_else(builder.icmp_signed("!=", bias, ir.Constant(_I64, 0))) as (given, none):
            with given:
                start = [builder.load(at(bias, _VECTOR, v), align=4) for v in range(vectors)]
                for k in places:
                    builder.store(start[k % vectors], sums[k])
            with none:
                for k in places:
                    builder.store(zero, sums[k])
        with cgutils.for_range(builder, inner) as loop:
            here = builder.add(w, builder.mul(loop.index, w_inner))
            right = [builder.load(at(here, _VECTOR, v), align=4) for v in range(vectors)]
            left = builder.add(a, builder.mul(loop.index, a_inner))
            for r in range(rows):
                number = builder.load(at(left, _F32))
                left = builder.add(left, a_row)
                spread = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(_I32, 0))
                spread = builder.shuffle_vector(spread, spread, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))
                for v in range(vectors):
                    place = sums[r * vectors + v]
                    builder.store(builder.call(fma, [spread, right[v], builder.load(place)]), place)
        clip = builder.icmp_signed("!=", relu, ir.Constant(_I64, 0))
        with builder.if_then(clip):
            for place in sums:
                value = builder.load(place)
                builder.store(builder.select(builder.fcmp_ordered("<=", value, zero), zero, value), place)
        for r in range(rows):
            for v in range(vectors):
                builder.store(builder.load(sums[r * vectors + v]), at(out, _VECTOR, v), align=4)
            out = builder.add(out, out_row)
        return context.get_dummy_value()

    tile.__name__ = f"tile_{rows}x{vectors}"
    return intrinsic(tile)


_tile_6x4, _tile_4x4, _tile_1x4 = _make_tile(6, 4), _make_tile(4, 4), _make_tile(1, 4)
_tile_6x1, _tile_4x1, _tile_1x1 = _make_tile(6, 1), _make_tile(4, 1), _make_tile(1, 1)


@twin(lambda x, w, bias, relu, wide, out: out.size * w.shape[0])
def product(x, w, bias, relu, wide, out):
    """out = x @ w + bias, then max(., 0) if ``relu``; ``out`` (N, M) is overwritten.

    Parameters
    ----------
    x : float32 (N, K)
    w : float32 (K, M)
        M is a multiple of 16, see `fits`.
    bias : float32 (M,) or (0,) for none
    relu : int
        0 or 1.
    wide : int
        `tile_columns` ().
    """
    rows, inner = x.shape
    columns = w.shape[1]
    x_row, w_row, none = 4 * inner, 4 * columns, np.int64(0)
    x_at, w_at, out_at = np.int64(x.ctypes.data), np.int64(w.ctypes.data), np.int64(out.ctypes.data)
    bias_at = np.int64(bias.ctypes.data)
    for block in prange((rows + _BLOCK_ROWS - 1) // _BLOCK_ROWS):
        last = min(rows, (block + 1) * _BLOCK_ROWS)
        j = 0
        while j < columns:
            step = wide if j + wide <= columns else LANES
            right, start = w_at + 4 * j, bias_at + 4 * j if bias.size > 0 else none
            i = block * _BLOCK_ROWS
            while i < last:
                left, result = x_at + i * x_row, out_at + i * w_row + 4 * j
                if i + 6 <= last:
                    if step > LANES:
                        _tile_6x4(left, x_row, 4, right, w_row, inner, start, result, w_row, relu)
                    else:
                        _tile_6x1(left, x_row, 4, right, w_row, inner, start, result, w_row, relu)
                    i += 6
                else:
                    if step > LANES:
                        _tile_1x4(left, x_row, 4, right, w_row, inner, start, result, w_row, relu)
                    else:
                        _tile_1x1(left, x_row, 4, right, w_row, inner, start, result, w_row, relu)
                    i += 1
            j += step


@twin(lambda x, y, wide, out: x.size * y.shape[1])
def transposed_chunks(x, y, wide, out):
    """out[c] = x[rows of chunk c].T @ y[the same rows] for chunks of 1024 rows.

    ``x`` float32 (N, K), ``y`` float32 (N, M) with M a multiple of 16, ``wide`` = `tile_columns` (), ``out``
    (ceil(N / 1024), K, M), overwritten.
    """
    inner, columns = x.shape[1], y.shape[1]
    x_row, y_row, none = 4 * inner, 4 * columns, np.int64(0)
    x_at, y_at, out_at = np.int64(x.ctypes.data), np.int64(y.ctypes.data), np.int64(out.ctypes.data)
    for chunk in prange(out.shape[0]):
        first = chunk * CHUNK_ROWS
        count = min(x.shape[0], first + CHUNK_ROWS) - first
        j = 0
        while j < columns:
            step = wide if j + wide <= columns else LANES
            right = y_at + first * y_row + 4 * j
            k = 0
            while k < inner:
                left, result = x_at + first * x_row + 4 * k, out_at + (chunk * inner + k) * y_row + 4 * j
                if k + 4 <= inner:
                    if step > LANES:
                        _tile_4x4(left, 4, x_row, right, y_row, count, none, result, y_row, none)
                    else:
                        _tile_4x1(left, 4, x_row, right, y_row, count, none, result, y_row, none)
                    k += 4
                else:
                    if step > LANES:
                        _tile_1x4(left, 4, x_row, right, y_row, count, none, result, y_row, none)
                    else:
                        _tile_1x1(left, 4, x_row, right, y_row, count, none, result, y_row, none)
                    k += 1
            j += step
