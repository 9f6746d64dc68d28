"""Codes of 16 bits as two rows of bytes, for the kernels that multiply bytes: ``256 * high + low + 128``."""

from __future__ import annotations

import functools

import numpy as np

from .codes import LOAD, STORE
from .gather import Place
from .micro import Micro, micro, new_op, place, put_place, stride
from .simd import bit_and, i32x16, i64_at, shift_right, splat, subtract

__all__ = ["split_codes_op"]


@functools.cache
def _split(kind: str) -> Micro:
    get, put = LOAD[kind], STORE["int8"]

    def split_codes(op, start, stop, scratch):
        source, source_stride = place(op, 1, start, scratch), stride(op, 1)
        high, high_stride = place(op, 4, start, scratch), stride(op, 4)
        low, low_stride = place(op, 7, start, scratch), stride(op, 7)
        vectors = (i64_at(op + 80) + 15) >> 4
        eight, byte, middle = splat(i32x16, 8), splat(i32x16, 255), splat(i32x16, 128)
        for i in range(start, stop):
            for v in range(vectors):
                x = get(source + i * source_stride, v)
                put(high + i * high_stride, v, shift_right(x, eight))
                put(low + i * low_stride, v, subtract(bit_and(x, byte), middle))

    split_codes.__name__ = split_codes.__qualname__ = f"split_codes_{kind}"
    return micro(split_codes)


def split_codes_op(*, source: Place, source_kind: str, high: Place, low: Place, columns: int) -> np.ndarray:
    """Operation for ``high = source >> 8`` and ``low = (source & 255) - 128``, int8 both.

    Parameters
    ----------
    source : place of code rows of ``source_kind``
    high, low : places of int8 rows, written in whole vectors of 16 channels
    columns : int

    Notes
    -----
    Fields: 1-3 source, 4-6 high, 7-9 low, 10 columns.
    """
    op = new_op(_split(source_kind))
    for k, where in ((1, source), (4, high), (7, low)):
        put_place(op, k, *where)
    op[10] = columns
    return op
