"""Copying rows of any width, to the byte: how rows of foreign arrays enter and leave aligned, padded memory."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .micro import micro, new_op, place, put_place, stride
from .simd import i8_at, i8x16, i8x64, i64_at, load, set_i8, store

__all__ = ["copy_rows_op", "stream_rows_op"]


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


@intrinsic
def _stream(typingctx, address, vector):
    """Write a vector to an address that is a multiple of its size, past the caches."""

    def codegen(context, builder, signature, args):
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        pointer = builder.inttoptr(args[0], args[1].type.as_pointer())
        builder.store(args[1], pointer, align=64).set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return types.void(types.int64, vector), codegen


@intrinsic
def _fence(typingctx):
    """Let what was written past the caches be seen by other threads."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@micro
def _stream_rows(op, start, stop, scratch):
    width = i64_at(op + 56)
    a, b = place(op, 1, start, scratch) + start * width, place(op, 4, start, scratch) + start * width
    size = (stop - start) * width
    if size >= 128:
        store(b, load(i8x64, a))
        for k in range(-b & 63, size - 63, 64):
            _stream(b + k, load(i8x64, a + k))
        store(b + size - 64, load(i8x64, a + size - 64))
        _fence()
    else:
        for k in range(size):
            set_i8(b + k, i8_at(a + k))


def copy_rows_op(*, source, target, width: int) -> np.ndarray:
    """The record that copies ``width`` bytes of each row from one place to another; they must not overlap."""
    return _record(_copy_rows, source, target, width)


def stream_rows_op(*, source, target, width: int) -> np.ndarray:
    """:func:`copy_rows_op` for rows of ``width`` bytes that follow each other without a gap on both sides, past the
    caches: for a result that they could not hold anyway, whose lines need then not be read before they are written."""
    return _record(_stream_rows, source, target, width)


def _record(kernel, source, target, width):
    op = new_op(kernel)
    put_place(op, 1, *source)
    put_place(op, 4, *target)
    op[7] = width
    return op
