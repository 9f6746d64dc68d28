"""Exact order statistics of float32 without sorting: what a percentile observer needs at every step.

A float32 has an order-preserving image in the integers: its bit pattern, with the lower 31 bits flipped if it is
negative. The k-th smallest is found near the ends as ``select_tails`` says, and elsewhere by two histograms, of the
upper and then of the lower 16 bits of that image.
Counts are integers, so the result is exact and no order of adding them matters. -0.0 comes before 0.0 (they are
equal as numbers), a NaN beyond the infinities, so that it shows as an extreme instead of being lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numba
import numpy as np
from numba import prange

from ._jit import kernel
from ._twin import twin
from .select_tails import tail_keys

__all__ = [
    "count_kept",
    "min_max",
    "order_statistics",
    "order_statistics_of_parts",
    "order_statistics_weighted",
]

_SMALL = 1 << 17  # below this NumPy's partition is faster than clearing and adding up the histograms
_SMALL_WEIGHTED = 1 << 14  # the same for the weighted form, where NumPy has to sort
_BINS = 1 << 16
_ZERO_BIN = _BINS // 2  # of the upper 16 bits of 0.0, whose image is 0


def count_kept(x: np.ndarray, protected: np.ndarray | None = None) -> int:
    """Number of elements of ``x`` (N, C) in rows that are not protected."""
    if protected is None:
        return x.size
    return (x.size // max(len(x), 1)) * (len(x) - int(np.count_nonzero(protected)))


def min_max(x: np.ndarray, protected: np.ndarray | None = None) -> tuple[np.float32, np.float32]:
    """Smallest and largest element of ``x`` float32 (N, C) or (N,) over the rows not ``protected`` (bool (N,)).

    Both are NaN if there is no such element; ask `count_kept` first. A NaN in ``x`` shows in one of the two.
    """
    if count_kept(x, protected) == 0:
        return np.float32(np.nan), np.float32(np.nan)
    bits = _bits(x)
    chunks = _chunks(bits)
    ends = np.empty((2, chunks), np.int32)
    _extremes(bits, _mask(protected), ends)
    return _value(ends[0].min()), _value(ends[1].max())


def order_statistics(
    x: np.ndarray, protected: np.ndarray | None, k_low: int, k_high: int
) -> tuple[np.float32, np.float32]:
    """The ``k_low``-th and ``k_high``-th smallest elements of ``x``, counted from 1, skipping protected rows.

    Parameters
    ----------
    x : float32 (N, C) or (N,)
    protected : bool (N,) or None
    k_low, k_high : int
        From 1 to `count_kept` (x, protected).

    Returns
    -------
    low, high : float32
        Both NaN if every row is protected.
    """
    total = count_kept(x, protected)
    if total == 0:
        return np.float32(np.nan), np.float32(np.nan)
    if total < _SMALL:
        kept = (x if protected is None else x[~protected]).reshape(-1)
        part = np.partition(_image(np.ascontiguousarray(kept).view(np.int32)), (k_low - 1, k_high - 1))
        return _value(part[k_low - 1]), _value(part[k_high - 1])
    return _statistics(_bits(x), _mask(protected), np.empty(0, np.int64), k_low, k_high, total)


def order_statistics_weighted(
    x: np.ndarray, row_weight: np.ndarray, k_low: int, k_high: int
) -> tuple[np.float32, np.float32]:
    """`order_statistics` of the matrix in which row i of ``x`` stands ``row_weight[i]`` times, without making it.

    Messages before their sum are such a matrix: each node's row, as often as it has outgoing edges.

    Parameters
    ----------
    x : float32 (N, C)
    row_weight : int64 (N,), none negative
    k_low, k_high : int
        From 1 to C * sum(row_weight).
    """
    if x.size == 0 or not row_weight.any():
        return np.float32(np.nan), np.float32(np.nan)
    if x.size < _SMALL_WEIGHTED:
        keys = _image(_bits(x)).reshape(-1)
        order = np.argsort(keys, kind="stable")
        reached = np.cumsum(np.repeat(row_weight, x.size // len(x))[order])
        low, high = np.searchsorted(reached, (k_low, k_high))
        return _value(keys[order[low]]), _value(keys[order[high]])
    row_weight = np.ascontiguousarray(row_weight, dtype=np.int64)
    total = int(row_weight.sum()) * (x.size // len(x))
    return _statistics(_bits(x), np.empty(0, np.bool_), row_weight, k_low, k_high, total)


def order_statistics_of_parts(
    parts: Callable[[], Iterable[np.ndarray]], k_low: int, k_high: int
) -> tuple[np.float32, np.float32]:
    """`order_statistics` of an array that is given in parts, float32 (N, C) each; ``parts()`` is called twice."""
    none = np.empty(0, np.bool_), np.empty(0, np.int64)
    return _count_twice(lambda: map(_bits, parts()), *none, k_low, k_high, numba.get_num_threads())


def _statistics(
    bits: np.ndarray, protected: np.ndarray, row_weight: np.ndarray, k_low: int, k_high: int, total: int
) -> tuple[np.float32, np.float32]:
    """By the tails if the ranks lie there, as those of a percentile observer do, else by counting everything."""
    keys = tail_keys(bits, protected, row_weight, k_low, k_high, total, _chunks(bits))
    if keys is None:
        return _select(bits, protected, row_weight, k_low, k_high)
    return _value(keys[0]), _value(keys[1])


def _select(
    bits: np.ndarray, protected: np.ndarray, row_weight: np.ndarray, k_low: int, k_high: int
) -> tuple[np.float32, np.float32]:
    """All ranks, by two rounds of counting."""
    return _count_twice(lambda: (bits,), protected, row_weight, k_low, k_high, _chunks(bits))


def _count_twice(
    parts: Callable[[], Iterable[np.ndarray]],
    protected: np.ndarray,
    row_weight: np.ndarray,
    k_low: int,
    k_high: int,
    chunks: int,
) -> tuple[np.float32, np.float32]:
    """Two rounds of counting: the bin of the upper 16 bits that holds the k-th, then the element within that bin.

    ``parts`` gives the parts of the array as bit patterns, afresh at each call.
    """
    counts, zeros = np.zeros((chunks, _BINS), np.int64), np.zeros(chunks, np.int64)
    for bits in parts():
        _count_upper(bits, protected, row_weight, counts, zeros)
    reached = np.cumsum(counts.sum(axis=0))
    bins = np.searchsorted(reached, (k_low, k_high))
    lower = np.zeros((chunks, 2, _BINS), np.int64)
    for bits in parts():
        _count_lower(bits, protected, row_weight, bins[0] - _ZERO_BIN, bins[1] - _ZERO_BIN, lower)
    result = []
    for side, k in enumerate((k_low, k_high)):
        upper = int(bins[side])
        within = lower[:, side].sum(axis=0)
        within[0] += zeros.sum() if upper == _ZERO_BIN else 0
        before = reached[upper - 1] if upper > 0 else 0
        result.append(_value((upper - _ZERO_BIN << 16) + int(np.searchsorted(np.cumsum(within), k - before))))
    return result[0], result[1]


def _bits(x: np.ndarray) -> np.ndarray:
    """The bit patterns of ``x`` as int32 (N, C), without a copy if it is contiguous."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    return x.reshape(len(x), -1).view(np.int32)


def _mask(protected: np.ndarray | None) -> np.ndarray:
    return np.empty(0, np.bool_) if protected is None else protected


def _chunks(bits: np.ndarray) -> int:
    return min(numba.get_num_threads(), max(1, bits.size // _SMALL_WEIGHTED))


def _image(bits: np.ndarray) -> np.ndarray:
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def _value(key: int) -> np.float32:
    """Back from the order-preserving image, which is its own inverse, to the float."""
    return _image(np.array([key], np.int32)).view(np.float32)[0]


@kernel
def _key(pattern):
    """Order-preserving image of a bit pattern, int32."""
    return np.int32(pattern ^ ((pattern >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@twin(lambda bits, protected, ends: bits.size)
def _extremes(bits, protected, ends):
    """ends[0, chunk], ends[1, chunk] = smallest and largest image of the chunk's rows."""
    chunks = ends.shape[1]
    for chunk in prange(chunks):
        low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
        for i in range(bits.shape[0] * chunk // chunks, bits.shape[0] * (chunk + 1) // chunks):
            if protected.size > 0 and protected[i]:
                continue
            for j in range(bits.shape[1]):
                key = _key(bits[i, j])
                low = min(low, key)
                high = max(high, key)
        ends[0, chunk] = low
        ends[1, chunk] = high


@twin(lambda bits, protected, row_weight, counts, zeros: bits.size)
def _count_upper(bits, protected, row_weight, counts, zeros):
    """counts[chunk, bin] += number (or weight) of the chunk's elements by the upper 16 bits of their image.

    ``zeros[chunk]`` goes up by how many of them are 0.0.
    """
    chunks = counts.shape[0]
    for chunk in prange(chunks):
        bins = counts[chunk]
        zero = 0
        for i in range(bits.shape[0] * chunk // chunks, bits.shape[0] * (chunk + 1) // chunks):
            if protected.size > 0 and protected[i]:
                continue
            step = row_weight[i] if row_weight.size > 0 else 1
            for j in range(bits.shape[1]):
                key = _key(bits[i, j])
                bins[(key >> np.int32(16)) + _ZERO_BIN] += step
                zero += step * (key == 0)
        zeros[chunk] += zero


@twin(lambda bits, protected, row_weight, bin_low, bin_high, counts: bits.size)
def _count_lower(bits, protected, row_weight, bin_low, bin_high, counts):
    """Add to counts[chunk, side, :] by the lower 16 bits, of the elements with the side's upper bits, but not 0.0.

    After a ReLU half of the elements are 0.0, in no order that a branch predictor could learn; they are counted
    already, and leaving them out keeps both conditions rare.
    """
    chunks = counts.shape[0]
    for chunk in prange(chunks):
        low, high = counts[chunk, 0], counts[chunk, 1]
        for i in range(bits.shape[0] * chunk // chunks, bits.shape[0] * (chunk + 1) // chunks):
            if protected.size > 0 and protected[i]:
                continue
            step = row_weight[i] if row_weight.size > 0 else 1
            for j in range(bits.shape[1]):
                key = _key(bits[i, j])
                upper = key >> np.int32(16)
                if (upper == bin_low) & (key != 0):
                    low[key & np.int32(0xFFFF)] += step
                if (upper == bin_high) & (key != 0):
                    high[key & np.int32(0xFFFF)] += step
