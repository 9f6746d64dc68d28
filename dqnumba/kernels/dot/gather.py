"""Sums of rows of int8 codes over the edges into a node, the accumulators in registers.

Lanes of 16 bits take up to 255 rows before they are widened into lanes of 32 bits, so a line of 64 bytes costs two
widening loads and two additions. The zero point enters once a row, as degree times zero point. Sums are exact modulo
2**32.
"""

from __future__ import annotations

import functools

import numpy as np

from .gather_vectors import among, checked, column_blocks, prefetch_lines, store_runs
from .micro import RANGE, Micro, indexed_place, micro, new_op, place, put_place, stride
from .simd import Vector, add, i32_at, i64_at, load, splat, widen, zeros

__all__ = ["DISTANCE", "Place", "neighbor_sum_ops", "sum_kernel", "sum_record"]

DISTANCE = 32
"""Edges between the row that is added and the row that is asked for."""

_ROWS = 254  # with a row of its own, 255 * -128: the most that a lane of 16 bits is sure to hold
_GROUP = 3  # molecules have rows of 1 to 4 edges: groups of 4 read too much for nothing, groups of 2 branch too often

_NOTHING = np.zeros(512, np.int8)

Place = tuple[int, int, bool]
"""Base address, row stride in bytes, whether in scratch memory (see :mod:`.micro`)."""


@functools.cache
def sum_kernel(lanes: int, listed: bool = True, bits: int = 8, near: bool = False) -> Micro:
    """Kernel that sums blocks of ``lanes`` codes of ``bits`` bits: rows listed by index, or rows that follow each
    other; ``near`` rows are in the cache already, nothing is asked for ahead of time."""
    row_bytes = lanes * bits // 8
    ahead = listed and not near
    code, middle, wide = Vector(f"i{bits}", lanes), Vector("i16" if bits == 8 else "i32", lanes), Vector("i32", lanes)

    def neighbor_sum(op, start, stop, scratch):
        out, out_stride = place(op, 1, start, scratch), stride(op, 1)
        starts, stops, indices = i64_at(op + 32), i64_at(op + 40), i64_at(op + 48)
        x, x_stride, distance = indexed_place(op, 7, 17, scratch), i64_at(op + 64), i64_at(op + 72)
        zero, runs = i64_at(op + 80), i64_at(op + 88)
        own, own_stride = place(op, 12, start, scratch), stride(op, 12)
        has_own = i64_at(op + 8 * 15)
        nothing = i64_at(op + 128)
        if ahead and start < stop:
            first = i64_at(starts + 8 * start)
            for e in range(first, first + distance):
                prefetch_lines(x + i32_at(indices + 4 * e) * x_stride, row_bytes)
        for i in range(start, stop):
            e, last = i64_at(starts + 8 * i), i64_at(stops + 8 * i)
            total = splat(wide, -zero * (last - e + has_own))
            part = zeros(middle)
            if has_own:
                part = widen(load(code, own + i * own_stride), middle)
            while e < last:
                pause = min(e + _ROWS, last)
                while e < pause - _GROUP:
                    for k in range(e, e + _GROUP):
                        if ahead:
                            prefetch_lines(x + i32_at(indices + 4 * (k + distance)) * x_stride, row_bytes)
                        if listed:
                            part = add(part, widen(load(code, x + i32_at(indices + 4 * k) * x_stride), middle))
                        else:
                            part = add(part, widen(load(code, x + k * x_stride), middle))
                    e += _GROUP
                # The last 1 to 3 rows without a branch, whose outcome could not be foretold: rows too many are read as
                # a row of zeros.
                for k in range(e, e + _GROUP):
                    row = k
                    if ahead:
                        prefetch_lines(x + i32_at(indices + 4 * (k + distance)) * x_stride, row_bytes)
                    if listed:
                        row = np.int64(i32_at(indices + 4 * k))
                    part = add(part, widen(load(code, among(x + row * x_stride, nothing, k, pause)), middle))
                e = pause
                if e < last:
                    total = add(total, widen(part, wide))
                    part = zeros(middle)
            store_runs(out + i * out_stride, add(total, widen(part, wide)), runs)

    name = "segment_sum" if not listed else "near_sum" if near else "neighbor_sum"
    neighbor_sum.__name__ = neighbor_sum.__qualname__ = f"{name}_i{bits}x{lanes}"
    return micro(neighbor_sum)


def neighbor_sum_ops(
    *,
    out: Place,
    starts: int,
    stops: int,
    indices: int,
    x: int,
    x_stride: int,
    channels: int,
    zero: int,
    own: Place | None = None,
    distance: int = DISTANCE,
    bits: int = 8,
    room: int = 0,
) -> list[np.ndarray]:
    """Operations for ``out[i] = sum over e in starts[i] .. stops[i] of x[indices[e]] - zero``, one a column block.

    Parameters
    ----------
    out : place of int32 rows, stride a multiple of 64
    starts, stops : addresses of (N,) int64
        The two ends of each row's run of ``indices``: ``indptr`` and ``indptr + 8``, or as :mod:`.hubs` makes them.
    indices : address of int32
        ``PREFETCH_PAD`` further entries, each a row of x, stand behind the last one.
    x : address of rows of ``x_stride`` bytes
        Padded as all code buffers are.
    channels : int
    zero : int
        Zero point in stored codes.
    own : place of rows of codes, optional
        Row i of it is added with weight 1: a self-loop that the index list does not hold.
    distance : int
        Rows that are asked for ahead of time, at most 60.
    bits : 8 or 16
        Of the codes.
    room : 0 or RANGE
        Where x lives: third field of its place.

    Notes
    -----
    Fields: 1-3 out, 4 starts, 5 stops, 6 indices, 7 x, 8 its stride, 9 distance, 10 zero, 11 runs of 16 lanes to
    write, 12-14 own, 15 whether there is one, 16 a row of zeros, 17 where x lives.
    """
    return [
        sum_record(lanes, bits, True, first, out=out, starts=starts, stops=stops, indices=indices, x=x,
                   x_stride=x_stride, channels=channels, zero=zero, own=own, distance=distance, room=room)
        for first, lanes in column_blocks(channels, 256 if bits == 8 else 128)
    ]  # fmt: skip


def sum_record(lanes: int, bits: int, listed: bool, first: int, *, out: Place, starts: int, stops: int, indices: int,
               x: int, x_stride: int, channels: int, zero: int, own: Place | None = None, distance: int,
               room: int = 0) -> np.ndarray:  # fmt: skip
    """The record of :func:`sum_kernel` for the column block that begins at channel ``first``."""
    size = bits // 8
    op = new_op(sum_kernel(lanes, listed, bits, listed and room == RANGE))
    put_place(op, 1, out[0] + 4 * first, *out[1:])
    op[4:12] = starts, stops, indices, x + size * first, x_stride, checked(distance), zero, -(-(channels - first) // 16)
    if own is not None:
        put_place(op, 12, own[0] + size * first, *own[1:])
        op[15] = 1
    op[16:18] = _NOTHING.ctypes.data, room
    return op
