"""The float program's machine: short instructions on blocks of rows, so that a block stays in the cache between them.

An instruction is a row of an int64 table and a row of a float32 table, in the columns named below; operands are
addresses of row 0. What is read beyond a row (prefetched ids, the rest of a vector) is padding. A place in a *room* of
the thread's memory is an offset there, and holds only some rows: those of the current block, or those of the range that
the thread takes through all passes.
"""

from __future__ import annotations

import numba
import numpy as np

from .float_tiles import TILES, attend, gather_sum, product_tile
from .simd import (
    address,
    exp,
    f_add,
    f_fma,
    f_load,
    f_max,
    f_mul,
    f_splat,
    f_store,
    i32_at,
    i64_at,
    prefetch,
    put,
    scalar,
    take,
)  # fmt: skip

__all__ = [
    "ALL", "ATTEND", "BLOCK", "COPY", "FIELDS", "FLOATS", "GATHER", "HEAD_MEAN", "PRODUCT", "RANGE", "run_parallel",
    "run_serial",
]  # fmt: skip

GATHER, PRODUCT, COPY, ATTEND, HEAD_MEAN = range(5)
ALL, BLOCK, RANGE = range(3)  # rooms: which rows stand there
FIELDS = (
    "op", "vectors", "src", "src_stride", "src_room", "dst", "dst_stride", "dst_room", "tail", "bias",
    "indptr", "indices", "weights", "own", "own_stride", "own_room", "factor", "post", "post_step", "w", "k", "ahead",
    "heads", "scores", "scores_stride", "scores_room", "h0", "h1", "mask", "mixed", "width", "factor_step",
)  # fmt: skip
FLOATS = ("own_weight", "floor", "slope")
(OP, VECTORS, SRC, SRC_STRIDE, _, DST, DST_STRIDE, _, TAIL, BIAS, INDPTR, INDICES, WEIGHTS, OWN, OWN_STRIDE, _, FACTOR,
 POST, POST_STEP, W, K, AHEAD, HEADS, SCORES, SCORES_STRIDE, _, H0, H1, MASK, MIXED, WIDTH,
 FACTOR_STEP) = range(len(FIELDS))  # fmt: skip
TILE_ROWS = (0, *(TILES[v] for v in (1, 2, 3, 4)))

_jit = numba.njit(nogil=True, fastmath=False)


@_jit
def _row0(c, k, memory, block, first):
    """The address of row 0 of the place in columns k, k + 1, k + 2; a virtual one in a room of some rows."""
    if c[k + 2] == ALL:
        return c[k]
    return c[k] + memory - c[k + 1] * (block if c[k + 2] == BLOCK else first)


@_jit
def _gather(c, f, i, src, dst, own):
    e0, e1 = i64_at(c[INDPTR] + 8 * i), i64_at(c[INDPTR] + 8 * i + 8)
    factor, post = scalar(c[FACTOR] + c[FACTOR_STEP] * i), scalar(c[POST] + c[POST_STEP] * i)
    gather_sum(c[VECTORS], src, c[SRC_STRIDE], c[INDICES], c[WEIGHTS], e0, e1, c[AHEAD], own + i * c[OWN_STRIDE], f[0],
               factor, c[BIAS], f[1], post, dst + i * c[DST_STRIDE], c[TAIL])  # fmt: skip


@_jit
def _product(c, f, rows, x, post, dst):
    """All columns, in panels of 4 vectors and one of the rest; all rows, in full tiles and the rest one by one."""
    xs, ds, k, floor, step = c[SRC_STRIDE], c[DST_STRIDE], c[K], f[1], c[POST_STEP]
    w, bias, left = c[W], c[BIAS], c[VECTORS]
    while left > 0:
        v = min(left, 4)
        tail = c[TAIL] if left <= 4 else 16
        r = 0
        while r < rows:
            n = TILE_ROWS[v] if r + TILE_ROWS[v] <= rows else 1
            product_tile(n, v, x + r * xs, xs, w, k, bias, floor, post + r * step, step, dst + r * ds, ds, tail)
            r += n
        w += k * 64 * v
        bias += 64 * v
        dst += 64 * v
        left -= v


@_jit
def _attend(c, f, i, src, dst, scores, p):
    """Softmax of a row in two passes over its logits, which lie in ``p``; then the weighted sum of its neighbours."""
    e0, e1 = i64_at(c[INDPTR] + 8 * i), i64_at(c[INDPTR] + 8 * i + 8)
    heads, ids, line = c[HEADS], c[INDICES], c[SCORES_STRIDE]  # of a node's scores: as a source, then as a target
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
    at, left = 0, c[VECTORS]
    while left > 0:
        v = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
        attend(v, c[MIXED], src + 64 * at, c[SRC_STRIDE], ids, e0, e1, c[AHEAD], heads, p, temporary + 64,
               c[H0] + 8 * at, c[H1] + 8 * at, c[MASK] + 64 * at, c[BIAS] + 64 * at, f[1],
               dst + i * c[DST_STRIDE] + 64 * at)  # fmt: skip
        at, left = at + v, left - v


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
def _block(c, f, a, b, first, memory, logits):
    """One instruction on the rows a .. b - 1 of the range that begins at row ``first``."""
    op = c[OP]
    src, dst = _row0(c, SRC, memory, a, first), _row0(c, DST, memory, a, first)
    if op == PRODUCT:
        _product(c, f, b - a, src + a * c[SRC_STRIDE], c[POST] + a * c[POST_STEP], dst + a * c[DST_STRIDE])
    elif op == GATHER:
        own = _row0(c, OWN, memory, a, first)
        for i in range(a, b):
            _gather(c, f, i, src, dst, own)
    elif op == ATTEND:
        scores = _row0(c, SCORES, memory, a, first)
        for i in range(a, b):
            _attend(c, f, i, src, dst, scores, logits)
    elif op == COPY:
        for i in range(a, b):
            for v in range(c[VECTORS]):
                put(dst + i * c[DST_STRIDE] + 64 * v, f_load(src + i * c[SRC_STRIDE] + 64 * v))
    else:
        for i in range(a, b):
            _head_mean(c, f, src + i * c[SRC_STRIDE], dst + i * c[DST_STRIDE])


@_jit
def _passes(passes, code, floats, start, stop, memory, logits):
    """All passes on the rows start .. stop - 1: in each, a block of rows through all its instructions at a time."""
    for p in range(len(passes)):
        a = start
        while a < stop:
            b = min(stop, a + passes[p, 2])
            for n in range(passes[p, 0], passes[p, 1]):
                _block(code[n], floats[n], a, b, start, memory, logits)
            a = b


@_jit
def run_serial(passes, code, floats, bounds, memory, logits):
    """Run on the calling thread.

    Parameters
    ----------
    passes : int64 (P, 3)
        First instruction, last + 1, rows of a block.
    code, floats : int64 (n, len(FIELDS)), float32 (n, len(FLOATS))
    bounds : int64 (R + 1,)
        Rows at which ranges begin. Rows of one must not need what later passes make of another.
    memory : uint8 (threads, bytes)
        Of the rooms; begins at a multiple of 64 bytes.
    logits : int
        Where a row's logits begin in a thread's memory; 128 bytes before them are used too.
    """
    for r in range(len(bounds) - 1):
        _passes(passes, code, floats, bounds[r], bounds[r + 1], address(memory), address(memory) + logits)


@numba.njit(nogil=True, parallel=True)
def run_parallel(passes, code, floats, bounds, memory, logits, threads, counter):
    """:func:`run_serial` over threads: each begins with one range and takes the next from ``counter``, int64 (8,)."""
    counter[0] = threads
    for t in numba.prange(threads):
        room = address(memory) + t * memory.shape[1]
        r = np.int64(t)
        while r < len(bounds) - 1:
            _passes(passes, code, floats, bounds[r], bounds[r + 1], room, room + logits)
            r = take(address(counter))
