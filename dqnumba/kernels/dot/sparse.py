"""Products of sparse rows (CSR) with a dense int8 weight: one weight row read and added a stored entry.

Two operations: :func:`sparse_quantize_op` writes the stored float32 values as codes less their zero point, 16 bits
each (or what is beyond the lowest 8 bits, and these, apart), and :func:`sparse_matmul_ops` multiplies. Entries that are
not stored are real zeros and add nothing.
"""

from __future__ import annotations

import functools

import numpy as np

from .gather import Place
from .gather_vectors import store_runs
from .micro import Micro, micro, new_op, place, put_place, stride
from .simd import (
    Vector,
    add,
    bit_and,
    broadcast,
    f32_at,
    f32x16,
    i16_at,
    i16x16,
    i32_at,
    i32x16,
    i64_at,
    load,
    load_first,
    maximum,
    minimum,
    multiply,
    narrow,
    set_i64,
    shift_right,
    splat,
    store_first,
    subtract,
    widen,
    zeros,
)
from .simd_quant import any_nan, round_even, to_integer

__all__ = ["matmul_kernel", "sparse_matmul_ops", "sparse_quantize", "sparse_quantize_op"]

_LANES = (16, 32, 64)


@micro
def sparse_quantize(op, start, stop, scratch):
    starts, values, out, factors = i64_at(op + 8), i64_at(op + 16), i64_at(op + 24), i64_at(op + 32)
    inverse, zero = splat(f32x16, f32_at(op + 40)), splat(f32x16, f32_at(op + 48))
    low, high = splat(f32x16, f32_at(op + 56)), splat(f32x16, f32_at(op + 64))
    centre = splat(i32x16, i64_at(op + 72))
    nothing, bad = zeros(f32x16), zeros(f32x16)
    bytes_out = i64_at(op + 88)
    factored = factors != 0  # else the entries of all rows of the block are one run
    for i in range(start, stop if factored else min(start + 1, stop)):
        last = i64_at(starts + 8 * (i + 1 if factored else stop))
        for e in range(i64_at(starts + 8 * i), last, 16):
            if last - e >= 16:
                x = load(f32x16, values + 4 * e)
            else:
                x = load_first(f32x16, values + 4 * e, last - e)
            bad = add(bad, multiply(x, nothing))  # infinity and NaN times 0 are NaN
            if factored:
                x = multiply(x, broadcast(f32x16, factors + 4 * i))
            q = round_even(add(multiply(x, inverse), zero))
            q = minimum(maximum(q, low), high)
            code = subtract(to_integer(q), centre)
            if bytes_out:
                store_first(bytes_out + 2 * e, narrow(bit_and(code, splat(i32x16, 255)), i16x16), last - e)
                code = shift_right(code, splat(i32x16, 8))
            store_first(out + 2 * e, narrow(code, i16x16), last - e)
    if any_nan(bad):
        set_i64(i64_at(op + 80), 1)


def sparse_quantize_op(
    *,
    starts: int,
    values: int,
    out: int,
    inverse_scale: float,
    zero_point: int,
    low: int,
    high: int,
    status: int,
    factors: int = 0,
    low_bytes: int = 0,
) -> np.ndarray:
    """Operation for ``out[e] = clip(rint(values[e] * inverse_scale + zero_point), low, high) - zero_point``, float32
    step by step.

    Parameters
    ----------
    starts : address of (N + 1,) int64
        Ends of the rows' runs of ``values``, which follow each other.
    values : address of float32
    out : address of int16
        Written for the entries of the block's rows only.
    inverse_scale : float
        ``float32(1 / scale)``.
    zero_point, low, high : int
        True codes (an unsigned site's before its offset). Less the zero point they fit 16 bits, unless ``low_bytes``.
    status : address of int64
        Set to 1 if a value is infinite or no number.
    factors : address of (N,) float32, optional
        Row factors: the value is multiplied by its row's factor first.
    low_bytes : address of int16, optional
        The results modulo 256; ``out`` then holds them shifted to the right by 8.

    Notes
    -----
    Fields: 1 starts, 2 values, 3 out, 4 factors, 5-8 float32 bits of inverse scale, zero point, low, high,
    9 zero point, 10 status, 11 low bytes.
    """
    op = new_op(sparse_quantize)
    op[1:5] = starts, values, out, factors
    floats = op[5:9].view(np.float32).reshape(4, 2)
    floats[:, 0] = inverse_scale, zero_point, low, high
    op[9:12] = zero_point, status, low_bytes
    return op


@functools.cache
def matmul_kernel(lanes: int) -> Micro:
    """Kernel for blocks of ``lanes`` columns of the weight."""
    code, narrower, wide = Vector("i8", lanes), Vector("i16", lanes), Vector("i32", lanes)

    def sparse_matmul(op, start, stop, scratch):
        out, out_stride = place(op, 1, start, scratch), stride(op, 1)
        starts, indices, codes = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
        w, w_stride, w_zero = i64_at(op + 56), i64_at(op + 64), i64_at(op + 72)
        bias, runs = i64_at(op + 80), i64_at(op + 88)
        e = i64_at(starts + 8 * start)
        for i in range(start, stop):
            last = i64_at(starts + 8 * (i + 1))
            total = load(wide, bias)
            if w_zero:
                count = 0
                for k in range(e, last):
                    count += i16_at(codes + 2 * k)
                total = subtract(total, splat(wide, count * w_zero))
            for k in range(e, last):
                # Both factors are widened from 16 bits, which LLVM turns into the fast multiplication of 16 bits.
                row = widen(load(code, w + i32_at(indices + 4 * k) * w_stride), wide)
                total = add(total, multiply(row, widen(broadcast(narrower, codes + 2 * k), wide)))
            e = last
            store_runs(out + i * out_stride, total, runs)

    sparse_matmul.__name__ = sparse_matmul.__qualname__ = f"sparse_matmul_x{lanes}"
    return micro(sparse_matmul)


def sparse_matmul_ops(
    *,
    out: Place,
    starts: int,
    indices: int,
    codes: int,
    weight: int,
    weight_stride: int,
    columns: int,
    bias: int,
    weight_zero: int = 0,
) -> list[np.ndarray]:
    """Operations for ``out[i] = bias + sum over entries e of row i: codes[e] * (weight[indices[e]] - weight_zero)``.

    Parameters
    ----------
    out : place of int32 rows, stride a multiple of 64
    starts : address of (N + 1,) int64
    indices : address of int32
        Row of the weight of each stored entry.
    codes : address of int16
        Codes less their zero point.
    weight : address of int8 rows of ``weight_stride`` bytes, padded as all code buffers are
    columns : int
        Of the weight.
    bias : address of int32, padded with 64 further entries
    weight_zero : int

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 indices, 6 codes, 7 weight, 8 its stride, 9 its zero point, 10 bias, 11 runs of 16
    columns to write.
    """
    ops, first = [], 0
    while first < columns:
        lanes = next((n for n in _LANES if n >= columns - first), _LANES[-1])
        op = new_op(matmul_kernel(lanes))
        put_place(op, 1, out[0] + 4 * first, *out[1:])
        runs = -(-(columns - first) // 16)
        op[4:12] = starts, indices, codes, weight + first, weight_stride, weight_zero, bias + 4 * first, runs
        ops.append(op)
        first += lanes
    return ops
