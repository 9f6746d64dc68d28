"""Entry of a program: float features, or categories, of a block of rows become codes.

The float steps are those of the program's ``quantize``, one operation after the other in float32:
``clip(rint(x * factor * inverse + zero_point)) - offset``. Each processor gives the same bits.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .codes import STORE
from .micro import Micro, micro, new_op, place, put_place, stride
from .simd import (
    add,
    f32_at,
    f32x16,
    i8x16,
    i32_at,
    i64_at,
    load,
    load_first,
    maximum,
    minimum,
    multiply,
    prefetch,
    set_i64,
    splat,
    store,
    subtract,
    zeros,
)
from .simd_quant import any_nan, round_even, to_integer

__all__ = ["lookup_op", "quantize_op"]


@functools.cache
def _quantize(output: str, factored: bool) -> Micro:
    put = STORE[output]

    def kernel(op, start, stop, scratch):
        x, x_step = place(op, 1, start, scratch), stride(op, 1)
        o, o_step = place(op, 4, start, scratch), stride(op, 4)
        columns = i64_at(op + 56)
        numbers = i64_at(op + 64)
        inverse, zero = splat(f32x16, f32_at(numbers)), splat(f32x16, f32_at(numbers + 4))
        low, high = splat(f32x16, f32_at(numbers + 8)), splat(f32x16, f32_at(numbers + 12))
        offset, nothing = splat(f32x16, f32_at(numbers + 16)), zeros(f32x16)
        bad = zeros(f32x16)
        for i in range(start, stop):
            for v in range((columns + 15) >> 4):
                here = x + i * x_step + v * 64
                prefetch(here + 8192)
                if columns - v * 16 >= 16:
                    value = load(f32x16, here)
                else:
                    value = load_first(f32x16, here, columns - v * 16)
                bad = add(bad, multiply(value, nothing))  # infinity and NaN times 0 are NaN
                if factored:
                    value = multiply(value, splat(f32x16, f32_at(i64_at(op + 72) + 4 * i)))
                q = round_even(add(multiply(value, inverse), zero))
                q = subtract(minimum(maximum(q, low), high), offset)
                put(o + i * o_step, v, to_integer(q))
        if any_nan(bad):
            set_i64(i64_at(op + 80), 1)

    kernel.__name__ = kernel.__qualname__ = f"quantize_{output}" + ("_factored" if factored else "")
    return micro(kernel)


def quantize_op(
    *,
    source: tuple[int, int, bool],
    output: tuple[int, int, bool],
    output_kind: str,
    columns: int,
    numbers: NDArray[np.float32],
    factors: int,
    status: int,
) -> NDArray[np.int64]:
    """Codes of float32 rows.

    Parameters
    ----------
    source : place of float32 rows; nothing beyond ``columns`` is read.
    output : place of code rows, "int8", "int4" or "int16", written in whole vectors of 16 channels.
    numbers : float32 (5,)
        1 / scale, zero point, lowest and highest code, offset of the stored codes.
    factors : address of float32 (R,), of each row; 0 without
    status : address of int64
        Set to 1 if a value is infinite or no number.
    """
    op = new_op(_quantize(output_kind, factors != 0))
    put_place(op, 1, *source)
    put_place(op, 4, *output)
    op[7:11] = columns, numbers.ctypes.data, factors, status
    return op


@micro
def lookup(op, start, stop, scratch):
    """Rows of a table of codes by category; fields: 1 categories (int32), 4 output, 7 table, 8 bytes of a row."""
    x, x_step = place(op, 1, start, scratch), stride(op, 1)
    o, o_step = place(op, 4, start, scratch), stride(op, 4)
    table, row = i64_at(op + 56), i64_at(op + 64)
    for i in range(start, stop):
        entry = table + i32_at(x + i * x_step) * row
        for b in range(0, row, 16):
            store(o + i * o_step + b, load(i8x16, entry + b))


def lookup_op(*, categories: tuple[int, int, bool], output: tuple[int, int, bool], table: NDArray[np.int8]
              ) -> NDArray[np.int64]:  # fmt: skip
    """Rows of ``table`` (V, bytes), a multiple of 16 bytes wide, by int32 categories, which must be below V."""
    op = new_op(lookup)
    put_place(op, 1, *categories)
    put_place(op, 4, *output)
    op[7], op[8] = table.ctypes.data, table.shape[1]
    return op
