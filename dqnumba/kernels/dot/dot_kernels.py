"""The int8 matrix product on vector instructions as micro-kernels: register tiles over the rows of a block."""

from __future__ import annotations

import functools

from numba import types
from numba.extending import intrinsic

from .dot_codegen import TILES, emit_tile
from .micro import Micro, place, stride
from .simd import i64_at

__all__ = ["vector_kernel"]

_NAMES = tuple(TILES)


@intrinsic(prefer_literal=True)
def _tile(typingctx, isa, rows, vectors, bits, a1, stride1, steps1, a2, stride2, steps2, w, bias, out, out_stride):
    """:func:`emit_tile` with literal isa (its number), rows, vectors and bits; one input if steps2 is the literal 0."""
    constants = [k.literal_value for k in (isa, rows, vectors, bits)]
    segments = 1 if isinstance(steps2, types.IntegerLiteral) else 2

    def codegen(context, builder, signature, args):
        inputs = [tuple(args[4:7]), tuple(args[7:10])][:segments]
        emit_tile(builder, _NAMES[constants[0]], *constants[1:], inputs, *args[10:])
        return context.get_dummy_value()

    integers = (types.int64,) * 5
    last = steps2 if segments == 1 else types.int64
    return types.void(isa, rows, vectors, bits, *integers, last, *integers[:4]), codegen


@functools.cache
def vector_kernel(isa: str, vectors: int, bits: int, segments: int) -> Micro:
    """The kernel for weights packed so; one for each combination that a program uses.

    Fields of the operation: see ``matmul``.
    """
    number, many = _NAMES.index(isa), TILES[isa].rows[vectors]
    panel_step = vectors * (TILES[isa].weight_bytes if bits == 8 else 64)
    two = segments == 2

    def kernel(op, start, stop, scratch):
        count = stop - start
        a1, stride1, steps1 = place(op, 1, start, scratch), stride(op, 1), i64_at(op + 104)
        a2, stride2, steps2 = place(op, 4, start, scratch), stride(op, 4), i64_at(op + 112)
        out, out_stride = place(op, 7, start, scratch), stride(op, 7)
        columns = i64_at(op + 96)
        for p in range((columns + vectors - 1) // vectors):
            # The last panel, and below the last tile, overlap with those before them: the same numbers written twice.
            column = min(p * vectors, columns - vectors) * 64
            w = i64_at(op + 80) + p * panel_step * (steps1 + steps2)
            bias, o = i64_at(op + 88) + column, out + column
            if count >= many:
                for i in range(start, stop, many):
                    r = min(i, stop - many)
                    if two:
                        _tile(
                            number, many, vectors, bits, a1 + r * stride1, stride1, steps1, a2 + r * stride2, stride2,
                            steps2, w, bias, o + r * out_stride, out_stride,
                        )  # fmt: skip
                    else:
                        _tile(
                            number, many, vectors, bits, a1 + r * stride1, stride1, steps1, 0, 0, 0,
                            w, bias, o + r * out_stride, out_stride,
                        )  # fmt: skip
            else:
                for r in range(start, stop):
                    if two:
                        _tile(
                            number, 1, vectors, bits, a1 + r * stride1, stride1, steps1, a2 + r * stride2, stride2,
                            steps2, w, bias, o + r * out_stride, out_stride,
                        )  # fmt: skip
                    else:
                        _tile(
                            number, 1, vectors, bits, a1 + r * stride1, stride1, steps1, 0, 0, 0,
                            w, bias, o + r * out_stride, out_stride,
                        )  # fmt: skip

    kernel.__name__ = f"_matmul{bits}_{isa}_{vectors}_{segments}"
    kernel.__qualname__ = kernel.__name__
    return Micro(kernel)
