"""The register-tiled loops of the float program: a tile of a product, a row's neighbour sum, a row's weighted sum.

Each is compiled for every size that it may have and takes the size as a number; sums stay in registers, so a size is a
piece of code of its own.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import (
    F32,
    I32,
    I64,
    IVEC,
    LANES,
    A,
    F,
    _at,
    _const,
    _fma,
    _load,
    _loop,
    _max,
    _prefetch,
    _splat,
    _store,
    _switch,
)

__all__ = ["TILES", "WIDTHS", "attend", "gather_sum", "product_tile"]

TILES = {4: 6, 3: 8, 2: 12, 1: 12}
"""Rows of a full tile by its vectors of columns: about 24 vectors of sums in 32 registers."""


@intrinsic
def product_tile(tc, rows, vectors, x, x_stride, w, k, bias, floor, post, post_step, out, out_stride, tail):
    """``rows`` x ``16 vectors`` of max(x W + bias, floor) * post: all sums in registers.

    ``rows`` is 1 or what :data:`TILES` has for ``vectors``. ``w`` is one packed panel (k, 16 * vectors). Strides are in
    bytes; of the last vector ``tail`` lanes are stored.
    """

    def code(context, b, signature, args):
        rows, vectors, *rest = args

        def tile(case):
            nr, nv = case // 8, case % 8
            x, x_stride, w, k, bias, floor, post, post_step, out, out_stride, tail = rest
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

        cases = [8 * nr + nv for nv, full in TILES.items() for nr in (full, 1)]
        _switch(b, b.add(b.mul(rows, ir.Constant(I64, 8)), vectors), cases, tile)
        return context.get_dummy_value()

    return types.void(A, A, A, A, A, A, A, F, A, A, A, A, A), code


WIDTHS = (16, 8, 4, 3, 2, 1)
"""Vectors of columns that a neighbour sum can have at once."""


@intrinsic
def gather_sum(tc, vectors, src, stride, indices, weights, first, last, ahead, own, own_weight, factor, bias, floor,
               post, out, tail):  # fmt: skip
    """max(factor * sum_e w_e src[indices[e]] + own_weight * own + bias, floor) * post over edges first .. last - 1.

    ``16 vectors`` columns in registers, of :data:`WIDTHS`; ``weights`` 0: none. ``ahead`` edges further on, rows are
    prefetched: ``indices`` has to be padded.
    """

    def code(context, b, signature, args):
        vectors, *rest = args
        src, stride, indices, weights, first, last, ahead = rest[:7]

        def row_of(e):
            where = b.add(indices, b.mul(e, ir.Constant(I64, 4)))
            return b.add(src, b.mul(b.sext(_load(b, where, I32), I64), stride))

        def columns(case):
            nv, use_weights = case % 32, case // 32

            def body(e, sums):
                coming, row = row_of(b.add(e, ahead)), row_of(e)
                for v in range(nv):
                    _prefetch(b, _at(b, coming, 64 * v))
                if use_weights:
                    weight = _splat(b, _load(b, b.add(weights, b.mul(e, ir.Constant(I64, 4))), F32))
                    return [_fma(b, weight, _load(b, _at(b, row, 64 * v)), sums[v]) for v in range(nv)]
                return [b.fadd(_load(b, _at(b, row, 64 * v)), sums[v]) for v in range(nv)]

            sums = _loop(b, first, last, [_const(0.0)] * nv, body)
            own, own_weight, factor, bias, floor, post, out, tail = rest[7:]
            factor, floor, post, own_weight = (_splat(b, value) for value in (factor, floor, post, own_weight))
            for v in range(nv):
                rest_v = _fma(b, own_weight, _load(b, _at(b, own, 64 * v)), _load(b, _at(b, bias, 64 * v)))
                value = b.fmul(_max(b, _fma(b, sums[v], factor, rest_v), floor), post)
                _store(b, value, _at(b, out, 64 * v), tail if v == nv - 1 else None)

        weighted = b.zext(b.icmp_signed("!=", weights, ir.Constant(I64, 0)), I64)
        key = b.add(vectors, b.mul(weighted, ir.Constant(I64, 32)))
        _switch(b, key, [nv + 32 * weighted for weighted in (0, 1) for nv in WIDTHS], columns)
        return context.get_dummy_value()

    return types.void(A, A, A, A, A, A, A, A, A, F, F, A, F, F, A, A), code


@intrinsic
def attend(tc, vectors, mixed, src, stride, indices, first, last, ahead, heads, p, inverse, h0, h1, mask, bias, floor,
           out):  # fmt: skip
    """max(sum_e alpha_e src[indices[e]] + bias, floor), alpha_e = p[e - first] * inverse of the column's head.

    ``p`` has ``heads`` floats an edge. 1, 2, 4 or 8 vectors of columns; vector v belongs to head h0[v], and where
    ``mask`` holds (one int32 a lane) to h1[v]; with ``mixed`` 0 to h0[v] alone. h0 and h1 are byte offsets into the
    heads' floats.
    """

    def code(context, b, signature, args):
        vectors, mixed, *rest = args

        def columns(case):
            nv, blend = case % 16, case // 16
            src, stride, indices, first, last, ahead, heads, p, inverse, h0, h1, mask, bias, floor, out = rest
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

        key = b.add(vectors, b.mul(mixed, ir.Constant(I64, 16)))
        _switch(b, key, [nv + 16 * blend for blend in (0, 1) for nv in (8, 4, 2, 1)], columns)
        return context.get_dummy_value()

    return types.void(A, A, *[A] * 13, F, A), code
