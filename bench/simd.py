"""Vectors of 16 lanes as Numba values, as LLVM code.

A ``<16 x float>`` is one AVX-512 register; LLVM splits it in two for AVX2 and in four for NEON, so everything here
runs on any CPU. Only addresses (int64) go in and out of the loops: the caller keeps the arrays alive and in bounds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

__all__ = [
    "address", "exp", "f16", "f_add", "f_fma", "f_load", "f_max", "f_mul", "f_splat", "f_store", "i32_at",
    "i64_at", "prefetch", "put", "scalar", "take",
]  # fmt: skip

I1, I8, I32, I64, F32 = (*(ir.IntType(n) for n in (1, 8, 32, 64)), ir.FloatType())
LANES = 16
VEC, IVEC = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)


class _Float16Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="FloatLanes16")


@register_model(_Float16Lanes)
class _Float16LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, VEC)


f16 = _Float16Lanes()


def _const(value):
    return ir.Constant(VEC, [float(value)] * LANES)


def _call(b, name, result, *args):
    function = cgutils.get_or_insert_function(b.module, ir.FunctionType(result, [a.type for a in args]), name)
    return b.call(function, args)


def _fma(b, x, y, z):
    return _call(b, "llvm.fmuladd.v16f32", VEC, x, y, z)


def _max(b, x, y):  # compare and select: one vmaxps, without the care for NaN of llvm.maxnum
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def _splat(b, value):
    vector = b.insert_element(ir.Constant(VEC, ir.Undefined), value, ir.Constant(I32, 0))
    return b.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def _at(b, base, offset):
    return b.add(base, offset if isinstance(offset, ir.Value) else ir.Constant(I64, offset))


def _load(b, where, kind=VEC):
    return b.load(b.inttoptr(where, kind.as_pointer()), align=1 if kind is VEC else None)


def _store(b, value, where, lanes=None):
    """Store a vector; with ``lanes`` (int64 value) only so many of its lanes."""
    if lanes is None:
        b.store(value, b.inttoptr(where, VEC.as_pointer()), align=1)
        return
    count = b.trunc(lanes, I32)
    wide = b.insert_element(ir.Constant(IVEC, ir.Undefined), count, ir.Constant(I32, 0))
    wide = b.shuffle_vector(wide, wide, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))
    mask = b.icmp_signed("<", ir.Constant(IVEC, list(range(LANES))), wide)
    pointer = b.inttoptr(where, VEC.as_pointer())
    _call(b, "llvm.masked.store.v16f32.p0", ir.VoidType(), value, pointer, ir.Constant(I32, 4), mask)


def _prefetch(b, where):
    pointer = b.inttoptr(where, I8.as_pointer())
    _call(b, "llvm.prefetch.p0", ir.VoidType(), pointer, *(ir.Constant(I32, k) for k in (0, 3, 1)))


def _loop(b, first, last, start, body):
    """``for i in range(first, last)`` with the loop-carried values ``start``, which stay in registers."""
    entry, function = b.block, b.function
    head, inside, after = (function.append_basic_block(n) for n in ("head", "inside", "after"))
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    carried = [b.phi(value.type) for value in start]  # all phis of a block come first
    index.add_incoming(first, entry)
    for phi, value in zip(carried, start, strict=True):
        phi.add_incoming(value, entry)
    b.cbranch(b.icmp_signed("<", index, last), inside, after)
    b.position_at_end(inside)
    new = body(index, carried)
    following = b.add(index, ir.Constant(I64, 1))
    index.add_incoming(following, b.block)
    for phi, value in zip(carried, new, strict=True):
        phi.add_incoming(value, b.block)
    b.branch(head)
    b.position_at_end(after)
    return carried


def _switch(b, value, cases, body):
    """Run the code that ``body(case)`` emits for the case that an int64 is; nothing for another."""
    after = b.append_basic_block("after")
    switch = b.switch(value, after)
    for case in cases:
        block = b.append_basic_block(f"case{case}")
        switch.add_case(ir.Constant(I64, case), block)
        b.position_at_end(block)
        body(case)
        b.branch(after)
    b.position_at_end(after)


def _simple(result, *arguments):
    """An intrinsic whose code is one expression of the builder and the arguments."""

    def decorate(make):
        def typing(tc, *given):
            def code(context, b, signature, args):
                made = make(b, *args)
                return context.get_dummy_value() if result is types.void else made

            return result(*arguments), code

        names = ", ".join(f"a{i}" for i in range(len(arguments)))
        scope = {"typing": typing}
        exec(
            f"def vector_code(tc{', ' * bool(names)}{names}): return typing(tc)", scope
        )  # the number of arguments has to be visible
        return intrinsic(scope["vector_code"])

    return decorate


A, F = types.int64, types.float32
f_load = _simple(f16, A)(lambda b, where: _load(b, where))
f_store = _simple(types.void, A, f16, A)(lambda b, where, value, lanes: _store(b, value, where, lanes))
put = _simple(types.void, A, f16)(lambda b, where, value: _store(b, value, where))
f_splat = _simple(f16, F)(lambda b, value: _splat(b, value))
f_add = _simple(f16, f16, f16)(lambda b, x, y: b.fadd(x, y))
f_mul = _simple(f16, f16, f16)(lambda b, x, y: b.fmul(x, y))
f_max = _simple(f16, f16, f16)(lambda b, x, y: _max(b, x, y))
f_fma = _simple(f16, f16, f16, f16)(lambda b, x, y, z: _fma(b, x, y, z))
scalar = _simple(F, A)(lambda b, where: _load(b, where, F32))
i64_at = _simple(A, A)(lambda b, where: _load(b, where, I64))
i32_at = _simple(A, A)(lambda b, where: b.sext(_load(b, where, I32), I64))
prefetch = _simple(types.void, A)(lambda b, where: _prefetch(b, where))
take = _simple(A, A)(  # the next of a counter that threads share
    lambda b, where: b.atomic_rmw("add", b.inttoptr(where, I64.as_pointer()), ir.Constant(I64, 1), "monotonic")
)


@_simple(f16, f16)
def exp(b, x):
    """e**x for x <= 0, to about one unit in the last place (Cephes' polynomial); below -87 as at -87."""
    x = _max(b, x, _const(-87.0))
    n = _call(b, "llvm.rint.v16f32", VEC, b.fmul(x, _const(1.44269504088896341)))
    r = _fma(b, n, _const(-0.693359375), x)
    r = _fma(b, n, _const(2.12194440e-4), r)
    p = _const(1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = _fma(b, p, r, _const(c))
    p = b.fadd(_fma(b, p, b.fmul(r, r), r), _const(1.0))
    exponent = b.shl(b.add(b.fptosi(n, IVEC), ir.Constant(IVEC, [127] * LANES)), ir.Constant(IVEC, [23] * LANES))
    return b.fmul(p, b.bitcast(exponent, VEC))


@intrinsic
def address(tc, array):
    """Address of the first element of an array."""

    def code(context, b, signature, args):
        made = context.make_array(signature.args[0])(context, b, args[0])
        return b.ptrtoint(made.data, I64)

    return types.int64(array), code
