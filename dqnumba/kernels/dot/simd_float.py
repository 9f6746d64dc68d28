"""Vector operations of lines in float32: products with a sum, floors and what lies above them."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import f32x16, i32x16

__all__ = ["any_below", "floor_avx512", "floor_to_integer", "fraction", "fraction_avx512", "multiply_add"]

_I32, _I64 = ir.IntType(32), ir.IntType(64)

# Rounding down, whatever the thread's rounding mode: bits of the AVX-512 instructions.
_DOWN, _QUIET = 1, 8


@intrinsic
def multiply_add(typingctx, a, b, c):
    """a * b + c of f32x16, rounded once where the processor can, else twice."""
    if a != f32x16 or b != f32x16 or c != f32x16:
        return None

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(f32x16.ir, [f32x16.ir] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v16f32"), args)

    return f32x16(a, b, c), codegen


def _floor(builder, x):
    return builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type]), "llvm.floor.v16f32"), [x]
    )


@intrinsic
def floor_to_integer(typingctx, x):
    """Largest integers not above the lanes of an f32x16, i32x16; lanes that do not fit are unspecified."""

    def codegen(context, builder, signature, args):
        return builder.fptosi(_floor(builder, args[0]), i32x16.ir)

    return i32x16(x), codegen


@intrinsic
def fraction(typingctx, x):
    """``x - floor(x)`` of an f32x16."""

    def codegen(context, builder, signature, args):
        return builder.fsub(args[0], _floor(builder, args[0]))

    return f32x16(x), codegen


@intrinsic
def floor_avx512(typingctx, x):
    """:func:`floor_to_integer` in one instruction; needs AVX-512F."""

    def codegen(context, builder, signature, args):
        mask, mode = ir.IntType(16), ir.Constant(_I32, _DOWN | _QUIET)
        kind = ir.FunctionType(i32x16.ir, [f32x16.ir, i32x16.ir, mask, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.cvtps2dq.512")
        return builder.call(function, [args[0], ir.Constant(i32x16.ir, None), ir.Constant(mask, -1), mode])

    return i32x16(x), codegen


@intrinsic
def fraction_avx512(typingctx, x):
    """:func:`fraction` in one instruction; needs AVX-512DQ."""

    def codegen(context, builder, signature, args):
        mask, mode = ir.IntType(16), ir.Constant(_I32, _DOWN | _QUIET)
        kind = ir.FunctionType(f32x16.ir, [f32x16.ir, _I32, f32x16.ir, mask, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.reduce.ps.512")
        zero, current = ir.Constant(f32x16.ir, None), ir.Constant(_I32, 4)
        return builder.call(function, [args[0], mode, zero, ir.Constant(mask, -1), current])

    return f32x16(x), codegen


@intrinsic
def any_below(typingctx, x, limit):
    """Whether a lane of x lies below that of ``limit``, both f32x16: int64 0 or 1, seldom 1."""

    def codegen(context, builder, signature, args):
        flags = builder.fcmp_ordered("<", *args)
        kind = ir.FunctionType(ir.IntType(1), [flags.type])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.or.v16i1")
        found = builder.zext(builder.call(function, [flags]), _I64)
        expect = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I64, [_I64, _I64]), "llvm.expect.i64")
        return builder.call(expect, [found, ir.Constant(_I64, 0)])

    return types.int64(x, limit), codegen
