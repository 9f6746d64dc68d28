"""Vector operations of quantization: products of 32-bit lanes in 64 bits, packing with saturation, floats to integers
and back."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import f32x16, i8x64, i32x16, i64x8

__all__ = [
    "any_nan",
    "high_product",
    "pack_bytes",
    "pack_bytes_avx512",
    "round_even",
    "scaled_pair",
    "to_float",
    "to_integer",
]

_I32, _I64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def high_product(typingctx, x, m, m_odd):
    """Upper 32 bits of the 64-bit products ``x * m``, lane by lane, i32x16.

    Processors multiply every other lane of 32 bits to 64: lane 2 k of ``m_odd`` holds the multiplier of lane 2 k + 1,
    ``m`` the others in their own lanes.
    """
    if x != i32x16 or m != i32x16 or m_odd != i32x16:
        return None

    def codegen(context, builder, signature, args):
        bits = ir.Constant(i64x8.ir, [32] * 8)

        def low(vector):
            return builder.ashr(builder.shl(builder.bitcast(vector, i64x8.ir), bits), bits)

        up = ir.Constant(ir.VectorType(_I32, 16), [k | 1 for k in range(16)])
        even = builder.mul(low(args[0]), low(args[1]))
        odd = builder.mul(low(builder.shuffle_vector(args[0], args[0], up)), low(args[2]))
        even, odd = (builder.bitcast(v, i32x16.ir) for v in (even, odd))
        halves = ir.Constant(ir.VectorType(_I32, 16), [lane for k in range(1, 16, 2) for lane in (k, 16 + k)])
        return builder.shuffle_vector(even, odd, halves)

    return i32x16(x, m, m_odd), codegen


@intrinsic
def pack_bytes(typingctx, a, b, c, d):
    """Four i32x16 one after the other as i8x64, each lane clamped to -128 .. 127."""

    def codegen(context, builder, signature, args):
        whole = builder.shuffle_vector(args[0], args[1], ir.Constant(ir.VectorType(_I32, 32), list(range(32))))
        rest = builder.shuffle_vector(args[2], args[3], ir.Constant(ir.VectorType(_I32, 32), list(range(32))))
        whole = builder.shuffle_vector(whole, rest, ir.Constant(ir.VectorType(_I32, 64), list(range(64))))
        low, high = (ir.Constant(ir.VectorType(_I32, 64), [value] * 64) for value in (-128, 127))
        whole = builder.select(builder.icmp_signed("<", whole, high), whole, high)
        whole = builder.select(builder.icmp_signed(">", whole, low), whole, low)
        return builder.trunc(whole, i8x64.ir)

    return i8x64(a, b, c, d), codegen


@intrinsic
def pack_bytes_avx512(typingctx, a, b, c, d):
    """:func:`pack_bytes` in four instructions; needs AVX-512BW."""

    def codegen(context, builder, signature, args):
        words = ir.VectorType(ir.IntType(16), 32)

        def pack(name, result, first, second):
            kind = ir.FunctionType(result, [first.type, second.type])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [first, second])

        pairs = [pack("llvm.x86.avx512.packssdw.512", words, *args[k : k + 2]) for k in (0, 2)]
        packed = builder.bitcast(pack("llvm.x86.avx512.packsswb.512", i8x64.ir, *pairs), i32x16.ir)
        # Each 128-bit lane now holds four bytes of each vector in turn.
        order = ir.Constant(ir.VectorType(_I32, 16), [4 * lane + vector for vector in range(4) for lane in range(4)])
        return builder.bitcast(builder.shuffle_vector(packed, packed, order), i8x64.ir)

    return i8x64(a, b, c, d), codegen


@intrinsic
def scaled_pair(typingctx, x, m, y, n, half, shift):
    """Low 32 bits of ``(x * m + y * n + half) >> shift``, exact in 64 bits; x, y i32x16, the others i64x8 of one number
    each, multipliers as int32 in both halves of their lanes."""
    if x != i32x16 or y != i32x16:
        return None

    def codegen(context, builder, signature, args):
        wide = i64x8.ir
        bits = ir.Constant(wide, [32] * 8)
        first, second = (builder.bitcast(args[k], wide) for k in (0, 2))

        def low(value):
            return builder.ashr(builder.shl(value, bits), bits)

        def side(pick):
            total = builder.add(builder.mul(pick(first), low(args[1])), builder.mul(pick(second), low(args[3])))
            return builder.bitcast(builder.ashr(builder.add(total, args[4]), args[5]), i32x16.ir)

        even, odd = side(low), side(lambda value: builder.ashr(value, bits))
        mask = [lane for k in range(8) for lane in (2 * k, 16 + 2 * k)]
        return builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(_I32, 16), mask))

    return i32x16(x, m, y, n, half, shift), codegen


@intrinsic
def round_even(typingctx, x):
    """Each lane of an f32x16 rounded to an integer, ties to even."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(f32x16.ir, [f32x16.ir])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.roundeven.v16f32"), args)

    return f32x16(x), codegen


@intrinsic
def to_integer(typingctx, x):
    """f32x16 -> i32x16 towards zero; the lanes must be finite and fit."""

    def codegen(context, builder, signature, args):
        return builder.fptosi(args[0], i32x16.ir)

    return i32x16(x), codegen


@intrinsic
def any_nan(typingctx, x):
    """Whether a lane of an f32x16 is no number: int64 0 or 1."""

    def codegen(context, builder, signature, args):
        flags = builder.fcmp_unordered("uno", args[0], args[0])
        packed = builder.bitcast(flags, ir.IntType(16))
        return builder.zext(builder.icmp_unsigned("!=", packed, ir.Constant(ir.IntType(16), 0)), _I64)

    return types.int64(x), codegen


@intrinsic
def to_float(typingctx, x):
    """i32x16 -> f32x16, rounded to nearest."""

    def codegen(context, builder, signature, args):
        return builder.sitofp(args[0], f32x16.ir)

    return f32x16(x), codegen
