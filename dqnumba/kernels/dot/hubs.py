"""Rows of very many edges, cut into pieces that threads can take one by one.

One row of a power-law graph may hold a good part of all edges; the thread that meets it would keep the others waiting.
Such *hub* rows are left empty in the list of rows (their run of edges ends where it starts). Their edges are summed in
pieces by an earlier phase, with the same kernels, into rows of partial results; then the operation of this file joins
the partial results to the row. Integer sums and maxima do not depend on the order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .gather import Place
from .micro import helper, micro, new_op, place, put_place, stride
from .simd import add, i8x16, i32x16, i64_at, load, maximum, store

__all__ = ["Hubs", "first_hub", "hub_limit", "join_max_op", "join_sum_op", "split_hubs"]

LEAST = 8192
"""Edges below which a row is never cut."""


@dataclass(frozen=True)
class Hubs:
    """The rows that are cut, and their pieces.

    Attributes
    ----------
    rows : (H,) int64, ascending
    first : (H + 1,) int64
        Pieces of hub h: ``first[h] .. first[h + 1]``.
    starts, stops : (P,) int64
        Edges of each piece.
    row_stops : (N,) int64
        Where each row's edges end, with the hubs emptied; pairs with ``indptr``.
    """

    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    row_stops: NDArray[np.int64]

    @property
    def pieces(self) -> int:
        """Rows that the buffer of partial results needs."""
        return len(self.starts)


def hub_limit(edges: int, threads: int) -> int:
    """Edges beyond which a row is cut: an eighth of a thread's share, but not fewer than ``LEAST``."""
    return max(LEAST, edges // (8 * max(1, threads)))


def split_hubs(indptr: np.ndarray, limit: int) -> Hubs | None:
    """Cut the rows of more than ``limit`` edges into pieces of at most ``limit``; None if there is none."""
    indptr = np.asarray(indptr, np.int64)
    degree = np.diff(indptr)
    rows = np.flatnonzero(degree > limit)
    if not len(rows):
        return None
    counts = -(-degree[rows] // limit)
    first = np.concatenate([[0], np.cumsum(counts)])
    number = np.arange(first[-1]) - np.repeat(first[:-1], counts)
    # Pieces of about equal length: degree * k // count never strays from the exact share by a whole edge.
    size, count = np.repeat(degree[rows], counts), np.repeat(counts, counts)
    begin = np.repeat(indptr[rows], counts)
    row_stops = indptr[1:].copy()
    row_stops[rows] = indptr[rows]
    return Hubs(rows, first, begin + size * number // count, begin + size * (number + 1) // count, row_stops)


@helper
def first_hub(rows, count, start):
    """How many hubs come before row ``start``."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if i64_at(rows + 8 * middle) < start:
            low = middle + 1
        else:
            high = middle
    return low


@micro
def join_sum(op, start, stop, scratch):
    out, out_stride = place(op, 1, start, scratch), stride(op, 1)
    pieces, piece_stride = i64_at(op + 32), i64_at(op + 40)
    rows, first, count, runs = i64_at(op + 48), i64_at(op + 56), i64_at(op + 64), i64_at(op + 72)
    h = first_hub(rows, count, start)
    while h < count and i64_at(rows + 8 * h) < stop:
        row = out + i64_at(rows + 8 * h) * out_stride
        for v in range(runs):
            total = load(i32x16, row + 64 * v)
            for p in range(i64_at(first + 8 * h), i64_at(first + 8 * h + 8)):
                total = add(total, load(i32x16, pieces + p * piece_stride + 64 * v))
            store(row + 64 * v, total)
        h += 1


@micro
def join_max(op, start, stop, scratch):
    out, out_stride = place(op, 1, start, scratch), stride(op, 1)
    pieces, piece_stride = i64_at(op + 32), i64_at(op + 40)
    rows, first, count, runs = i64_at(op + 48), i64_at(op + 56), i64_at(op + 64), i64_at(op + 72)
    h = first_hub(rows, count, start)
    while h < count and i64_at(rows + 8 * h) < stop:
        row = out + i64_at(rows + 8 * h) * out_stride
        for v in range(runs):
            p = i64_at(first + 8 * h)
            most = load(i8x16, pieces + p * piece_stride + 16 * v)
            for q in range(p + 1, i64_at(first + 8 * h + 8)):
                most = maximum(most, load(i8x16, pieces + q * piece_stride + 16 * v))
            store(row + 16 * v, most)
        h += 1


def _join_op(kernel, hubs: Hubs, out: Place, pieces: int, piece_stride: int, channels: int) -> np.ndarray:
    op = new_op(kernel)
    put_place(op, 1, *out)
    op[4:8] = pieces, piece_stride, hubs.rows.ctypes.data, hubs.first.ctypes.data
    op[8:10] = len(hubs.rows), -(-channels // 16)
    return op


def join_sum_op(*, hubs: Hubs, out: Place, pieces: int, piece_stride: int, channels: int) -> np.ndarray:
    """Operation that adds the partial sums of the block's hubs to their rows.

    Parameters
    ----------
    hubs : Hubs
        Kept alive by the caller.
    out : place of int32 rows
    pieces : address of (P,) int32 rows of ``piece_stride`` bytes
    channels : int

    Notes
    -----
    Fields: 1-3 out, 4 pieces, 5 their stride, 6 rows, 7 first, 8 number of hubs, 9 runs of 16 lanes in a row.
    """
    return _join_op(join_sum, hubs, out, pieces, piece_stride, channels)


def join_max_op(*, hubs: Hubs, out: Place, pieces: int, piece_stride: int, channels: int) -> np.ndarray:
    """Operation that writes the maximum over the pieces of the block's hubs to their rows; int8 rows, else as
    :func:`join_sum_op`."""
    return _join_op(join_max, hubs, out, pieces, piece_stride, channels)
