"""The float program's machine: short instructions on blocks of rows, so that a block stays in the cache between them.

An instruction is a row of an int64 table and a row of a float32 table, in the columns named below; operands are
addresses. A place with ``relative`` 1 is an offset into the thread's scratch memory and holds the rows of the current
block only, else it holds all rows. What is read beyond a row (prefetched ids, the rest of a vector) is padding.
"""

from __future__ import annotations

import numba
import numpy as np

from .simd import (
    attend,
    exp,
    f_add,
    f_fma,
    f_load,
    f_max,
    f_mul,
    f_splat,
    f_store,
    gather_sum,
    i32_at,
    i64_at,
    prefetch,
    product_tile,
    put,
    scalar,
)  # fmt: skip

__all__ = ["ATTEND", "COPY", "FIELDS", "FLOATS", "GATHER", "HEAD_MEAN", "PRODUCT", "run_parallel", "run_serial"]

GATHER, PRODUCT, COPY, ATTEND, HEAD_MEAN = range(5)
FIELDS = (
    "op", "vectors", "src", "src_stride", "src_relative", "dst", "dst_stride", "dst_relative", "tail", "bias",
    "indptr", "indices", "weights", "own", "own_stride", "factor", "post", "post_step", "w", "k", "ahead",
    "heads", "scores", "h0", "h1", "mask", "mixed", "width", "factor_step",
)  # fmt: skip
FLOATS = ("own_weight", "floor", "slope")
(OP, VECTORS, SRC, SRC_STRIDE, SRC_REL, DST, DST_STRIDE, DST_REL, TAIL, BIAS, INDPTR, INDICES, WEIGHTS, OWN, OWN_STRIDE,
 FACTOR, POST, POST_STEP, W, K, AHEAD, HEADS, SCORES, H0, H1, MASK, MIXED, WIDTH,
 FACTOR_STEP) = range(len(FIELDS))  # fmt: skip

_jit = numba.njit(nogil=True, fastmath=False)


@_jit
def _gather(c, f, i, src, dst):
    e0, e1 = i64_at(c[INDPTR] + 8 * i), i64_at(c[INDPTR] + 8 * i + 8)
    own = c[OWN] + i * c[OWN_STRIDE]
    factor, post = scalar(c[FACTOR] + c[FACTOR_STEP] * i), scalar(c[POST] + c[POST_STEP] * i)
    s, ids, ws, ahead, bias, tail = c[SRC_STRIDE], c[INDICES], c[WEIGHTS], c[AHEAD], c[BIAS], c[TAIL]
    g, floor, v = f[0], f[1], c[VECTORS]
    if ws == 0:
        if v == 1:
            gather_sum(1, 0, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
        elif v == 2:
            gather_sum(2, 0, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
        elif v == 3:
            gather_sum(3, 0, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
        elif v == 4:
            gather_sum(4, 0, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
        elif v == 8:
            gather_sum(8, 0, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
        else:
            gather_sum(16, 0, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
    elif v == 1:
        gather_sum(1, 1, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
    elif v == 2:
        gather_sum(2, 1, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
    elif v == 3:
        gather_sum(3, 1, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
    elif v == 4:
        gather_sum(4, 1, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
    elif v == 8:
        gather_sum(8, 1, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)
    else:
        gather_sum(16, 1, src, s, ids, ws, e0, e1, ahead, own, g, factor, bias, floor, post, dst, tail)


@_jit
def _product(c, f, rows, x, post, dst):
    """All columns, in panels of 4 vectors and one of the rest; all rows, in tiles of 24 vectors of sums."""
    xs, ds, k, floor, step = c[SRC_STRIDE], c[DST_STRIDE], c[K], f[1], c[POST_STEP]
    w, bias, left = c[W], c[BIAS], c[VECTORS]
    while left > 0:
        v = min(left, 4)
        tail = c[TAIL] if left <= 4 else 16
        r = 0
        if v == 4:
            while r + 6 <= rows:
                product_tile(6, 4, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 6
            while r < rows:
                product_tile(1, 4, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 1
        elif v == 3:
            while r + 8 <= rows:
                product_tile(8, 3, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 8
            while r < rows:
                product_tile(1, 3, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 1
        elif v == 2:
            while r + 12 <= rows:
                product_tile(12, 2, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 12
            while r < rows:
                product_tile(1, 2, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 1
        else:
            while r + 12 <= rows:
                product_tile(12, 1, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 12
            while r < rows:
                product_tile(1, 1, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
                r += 1
        w += k * 64 * v
        bias += 64 * v
        dst += 64 * v
        left -= v


@_jit
def _attend(c, f, i, dst, p):
    """Softmax of a row in two passes over its logits, which lie in ``p``; then the weighted sum of its neighbours."""
    e0, e1 = i64_at(c[INDPTR] + 8 * i), i64_at(c[INDPTR] + 8 * i + 8)
    heads, ids, scores, ahead = c[HEADS], c[INDICES], c[SCORES], c[AHEAD]
    line = 8 * heads  # bytes of a node's scores: as a source, then as a target
    temporary = p - 128
    target = f_load(scores + i * line + 4 * heads)
    slope, low = f_splat(f[2]), f_splat(np.float32(-1e30))
    top, q = low, p
    for e in range(e0, e1):
        prefetch(scores + i32_at(ids + 4 * (e + 16)) * line)
        logit = f_add(f_load(scores + i32_at(ids + 4 * e) * line), target)
        logit = f_max(logit, f_mul(logit, slope))
        put(q, logit)  # the lanes behind the heads are overwritten by the next edge
        top = f_max(top, logit)
        q += 4 * heads
    put(q, low)
    for h in range(0, 16, heads):  # repeat the heads' lanes over the vector, as they lie in p
        put(temporary + 4 * h, top)
    top = f_mul(f_load(temporary), f_splat(np.float32(-1.0)))
    total, a = f_splat(np.float32(0.0)), p
    while a < q:
        value = exp(f_add(f_load(a), top))
        put(a, value)
        total = f_add(total, value)
        a += 64
    put(temporary, total)
    for h in range(heads):
        s = np.float32(0.0)
        for lane in range(h, 16, heads):
            s += scalar(temporary + 4 * lane)
        f_store(temporary + 64 + 4 * h, f_splat(np.float32(1.0) / s if s > 0 else np.float32(0.0)), 1)
    s, inv, h0, h1, m, bias, floor = c[SRC_STRIDE], temporary + 64, c[H0], c[H1], c[MASK], c[BIAS], f[1]
    src, left = c[SRC], c[VECTORS]
    while left > 0:
        v = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
        if c[MIXED]:
            if v == 8:
                attend(8, 1, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
            elif v == 4:
                attend(4, 1, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
            elif v == 2:
                attend(2, 1, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
            else:
                attend(1, 1, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
        elif v == 8:
            attend(8, 0, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
        elif v == 4:
            attend(4, 0, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
        elif v == 2:
            attend(2, 0, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
        else:
            attend(1, 0, src, s, ids, e0, e1, ahead, heads, p, inv, h0, h1, m, bias, floor, dst)
        left -= v
        src, dst, bias = src + 64 * v, dst + 64 * v, bias + 64 * v
        h0, h1, m = h0 + 8 * v, h1 + 8 * v, m + 64 * v


@_jit
def _head_mean(c, f, src, dst):
    heads, width = c[HEADS], c[WIDTH]
    share, floor = f_splat(np.float32(1.0) / np.float32(heads)), f_splat(f[1])
    for v in range(c[VECTORS]):
        total = f_load(src + 64 * v)
        for h in range(1, heads):
            total = f_add(total, f_load(src + 4 * h * width + 64 * v))
        total = f_max(f_fma(total, share, f_load(c[BIAS] + 64 * v)), floor)
        f_store(dst + 64 * v, total, c[TAIL] if v == c[VECTORS] - 1 else 16)


@_jit
def _rows(code, floats, start, stop, block, scratch, logits):
    """All instructions on the rows start .. stop - 1, a block at a time."""
    a = start
    while a < stop:
        b = min(stop, a + block)
        for n in range(len(code)):
            c, f = code[n], floats[n]
            op = c[OP]
            src = c[SRC] + scratch if c[SRC_REL] else c[SRC]
            dst = c[DST] + scratch if c[DST_REL] else c[DST] + a * c[DST_STRIDE]
            if op == PRODUCT:
                x = src if c[SRC_REL] else src + a * c[SRC_STRIDE]
                _product(c, f, b - a, x, c[POST] + a * c[POST_STEP], dst)
            elif op == GATHER:
                for i in range(a, b):
                    _gather(c, f, i, src, dst + (i - a) * c[DST_STRIDE])
            elif op == ATTEND:
                for i in range(a, b):
                    _attend(c, f, i, dst + (i - a) * c[DST_STRIDE], logits)
            elif op == COPY:
                for i in range(a, b):
                    for v in range(c[VECTORS]):
                        put(dst + (i - a) * c[DST_STRIDE] + 64 * v, f_load(src + i * c[SRC_STRIDE] + 64 * v))
            else:
                for i in range(a, b):
                    _head_mean(c, f, src + (i - a) * c[SRC_STRIDE], dst + (i - a) * c[DST_STRIDE])
        a = b


@_jit
def run_serial(code, floats, bounds, block, scratch, scratch_step, logits, logits_step):
    _rows(code, floats, bounds[0], bounds[-1], block, scratch, logits)


@numba.njit(nogil=True, parallel=True)
def run_parallel(code, floats, bounds, block, scratch, scratch_step, logits, logits_step):
    """``bounds`` cuts the rows into one part a thread, of about the same work."""
    for t in numba.prange(len(bounds) - 1):
        _rows(code, floats, bounds[t], bounds[t + 1], block, scratch + t * scratch_step, logits + t * logits_step)
