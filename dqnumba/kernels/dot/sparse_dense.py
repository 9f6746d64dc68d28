"""Sparse float rows as dense rows of codes: for programs that read the features of neighbours.

A gather of whole rows of bytes runs at the speed of the memory; adding stored entries one by one does not, and after
one sum over neighbours little of a row is zero anyway.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .codes import SET
from .micro import Micro, helper, micro, new_op, place, put_place, stride
from .simd import (
    Vector,
    add,
    f32_at,
    f32x16,
    i8_at,
    i16x32,
    i32_at,
    i64_at,
    load,
    load_first,
    maximum,
    minimum,
    multiply,
    set_i8,
    set_i64,
    splat,
    store,
    subtract,
    zeros,
)
from .simd_quant import any_nan, round_even, to_integer

__all__ = ["sparse_dense_op"]

_i16x8 = Vector("i16", 8)


@helper
def _put4(row, c, value):
    """As ``SET["int4"]``, but the other channel of the byte stays."""
    byte = i8_at(row + (c >> 1))
    set_i8(row + (c >> 1), ((byte & 15) | (value << 4)) if c & 1 else ((byte & -16) | (value & 15)))


@functools.cache
def _sparse_dense(kind: str) -> Micro:
    put = _put4 if kind == "int4" else SET[kind]

    def sparse_dense(op, start, stop, scratch):
        out, out_stride = place(op, 1, start, scratch), stride(op, 1)
        starts, columns, values = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
        numbers, factors, codes = i64_at(op + 56), i64_at(op + 64), scratch + i64_at(op + 72)
        inverse, zero = splat(f32x16, f32_at(numbers)), splat(f32x16, f32_at(numbers + 4))
        low, high = splat(f32x16, f32_at(numbers + 8)), splat(f32x16, f32_at(numbers + 12))
        offset, filler = splat(f32x16, f32_at(numbers + 16)), i64_at(op + 88)
        nothing, bad = zeros(f32x16), zeros(f32x16)
        for i in range(start, stop):
            row = out + i * out_stride
            if out_stride >= 64:
                for b in range(0, out_stride, 64):
                    store(row + b, splat(i16x32, filler))
            else:
                for b in range(0, out_stride, 16):
                    store(row + b, splat(_i16x8, filler))
            last = i64_at(starts + 8 * i + 8)
            for e in range(i64_at(starts + 8 * i), last, 16):
                if last - e >= 16:
                    x = load(f32x16, values + 4 * e)
                else:
                    x = load_first(f32x16, values + 4 * e, last - e)
                bad = add(bad, multiply(x, nothing))  # infinity and NaN times 0 are NaN
                if factors:
                    x = multiply(x, splat(f32x16, f32_at(factors + 4 * i)))
                q = round_even(add(multiply(x, inverse), zero))
                store(codes, to_integer(subtract(minimum(maximum(q, low), high), offset)))
                for k in range(e, min(e + 16, last)):
                    put(row, i32_at(columns + 4 * k), i32_at(codes + 4 * (k - e)))
        if any_nan(bad):
            set_i64(i64_at(op + 80), 1)

    sparse_dense.__name__ = sparse_dense.__qualname__ = f"sparse_dense_{kind}"
    return micro(sparse_dense)


def sparse_dense_op(
    *,
    out: tuple[int, int, bool],
    out_kind: str,
    starts: int,
    columns: int,
    values: int,
    numbers: NDArray[np.float32],
    factors: int,
    scratch: int,
    status: int,
) -> NDArray[np.int64]:
    """Codes of sparse float32 rows, the code of zero where nothing is stored; the float steps of :mod:`.entry`.

    Parameters
    ----------
    out : place of code rows, "int8", "int4" or "int16", of 16, 32 or a multiple of 64 bytes, written whole
    starts : address of (N + 1,) int64
    columns : address of int32
        Of each stored entry, ascending within a row.
    values : address of float32
    numbers : float32 (5,)
        1 / scale, zero point, lowest and highest code, offset of the stored codes.
    factors : address of float32 (N,), of each row; 0 without
    scratch : int
        Offset of 64 bytes of scratch memory.
    status : address of int64
        Set to 1 if a value is infinite or no number.

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 columns, 6 values, 7 numbers, 8 factors, 9 scratch, 10 status, 11 two bytes that are
    repeated where nothing is stored.
    """
    op = new_op(_sparse_dense(out_kind))
    put_place(op, 1, *out)
    zero = int(numbers[1] - numbers[4])
    byte = (zero & 15) * 17 if out_kind == "int4" else zero & 255
    op[4:12] = (starts, columns, values, numbers.ctypes.data, factors, scratch, status,
                zero if out_kind == "int16" else byte * 257)  # fmt: skip
    return op
