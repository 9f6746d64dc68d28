"""Vectors of the attention kernel: exact softmax arithmetic in float64 lanes, products with 16-bit coefficients.

Lanes of float64 are carried as their bits, in vectors of i64: positive numbers stand in the same order either way, and
exponents are at hand by shifts.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .cpu import features, target
from .simd import Vector

__all__ = ["coefficients", "gather_f64", "half_up", "pair_products", "reciprocal", "sum_f64", "times_f64", "whole_f64"]

_I16, _I32, _I64, _F64 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.DoubleType()


def _constant(value: float, lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_F64, lanes), [value] * lanes)


def _on_f64(name: str, doc: str, arity: int, emit: Callable) -> Callable:
    """An intrinsic of ``arity`` vectors of float64 bits."""

    def codegen_of(vector: Vector) -> Callable:
        def codegen(context, builder, signature, args):
            wide = ir.VectorType(_F64, vector.lanes)
            result = emit(builder, vector.lanes, *(builder.bitcast(arg, wide) for arg in args))
            return builder.bitcast(result, vector.ir)

        return codegen

    def one(typingctx, a):
        return a(a), codegen_of(a)

    def two(typingctx, a, b):
        return a(a, b), codegen_of(a)

    typed = {1: one, 2: two}[arity]
    typed.__name__, typed.__doc__ = name, doc
    return intrinsic(typed)


def _floor(builder: ir.IRBuilder, lanes: int, x: ir.Value) -> ir.Value:
    kind = ir.FunctionType(x.type, [x.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.floor.v{lanes}f64"), [x])


sum_f64 = _on_f64("sum_f64", "a + b.", 2, lambda builder, lanes, a, b: builder.fadd(a, b))
times_f64 = _on_f64("times_f64", "a * b.", 2, lambda builder, lanes, a, b: builder.fmul(a, b))
whole_f64 = _on_f64("whole_f64", "floor(a * b).", 2, lambda b, lanes, x, y: _floor(b, lanes, b.fmul(x, y)))
reciprocal = _on_f64("reciprocal", "1 / a.", 1, lambda b, lanes, x: b.fdiv(_constant(1.0, lanes), x))
half_up = _on_f64(
    "half_up", "floor(a / 2) + 1 / 2.", 1,
    lambda b, lanes, x: b.fadd(_floor(b, lanes, b.fmul(x, _constant(0.5, lanes))), _constant(0.5, lanes)),
)  # fmt: skip


@intrinsic
def coefficients(typingctx, weight, factor, offset):
    """``int32(weight * factor + offset)`` of float64 bits, toward zero, in 32-bit lanes."""
    result = Vector("i32", weight.lanes)

    def codegen(context, builder, signature, args):
        w, a, b = (builder.bitcast(arg, ir.VectorType(_F64, weight.lanes)) for arg in args)
        return builder.fptosi(builder.fadd(builder.fmul(w, a), b), result.ir)

    return result(weight, factor, offset), codegen


@intrinsic
def gather_f64(typingctx, table, index):
    """Bits of ``table[index]`` in each lane; ``table`` the address of float64 numbers, ``index`` in 64-bit lanes."""

    def codegen(context, builder, signature, args):
        lanes = index.lanes
        pointers = ir.VectorType(_F64.as_pointer(), lanes)
        base = builder.insert_element(ir.Constant(index.ir, ir.Undefined), args[0], ir.Constant(_I32, 0))
        base = builder.shuffle_vector(base, base, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))
        offset = builder.shl(args[1], ir.Constant(index.ir, [3] * lanes))
        addresses = builder.inttoptr(builder.add(base, offset), pointers)
        values, mask = ir.VectorType(_F64, lanes), ir.VectorType(ir.IntType(1), lanes)
        kind = ir.FunctionType(values, [pointers, _I32, mask, values])
        gather = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.gather.v{lanes}f64.v{lanes}p0")
        everywhere, nothing = ir.Constant(mask, [1] * lanes), ir.Constant(values, None)
        return builder.bitcast(builder.call(gather, [addresses, ir.Constant(_I32, 8), everywhere, nothing]), index.ir)

    return index(types.int64, index), codegen


def _pmaddwd() -> tuple[str, int] | None:
    """The widest instruction that adds products of neighbouring 16-bit lanes into 32 bits, if Numba compiles for one;
    and its 32-bit lanes."""
    if not target()[0].startswith("x86_64"):
        return None
    if {"avx512bw", "avx512f"} <= features():
        return "llvm.x86.avx512.pmaddw.d.512", 16
    return ("llvm.x86.avx2.pmadd.wd", 8) if "avx2" in features() else None


def _lanes(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes))


@intrinsic
def pair_products(typingctx, total, a, b, pairs):
    """``total + a * c + b * d`` in 32-bit lanes, for codes a, b (i8); lanes of ``pairs`` hold c in their low half and d
    in their high half, both signed."""

    def codegen(context, builder, signature, args):
        acc, first, second, shares = args
        instruction, wide = _pmaddwd(), acc.type
        if instruction is None or total.lanes % instruction[1]:
            half = ir.Constant(wide, [16] * total.lanes)
            low = builder.ashr(builder.shl(shares, half), half)
            low, high = builder.mul(builder.sext(first, wide), low), builder.ashr(shares, half)
            return builder.add(builder.add(acc, low), builder.mul(builder.sext(second, wide), high))
        name, lanes = instruction
        part, words = ir.VectorType(_I32, lanes), ir.VectorType(_I16, 2 * lanes)
        kind = ir.FunctionType(part, [words, words])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        products = []
        for start in range(0, total.lanes, lanes):
            run = list(range(start, start + lanes))
            order = [lane for k in run for lane in (k, total.lanes + k)]
            both = builder.sext(_lanes(builder, first, second, order), words)
            coefficient = builder.bitcast(_lanes(builder, shares, shares, run), words)
            products.append(builder.call(function, [both, coefficient]))
        while len(products) > 1:
            count = 2 * products[0].type.count
            products = [
                _lanes(builder, a, b, list(range(count))) for a, b in zip(products[::2], products[1::2], strict=True)
            ]
        return builder.add(acc, products[0])

    return total(total, a, b, pairs), codegen
