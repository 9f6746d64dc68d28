"""Vectors of 16 lanes as Numba values, and the few register-tiled loops of the float program, as LLVM code.

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
    "address", "attend", "exp", "f16", "f_add", "f_fma", "f_load", "f_max", "f_mul", "f_splat", "f_store", "gather_sum",
    "i32_at", "i64_at", "prefetch", "product_tile", "put", "scalar",
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
        exec(f"def vector_code(tc, {names}): return typing(tc)", scope)  # the number of arguments has to be visible
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


@intrinsic(prefer_literal=True)
def product_tile(tc, rows, vectors, x, x_stride, w, k, bias, floor, post, post_step, out, out_stride, tail):
    """``rows`` x ``16 vectors`` of max(x W + bias, floor) * post: all sums in registers.

    ``w`` is one packed panel (k, 16 * vectors). Strides are in bytes; of the last vector ``tail`` lanes are stored.
    """
    nr, nv = rows.literal_value, vectors.literal_value

    def code(context, b, signature, args):
        x, x_stride, w, k, bias, floor, post, post_step, out, out_stride, tail = args[2:]
        starts = [x]
        for _ in range(nr - 1):
            starts.append(b.add(starts[-1], x_stride))

        def body(i, sums):
            panel = b.add(w, b.mul(i, ir.Constant(I64, 64 * nv)))
            column = [_load(b, _at(b, panel, 64 * v)) for v in range(nv)]
            new = []
            for r in range(nr):
                value = _splat(b, _load(b, _at(b, starts[r], b.mul(i, ir.Constant(I64, 4))), F32))
                new += [_fma(b, value, column[v], sums[r * nv + v]) for v in range(nv)]
            return new

        biases = [_load(b, _at(b, bias, 64 * v)) for v in range(nv)]
        sums = _loop(b, ir.Constant(I64, 0), k, biases * nr, body)
        floor = _splat(b, floor)
        for r in range(nr):
            factor = _splat(b, _load(b, post, F32))
            for v in range(nv):
                value = b.fmul(_max(b, sums[r * nv + v], floor), factor)
                _store(b, value, _at(b, out, 64 * v), tail if v == nv - 1 else None)
            post, out = b.add(post, post_step), b.add(out, out_stride)
        return context.get_dummy_value()

    return types.void(rows, vectors, A, A, A, A, A, F, A, A, A, A, A), code


@intrinsic(prefer_literal=True)
def gather_sum(
    tc, vectors, weighted, src, stride, indices, weights, first, last, ahead, own, own_weight, factor, bias, floor,
    post, out, tail,
):  # fmt: skip
    """max(factor * sum_e w_e src[indices[e]] + own_weight * own + bias, floor) * post over edges first .. last - 1.

    ``16 vectors`` columns in registers. ``ahead`` edges further on, rows are prefetched: ``indices`` has to be padded.
    """
    nv, use_weights = vectors.literal_value, weighted.literal_value

    def code(context, b, signature, args):
        (src, stride, indices, weights, first, last, ahead, own, own_weight, factor, bias, floor, post, out,
         tail) = args[2:]  # fmt: skip

        def row_of(e):
            where = b.add(indices, b.mul(e, ir.Constant(I64, 4)))
            return b.add(src, b.mul(b.sext(_load(b, where, I32), I64), stride))

        def body(e, sums):
            coming, row = row_of(b.add(e, ahead)), row_of(e)
            for v in range(nv):
                _prefetch(b, _at(b, coming, 64 * v))
            if use_weights:
                weight = _splat(b, _load(b, b.add(weights, b.mul(e, ir.Constant(I64, 4))), F32))
                return [_fma(b, weight, _load(b, _at(b, row, 64 * v)), sums[v]) for v in range(nv)]
            return [b.fadd(_load(b, _at(b, row, 64 * v)), sums[v]) for v in range(nv)]

        sums = _loop(b, first, last, [_const(0.0)] * nv, body)
        factor, floor, post, own_weight = (_splat(b, value) for value in (factor, floor, post, own_weight))
        for v in range(nv):
            rest = _fma(b, own_weight, _load(b, _at(b, own, 64 * v)), _load(b, _at(b, bias, 64 * v)))
            value = b.fmul(_max(b, _fma(b, sums[v], factor, rest), floor), post)
            _store(b, value, _at(b, out, 64 * v), tail if v == nv - 1 else None)
        return context.get_dummy_value()

    return types.void(vectors, weighted, A, A, A, A, A, A, A, A, F, F, A, F, F, A, A), code


@intrinsic(prefer_literal=True)
def attend(
    tc, vectors, mixed, src, stride, indices, first, last, ahead, heads, p, inverse, h0, h1, mask, bias, floor, out
):
    """max(sum_e alpha_e src[indices[e]] + bias, floor), alpha_e = p[e - first] * inverse of the column's head.

    ``p`` has ``heads`` floats an edge. Vector v belongs to head h0[v], and where ``mask`` holds (one int32 a lane) to
    h1[v]; without ``mixed`` to h0[v] alone. h0 and h1 are byte offsets into the heads' floats.
    """
    nv, blend = vectors.literal_value, mixed.literal_value

    def code(context, b, signature, args):
        src, stride, indices, first, last, ahead, heads, p, inverse, h0, h1, mask, bias, floor, out = args[2:]
        near = [_load(b, _at(b, h0, 8 * v), I64) for v in range(nv)]
        far = [_load(b, _at(b, h1, 8 * v), I64) for v in range(nv)]
        lanes = []
        for v in range(nv if blend else 0):
            bits = b.load(b.inttoptr(_at(b, mask, 64 * v), IVEC.as_pointer()), align=4)
            lanes.append(b.icmp_signed("!=", bits, ir.Constant(IVEC, [0] * LANES)))

        def of_heads(where, v):
            value = _splat(b, _load(b, b.add(where, near[v]), F32))
            if blend:
                value = b.select(lanes[v], _splat(b, _load(b, b.add(where, far[v]), F32)), value)
            return value

        def row_of(e):
            where = b.add(indices, b.mul(e, ir.Constant(I64, 4)))
            return b.add(src, b.mul(b.sext(_load(b, where, I32), I64), stride))

        def body(e, sums):
            coming, row = row_of(b.add(e, ahead)), row_of(e)
            for v in range(nv):
                _prefetch(b, _at(b, coming, 64 * v))
            where = b.add(p, b.mul(b.sub(e, first), b.mul(heads, ir.Constant(I64, 4))))
            return [_fma(b, of_heads(where, v), _load(b, _at(b, row, 64 * v)), sums[v]) for v in range(nv)]

        sums = _loop(b, first, last, [_const(0.0)] * nv, body)
        floor = _splat(b, floor)
        for v in range(nv):
            value = _fma(b, sums[v], of_heads(inverse, v), _load(b, _at(b, bias, 64 * v)))
            _store(b, _max(b, value, floor), _at(b, out, 64 * v))
        return context.get_dummy_value()

    return types.void(vectors, mixed, *[A] * 13, F, A), code
