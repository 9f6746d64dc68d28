"""Copying rows of any width, to the byte: how rows of foreign arrays enter and leave aligned, padded memory."""

from __future__ import annotations

import numpy as np

from .micro import micro, new_op, place, put_place, stride
from .simd import i8_at, i8x16, i8x64, i64_at, load, set_i8, store

__all__ = ["copy_rows_op"]


@micro
def _copy_rows(op, start, stop, scratch):
    source, target, width = place(op, 1, start, scratch), place(op, 4, start, scratch), i64_at(op + 56)
    for i in range(start, stop):
        a, b = source + i * stride(op, 1), target + i * stride(op, 4)
        # The last piece overlaps the one before it.
        if width >= 64:
            for k in range(0, width - 63, 64):
                store(b + k, load(i8x64, a + k))
            store(b + width - 64, load(i8x64, a + width - 64))
        elif width >= 16:
            for k in range(0, width - 15, 16):
                store(b + k, load(i8x16, a + k))
            store(b + width - 16, load(i8x16, a + width - 16))
        else:
            for k in range(width):
                set_i8(b + k, i8_at(a + k))


def copy_rows_op(*, source, target, width: int) -> np.ndarray:
    """The record that copies ``width`` bytes of each row from one place to another; they must not overlap."""
    op = new_op(_copy_rows)
    put_place(op, 1, *source)
    put_place(op, 4, *target)
    op[7] = width
    return op
